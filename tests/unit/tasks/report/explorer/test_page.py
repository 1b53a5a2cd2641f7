"""Test what the plant explorer's page says against the tables and arrays of a small campaign."""

import base64
import io
import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storage.arrays.specs import IMAGES, PCA_COMPONENTS, PCA_MEAN, ROWS, SALIENCY, ArraySpec
from storage.arrays.zarr_files import read_array
from storage.tables import ASSIGNMENTS, DECIDED
from storage.tables.rows import rows_of
from tasks.report.explorer import chosen, page
from tasks.report.explorer.explored import Explored, explore_dates
from tasks.report.explorer.page import Explorer, explorer_page
from tasks.report.inputs import CampaignResults, read_campaign
from tasks.report.report import draw_fit, made
from tests.support.report_campaign import DAYS, FakeCampaign

LATER = "2021-09-06"


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(
        tmp_path_factory.mktemp("store"),
        methods=("gradcam", "lime"),
        n_plants=18,
        scored_days=(LATER,),
        n_scored=8,
        has_scored_clusters=True,
        map_noise=0.5,
        first_plant="</script>&1",
        flat={"2021_Ref_Plot1_B04": 0.0},
    )


@pytest.fixture(scope="module")
def results(fake: FakeCampaign) -> CampaignResults:
    drawn = draw_fit(fake.store, fake.methods, fake.roles)
    return read_campaign(fake.store, fake.campaign, fake.params, fake.differing, fake.roles, fake.scored, drawn)


@pytest.fixture(scope="module")
def dates(fake: FakeCampaign, results: CampaignResults) -> list[Explored]:
    return explore_dates(partial(made, fake.store), results).dates


@pytest.fixture(scope="module")
def explorer(results: CampaignResults, dates: list[Explored]) -> Explorer:
    found = explorer_page(results, dates)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def content(explorer: Explorer) -> dict[str, Any]:
    return json.loads(explorer.content)


def shown(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Date and plant of every image, in the page's order."""
    common = content["common"]
    return [
        (common["dates"][day][0], common["plants"][plant])
        for day, plant in zip(common["date"], common["plant"], strict=True)
    ]


def every(results: CampaignResults, kind: str, spec: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows of a table of all dates by date and plant."""
    return {
        (day, row["plant_id"]): row
        for day in (*DAYS, LATER)
        for row in rows_of({**results.artifacts, **results.scored}[f"{kind} {day}"], spec)
    }


def stored(results: CampaignResults, kind: str, spec: ArraySpec, places: str) -> dict[tuple[str, str], Any]:
    """Stored images or maps of all dates by date and plant; `places` says which image each is."""
    found: dict[tuple[str, str], Any] = {}
    for day in (*DAYS, LATER):
        artifacts = {**results.artifacts, **results.scored}
        array = read_array(artifacts[f"{kind} {day}"], spec).astype(float)
        rows = read_array(artifacts[f"{places} {day}"], ROWS).tolist() if places else list(range(len(array)))
        for row in rows_of(artifacts[f"assignments gradcam {day}"], ASSIGNMENTS):
            found[day, row["plant_id"]] = array[rows.index(row["row"])]
    return found


def test_every_explained_image_is_there_the_most_novel_first(
    results: CampaignResults, explorer: Explorer, content: dict[str, Any]
) -> None:
    assigned = every(results, "assignments gradcam", ASSIGNMENTS)
    found = shown(content)
    assert explorer.without == []
    assert len(found) == explorer.n == explorer.n_shown == len(assigned) == 2 * 12 + 8
    assert set(found) == set(assigned)
    novelty = [assigned[one]["novelty"] for one in found]
    assert novelty == sorted(novelty)
    assert content["methods"][0]["novelty"] == pytest.approx(novelty, rel=0.005)


@pytest.mark.parametrize("number", [0, 1])
def test_answers_are_those_of_the_tables(results: CampaignResults, content: dict[str, Any], number: int) -> None:
    one, common = content["methods"][number], content["common"]
    decided = every(results, f"decided {one['method']}", DECIDED)
    assigned = every(results, f"assignments {one['method']}", ASSIGNMENTS)
    for i, image in enumerate(shown(content)):
        row = decided[image]
        assert common["label"][i] == (-1 if row["label"] is None else row["label"])
        assert common["predicted"][i] == row["predicted"] and one["answer"][i] == row["answer"]
        assert common["decisions"][one["decision"][i]] == row["decision"]
        assert len(one["reasons"][one["reason"][i]]) == len(row["check_reason"].split())
        assert one["reliability"][i] == pytest.approx(row["answer_reliability"], abs=0.0005)
        assert one["cluster"][i] == assigned[image]["cluster"]
        assert (i in one["flat"]) == (image[1] == "2021_Ref_Plot1_B04")
        assert common["splits"][common["split"][i]] == {"val": "validation"}.get(row["split"], row["split"])


def test_coordinates_are_those_of_the_stored_axes(results: CampaignResults, content: dict[str, Any]) -> None:
    """Maps of LIME have the size at which maps are compared, so a vector is the map divided by its length."""
    lime, clusters = content["methods"][1], results.artifacts["clusters lime"]
    mean, axes = read_array(clusters, PCA_MEAN), read_array(clusters, PCA_COMPONENTS)
    maps = stored(results, "saliency lime", SALIENCY, "saliency lime")
    vectors = np.asarray([maps[image].ravel() for image in shown(content)])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    placed = (vectors / np.where(lengths > 0, lengths, 1) - mean) @ axes.T
    ours = np.frombuffer(base64.b64decode(lime["coordinates"]), "<i2").reshape(len(placed), lime["n_axes"])
    np.testing.assert_allclose(ours / 32_767, placed / np.abs(placed).max(), atol=2e-5)


def test_coarse_maps_and_pictures_stand_in_the_same_order(
    results: CampaignResults, explorer: Explorer, content: dict[str, Any]
) -> None:
    sheets = [Image.open(io.BytesIO(base64.b64decode(text))) for text in explorer.sheets]
    side, found, common = 32, shown(content), content["common"]
    maps = np.frombuffer(base64.b64decode(content["methods"][0]["maps"]), np.int8).reshape(-1, 8, 8)
    assert [one.height // side for one in sheets] == common["lines"] == [2, 2, 1] and len(maps) == len(found)
    images = stored(results, "images", IMAGES, "")
    saliency = stored(results, "saliency gradcam", SALIENCY, "saliency gradcam")
    for i, image in enumerate(found):
        sheet, spot = sheets[common["sheet"][i]], common["spot"][i]
        x, y = spot % 10 * side, spot // 10 * side
        tile = np.asarray(sheet.crop((x, y, x + side, y + side)), float)
        assert tile.mean(axis=(0, 1)) == pytest.approx(images[image].mean(axis=(0, 1)), abs=4)
        np.testing.assert_allclose(maps[i], 127 * saliency[image] / (saliency[image].max() or 1), atol=0.6)


def test_ids_cannot_end_the_element(explorer: Explorer, content: dict[str, Any]) -> None:
    assert "</script>&1" in content["common"]["plants"] and "<" not in explorer.content


def test_methods_that_do_not_fit_are_named(
    results: CampaignResults, dates: list[Explored], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "METHOD_BYTES", 1000)
    found = explorer_page(results, dates)
    assert found is not None and (found.left_out, found.methods) == (["LIME"], [("gradcam", "Grad-CAM")])
    assert len(json.loads(found.content)["methods"]) == 1


def test_of_more_images_than_a_page_has_every_date_keeps_the_most_novel(
    results: CampaignResults, dates: list[Explored], content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_IMAGES", 14)
    for module in (chosen, page):
        monkeypatch.setattr(module, "PER_SHEET", 4)
    found = explorer_page(results, [replace(one, sheets=["UklGRg=="] * 3) for one in dates])
    assert found is not None and (found.n, found.n_shown, len(found.sheets)) == (32, 12, 3)
    every, some = shown(content), shown(json.loads(found.content))
    assert some == sorted((one for day in (*DAYS, LATER) for one in of_day(every, day)[:4]), key=every.index)


def of_day(images: list[tuple[str, str]], day: str) -> list[tuple[str, str]]:
    return [one for one in images if one[0] == day]


def test_a_date_of_more_images_than_a_page_has_keeps_some(
    fake: FakeCampaign, results: CampaignResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MOST_IMAGES", 6), ("PER_SHEET", 3)):
        monkeypatch.setattr(chosen, name, value)
    (day, *_) = chosen.explained_days(results.artifacts, results.scored, fake.methods)
    found, rows = chosen.read_explained(day, "gradcam"), every(results, "assignments gradcam", ASSIGNMENTS)
    ordered = sorted((row for one, row in rows.items() if one[0] == day.date), key=lambda row: row["novelty"])
    kept = [row["plant_id"] for row in (*ordered[:3], *ordered[6:9])]  # every second sheet
    assert (found.n, found.plants) == (len(ordered), kept) == (12, kept)


def test_dates_without_maps_are_named(fake: FakeCampaign, results: CampaignResults) -> None:
    scored = {role: one for role, one in results.scored.items() if role != f"saliency lime {LATER}"}
    fewer = replace(results, scored=scored)
    found = explorer_page(fewer, explore_dates(partial(made, fake.store), fewer).dates)
    assert found is not None and (found.without, found.dates, found.n) == ([LATER], list(DAYS), 24)


def test_a_campaign_without_maps_has_no_explorer(fake: FakeCampaign, results: CampaignResults) -> None:
    others = {role: one for role, one in results.artifacts.items() if not role.startswith("saliency")}
    none = replace(results, artifacts=others, scored={})
    assert explorer_page(none, explore_dates(partial(made, fake.store), none).dates) is None
