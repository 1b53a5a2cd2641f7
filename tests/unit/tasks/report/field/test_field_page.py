"""Test the field page of a small store: its numbers are those of the tables, and names stay text."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storage.arrays.specs import IMAGES, SALIENCY
from storage.arrays.zarr_files import read_array
from storage.tables import DECIDED, READY_COUNTS, REJECTED
from storage.tables.rows import rows_of
from tasks.report.field import pictures as report_pictures
from tasks.report.field.days import read_day
from tasks.report.field.pictures import read_pictures
from tasks.report.report import map_file, report_summary, write_report
from tasks.report.sprites import coarse_map
from tests.support.report_campaign import DAYS, HOSTILE, FakeCampaign
from tests.support.report_pages import Page

LATER = ("2021-09-06", "2021-09-09")
WORDS = ("harvest", "leave", "check")


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
    """Render the page for the field."""
    return campaign.field_page()


@pytest.fixture(scope="module")
def data(html: str) -> Any:
    """Read the content of the page as its scripts do."""
    return json.loads(re.findall(r'<script type="application/json" id="field-data">(.*?)</script>', html)[0])


def table_of(campaign: FakeCampaign, role: str, spec: Any) -> list[dict[str, Any]]:
    return rows_of(campaign.store.open({**campaign.roles, **campaign.scored}[role]), spec)


def decided(campaign: FakeCampaign, day: str) -> list[dict[str, Any]]:
    """Join what the tables say of a date's plants, independently of the product."""
    rows = table_of(campaign, f"decided gradcam {day}", DECIDED)
    for row in rows:
        row["sure"] = max(row["ready_probability"], 1 - row["ready_probability"])
        row["do"] = "check" if row["check_reason"] else ("leave", "harvest")[row["ready_probability"] >= 0.5]
    return rows


def test_the_headline_is_the_number_to_act_on_of_the_latest_date(campaign: FakeCampaign, html: str) -> None:
    rows = decided(campaign, LATER[-1])
    n_harvest, n_leave, n_check = (sum(row["do"] == word for row in rows) for word in WORDS)
    assert 0 < n_harvest < sum(row["answer"] == 1 for row in rows)  # or plants to check would pass for some to harvest
    assert f'<h2 class="lead" id="lead">{n_harvest} plants to harvest</h2>' in html
    assert re.findall(r'<dd class="count">(\d+)</dd>', html) == [str(n) for n in (n_harvest, n_leave, n_check)]
    n_right = sum(row["sure"] for row in rows if row["do"] != "check")
    assert f"Of the {n_harvest + n_leave} answers to act on, about {n_right:.0f} are expected to be right." in html
    n_ready = sum(row["ready_probability"] for row in rows)
    assert f"About {n_ready:.0f} of {len(rows)} plants are ready (" in html
    assert (
        html.index("At least 85 of 100 answers acted on are right.") < html.index('id="lists"') < html.index('id="map"')
    )
    assert "come from the campaign’s first saliency method, Grad-CAM." in html
    assert '<p class="box warning" id="outside" hidden></p>' in html  # that is the date before
    assert "Left out: 2 harvested already, 1 strange reason." in html


def test_every_date_has_what_the_tables_say(campaign: FakeCampaign, data: Any) -> None:
    names = [decision["name"] for decision in data["decisions"]]
    assert names == [*WORDS] and [day["date"] for day in data["days"]] == [*DAYS, *LATER]
    for day in data["days"]:
        rows = {row["plant_id"]: row for row in decided(campaign, day["date"])}
        assert day["counts"] == [sum(row["do"] == name for row in rows.values()) for name in names]
        assert day["n"] == len(rows) == len(day["plant"])
        assert day["head"]["lead"].split()[0] == str(day["counts"][0])
        assert bool(day["head"]["warning"]) == (day["date"] == LATER[0])
        for i, number in enumerate(day["plant"]):
            row = rows.pop(data["plants"]["id"][number])
            assert names[day["decision"][i]] == row["do"] and day["corrected"][i] == row["is_corrected"]
            assert day["reliability"][i] == pytest.approx(row["sure"], abs=5.1e-4)
            assert day["ready"][i] == pytest.approx(row["ready_probability"], abs=5.1e-4)
            assert len(data["reasons"][day["reason"][i]]) == len(row["check_reason"].split())
        assert rows == {}
    assert data["days"][-1]["unplaced"] == 4 and "4 of 200 plants have no known position" in data["texts"][
        "map.unplaced"
    ].format(n=4, total=200)


def test_places_are_those_of_the_listing_and_of_the_names(data: Any) -> None:
    plants = data["plants"]
    at = {name: i for i, name in enumerate(plants["id"])}
    i = at["2021_Ref_Plot1_B103"]
    assert [plants[name][i] for name in ("plot", "row", "number", "east", "north")] == ["1", "B", 103, 1.5, 0.5]
    assert plants["east"][at["2021_Ref_Plot1_B49"]] is None
    assert [plants[name][at[HOSTILE]] for name in ("plot", "row")] == [None, None]
    numbered = [plants["number"][i] for i in range(len(plants["id"])) if plants["plot"][i] == "1"]
    assert numbered == sorted(numbered)  # in walking order


def test_lists_without_scripts_are_those_of_the_tables(campaign: FakeCampaign, html: str) -> None:
    rows = decided(campaign, LATER[-1])
    for group, body in re.findall(r'<section class="group" data-group="(\w+)">(.*?)</section>', html, re.DOTALL):
        shown = re.findall(r"<b>(.*?)</b> <span>.*?</span>", body)
        if group == "extra":
            continue
        wanted = {row["plant_id"] for row in rows if row["do"] == group} - {HOSTILE}
        assert {one for one in shown if "&lt;" not in one} == wanted and len(shown) <= 100
        share = re.findall(r'<b class="likely">ready (.*?) %</b>', body)
        assert len(share) == len(shown)


def test_pictures_are_those_of_the_latest_date(campaign: FakeCampaign, data: Any, html: str) -> None:
    day = data["days"][-1]
    assert data["pictures"]["date"] == LATER[-1] and all(set(one["picture"]) == {-1} for one in data["days"][:-1])
    words = [data["decisions"][code]["name"] for code in day["decision"]]
    shown = [i for i, word in enumerate(words) if word != "leave" or day["audit"][i]]
    assert sorted(day["picture"][i] for i in shown) == list(range(len(shown)))
    assert data["pictures"]["without"] == 0 and "no picture here" not in html.partition("<script")[0]
    maps = base64.b64decode(data["pictures"]["maps"])
    assert len(maps) == 64 * len(shown)
    saliency = read_array(campaign.store.open(campaign.scored[f"saliency gradcam {LATER[-1]}"]), SALIENCY)
    images = read_array(campaign.store.open(campaign.scored[f"images {LATER[-1]}"]), IMAGES)
    row = {one["plant_id"]: i for i, one in enumerate(decided(campaign, LATER[-1]))}
    sheets = [sheet_of(text) for text in re.findall(r"\.sheet-\d+ \{ background-image: url\(\"(.*?)\"\)", html)]
    for i in shown[::7]:
        tile, at = day["picture"][i], row[data["plants"]["id"][day["plant"][i]]]
        assert maps[64 * tile : 64 * tile + 64] == coarse_map(saliency[at])
        y, x = 64 * (tile % 100 // 10), 64 * (tile % 10)
        found = sheets[tile // 100][y : y + 64, x : x + 64].reshape(8, 8, 8, 8, 3).mean(axis=(1, 3, 4))
        drawn = images[at].astype(float).reshape(8, 4, 8, 4, 3).mean(axis=(1, 3, 4))
        assert np.corrcoef(found.ravel(), drawn.ravel())[0, 1] > 0.8


def sheet_of(address: str) -> Any:
    assert address.startswith("data:image/webp;base64,")
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGB"), float)


def test_pictures_beyond_the_budget_are_counted(campaign: FakeCampaign, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = {role: campaign.store.open(ref) for role, ref in {**campaign.roles, **campaign.scored}.items()}
    day = read_day(artifacts, LATER[-1], campaign.classes, "gradcam")
    whole = read_pictures(artifacts, day, "gradcam")
    assert len(whole.sheets) == 2 and whole.n_without == 0
    monkeypatch.setattr(report_pictures, "PICTURE_BYTES", len(whole.sheets[0]) + 1)
    part = read_pictures(artifacts, day, "gradcam")
    assert part.sheets == whole.sheets[:1] and part.plants == whole.plants[:100]
    assert part.n_without == len(whole.plants) - 100 and len(part.maps) == 6400


def test_names_from_outside_stay_text_beside_scripts(html: str, data: Any) -> None:
    assert HOSTILE in data["plants"]["id"]
    rest = re.sub(r"<script[^>]*>.*?</script>", "", html, flags=re.DOTALL)
    assert "<script" not in rest and "alert('x')" not in rest
    page = Page(rest)
    assert all(one.startswith("data:") for one in page.resources)
    pages = {one.partition("#")[0] for one in page.links}
    assert pages == {"", "analysis.html"} and {one[1:] for one in page.links if one.startswith("#")} <= page.ids


def test_every_date_has_a_picture_for_print(campaign: FakeCampaign, html: str) -> None:
    report = campaign.store.open(campaign.report())
    for day in (*DAYS, *LATER):
        with Image.open(io.BytesIO(report.read_bytes(map_file(day)))) as picture:
            picture.load()
            assert picture.format == "PNG" and np.ptp(np.asarray(picture.convert("L"))) > 100
    assert html.count("<img") == 1  # that of the latest date; the others are files beside the page


def test_counts_of_every_date_are_on_the_analysis_page(campaign: FakeCampaign) -> None:
    tables = Page(campaign.page()).tables
    head, *shown = tables["dates"]
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
        of_date = [[int(cell) for cell in row[2:6]] for row in tables["plots"][1:] if row[0] == cells[0]]
        assert np.sum(of_date, axis=0).tolist() == [int(cell) for cell in cells[1:5]]


def test_the_summary_tells_the_decisions_of_every_date(campaign: FakeCampaign) -> None:
    text = report_summary(campaign.store, campaign.record())
    rows = decided(campaign, LATER[-1])
    n = [sum(row["do"] == decision for row in rows) for decision in WORDS]
    assert f"- 9 September 2021: 200 plants, {n[0]} to harvest, {n[1]} to leave, {n[2]} to check." in text
    assert text.index("9 September") < text.index("23 August")


def test_without_positions_there_is_a_sentence_and_no_map(tmp_path: Path) -> None:
    html = FakeCampaign(tmp_path, n_plants=18).field_page()
    assert "There is no map: the source gives no plant a position." in html
    assert "leaflet" not in html.lower() and 'id="harvest-map"' not in html and 'id="groups"' in html


def test_a_scored_date_that_is_gone_is_said_not_to_be_shown(tmp_path: Path) -> None:
    fake = FakeCampaign(tmp_path, n_plants=18)
    ref = write_report.fn(str(tmp_path), fake.campaign, fake.params, fake.differing, fake.roles, {}, ["2021-09-06"])
    page = fake.store.open(ref).read_bytes("index.html").decode()
    assert "2021-09-06. The artefacts of this scored date are no longer in the store. Score it again." in page
