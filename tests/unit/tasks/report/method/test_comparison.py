"""Test the report of several saliency methods: each has its section, and one table compares them."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from storage.tables import ADJUSTED, EVALUATION, METRICS, SWAPS
from storage.tables.names import METHOD_NAMES
from storage.tables.rows import rows_of
from tasks.explain.methods import Method
from tasks.report.campaign import parameter_rows
from tasks.report.method.comparison import compare_methods, tallest_bars
from tasks.report.method.drawn import Judged, figure_file, read_judged
from tasks.report.report import report_summary
from tasks.report.words import METHOD_MEANINGS
from tests.support.report_campaign import DAYS, FakeCampaign, table_rows
from tests.support.report_pages import Page, shares

pytestmark = [pytest.mark.usefixtures("blank_pictures"), pytest.mark.slow]  # whole reports of several methods

METHODS = ("lime", "gradcam", "occlusion_preview", "occlusion")
NAMES = ["LIME", "Grad-CAM", "Occlusion sensitivity (approximate preview)", "Occlusion sensitivity"]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(tmp_path_factory.mktemp("store"), methods=METHODS)


@pytest.fixture(scope="module")
def html(campaign: FakeCampaign) -> str:
    return campaign.page()


def section(html: str, method: str) -> str:
    return html.split(f'<section id="{method}">')[1].split("</section>")[0]


def test_every_method_has_a_section_with_its_name_in_the_order_asked_for(html: str) -> None:
    headings = Page(html).headings
    assert [heading for heading in headings if heading in NAMES] == NAMES
    assert [heading for heading in headings if heading.startswith("Accuracy before")] == 4 * [
        "Accuracy before and after adjustment"
    ]
    for method in METHODS:
        assert METHOD_MEANINGS[method].split("\n")[0] in section(html, method)


@pytest.mark.slow
def test_the_order_of_the_roles_does_not_matter(campaign: FakeCampaign, html: str, tmp_path: Path) -> None:
    again = FakeCampaign(tmp_path, methods=METHODS)
    again.roles = dict(sorted(again.roles.items()))
    assert again.page() == html


def test_one_table_compares_what_the_tables_say(campaign: FakeCampaign, html: str) -> None:
    groups, names, before, *rows = Page(html).tables["comparison"]
    assert groups == ["method", "clusters swapped", "test, n = 32", "validation, n = 32 (after: in-sample)"]
    assert names == 2 * ["overall accuracy", "average class accuracy", "answers swapped"]
    assert [row[0] for row in rows] == NAMES
    for method, row in zip(METHODS, rows, strict=True):
        metrics = {(m["split"], m["state"]): m for m in table_rows(campaign, f"metrics {method}", METRICS)}
        adjusted = [row for day in DAYS for row in table_rows(campaign, f"adjusted {method} {day}", ADJUSTED)]
        swaps = table_rows(campaign, f"swaps {method}", SWAPS)
        assert row[1] == f"{sum(one['is_swapped'] for one in swaps)} of 3"
        for split, cells in (("test", row[2:5]), ("val", row[5:8])):
            n_swapped = sum(one["is_swapped"] for one in adjusted if one["split"] == split)
            assert cells[2] == f"{n_swapped} of 32"
            assert accuracy(cells) == pytest.approx(stated(metrics[split, "after"]), abs=5.1e-4)
            first = before[2:5] if split == "test" else before[5:8]
            assert accuracy(first) == pytest.approx(stated(metrics[split, "before"]), abs=5.1e-4)
    assert rows[1][1] == "1 of 3" and rows[0][1] == "0 of 3"  # or the comparison compares nothing


@pytest.mark.parametrize("is_tested", [True, False], ids=["unseen", "cross-fitted"])
def test_scores_of_the_methods_are_compared(tmp_path: Path, is_tested: bool) -> None:
    campaign = FakeCampaign(tmp_path, methods=("gradcam", "lime"), has_test_labels=is_tested, n_plants=36)
    html = campaign.page()
    _, names, *rows = Page(html).tables["score-comparison"]
    assert names == 2 * ["AUROC", "AUGRC"]
    assert ("On validation plants, cross-fitted, n = " in html) != is_tested
    stated: list[list[float]] = []
    for method, row in zip(("gradcam", "lime"), rows, strict=True):
        found = {(r["split"], r["score"]): r for r in table_rows(campaign, f"evaluation {method}", EVALUATION)}
        of_split = [found["test" if is_tested else "val", score] for score in ("reliability", "combined_reliability")]
        stated.append([one[quality] for one in of_split for quality in ("auroc", "augrc")])
        assert [float(cell.split()[0]) for cell in row[1:]] == pytest.approx(stated[-1], abs=5.1e-4)
        assert row[1].endswith(f"{of_split[0]['auroc_lower']:.2f}\u2009–\u2009{of_split[0]['auroc_upper']:.2f}")
    assert stated[0] != stated[1]  # or a method could pass for the other


def test_clusters_and_prototypes_of_the_methods_are_drawn_beside_each_other(html: str) -> None:
    beside = html.split('<div class="beside">')[1].split("</div>")[0]
    assert re.findall(r"<figcaption>(.*?)</figcaption>", beside) == NAMES
    pictures = re.findall(r'src="(.*?)"', beside)
    assert len(set(pictures)) > 1
    assert all(html.count(picture) == beside.count(picture) for picture in pictures)  # none is on the page again


def test_the_tallest_bar_of_any_method_sets_the_axis() -> None:
    gradcam = {"validation": {1: {"TP": 3, "FP": 4}, 2: {"TN": 1}}, "test": {1: {}, 2: {"TN": 2}}}
    lime = {"validation": {1: {"TP": 5}, 2: {"TN": 3}}, "test": {1: {"FN": 1}, 2: {}}}
    assert tallest_bars([gradcam, lime]) == {"validation": 7, "test": 2}


def accuracy(cells: list[str]) -> list[float]:
    return shares(cells[0]) + shares(cells[1])


def stated(metric: dict[str, Any]) -> list[float]:
    return [metric["overall_accuracy"], metric["average_class_accuracy"]]


def test_every_method_has_its_result_at_the_top(html: str) -> None:
    top = html.split('<section id="answers">')[1].split("</section>")[0]
    results = re.findall(r'class="result[^>]*>(.*?)</p>', top, re.DOTALL)
    assert [re.findall(r"<small><a [^>]*>(.*?)</a>", one) for one in results] == [[name] for name in NAMES]
    assert "changes nothing" in results[0] and "before adjustment" in results[1]
    assert ["approximate maps" in one for one in results] == [method == "occlusion_preview" for method in METHODS]


def test_one_method_is_not_compared(tmp_path: Path) -> None:
    html = FakeCampaign(tmp_path, methods=("occlusion",), n_plants=27).page()
    page = Page(html)
    assert "comparison" not in page.tables and "Occlusion sensitivity" in page.headings
    assert "Saliency method Occlusion sensitivity, explained class predicted" in html


def test_signed_maps_are_explained_as_such_and_others_are_not(html: str) -> None:
    for method in METHODS:
        is_signed = "against it (blue)" in section(html, method)
        assert is_signed == (method != "gradcam")
        assert ("the brighter a place, the more" in section(html, method)) == (not is_signed)


def judged_by_method(campaign: FakeCampaign) -> dict[str, Judged]:
    artifacts = {role: campaign.store.open(ref) for role, ref in campaign.roles.items()}
    return {method: read_judged(artifacts, method) for method in METHODS}


def test_whether_maps_are_signed_is_read_from_what_is_shown(campaign: FakeCampaign) -> None:
    judged = judged_by_method(campaign)
    assert {method: one.is_signed for method, one in judged.items()} == {m: m != "gradcam" for m in METHODS}
    shown = {method: one.examples[0].saliency for method, one in judged.items()}
    sides = {"lime": (32, 32), "gradcam": (8, 8), "occlusion_preview": (13, 13), "occlusion": (13, 13)}
    assert {method: saliency.shape for method, saliency in shown.items()} == sides
    assert shown["occlusion"].min() < -0.5


def test_examples_are_those_most_like_the_prototype(campaign: FakeCampaign) -> None:
    for method, one in judged_by_method(campaign).items():
        assert [example.cluster for example in one.examples] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
        tables = [rows_of(campaign.store.open(campaign.roles[f"adjusted {method} {day}"]), ADJUSTED) for day in DAYS]
        scored = {row["plant_id"] for rows in tables for row in rows if row["split"] == "val"}
        assert {example.plant_id for example in one.examples} <= scored


@pytest.mark.parametrize(("value", "words"), [(1.0, "constant map"), (-1.0, "constant map"), (0.0, "zero map")])
def test_flat_maps_are_marked_at_their_images(tmp_path: Path, value: float, words: str) -> None:
    only = "2021_Ref_Plot1_A01"  # the one validation plant of three
    campaign = FakeCampaign(
        tmp_path, methods=("occlusion",), n_plants=3, error_rates=(0.5,), first_plant=only, flat={only: value}
    )
    captions = re.findall(r"<figcaption>.*?</span>(.*?)</figcaption>", campaign.page())
    assert captions == [f"<br>{only}<br>{day}<br>{words}" for day in DAYS]


def test_figures_are_named_as_prefect_names_its_artifacts(campaign: FakeCampaign) -> None:
    names = [name for name in campaign.store.open(campaign.report()).manifest.files if name.endswith(".png")]
    assert len(names) == 7 * len(METHODS)
    assert all(re.fullmatch(r"[a-z0-9-]+\.png", name) for name in names)
    assert figure_file("prototypes", "occlusion_preview") in names


def test_the_summary_names_methods_in_words(campaign: FakeCampaign) -> None:
    text = report_summary(campaign.store, campaign.record())
    assert all(f"**{name}**: " in text and f"| {name} | test | after | 32 |" in text for name in NAMES)
    assert "- LIME: 1 of 32 maps are zero everywhere" in text


def test_splits_without_labels_are_not_compared(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, methods=("gradcam", "lime"), has_test_labels=False)
    groups, *_ = Page(campaign.page()).tables["comparison"]
    assert groups == ["method", "clusters swapped", "validation, n = 32 (after: in-sample)"]


def test_more_classes_than_two_are_compared_without_swaps(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path, methods=("gradcam", "lime"), classes=("small", "medium", "large"))
    *_, gradcam, lime = Page(campaign.page()).tables["comparison"]
    assert (gradcam[1], lime[1], gradcam[4]) == ("0 of 3", "0 of 3", "0 of 32")


def test_nothing_is_compared_with_itself() -> None:
    assert compare_methods(*4 * ({"gradcam": []},)) is None


def test_every_method_has_a_name_and_a_meaning() -> None:
    assert set(METHOD_NAMES) == set(METHOD_MEANINGS) == set(get_args(Method))


def test_nested_parameters_are_named_with_dots() -> None:
    differing = {"explain.occlusion": {"patch": 16, "fill": {"by": "mean"}}, "adjust.threshold": 0.6, "x.empty": {}}
    assert parameter_rows(differing) == [
        ("adjust.threshold", "0.6"),
        ("explain.occlusion.fill.by", "mean"),
        ("explain.occlusion.patch", "16"),
        ("x.empty", "{}"),
    ]
