"""`harvest review`: what it shows, what it refuses, what it keeps."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.reviewing import chosen_method, decide, print_review, review_results
from storage.errors import InputError
from storage.publish import CampaignRecord, write_record
from storage.reviews import find_review
from storage.tables import SWAPS
from tests.unit.report_campaign import HOSTILE, FakeCampaign, table_rows
from tests.unit.test_cli import is_one_message, main

WHO = ("--reviewer", "Ada", "--reason", "markers")


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(tmp_path_factory.mktemp("store"), methods=("gradcam", "lime"), first_plant=HOSTILE)


@pytest.fixture(scope="module")
def record(campaign: FakeCampaign) -> CampaignRecord:
    made = CampaignRecord(campaign="field2-2021", params=campaign.params, artifacts=campaign.roles, report="")
    write_record(campaign.store, made)
    return made


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets ends with the test."""
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
        (("--swap", "1", *WHO), "name one with --method"),
        (("--swap", "1", *WHO, "--method", "occlusion"), "occlusion; the campaign has gradcam, lime"),
        (("--swap", "9", *WHO, "--method", "lime"), "clusters 9"),
        (("--swap", "1", "--keep", "1", *WHO, "--method", "lime"), "cluster 1 is named more than once"),
        (("--swap", "1", "--reviewer", "Ada", "--method", "lime"), "reason ''"),
        ((*WHO, "--method", "lime"), "no cluster"),
        (("--swap", "1", "--forget", "--method", "lime"), "give --forget alone"),
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
