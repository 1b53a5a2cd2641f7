"""Test that a shift finds the plants in an orthophoto that lies beside their positions, and moves nothing else."""

from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from pydantic import ValidationError
from rasterio.transform import Affine

from storage.errors import InputError
from tasks.sources.field.shifts import say_shift
from tests.support.orthophotos import NORTH, STEP, WEST, small_bands, write_raster
from tests.support.small_field import CRS, DAY, LATER, SPOTS, make, read

EAST, NORTHWARDS = 0.4, -0.25  # metres by which the later orthophoto lies beside the plants; whole pixels


@pytest.fixture
def moved(root: Path) -> Path:
    """Write the later orthophoto with the pixels of the earlier one, further east and south."""
    matrix = Affine(STEP, 0.0, WEST + EAST, 0.0, -STEP, NORTH + NORTHWARDS)
    write_raster(root / f"ortho_{LATER:%Y%m%d}.tif", small_bands(), matrix, CRS)
    return root


def test_the_same_pixels_and_the_plants_own_positions(moved: Path) -> None:
    source = make(moved, shift={LATER: (EAST, NORTHWARDS)})
    listing = source.list_images([DAY, LATER])
    of_day = {day: {one.plant_id: one for one in listing.images if one.acquired == day} for day in (DAY, LATER)}
    assert of_day[DAY].keys() == of_day[LATER].keys() == set("abc")
    for plant_id, place in zip("abc", SPOTS, strict=True):
        earlier, later = of_day[DAY][plant_id], of_day[LATER][plant_id]
        assert (earlier.easting, earlier.northing) == (later.easting, later.northing) == place
        assert earlier.centre == later.centre
        np.testing.assert_array_equal(source.read_image(earlier), source.read_image(later))
    said = f"{LATER}: crops are cut 0.40 m east and 0.25 m south of the plants' positions"
    assert [note for note in listing.notes if "[source.shift]" in note] == [f"{said}, as [source.shift] says"]


def test_plants_in_degrees_are_shifted_by_metres(moved: Path) -> None:
    points = geopandas.points_from_xy(*zip(*SPOTS, strict=True))
    frame: Any = geopandas.GeoDataFrame({"id": list("abc")}, geometry=points, crs=CRS)
    frame.to_crs("EPSG:4326").to_file(moved / "plants.gpkg", engine="pyogrio")
    plants = {"path": "plants.gpkg", "crs": None}
    found = {}
    for shift in ({LATER: (EAST, NORTHWARDS)}, {}):
        listing = make(moved, shift=shift, plants=plants).list_images([LATER])
        found[bool(shift)] = {one.plant_id: one.centre for one in listing.images}
    for plant_id in "abc":
        difference = np.subtract(found[True][plant_id], found[False][plant_id])
        assert difference == pytest.approx([EAST / STEP, -NORTHWARDS / STEP], abs=0.01)


def test_dates_without_an_entry_are_read_as_before(moved: Path) -> None:
    plain, source = make(moved), make(moved, shift={LATER: (EAST, NORTHWARDS)})
    assert source.list_images([DAY]) == plain.list_images([DAY])
    zero = make(moved, shift={LATER: (0, 0)})
    assert zero.list_images([LATER]) == plain.list_images([LATER])
    (before, *_), (after, *_) = (one.list_images([LATER]).images for one in (plain, source))
    assert plain.fingerprint(before) != source.fingerprint(after)


def test_a_shift_may_move_plants_out_of_the_orthophoto(moved: Path) -> None:
    listing = read(moved, LATER, shift={LATER: (3.0, 0.0)})
    assert [(one.plant_id, one.reason) for one in listing.left_out] == [("b", "outside_raster")]


def test_a_shift_of_a_date_without_an_orthophoto_is_refused(root: Path) -> None:
    source = make(root, shift={date(2024, 5, 2): (0.1, 0.1)})
    for call in (source.available_dates, lambda: source.list_images([DAY])):
        with pytest.raises(InputError, match="names 2024-05-02, and there are orthophotos of 2024-05-01, 2024-05-08"):
            call()


@pytest.mark.parametrize("far", [50.1, -1e9])
def test_a_shift_that_no_flight_has_is_refused(root: Path, far: float) -> None:
    with pytest.raises(ValidationError, match=r"2024-05-08 would lie more than 50 m from the plants.*correct the CRS"):
        make(root, shift={LATER: (0.0, far)})


@pytest.mark.parametrize("wrong", [(0.1,), (0.1, 0.2, 0.3), ("a", 0), (float("nan"), 0), (float("inf"), 0), 0.1])
def test_a_shift_that_is_no_pair_of_metres_is_refused(root: Path, wrong: Any) -> None:
    with pytest.raises(ValidationError):
        make(root, shift={LATER: wrong})


@pytest.mark.parametrize(
    ("shift", "said"),
    [
        ((0.42, 0.1), "0.42 m east and 0.10 m north"),
        ((-0.42, 0.001), "0.42 m west"),
        ((0.0, -2.0), "2.00 m south"),
        ((0.004, 0.0), "less than 0.01 m"),
    ],
)
def test_words_of_a_shift(shift: tuple[float, float], said: str) -> None:
    assert say_shift(shift) == said
