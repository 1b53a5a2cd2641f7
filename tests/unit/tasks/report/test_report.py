"""Test the report of small stores: its numbers are those of the tables, also without labels and with many classes."""

import io
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storage.tables import ADJUSTED, CLUSTER_SCORES, METRICS, SWAPS
from tasks.report.campaign import rejected_rows
from tasks.report.method.accuracy import Headline, effect_sentences, headline, rule_sentences, swap_counts
from tasks.report.report import report_summary
from tasks.sources.field.splits import describe_splits
from tests.support.report_campaign import DAYS, HOSTILE, FakeCampaign, table_rows
from tests.support.report_pages import Page, shares


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    of_field = describe_splits(np.array([0.0, 0.3, 0.6]), np.zeros(3), ["train", "val", "test"], crop_metres=1.0)
    return FakeCampaign(tmp_path_factory.mktemp("store"), notes=("a note & more", *of_field))


@pytest.fixture(scope="module")
def html(campaign: FakeCampaign) -> str:
    return campaign.page()


def test_accuracies_on_the_page_are_those_of_the_table(campaign: FakeCampaign, html: str) -> None:
    metrics = table_rows(campaign, "metrics gradcam", METRICS)
    metrics.sort(key=lambda row: row["split"] != "val")
    shown = Page(html).tables["accuracy"][1:]
    states = ["before", "after", "cross-fitted", "decided", "before", "after", "decided"]
    assert [cells[1] for cells in shown] == states
    for cells, row in zip(shown, metrics, strict=True):
        assert cells[0] == {"val": "validation", "test": "test"}[row["split"]]
        assert cells[1:4] == [row["state"], str(row["n"]), str(row["n_correct"])]
        for name, cell in (("overall", cells[4]), ("average_class", cells[5])):
            stated = [row[f"{name}_accuracy{end}"] for end in ("", "_lower", "_upper")]
            assert shares(cell) == pytest.approx(stated, abs=5.1e-4)
        assert ("in-sample" in cells[6]) == (row["split"] == "val" and row["state"] == "after")
        assert ("made without it" in cells[6]) == (row["state"] == "cross-fitted")
        assert ("the more probable class" in cells[6]) == (row["state"] == "decided")
    assert len({row["n"] for row in metrics[1:4]}) == 3  # or a row of one state could pass for another's
    assert "so the figure <em>after</em> is too good" in html


def test_clusters_on_the_page_are_those_of_the_tables(campaign: FakeCampaign, html: str) -> None:
    clusters = table_rows(campaign, "scores gradcam", CLUSTER_SCORES)
    swaps = table_rows(campaign, "swaps gradcam", SWAPS)
    adjusted = [row for day in DAYS for row in table_rows(campaign, f"adjusted gradcam {day}", ADJUSTED)]
    head, *shown = Page(html).tables["clusters-table"]
    assert len(shown) == len(clusters) == 3 and "earlier cluster" not in head
    for cells, row, swap in zip(shown, clusters, swaps, strict=True):
        counts = [row[name] for name in ("cluster", "n", "tp", "tn", "fp", "fn")]
        assert [int(cell) for cell in cells[:6]] == counts
        assert sum(counts[2:]) == row["n"]
        expected = [row["error_share"], row["error_share_lower"], row["error_share_upper"]]
        assert shares(cells[6]) + shares(cells[7]) == pytest.approx(expected, abs=5.1e-4)
        assert float(cells[8]) == pytest.approx(row["reliability"], abs=5.1e-4)
        assert cells[9:12] == ["swapped" if swap["is_swapped"] else "no", swap["reason"], f"{swap['p_holm']:.2g}"]
        test = [one for one in adjusted if one["split"] == "test" and one["cluster"] == row["cluster"]]
        wrong = sum(one["label"] != one["predicted"] for one in test)
        assert [int(cell) for cell in cells[12:14]] == [len(test), wrong]
    assert [cells[9] for cells in shown] == ["no", "swapped", "no"]


def test_how_far_validation_lies_from_training_is_on_the_page(html: str) -> None:
    assert "validation and test plants lie 0.30 m or more from the next training plant, half of them 0.45 m" in html
    assert "crops of 2 of 2 validation and test plants show ground that crops of training plants show too" in html


def test_swaps_are_those_of_the_table_and_not_of_the_threshold(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, error_rates=(0.1, 1.0, 0.85), n_plants=48)
    above = [row["error_share"] > 0.75 for row in table_rows(campaign, "scores gradcam", CLUSTER_SCORES)]
    decided = [row["is_swapped"] for row in table_rows(campaign, "swaps gradcam", SWAPS)]
    assert above != decided  # or the threshold would do
    shown = [cells[9] == "swapped" for cells in Page(campaign.page()).tables["clusters-table"][1:]]
    assert shown == decided


def test_clusters_of_an_earlier_fit_are_named(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, has_earlier=True, n_plants=18)
    head, *shown = Page(campaign.page()).tables["clusters-table"]
    place = head.index("earlier cluster")
    assert head[place + 1] == "likeness"
    assert [cells[place : place + 2] for cells in shown] == [["2", "0.98"], ["new", "–"], ["1", "0.71"]]


def test_swaps_of_small_clusters_are_warned_of(campaign: FakeCampaign, html: str) -> None:
    n = table_rows(campaign, "scores gradcam", CLUSTER_SCORES)[1]["n"]
    assert f"swapped on the evidence of fewer than 20 validation images: cluster 2 (n = {n})" in html
    assert "cluster &lt;3&gt; is small" in html  # a warning of the swaps themselves


def test_counts_and_reasons(html: str) -> None:
    page = Page(html)
    assert [row[:3] for row in page.tables["counts"][1:]] == [
        ["training", "16", "32"],
        ["validation", "16", "32"],
        ["test", "16", "32"],
    ]
    rejected = {row[0]: row[1:] for row in page.tables["rejected"][1:]}
    assert rejected["harvested"][0] == "4" and "already been harvested" in rejected["harvested"][1]
    assert rejected["strange_reason"][:2] == ["2", ""]
    assert page.tables["paper"][1] == ["train", "541", "32", "-509"]
    assert "a note &amp; more" in html and "known_blurry</code> 2" in html


def test_result_parameters_and_provenance_are_on_the_page(campaign: FakeCampaign, html: str) -> None:
    found = table_rows(campaign, "metrics gradcam", METRICS)
    before, after, _ = (row["overall_accuracy"] for row in found if row["split"] == "test")
    result = f"{100 * before:.1f} % right before adjustment, {100 * after:.1f} % after (n = 32)."
    assert f"On unseen test plants: {result}" in html.replace("\u00a0", " ")
    assert "cluster.affinity" in html and "Not the paper’s parameters" in html
    assert all(ref.digest in html for ref in campaign.roles.values())
    assert "tables/metrics/campaign=field2-2021/part-0.parquet" in html
    assert "tables/adjusted/campaign=field2-2021/date=&lt;YYYY-MM-DD&gt;/part-0.parquet" in html


def test_page_is_self_contained(html: str) -> None:
    page = Page(html)
    assert "http://" not in html and "https://" not in html
    assert "@import" not in html and html.count("url(") == html.count('url("data:image/webp;base64,')
    assert page.resources and all(resource.startswith("data:") for resource in page.resources)
    assert all(link == "index.html" or link.removeprefix("#") in page.ids for link in page.links)
    # Confusion, clusters, prototypes, promise curve, risk, calibration, training; three examples a cluster.
    assert page.tags.count("img") == 7 + 3 * 3


def test_equal_inputs_give_equal_bytes(campaign: FakeCampaign, tmp_path: Path) -> None:
    ref = campaign.report()
    assert campaign.report() == ref
    again = FakeCampaign(tmp_path / "again", notes=campaign.notes)
    one, other = campaign.store.open(ref), again.store.open(again.report())
    assert one.manifest.files == other.manifest.files


def test_figures_can_be_opened(campaign: FakeCampaign) -> None:
    report = campaign.store.open(campaign.report())
    kinds = ("calibration", "clusters", "confusion", "promise-curve", "prototypes", "risk-coverage")
    names = [f"{kind}-gradcam.png" for kind in kinds]
    assert sorted(report.manifest.files) == sorted([*names, "analysis.html", "index.html"])
    for name in names:
        with Image.open(io.BytesIO(report.read_bytes(name))) as picture:
            picture.load()
            assert picture.format == "PNG" and min(picture.size) > 100
            assert np.ptp(np.asarray(picture.convert("L"))) > 100


@pytest.mark.parametrize(("choice", "is_marked"), [("predicted", False), ("ready", False), ("label", True)])
def test_banner_where_maps_use_ground_truth(tmp_path: Path, choice: str, is_marked: bool) -> None:
    campaign = FakeCampaign(tmp_path, explained_class=choice, n_plants=18)
    html = campaign.page()
    assert ("banner" in Page(html).ids) == is_marked
    assert ("uses ground truth; not valid for unseen data" in html) == is_marked
    assert ("uses ground truth" in report_summary(campaign.store, campaign.record())) == is_marked


def test_names_from_outside_are_escaped(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, classes=("not_ready", HOSTILE), first_plant=HOSTILE, n_plants=18)
    campaign.params["source"]["root"] = HOSTILE
    campaign.differing = {"ingest.note": HOSTILE}
    html = campaign.page()
    assert "more than &lt;nine&gt; in ten" in html
    assert Page(html).tags.count("script") == 6  # data, a sheet of pictures of each date, and the explorer's three
    assert "<script>alert" not in html and "&lt;script&gt;" in html


def test_more_than_two_classes(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, classes=("small", "medium", "large"))
    page, html = Page(campaign.page()), campaign.page()
    assert page.tables["clusters-table"][0][2:4] == ["right", "wrong"]
    clusters = table_rows(campaign, "scores gradcam", CLUSTER_SCORES)
    for cells, row in zip(page.tables["clusters-table"][1:], clusters, strict=True):
        assert [int(cell) for cell in cells[2:4]] == [row["n"] - row["n_wrong"], row["n_wrong"]]
        assert cells[7] == "no"
    assert "With more than two classes no answer is swapped" in html


def test_test_plants_without_labels(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, has_test_labels=False)
    html = campaign.page()
    page = Page(html)
    assert "No unseen plant has a label" in html
    assert page.tables["accuracy"][-1] == ["test", "32 images, none with a label: accuracy unknown"]
    assert all(cells[13] == "–" for cells in page.tables["clusters-table"][1:])


def test_given_classifier_paper_parameters_and_no_examples(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, is_trained=False, has_examples=False, n_plants=18)
    campaign.differing = {}
    html = campaign.page()
    assert "The classifier was given" in html and "The paper’s parameters" in html
    assert html.count("No labelled validation image.") == 3


def test_summary_for_the_user_interface(campaign: FakeCampaign) -> None:
    text = report_summary(campaign.store, campaign.record())
    assert text.startswith("# Campaign field2-2021\n")
    assert "On unseen test plants" in text and "| Grad-CAM | val | after (in-sample) | 32 |" in text
    assert "cluster.affinity = gamma" in text and "reports/field2-2021/index.html" in text


def metric(split: str, state: str, n_correct: int, **more: Any) -> dict[str, Any]:
    shares = dict.fromkeys(("overall_accuracy", "average_class_accuracy"), n_correct / 100)
    fixed = {"split": split, "state": state, "n": 100, "n_correct": n_correct, "is_in_sample": False, "mcnemar_p": 1.0}
    shares |= {"gain_lower": None, "gain_upper": None}
    return {**fixed, **shares, "confusion": [n_correct, 100 - n_correct, 0, 0], **more}


def swapped(n_corrected: int, n_spoiled: int) -> list[dict[str, Any]]:
    """Make adjusted test images: some corrected, some spoiled, one untouched."""
    pairs = [(1, 0, 1)] * n_corrected + [(1, 1, 0)] * n_spoiled + [(1, 1, 1)]
    return [
        {"split": "test", "label": label, "predicted": was, "adjusted": now, "is_swapped": was != now}
        for label, was, now in pairs
    ]


def test_swapped_answers_are_counted_by_hand() -> None:
    assert swap_counts(swapped(8, 1), "test") == (9, 10)
    assert swap_counts(swapped(8, 1), "val") == (0, 0)


def test_effects_and_their_chance_are_those_of_the_table() -> None:
    counts = {"n_corrected": 8, "n_spoiled": 1, "mcnemar_p": 0.0391, "gain_lower": -0.012, "gain_upper": 0.15}
    fitted = metric("val", "cross-fitted", 70, n_corrected=3, n_spoiled=2, mcnemar_p=0.0004)
    sentences = effect_sentences([metric("test", "after", 70, **counts), fitted], swapped(5, 5))
    assert [sentence.replace("\u00a0", " ") for sentence in sentences] == [
        "Validation, cross-fitted: 3 became right and 2 became wrong (exact McNemar test by plants, p < 0.001).",
        "Test: 10 of 11 answers were swapped; 8 became right and 1 became wrong (exact McNemar test by plants, p = "
        "0.039; accuracy -1.2 to +15.0 points over resampled plants).",
    ]
    assert effect_sentences([metric("test", "after", 70, n_corrected=0, n_spoiled=0)], swapped(0, 0)) == []


@pytest.mark.parametrize(
    ("n_corrected", "n_spoiled", "p", "gain", "tone", "says"),
    [
        (
            20,
            2,
            0.01,
            (0.05, 0.3),
            "better",
            "62.0\u00a0% right before adjustment, 80.0\u00a0% after (n\u00a0=\u00a0100).",
        ),
        (20, 2, 0.01, (None, None), "better", "80.0\u00a0% after"),
        (20, 2, 0.01, (-0.01, 0.4), "same", "may be chance"),  # the images are of a few plants
        (20, 2, 0.06, (0.05, 0.3), "same", "may be chance"),
        (2, 2, 1, (-0.1, 0.1), "same", "gained nothing"),
        (2, 20, 0.01, (-0.3, -0.05), "worse", "makes the answers worse"),
        (0, 0, 1, (0, 0), "same", "changes nothing: no cluster was wrong in more than 75\u00a0% of"),
    ],
)
def test_headline_says_what_happened(
    n_corrected: int, n_spoiled: int, p: float, gain: tuple[float | None, float | None], tone: str, says: str
) -> None:
    ends = dict(zip(("gain_lower", "gain_upper"), gain, strict=True))
    after = metric("test", "after", 62 + n_corrected - n_spoiled, mcnemar_p=p, **ends)
    why = rule_sentences([{"rule": "paper"}], 2, 0.75)[1]
    found = headline([metric("test", "before", 62), after], swapped(n_corrected, n_spoiled), 2, why)
    assert found.tone == tone and says in found.text
    assert "(n\u00a0=\u00a0100)" in found.text


def test_headline_without_any_label() -> None:
    unknown = "No unseen plant has a label, so how often the answers are right on unseen plants is unknown."
    assert headline([], [], 2, "") == Headline(unknown, "same")


def test_headline_without_unseen_labels_takes_the_cross_fitted_figure() -> None:
    before, after = metric("val", "before", 60), metric("val", "after", 90, is_in_sample=True)
    fitted = metric("val", "cross-fitted", 66)
    assert "90.0\u00a0% after (n\u00a0=\u00a0100; in-sample, too good)" in headline([before, after], [], 2, "").text
    text = headline([before, after, fitted], [], 2, "").text
    assert "66.0\u00a0% after (n\u00a0=\u00a0100; cross-fitted" in text and "90.0" not in text


@pytest.mark.parametrize(
    ("rule", "n_classes", "says", "why"),
    [
        ("paper", 2, "in more than 62.5\u00a0% of the validation images.", "in more than 62.5\u00a0%"),
        ("confident", 2, "beyond chance", "beyond chance"),
        ("later", 2, "by the rule later.", "meets the rule later"),
        ("paper", 3, "With more than two classes no answer can be swapped", "with more than two classes"),
    ],
)
def test_the_rule_of_swaps_is_said(rule: str, n_classes: int, says: str, why: str) -> None:
    sentence, half = rule_sentences([{"rule": rule}], n_classes, 0.625)
    assert says in sentence and why in half
    assert "  " not in sentence and "\n" not in sentence and "{" not in sentence + half


def test_reasons_are_ordered_by_number() -> None:
    left_out = [{"plant_id": "a", "date": "2021-08-23", "reason": r} for r in ("blank", "harvested", "harvested")]
    rows = rejected_rows(left_out)
    assert [(row["reason"], row["n"]) for row in rows] == [("harvested", 2), ("blank", 1)]
    assert rejected_rows([]) == []


def test_decisions_of_a_person_are_named_and_not_called_cross_fitted(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, n_plants=24, reviewed=(2,))
    html, summary = campaign.page(), campaign.store.open(campaign.report()).summary
    name = escape(HOSTILE, quote=False)
    assert HOSTILE not in html and f"Reviewed by {name}: a person decided on 1 of 3 clusters" in unescaped(html)
    assert any(HOSTILE in note and "Reviewed by" in note for note in summary["notes"])
    assert "cluster 2: abstain (the rule said swap)" in html
    states = {row[1]: row[-1] for row in Page(html).tables["accuracy"] if row[0] == "validation"}
    assert "without the review" in states["cross-fitted rule"] and "in-sample" in states["after"]
    assert "made without it; judge by this" not in html


def unescaped(html: str) -> str:
    """Unescape quotes, but leave characters of tags escaped."""
    return html.replace("&#39;", "'").replace("&#34;", '"')
