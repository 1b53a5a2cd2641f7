"""Test what the report says of decisions and scores: its numbers are those of the tables."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.tables import CROSSFIT, DECIDED, DRIFT, EVALUATION, RELIABILITIES
from storage.tables.names import SCORES
from tasks.cluster.novelty import cross_conformal_p
from tasks.report.inputs import never_novel
from tasks.report.method.cautions import check_sentence, check_words, decision_counts, outside_sentence
from tasks.report.method.scores import calibration_bins, judged_images, judged_split, risk_curves, score_tables, verdict
from tasks.report.report import report_summary
from tasks.report.words import QUALITIES
from tasks.statistics.detection import detect
from tests.support.report_campaign import DAYS, SHEET, FakeCampaign, table_rows
from tests.support.report_pages import Page, shares

pytestmark = pytest.mark.usefixtures("blank_pictures")

NAMES = [name for name, _ in SCORES.values()]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(tmp_path_factory.mktemp("store"), outside=(DAYS[1],))


@pytest.fixture(scope="module")
def html(campaign: FakeCampaign) -> str:
    return campaign.page()


def of_all_days(campaign: FakeCampaign, table: str, spec: Any) -> list[dict[str, Any]]:
    return [row for day in DAYS for row in table_rows(campaign, f"{table} gradcam {day}", spec)]


def test_decisions_are_counted_from_the_tables(campaign: FakeCampaign, html: str) -> None:
    head, *shown = Page(html).tables["decisions"]
    decided = of_all_days(campaign, "decided", DECIDED)
    reasons = head[3:-3]
    assert reasons == ["unsure", "novel", "outside"]
    assert [cells[0] for cells in shown] == ["validation", "test"]
    for split, cells in zip(("val", "test"), shown, strict=True):
        rows = [row for row in decided if row["split"] == split]
        to_check = [row for row in rows if row["decision"] == "check"]
        assert cells[1] == str(len(rows)) and cells[2].startswith(f"{len(to_check)} of {len(rows)} (")
        assert shares(cells[2]) == pytest.approx([len(to_check) / len(rows)], abs=5.1e-4)
        for reason, cell in zip(reasons, cells[3:-3], strict=True):
            assert int(cell) == sum(reason in row["check_reason"].split() for row in rows)
        for is_checked, cell in zip((False, True), cells[-3:-1], strict=True):
            chosen = [row for row in rows if (row["decision"] == "check") == is_checked]
            right = sum(row["answer"] == row["label"] for row in chosen)
            assert cell.startswith(f"{right} of {len(chosen)} (")
        assert cells[-1] == ("threshold chosen here" if split == "val" else "")
    assert int(shown[1][3]) > 0 and int(shown[1][4]) > 0  # or the reasons were told apart by nothing


def test_decisions_by_hand() -> None:
    words = ["unsure novel", "", "later", "unsure"]
    answers = [(1, 1), (0, 1), (None, 1), (1, 0)]
    (row,) = decision_counts(
        [
            {"split": "new", "check_reason": word, "label": label, "answer": answer}
            for word, (label, answer) in zip(words, answers, strict=True)
        ]
    )
    assert (row["n"], row["n_check"], row["acted_on"], row["checked"]) == (4, 3, (1, 0), (2, 1))
    assert check_words([row]) == ["unsure", "novel"]
    assert check_sentence([row]) == "Answers to check: 3 of 4 new (1 later, 1 novel, 2 unsure)."
    assert decision_counts([]) == [] and check_sentence([]) == "No image was explained."


def test_dates_outside_what_was_validated_are_warned_of_first(campaign: FakeCampaign, html: str) -> None:
    section = html.split('<section id="gradcam">')[1]
    box = re.findall(r'class="box warning outside">(.*?)</div>', section, re.DOTALL)
    assert len(box) == 1 and f"{DAYS[1]}, test" in box[0] and DAYS[0] not in box[0]
    assert section.index("Outside what was validated") < section.index("<h3>")
    head, *shown = Page(html).tables["drift"]
    rows = [row for day in DAYS for row in table_rows(campaign, f"drift gradcam {day}", DRIFT)]
    for day, cells, row in zip(DAYS, shown, rows, strict=True):
        assert cells[:3] == [day, "test", str(row["n"])]
        stated = [row["share_shift"], row["novel_share"], row["answer_shift"]]
        assert shares(cells[3]) + shares(cells[5]) + shares(cells[7]) == pytest.approx(stated, abs=5.1e-4)
        assert cells[9] == str(row["n_seen"])
        assert cells[10].startswith("outside" if row["is_outside"] else "like validation")
    assert [cells[4] for cells in shown] == ["p\u00a0=\u00a00.34", "p\u00a0<\u00a00.001"]
    assert len(head) == 11


def test_dates_inside_are_not_warned_of(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, n_plants=18)
    assert "Outside what was validated" not in campaign.page()
    assert "Outside" not in report_summary(campaign.store, campaign.record())
    assert outside_sentence([]) == ""


def test_unknown_words_of_drift_are_shown_as_they_are() -> None:
    row = {"date": "2021-08-23", "split": "later", "is_outside": True, "reason": "moon"}
    assert outside_sentence([row]) == "Outside what was validated: 2021-08-23, later (moon)."


def number(cell: str) -> float | None:
    """Return the figure of a cell without its star and interval."""
    found = re.match(r"\d\.\d{3}", cell)
    return None if found is None else float(found.group())


@pytest.mark.parametrize("split", ["test", "val"])
def test_figures_of_the_scores_are_those_of_the_table(campaign: FakeCampaign, html: str, split: str) -> None:
    rows = {
        row["score"]: row for row in table_rows(campaign, "evaluation gradcam", EVALUATION) if row["split"] == split
    }
    head, *shown = Page(html).tables[f"evaluation {split}"]
    assert head[1:] == [heading for heading, _, _ in QUALITIES.values()]
    assert [cells[0] for cells in shown] == NAMES
    for score, cells in zip(SCORES, shown, strict=True):
        for quality, cell in zip(QUALITIES, cells[1:], strict=True):
            stated = rows[score][quality]
            assert number(cell) == (None if stated is None else pytest.approx(stated, abs=5.1e-4))
        low, high = rows[score]["auroc_lower"], rows[score]["auroc_upper"]
        assert cells[1].endswith(f"{low:.2f}\u2009–\u2009{high:.2f}")
    assert shown[5][5:] == ["–", "–"]  # the trust score is no probability


def test_the_best_of_each_column_is_marked(campaign: FakeCampaign, html: str) -> None:
    _, *shown = Page(html).tables["evaluation test"]
    for place, (_, _, is_largest_best) in enumerate(QUALITIES.values(), start=1):
        column = [number(cells[place]) for cells in shown]
        known = [value for value in column if value is not None]
        best = max(known) if is_largest_best else min(known)
        assert ["★" in cells[place] for cells in shown] == [value == best for value in column]


def evaluation(
    split: str = "test", spread: float = 0.01, gain: tuple[float, float] | None = None, **aurocs: float | None
) -> list[dict[str, Any]]:
    """Make rows of the table `evaluation` with these AUROCs, intervals of twice this width, and paired intervals."""
    return [
        {
            "split": split,
            "score": score,
            "n": 50,
            "n_wrong": 0 if auroc is None else 9,
            "auroc": auroc,
            "auroc_lower": None if auroc is None else auroc - spread,
            "auroc_upper": None if auroc is None else auroc + spread,
            "auroc_gain_lower": None if score == "reliability" or not gain else gain[0],
            "auroc_gain_upper": None if score == "reliability" or not gain else gain[1],
            **dict.fromkeys(("aurc", "e_aurc", "augrc"), 0.25),
            **dict.fromkeys(("aurc_lower", "aurc_upper", "augrc_lower", "augrc_upper")),
            **dict.fromkeys(("brier", "calibration_error")),
        }
        for score, auroc in aurocs.items()
    ]


@pytest.mark.parametrize(
    ("rows", "says", "not_said"),
    [
        (
            evaluation(reliability=0.6, softmax=0.684, trust_score=0.61, nearest_map_reliability=0.55),
            ["is beaten by 2 of 3 single baselines, most clearly by probability (0.684).", "AUROC 0.600"],
            ["chance", "combined"],
        ),
        (
            evaluation(reliability=0.6, softmax=0.65, gain=(-0.04, 0.14)),
            [
                "beaten by 1 of 1",
                "The interval of their difference, -0.04 to +0.14, holds 0: this order may be chance.",
            ],
            [],
        ),
        (  # their own intervals overlap, and still one is better on the same images
            evaluation(reliability=0.6, softmax=0.65, spread=0.1, gain=(0.01, 0.09)),
            ["beaten by 1 of 1 single baselines"],
            ["chance"],
        ),
        (
            evaluation(reliability=0.7, softmax=0.65, gain=(-0.2, 0.1)),
            ["next comes probability (0.650). The interval of their difference, -0.20 to +0.10, holds 0"],
            [],
        ),
        (
            evaluation(reliability=0.8, softmax=0.65, combined_reliability=0.82),
            [
                "no single baseline beats the cluster reliability (AUROC 0.800); next comes probability (0.650)",
                "reach 0.820, more than any of them alone",
            ],
            ["chance"],
        ),
        (
            evaluation(reliability=0.70004, softmax=0.69996, combined_reliability=0.7),
            ["as well as the best single baseline, probability (0.700)", "as much as the best of them alone"],
            ["beats"],
        ),
        (
            evaluation(reliability=0.7, softmax=0.8, combined_reliability=0.75),
            ["reach 0.750, less than the best of them alone"],
            [],
        ),
        (
            evaluation(reliability=0.45, softmax=0.5, trust_score=0.5, feature_reliability=0.5),
            ["most clearly by probability and 2 others (0.500)", "None of these is better than guessing (0.5)."],
            [],
        ),
        (evaluation(reliability=0.45, softmax=0.501), ["by probability (0.501)"], ["guessing"]),
        (evaluation(reliability=None, softmax=None, combined_reliability=None), ["no answer is wrong"], ["None"]),
        (evaluation("val", reliability=0.7), ["On validation plants, cross-fitted", "with no other score"], ["unseen"]),
        ([], ["No image has a label"], []),
    ],
)
def test_the_verdict_on_the_cluster_score(rows: list[dict[str, Any]], says: list[str], not_said: list[str]) -> None:
    text = verdict(rows)
    assert all(part in text for part in says) and not any(part in text for part in not_said)


def test_the_verdict_is_on_unseen_plants_where_there_are_any() -> None:
    rows = evaluation("val", reliability=0.9, softmax=0.5) + evaluation("new", reliability=0.5, softmax=0.9)
    assert judged_split(rows) == "new" and "is beaten" in verdict(rows) and "new plants" in verdict(rows)
    assert [table.split for table in score_tables(rows)] == ["new", "val"]


def test_nothing_is_best_where_all_are_equal() -> None:
    (table,) = score_tables(evaluation(reliability=0.7, softmax=0.70001, trust_score=None))
    assert not any(cell.is_best for _, _, cells in table.rows for cell in cells)
    assert [cells[0].text for _, _, cells in table.rows] == ["0.700", "0.700", "–"]


def test_curves_and_bins_are_of_the_judged_images(campaign: FakeCampaign) -> None:
    rated = of_all_days(campaign, "reliability", RELIABILITIES)
    crossfit = table_rows(campaign, "crossfit gradcam", CROSSFIT)
    for split in ("test", "val"):
        images = judged_images(rated, crossfit, split)
        wrong = [row["label"] != row["predicted"] for row in images]
        curves = risk_curves(images)
        assert list(curves) == list(SCORES) and len(images) == 32
        for score, (coverage, risk) in curves.items():
            assert coverage[-1] == 1 and risk[-1] == pytest.approx(sum(wrong) / len(wrong))
            assert risk.mean() == pytest.approx(detect([row[score] for row in images], wrong).aurc)
        bins = calibration_bins(images)
        assert list(bins) == ["reliability", "combined_reliability"]
        assert all(sum(row.n for row in rows) == len(images) for rows in bins.values())
    assert risk_curves([]) == {} and calibration_bins([]) == {}


def test_images_without_a_label_are_not_judged() -> None:
    images = [{"split": "test", "label": label, "predicted": 1} for label in (0, None, 1)]
    assert [row["label"] for row in judged_images(images, [], "test")] == [0, 1]


def test_the_sensitivity_sheet_is_folded_and_marks_what_is_used(html: str) -> None:
    folded = html.split('<details class="sensitivity">')[1].split("</details>")[0]
    assert "No parameter may be chosen by figures of test plants" in folded
    head, *shown = Page(html).tables["sensitivity"]
    assert len(shown) == len(SHEET) and len(head) == 12
    assert shown[0][:9] == ["median", "0.5", "8", "5", "0.75", "12", "1", "0.520", "1"]
    assert shares(shown[0][9]) == [pytest.approx(0.7123, abs=5.1e-4)] and shown[0][10:] == ["0.612", "in use"]
    assert shown[1][10:] == ["–", ""]
    assert shown[2][1] == "1e-05" and shown[2][5:11] == 6 * ["–"] and shown[2][11].endswith("& nothing is near")


def test_the_summary_says_what_not_to_act_on(campaign: FakeCampaign) -> None:
    text = report_summary(campaign.store, campaign.record())
    notes = [line for line in text.splitlines() if line.startswith("- Grad-CAM: ")]
    assert any("Answers to check: " in note and "of 32 test" in note for note in notes)
    assert any(f"Outside what was validated: {DAYS[1]}, test" in note for note in notes)
    assert any("the cluster reliability (AUROC" in note for note in notes)


def visible(html: str) -> str:
    """Return the text that a reader sees, without tags, styles or pictures."""
    return re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"has_labels": False},
        {"has_test_labels": False},
        {"has_unseen": False},
        {"has_unseen": False, "methods": ("gradcam", "lime")},
        {"has_labels": False, "methods": ("gradcam", "lime")},
        {"classes": ("small", "medium", "large"), "methods": ("gradcam", "lime")},
        {"error_rates": (0.0, 0.0)},
        {"error_rates": (1.0, 1.0)},
        {"has_intervals": False, "methods": ("gradcam", "lime")},
        {"n_plants": 6, "error_rates": (0.5,)},
    ],
    ids=lambda options: " ".join(options),
)
def test_the_page_holds_together_whatever_is_missing(tmp_path: Path, options: dict[str, Any]) -> None:
    given: dict[str, Any] = {"n_plants": 18, "outside": DAYS, **options}
    campaign = FakeCampaign(tmp_path, **given)
    html = campaign.page()
    page = Page(html)
    text = visible(html) + report_summary(campaign.store, campaign.record())
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", text.split("All parameters of this campaign")[0])
    assert ("evaluation test" in page.tables) == (
        options.get("has_labels", True) and options.get("has_test_labels", True) and options.get("has_unseen", True)
    )
    assert ("drift" in page.tables) == options.get("has_unseen", True)
    if not options.get("has_labels", True):
        assert "how well the scores know the errors is unknown" in text and "risk-coverage" not in html
    if options.get("error_rates") == (0.0, 0.0):
        assert "no answer is wrong, so nothing shows" in text
    if options.get("error_rates") == (1.0, 1.0):
        assert "every answer is wrong, so nothing shows" in text


def test_without_unseen_labels_figures_are_cross_fitted(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, has_test_labels=False, n_plants=18)
    html = campaign.page()
    assert "On validation plants, cross-fitted" in html
    assert {f"{kind}-gradcam.png" for kind in ("risk-coverage", "calibration")} <= set(
        campaign.store.open(campaign.report()).manifest.files
    )
    test = Page(html).tables["decisions"][-1]
    assert test[0] == "test" and test[-3:] == ["–", "–", "no label"]


@pytest.mark.parametrize(("n", "least", "is_said"), [(49, 0.02, True), (50, 0.02, False), (3, 0.0, False)])
def test_too_few_maps_for_any_to_be_novel_are_told(n: int, least: float, is_said: bool) -> None:
    """The least p-value among n validation maps is 1 / (n + 1), and a map is novel below `least`."""
    said = never_novel(n, least)
    smallest = cross_conformal_p(np.full((1, 1), 9.0), np.arange(float(n)) / n, np.ones(n, np.int64))[0]
    assert bool(said) == is_said == (smallest >= least > 0)
    assert not said or f"below {1 / (n + 1):.3f}" in said[0]


def test_warnings_of_cross_fitting_and_novelty_are_on_the_page(tmp_path: Path) -> None:
    html = FakeCampaign(tmp_path).page()
    assert "in 1 of 5 folds &lt;nothing&gt; was clustered" in html
    assert "with 32 validation images novelty is never below 0.030" in html.replace("\u00a0", " ")
