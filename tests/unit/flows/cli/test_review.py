"""Tests of `harvest review` and `harvest gallery`: what they show, refuse and write."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from flows.cli.review import chosen_method, decide, print_review, review_results
from flows.report.gallery import write_gallery
from flows.review.clusters import Question, explored_clusters
from storage.arrays.specs import PROTOTYPES, SALIENCY
from storage.arrays.zarr_files import read_array
from storage.errors import InputError
from storage.records.campaigns import CampaignRecord, write_record
from storage.records.reviews import find_review
from storage.tables import ADJUSTED, ASSIGNMENTS, CLUSTER_SCORES, PREDICTIONS, SWAPS
from storage.tables.rows import rows_of
from storage.verify import verify_store
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, HOSTILE, FakeCampaign, table_rows
from tests.unit.flows.cli.test_main import is_one_message, main

WHO = ("--reviewer", "Ada", "--reason", "markers")


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(tmp_path_factory.mktemp("store"), methods=("gradcam", "lime"), first_plant=HOSTILE)


@pytest.fixture(scope="module")
def record(campaign: FakeCampaign) -> CampaignRecord:
    campaign.make("report", "report", lambda draft: draft.write_bytes("analysis.html", b""), {})  # pyright: ignore
    page = "reports/field2-2021/index.html"
    made = CampaignRecord(campaign="field2-2021", params=campaign.params, artifacts=campaign.roles, report=page)
    write_record(campaign.store, made)
    return made


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the environment variables that the command sets after each test."""
    for name in (
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL",
        "PREFECT_SERVER_ANALYTICS_ENABLED",
        "DO_NOT_TRACK",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS",
    ):
        monkeypatch.setenv(name, "1")


def test_clusters_are_shown_with_the_rules_proposal(
    campaign: FakeCampaign, record: CampaignRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(monkeypatch, "review", "field2-2021", "--store", campaign.root, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    swaps = [row for method in ("gradcam", "lime") for row in table_rows(campaign, f"swaps {method}", SWAPS)]
    shown = [(row["method"], row["cluster"], row["n"], row["n_wrong"], row["decision"]) for row in found["clusters"]]
    assert shown == [(r["method"], r["cluster"], r["n"], r["n_wrong"], r["decision"]) for r in swaps]
    assert found["reviews"] == []
    print_review({**found, "reviews": [{"method": "lime", "reviewer": "[b]A", "decided": "now", "reason": "[i]why"}]})
    text = capsys.readouterr().out
    assert "lime: reviewed by [b]A on now: [i]why" in text and len(re.findall("│ swap +│ swap", text)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--swap", "1", *WHO), "no saliency method is named; the campaign has gradcam, lime"),
        (
            ("--swap", "1", *WHO, "--method", "occlusion"),
            "method is occlusion; the campaign has gradcam, lime",
        ),
        (("--swap", "9", *WHO, "--method", "lime"), "The campaign has no cluster 9"),
        (("--swap", "1", "--keep", "1", *WHO, "--method", "lime"), "cluster 1 is named more than once"),
        (("--swap", "1", "--reviewer", "Ada", "--method", "lime"), "the reason is ''"),
        ((*WHO, "--method", "lime"), "The review has no decision"),
        (("--swap", "1", "--forget", "--method", "lime"), "--forget is given together with decisions"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    campaign: FakeCampaign,
    record: CampaignRecord,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(monkeypatch, "review", "field2-2021", "--store", campaign.root, *arguments) == 2
    error = capsys.readouterr().err
    assert is_one_message(error) and said in error
    assert not (campaign.root / "reviews").exists()


def test_a_decision_is_kept_with_who_when_and_why(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path)
    record = CampaignRecord(campaign="field2-2021", params=campaign.params, artifacts=campaign.roles, report="")
    assert chosen_method(record, None) == "gradcam"
    decide(campaign.store, record, "gradcam", {2: "keep"}, " Ada ", "markers")
    review = find_review(campaign.store, "field2-2021", campaign.roles["scores gradcam"])
    assert review is not None and (review.reviewer, review.reason, review.choices) == ("Ada", "markers", {2: "keep"})
    assert abs((datetime.now(UTC) - review.decided).total_seconds()) < 60
    (shown,) = review_results(campaign.store, record)["reviews"]
    assert shown["choices"] == {"2": "keep"} and shown["reviewer"] == "Ada"


def test_three_classes_cannot_be_swapped(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, classes=("a", "b", "c"))
    record = CampaignRecord(campaign="field2-2021", params=campaign.params, artifacts=campaign.roles, report="")
    with pytest.raises(InputError, match="swap for cluster 2"):
        decide(campaign.store, record, "gradcam", {2: "swap"}, "Ada", "markers")


def captions(page: str) -> list[tuple[bool, str, str, float]]:
    """Read from every caption whether the answer is right, the plant, the date and the distance."""
    found = re.findall(
        r'class="(good|bad|soft)">[^<]*</span>\s+· predicted (\w+).*?<br>\s*'
        r"<a [^>]*>([^<]+)</a> · (\S+) · \w+ · distance ([\d.]+)",
        page,
        re.DOTALL,
    )
    return [(kind == "good", plant, day, float(distance)) for kind, _, plant, day, distance in found]


def expected(campaign: FakeCampaign, method: str, cluster: int) -> dict[tuple[str, str], float]:
    """Compute the distance of every map of a cluster to its prototype by an explicit cosine, by plant and date."""
    prototype = read_array(campaign.store.open(campaign.roles[f"clusters {method}"]), PROTOTYPES)[cluster - 1]
    found: dict[tuple[str, str], float] = {}
    for day in DAYS:
        maps = read_array(campaign.store.open(campaign.roles[f"saliency {method} {day}"]), SALIENCY).astype(float)
        for one, row in zip(maps, table_rows(campaign, f"assignments {method} {day}", ASSIGNMENTS), strict=True):
            if row["cluster"] == cluster:
                a, b = one.ravel(), prototype.ravel().astype(float)
                found[row["plant_id"], day] = 1 - a.dot(b) / np.sqrt(a.dot(a) * b.dot(b))
    return found


@pytest.mark.parametrize("method", ["gradcam", "lime"])
def test_the_gallery_shows_the_nearest_first_and_only_the_clusters_own(
    campaign: FakeCampaign, record: CampaignRecord, method: str
) -> None:
    page, n_shown = write_gallery(campaign.store, record, method, 3, 5)
    text = local(page).read_text()
    shown, wanted = captions(text), expected(campaign, method, 3)
    assert len(shown) == n_shown == 10
    splits = {r["plant_id"]: r["split"] for r in table_rows(campaign, f"predictions {DAYS[0]}", PREDICTIONS)}
    assert [splits[plant] for _, plant, _, _ in shown] == ["val"] * 5 + ["test"] * 5
    for part in (shown[:5], shown[5:]):
        distances = [distance for *_, distance in part]
        assert distances == sorted(distances)
    for is_right, plant, day, distance in shown:
        assert distance == pytest.approx(wanted[plant, day], abs=2e-3)  # maps are stored in half precision
        (row,) = [r for r in table_rows(campaign, f"adjusted {method} {day}", ADJUSTED) if r["plant_id"] == plant]
        assert is_right is (row["label"] == row["predicted"])
    assert text.count("data:image/jpeg;base64,") == 2 * n_shown
    asked = "../field2-2021/analysis.html#"
    links = [unescape(unquote(link)) for link in re.findall(r'(?:src|href)="(?!data:)([^"]*)', text)]
    assert links == [
        f"{asked}cluster=3&method={method}",
        *(f"{asked}plant={unescape(plant)}@{day}" for _, plant, day, _ in shown),
    ]
    assert verify_store(campaign.store).problems == []


def test_a_question_leads_to_clusters_that_the_last_report_shows(
    campaign: FakeCampaign, record: CampaignRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARVEST_REPORTS_URL", "https://fields.example")
    scores = {method: campaign.roles[f"scores {method}"] for method in campaign.methods}
    store = campaign.store
    asked = [Question(method, 2, ref, rows_of(store.open(ref), CLUSTER_SCORES), []) for method, ref in scores.items()]
    asked[1] = replace(asked[1], scores=scores["gradcam"])  # the clusters of this method are new
    found = explored_clusters(store, record.campaign, asked)
    page = "https://fields.example/field2-2021/analysis.html"
    assert found == {("gradcam", n): f"{page}#cluster={n}&method=gradcam" for n in (1, 2, 3)}
    assert explored_clusters(store, "another", asked) == {}


def test_the_command_prints_the_page(
    campaign: FakeCampaign, record: CampaignRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("gallery", "field2-2021", "--cluster", "1", "--method", "gradcam", "--store", campaign.root)
    assert main(monkeypatch, *arguments) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page.is_file() and HOSTILE not in page.read_text() and "&lt;script&gt;" in page.read_text()
    assert main(monkeypatch, *arguments, "--json", "--n", "1") == 0
    assert json.loads(capsys.readouterr().out) == {"page": str(page), "n_images": 2}
    assert (
        main(monkeypatch, "gallery", "field2-2021", "--cluster", "7", "--method", "lime", "--store", campaign.root) == 2
    )
    assert is_one_message(capsys.readouterr().err)
