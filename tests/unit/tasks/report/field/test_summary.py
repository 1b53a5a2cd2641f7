"""Test the field part of the report: its numbers are those of the tables, and its sentences."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storage.tables import DECIDED, READY_COUNTS, REJECTED, names
from storage.tables.rows import rows_of
from tasks.export.looks import MARKERS, markers_of
from tasks.report import words
from tasks.report.field import map as report_map
from tasks.report.field import page as report_front
from tasks.report.field.map import map_json, map_pictures, thinned
from tasks.report.field.page import field_page
from tasks.report.field.summary import (
    FieldDay,
    changed_sentence,
    decision_sentence,
    lead_sentence,
    plot_rows,
    reliance_sentences,
    summarise,
    to_check,
)
from tasks.report.render import FILTERS
from tasks.report.report import map_file, report_summary, write_report
from tasks.report.templates import page_templates
from tests.support.report_campaign import DAYS, HOSTILE, FakeCampaign
from tests.support.report_pages import Page

CLASSES = ("not_ready", "ready")
LATER = ("2021-09-06", "2021-09-09")


def plant(name: str, decision: str, reliability: float, answer: str = "ready", **changes: Any) -> dict[str, Any]:
    row = {"plot": "1", "easting": None, "northing": None, "is_corrected": False, "check_reason": ""}
    return {
        "plant_id": name,
        "decision": decision,
        "answer": answer,
        "answer_reliability": reliability,
        **row,
        **changes,
    }


ROWS = [
    plant("a", "harvest", 0.9),
    plant("b", "check", 0.6, check_reason="unsure"),
    plant("c", "leave", 0.7, answer="not_ready", plot="10", is_corrected=True),
    plant("d", "check", 0.5, answer="not_ready", plot="2", check_reason="unsure novel"),
]


def counted(plot: str | None, expected: float, low: float, high: float) -> dict[str, Any]:
    return {"plot": plot, "n_ready": expected, "n_ready_lower": low, "n_ready_upper": high}


COUNTS = [counted(None, 1.8, 0.6, 3.2), counted("1", 1.5, 1, 2), counted("10", 0.3, 0, 1)]


def test_a_date_by_hand() -> None:
    left_out: list[Any] = [{"reason": reason} for reason in ("blank", "harvested", "harvested")]
    drift: list[Any] = [{"is_outside": True, "reason": "clusters"}, {"is_outside": False, "reason": ""}]
    found = summarise(FieldDay("2021-09-03", True, ROWS, 5, left_out, drift, COUNTS), CLASSES)
    assert found.counts == {"harvest": 1, "leave": 1, "check": 2} and found.n == 4 and found.n_to_act_on == 2
    assert (found.ready, found.n_right, found.mean_reliability) == (
        (1.8, 0.6, 3.2),
        pytest.approx(1.6),
        pytest.approx(0.675),
    )
    assert (found.changed, found.n_unplaced, found.n_unanswered) == ({"not_ready": 1}, 4, 5)
    assert found.left_out == [("harvested", 2), ("blank", 1)]
    assert found.outside == "plants fall into other clusters than in validation"
    assert lead_sentence(found) == "1 plant to harvest, 2 to check."
    assert reliance_sentences(found) == [
        "About 2 of 4 plants are ready (1 to 3), certain or not.",
        "Of the 2 answers to act on, about 2 are expected to be right.",
        "1 answer was corrected where the classifier is probably wrong: 1 to not ready.",
    ]
    assert decision_sentence(found).startswith("3 September 2021: 4 plants, 1 to harvest, 1 to leave, 2 to check. ")
    assert "**Outside what was validated: plants fall" in decision_sentence(found)


@pytest.mark.parametrize(
    ("rows", "lead", "first"),
    [
        ([], "No plant has an answer on this date.", ""),
        ([ROWS[1]], "0 plants to harvest, 1 to check.", "No answer of the classifier was corrected."),
        ([ROWS[2]], "0 plants to harvest, 0 to check.", "Of the 1 answer to act on, about 1 is expected to be right."),
        ([ROWS[0]], "1 plant to harvest, 0 to check.", "Of the 1 answer to act on, about 1 is expected to be right."),
    ],
)
def test_a_date_with_little_to_say(rows: list[dict[str, Any]], lead: str, first: str) -> None:
    found = summarise(FieldDay("2021-09-03", False, rows), CLASSES)
    assert lead_sentence(found) == lead and (reliance_sentences(found) or [""])[0] == first


def test_other_classes_are_counted_by_their_names() -> None:
    rows = [plant("a", "scab", 0.9, answer="scab"), plant("b", "check", 0.5, answer="rot")]
    found = summarise(FieldDay("2021-09-03", False, rows), ("healthy", "scab", "rot"))
    assert lead_sentence(found) == "Of 2 plants 0 healthy, 1 scab, 0 rot; 1 to check."
    assert changed_sentence(found) == reliance_sentences(found)[-1] == "No answer of the classifier was corrected."
    assert "0 healthy, 1 scab, 0 rot, 1 to check" in decision_sentence(found)


def test_plots_are_in_the_order_of_their_numbers_and_the_latest_date_is_first() -> None:
    days = [
        FieldDay("2021-08-23", False, ROWS[:1]),
        FieldDay("2021-09-03", False, [*ROWS, plant("e", "leave", 1, plot=None)], counts=COUNTS),
    ]
    found = [(row["date"], row["plot"], row["n"]) for row in plot_rows(days, CLASSES)]
    assert found == [("2021-09-03", p, n) for p, n in (("1", 2), ("2", 1), ("10", 1), (None, 1))] + [
        ("2021-08-23", "1", 1)
    ]
    assert plot_rows(days, CLASSES)[0]["counts"] == {"harvest": 1, "leave": 0, "check": 1}
    ready = [row["ready"] for row in plot_rows(days, CLASSES)]  # plants without a plot are not the whole field
    assert ready == [(1.5, 1, 2), None, (0.3, 0, 1), None, None]
    assert plot_rows([FieldDay("2021-09-03", False, [plant("e", "leave", 1, plot=None)])], CLASSES) == []
    named = [plant(name, "leave", 1, plot=plot) for name, plot in (("e", "North 10"), ("f", None), ("g", "North 2"))]
    rows = plot_rows([FieldDay("2021-09-03", False, named)], CLASSES)
    assert [row["plot"] for row in rows] == ["North 2", "North 10", None]


def test_the_least_sure_are_checked_first() -> None:
    assert [row["plant_id"] for row in to_check(FieldDay("2021-09-03", False, ROWS))] == ["d", "b"]


def test_a_date_whose_share_of_ready_plants_is_far_from_validation_is_outside() -> None:
    drift: list[Any] = [{"is_outside": True, "reason": "novelty"}]
    found = summarise(FieldDay("2021-09-03", True, ROWS, drift=drift, is_share_outside=True), CLASSES)
    assert found.outside.endswith("; the share of ready plants is far from that on every validation date")
    assert any(sentence.startswith("How many plants are ready is not known") for sentence in reliance_sentences(found))
    assert summarise(FieldDay("2021-09-03", True, ROWS), CLASSES).outside == ""


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_decisions_differ_in_shape_and_colour(n_classes: int) -> None:
    classes = [f"class {i}" for i in range(n_classes)]
    markers = markers_of(classes)
    assert list(markers) == [*classes, "check"] and n_classes <= len(MARKERS)
    for look in ("symbol", "shape", "path", "light", "dark"):
        assert len({getattr(marker, look) for marker in markers.values()}) == n_classes + 1


def test_plants_without_an_answer_show_where_the_field_is() -> None:
    known: list[Any] = [
        {"plant_id": "z", "easting": 10.0, "northing": 5.0},
        {"plant_id": "y", "easting": None, "northing": None},
    ]
    days = [FieldDay("2021-09-03", False, [plant("a", "harvest", 0.12345, easting=12.0, northing=6.5), ROWS[1]])]
    found = json.loads(map_json(days, CLASSES, known))
    assert (found["plants"], found["east"], found["north"]) == (["z", "a"], [0, 2], [0, 1.5])
    assert found["spacing"] == 2.5 and found["least"] == 0.5
    assert (found["days"][0]["plant"], found["days"][0]["reliability"]) == ([1], [0.123])
    counted = {name: found["days"][0][name] for name in ("n", "unplaced", "counts")}
    assert counted == {"n": 2, "unplaced": 1, "counts": [1, 0, 1]}
    assert map_json([FieldDay("2021-09-03", False, ROWS)], CLASSES, known) == ""  # no answer has a place
    assert map_pictures([FieldDay("2021-09-03", False, ROWS)], CLASSES, known) == {}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(
        tmp_path_factory.mktemp("store"),
        methods=("gradcam", "lime"),
        has_places=True,
        scored_days=LATER,
        n_scored=200,
        outside=(LATER[0],),
        first_plant=HOSTILE,
    )


@pytest.fixture(scope="module")
def html(campaign: FakeCampaign) -> str:
    """Render the campaign's page."""
    return campaign.page()


def table_of(campaign: FakeCampaign, role: str, spec: Any) -> list[dict[str, Any]]:
    return rows_of(campaign.store.open({**campaign.roles, **campaign.scored}[role]), spec)


def decided(campaign: FakeCampaign, day: str) -> list[dict[str, Any]]:
    """Join what the tables say of a date's plants, independently of the product."""
    rows = table_of(campaign, f"decided gradcam {day}", DECIDED)
    for row in rows:
        row["sure"] = max(row["ready_probability"], 1 - row["ready_probability"])
        row["do"] = "check" if row["check_reason"] else ("leave", "harvest")[row["ready_probability"] >= 0.5]
    return rows


def test_counts_of_every_date_are_those_of_the_tables(campaign: FakeCampaign, html: str) -> None:
    head, *shown = Page(without_scripts(html)).tables["dates"]
    assert head[2:9] == ["harvest", "leave", "check", "about ready", "mean reliability", "corrected", "left out"]
    assert [cells[0] for cells in shown] == [*reversed(LATER), *reversed(DAYS)]
    for cells in shown:
        rows = decided(campaign, cells[0])
        tally = [sum(row["do"] == decision for row in rows) for decision in head[2:5]]
        assert [int(cell) for cell in cells[1:5]] == [len(rows), *tally]
        assert min(tally) > 0 or (cells[0] == LATER[0] and tally == [0, 0, len(rows)])
        ready = next(r for r in table_of(campaign, f"decided gradcam {cells[0]}", READY_COUNTS) if r["plot"] is None)
        stated = [ready[f"n_ready{end}"] for end in ("", "_lower", "_upper")]
        assert [int(one) for one in re.findall(r"\d+", cells[5])] == pytest.approx(stated, abs=0.51)
        assert stated[0] == pytest.approx(sum(row["ready_probability"] for row in rows))
        assert float(cells[6]) == pytest.approx(np.mean([row["sure"] for row in rows]), abs=5.1e-3)
        assert int(cells[7]) == sum(row["is_corrected"] for row in rows) > 0
        assert int(cells[8]) == len(table_of(campaign, f"images {cells[0]}", REJECTED))
        assert ("scored later" in cells[9]) == (cells[0] in LATER)
        assert ("Outside what was validated" in cells[9]) == (cells[0] == LATER[0])


def test_the_headline_is_the_number_to_act_on_of_the_latest_date(campaign: FakeCampaign, html: str) -> None:
    rows = decided(campaign, LATER[-1])
    n_harvest, n_leave, n_check = (sum(row["do"] == word for row in rows) for word in ("harvest", "leave", "check"))
    assert 0 < n_harvest < sum(row["answer"] == 1 for row in rows)  # or plants to check would pass for some to harvest
    assert f"9 September 2021</span>{n_harvest} plants to harvest, {n_check} to check." in html
    n_right = sum(row["sure"] for row in rows if row["do"] != "check")
    assert f"Of the {n_harvest + n_leave} answers to act on, about {n_right:.0f} are expected to be right." in html
    n_ready = sum(row["ready_probability"] for row in rows)
    assert f"About {n_ready:.0f} of {len(rows)} plants are ready (" in html
    assert html.index("At least 85 of 100 answers acted on are right, by ") < html.index('id="map"')
    assert "come from the campaign’s first saliency method, Grad-CAM. The others" in html
    assert "This date is unlike what was validated" not in html  # that is the date before


def test_plants_to_check_are_those_of_the_tables(campaign: FakeCampaign, html: str) -> None:
    rows = [row for row in decided(campaign, LATER[-1]) if row["do"] == "check"]
    rows.sort(key=lambda row: (row["sure"], row["plant_id"]))
    tables = Page(without_scripts(html)).tables
    shown = tables["check-first"][1:] + tables["check-later"][1:]
    assert len(tables["check-first"][1:]) == 30 < len(shown)
    assert [cells[0] for cells in shown] == [row["plant_id"] for row in rows]
    for cells, row in zip(shown, rows, strict=True):
        assert float(cells[3]) == pytest.approx(row["sure"], abs=5.1e-3) and cells[4] == row["check_reason"].replace(
            " ", ", "
        )


def test_plots_on_the_page_add_up_to_the_dates(html: str) -> None:
    tables = Page(without_scripts(html)).tables
    for cells in tables["dates"][1:]:
        of_date = [[int(cell) for cell in row[2:6]] for row in tables["plots"][1:] if row[0] == cells[0]]
        assert np.sum(of_date, axis=0).tolist() == [int(cell) for cell in cells[1:5]]


def test_the_map_shows_what_the_tables_say(campaign: FakeCampaign, html: str) -> None:
    found = json.loads(script(html, 0))
    names = [decision["name"] for decision in found["decisions"]]
    assert [day["date"] for day in found["days"]] == [*DAYS, *LATER]
    for day in found["days"]:
        whole = decided(campaign, day["date"])
        assert day["counts"] == [sum(row["do"] == name for row in whole) for name in names]
        rows = [row for row in whole if campaign.place(place_number(row["plant_id"]))["easting"] is not None]
        assert (day["n"], day["unplaced"]) == (len(whole), len(whole) - len(rows))
        assert [names[code] for code in day["decision"]] == [row["do"] for row in rows]
        assert day["reliability"] == pytest.approx([row["sure"] for row in rows], abs=5.1e-4)
        assert day["corrected"] == [row["is_corrected"] for row in rows]
        assert [found["plants"][number] for number in day["plant"]] == [row["plant_id"] for row in rows]
    at = dict(zip(found["plants"], zip(found["east"], found["north"], strict=True), strict=True))
    assert at["2021_Ref_Plot1_B103"] == (1.5, 0.5)
    assert "4 of 200 plants have no known position" in html
    assert found["days"][-1]["unplaced"] == 4 and "map-thinned" not in html and "check-cut" not in html


def place_number(plant_id: str) -> int:
    return 1 if plant_id == HOSTILE else int(plant_id.rpartition("B")[2])


class TestLargeField:
    """Pages of a field with more plants than a page can draw."""

    def test_one_plant_of_every_square_is_shown(self) -> None:
        metres = np.asarray([[x, y] for x in range(40) for y in range(30)], np.float64)
        shown, side = thinned(metres, 100)
        squares = np.floor(metres[shown] / side)
        assert 60 < len(shown) <= 100 and len(np.unique(squares, axis=0)) == len(shown)
        for square in np.unique(np.floor(metres / side), axis=0):  # none is empty that has a plant
            inside = np.flatnonzero((np.floor(metres / side) == square).all(axis=1))
            distances = np.hypot(*(metres[inside] / side - square - 0.5).T).round(9)
            assert inside[distances.argmin()] in shown

    @pytest.mark.parametrize("metres", [np.zeros((9, 2)), np.outer(np.arange(9), [0, 3.0]), np.full((9, 2), 1e6)])
    def test_a_line_or_a_heap_of_plants(self, metres: Any) -> None:
        shown, side = thinned(metres, 4)
        assert 1 <= len(shown) <= 4 and side > 0

    def test_few_plants_are_all_shown(self) -> None:
        shown, side = thinned(np.zeros((3, 2)), 3)
        assert shown.tolist() == [0, 1, 2] and side == 0

    def test_the_page_says_what_it_leaves_out_and_counts_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = [plant(f"p{i}", "check", i / 400, easting=i % 20, northing=i // 20 + 0.0) for i in range(400)]
        days = [FieldDay(day, False, rows) for day in ("2021-09-03", "2021-09-06")]
        monkeypatch.setattr(report_front, "N_LISTED", 50)
        monkeypatch.setattr(report_map, "N_ON_MAP", 100)
        field = field_page(days, CLASSES, ["gradcam"], [], [], [])
        found = json.loads(field.map_json)
        assert field.thinning is not None and field.thinning.n == 400
        assert field.thinning.n_shown == len(found["plants"]) == len(found["days"][0]["plant"]) <= 100
        assert found["days"][0]["counts"] == [0, 0, 400] and found["days"][0]["n"] == 400
        assert (len(field.to_check), field.n_to_check) == (50, 400)
        page = page_templates()
        page.filters.update(FILTERS, data_uri=str)
        html = page.get_template("field.html").render(
            field=field,
            results=SimpleNamespace(campaign="f2"),
            source=SimpleNamespace(kind="folder"),
            names=names,
            words=words,
        )
        assert html.count("<img") == 1 and len(field.pictures) == 2 and "The maps of the other dates are" in html
        said = re.sub(r"<[^>]*>|&nbsp;", " ", html)
        assert (
            "The field has 400 plants with a position, too many for the map of a page. "
            f"The map shows {field.thinning.n_shown}" in said
        )
        assert "Of 400 plants to check the first 50 are listed" in said and "The next 20 plants to check" in said


def test_names_from_outside_stay_text_beside_scripts(html: str) -> None:
    assert HOSTILE in json.loads(script(html, 0))["plants"]
    assert len(re.findall(r"<script", html)) == 3 and "<script" not in without_scripts(html)


def script(html: str, number: int) -> str:
    return re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)[number]


def without_scripts(html: str) -> str:
    return re.sub(r"<script[^>]*>.*?</script>", "", html, flags=re.DOTALL)


def test_every_date_has_a_picture_for_print(campaign: FakeCampaign, html: str) -> None:
    report = campaign.store.open(campaign.report())
    for day in (*DAYS, *LATER):
        with Image.open(io.BytesIO(report.read_bytes(map_file(day)))) as picture:
            picture.load()
            assert picture.format == "PNG" and np.ptp(np.asarray(picture.convert("L"))) > 100
    assert html.count('alt="Harvest map of ') == 4


def test_the_summary_tells_the_decisions_of_every_date(campaign: FakeCampaign) -> None:
    text = report_summary(campaign.store, campaign.record())
    rows = decided(campaign, LATER[-1])
    n = [sum(row["do"] == decision for row in rows) for decision in ("harvest", "leave", "check")]
    assert f"- 9 September 2021: 200 plants, {n[0]} to harvest, {n[1]} to leave, {n[2]} to check." in text
    assert text.index("9 September") < text.index("23 August")


def test_without_positions_there_is_a_sentence_and_no_script(tmp_path: Path) -> None:
    html = FakeCampaign(tmp_path, n_plants=18).page()
    assert "There is no map: the source gives no plant a position, as folders of images never do." in html
    assert "<script" not in html and 'id="harvest-map"' not in html


def test_a_scored_date_that_is_gone_is_said_not_to_be_shown(tmp_path: Path) -> None:
    fake = FakeCampaign(tmp_path, n_plants=18)
    ref = write_report.fn(str(tmp_path), fake.campaign, fake.params, fake.differing, fake.roles, {}, ["2021-09-06"])
    page = fake.store.open(ref).read_bytes("index.html").decode()
    assert "2021-09-06. The artefacts of these scored dates are no longer in the store. Score it again." in page
