"""Test the offset between dates on drawn rows of plants and on real orthophotos, all moved by known amounts."""

from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from tasks.look.registration import (
    CROP_PIXELS,
    LEAST_PLACES,
    TOLERANCE,
    Misplaced,
    Step,
    choose_places,
    compare_dates,
    find_agreement,
    find_misplaced,
    find_offset,
    prepare_window,
)
from tests.support.orthophotos import ORTHOPHOTOS, needs_orthophotos

FINE = 2  # fine pixels for one of a window, so that a whole number of them is a fraction of a pixel
SIDE = 128  # side of a window, pixels
SPACING = CROP_PIXELS * FINE  # between plants, fine pixels
DAYS = [date(2024, 5, 1) + timedelta(days=7 * i) for i in range(6)]
CROP = 0.6  # metres

Window = NDArray[np.float64] | None


def draw_rows(
    seed: int, offset: tuple[int, int] = (0, 0), is_later: bool = False, uneven: float = 0.12
) -> NDArray[np.uint8]:
    """Draw a window (SIDE, SIDE, 3) of plants in rows, so many fine pixels further right and down.

    Later plants are larger, the light is another, half of the soil is washed over, and the camera adds noise.

    Parameters
    ----------
    uneven : standard deviation of a plant's place in its row and of its size, spacings.
    """
    plants, soil, visit = (np.random.default_rng([seed, n]) for n in (0, 1, 2 + is_later))
    size, margin = SIDE * FINE, 3 * SPACING
    whole = size + 2 * margin
    ground = 90 + 12 * soil.standard_normal((whole // 8, whole // 8))
    if is_later:
        ground = (ground + 90 + 12 * visit.standard_normal(ground.shape)) / 2
    canvas = Image.fromarray(ground.clip(0, 255).astype(np.uint8)).resize((whole, whole), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(canvas)
    for x in range(SPACING // 2, whole, SPACING):
        for y in range(SPACING // 2, whole, SPACING):
            dx, dy, larger, bright, is_gap = plants.normal(0, 1, 5)
            if is_gap * uneven < 0.2:  # a few plants are missing where rows are uneven
                centre = np.array([x + dx * uneven * SPACING, y + dy * uneven * SPACING])
                radius = SPACING * (0.26 + 0.08 * is_later) * (1 + uneven * larger)
                box = [*(centre - radius).tolist(), *(centre + radius).tolist()]
                draw.ellipse(box, fill=int(140 + 60 * uneven * bright))
    left, top = margin - offset[0], margin - offset[1]
    seen = canvas.crop((left, top, left + size, top + size)).resize((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.asarray(seen, np.float64) * (1.3 if is_later else 1.0) + visit.normal(0, 6, (SIDE, SIDE))
    return np.repeat(pixels.clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def prepare(pixels: NDArray[np.uint8]) -> Window:
    return prepare_window(pixels, np.ones(pixels.shape[:2], np.bool_))


def compare(first: int, n: int, offset: tuple[int, int], uneven: float = 0.12) -> Step:
    """Compare n places of a field on two dates, the later one so many fine pixels further right and down."""
    before = [prepare(draw_rows(seed, uneven=uneven)) for seed in range(first, first + n)]
    after = [prepare(draw_rows(seed, offset, is_later=True, uneven=uneven)) for seed in range(first, first + n)]
    return compare_dates((DAYS[0], DAYS[1]), before, after, CROP)


def metres(fine: float) -> float:
    return fine / FINE * CROP / CROP_PIXELS


@pytest.mark.parametrize(
    "offset",
    [(4, 0), (-15, 11), (SPACING, 0), (-50, SPACING)],
)
def test_planted_offsets_of_growing_plants(offset: tuple[int, int]) -> None:
    step = compare(0, 6, offset)
    assert step.n_agree == step.n_places == 6
    assert (step.east, step.north) == pytest.approx((metres(offset[0]), metres(-offset[1])), abs=0.03 * CROP)
    (found,) = find_misplaced([step], CROP)
    assert found == Misplaced(DAYS[1], (step.east, step.north), step)


def test_no_alarm_on_dates_that_lie_on_each_other() -> None:
    steps = [compare(1000 + 6 * field, 6, (0, 0), uneven=0.05) for field in range(4)]
    assert all(step.is_sure and find_misplaced([step], CROP) == [] for step in steps)


@pytest.mark.nightly
def test_how_often_dates_that_lie_on_each_other_alarm() -> None:
    """Compare 100 fields of 6 places, in rows that are hardly uneven: no offset is told, and most are sure."""
    steps = [compare(2000 + 6 * field, 6, (0, 0), uneven=0.02) for field in range(100)]
    assert sum(find_misplaced([step], CROP) != [] for step in steps) == 0
    assert sum(step.is_sure for step in steps) >= 98


def test_other_fields_agree_on_nothing() -> None:
    before, after = ([prepare(draw_rows(seed)) for seed in range(first, first + 12)] for first in (0, 500))
    step = compare_dates((DAYS[0], DAYS[1]), before, after, CROP)
    assert find_misplaced([step], CROP) == []


def test_equal_rows_hide_an_offset_by_their_spacing() -> None:
    """Rows without any unevenness, on bare ground: the offset is known but for whole spacings."""
    step = compare(0, 5, (SPACING + 4, 0), uneven=0.0)
    rest = (step.east - metres(4) + CROP / 2) % CROP - CROP / 2
    assert rest == pytest.approx(0, abs=0.05 * CROP)


REAL = {"OSBS_029.tif": (1, 120), "soybean.tif": (2, 240)}  # pixels of the file for one of a window, and its side


@cache
def real(name: str) -> tuple[NDArray[np.uint8], Image.Image]:
    """Return the pixels of a real orthophoto, and what it might look like in another light, blurred and with noise."""
    with rasterio.open(ORTHOPHOTOS / name) as raster:
        pixels = np.moveaxis(raster.read(), 0, -1)
    light = np.random.default_rng(0).normal(0, 5, pixels.shape) + 255 * (pixels / 255) ** 1.3 * 0.8
    later = Image.fromarray(light.clip(0, 255).astype(np.uint8))
    return pixels, later.filter(ImageFilter.GaussianBlur(0.7 * REAL[name][0]))


@needs_orthophotos
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("offset", [(-7, 5), (3, -28)])
def test_real_orthophotos_in_another_light(name: str, offset: tuple[int, int]) -> None:
    factor, side = REAL[name]
    pixels, later = real(name)
    size = side // factor
    before, after = list[Window](), list[Window]()
    for top in range(30, pixels.shape[0] - side - 30, side * 2 // 3):
        for left in range(30, pixels.shape[1] - side - 30, side * 2 // 3):
            x, y = left - offset[0], top - offset[1]
            for windows, image, corner in ((before, Image.fromarray(pixels), (left, top)), (after, later, (x, y))):
                cut = image.crop((*corner, corner[0] + side, corner[1] + side))
                windows.append(prepare(np.array(cut.resize((size, size), Image.Resampling.BOX))))
    step = compare_dates((DAYS[0], DAYS[1]), before, after, CROP_PIXELS)  # a metre is a pixel of a window
    assert step.is_sure and step.n_agree > 0.9 * step.n_places and step.n_places >= 8
    assert (step.east, step.north) == pytest.approx((offset[0] / factor, -offset[1] / factor), abs=0.15)


def test_windows_that_show_too_little_are_not_compared() -> None:
    pixels, valid = draw_rows(0), np.ones((SIDE, SIDE), np.bool_)
    valid[:, : SIDE // 4] = False  # beside the middle
    window = prepare_window(pixels, valid)
    assert window is not None and not window[:, : SIDE // 4].any()
    valid[:, : SIDE // 4 + SIDE // 8] = False
    assert prepare_window(pixels, valid) is None
    assert prepare_window(np.full_like(pixels, 90), np.ones_like(valid)) is None
    step = compare_dates((DAYS[0], DAYS[1]), [None, prepare(pixels)], [prepare(pixels), None], CROP)
    assert (step.n_places, step.n_agree, step.is_sure) == (0, 0, False)
    assert find_misplaced([step], CROP) == []


def test_the_sign_by_one_bright_spot() -> None:
    """Move a spot three pixels right and one up: later content lies east and north."""
    before, after = np.zeros((32, 32)), np.zeros((32, 32))
    before[16, 14], after[15, 17] = 1, 1
    assert find_offset(before, after) == (3, 1)


def test_agreement_worked_by_hand() -> None:
    offsets = np.array([[1.0, 0.0], [1.2, 0.0], [1.1, 0.3], [9.0, 9.0], [-4.0, 1.0], [1.1, 0.1]])
    found, n_agree = find_agreement(offsets, radius=0.5)
    assert n_agree == 4 and found.tolist() == pytest.approx([1.1, 0.05])


def step(i: int, east: float, north: float = 0.0, n_agree: int = 30) -> Step:
    return Step(DAYS[i], DAYS[i + 1], east, north, n_agree, 40)


@pytest.mark.parametrize(
    ("steps", "odd"),
    [
        ([step(0, 0.4, -0.1), step(1, -0.4, 0.1), step(2, 0.0)], {1: (0.4, -0.1)}),  # one date is odd
        ([step(0, 0.4), step(1, 0.0), step(2, 0.01)], {0: (-0.4, 0.0)}),  # the first is odd
        ([step(0, 0.0), step(1, 0.3), step(2, 0.3)], {2: (0.3, 0.0), 3: (0.6, 0.0)}),
        ([step(0, 0.05), step(1, -0.05)], {}),  # less than a tenth of a crop
        ([step(0, 0.04), step(1, 0.04), step(2, 0.04)], {3: (0.08, 0.0)}),  # small steps add up
        ([step(0, 0.4, n_agree=19), step(1, 0.0)], {}),  # too few agree
        ([step(0, 0.0), step(1, 9.9, n_agree=3), step(2, 0.0), step(3, 0.5)], {4: (0.5, 0.0)}),
    ],
)
def test_which_date_is_the_odd_one(steps: list[Step], odd: dict[int, tuple[float, float]]) -> None:
    found = find_misplaced(steps, CROP)
    assert {DAYS.index(one.day): one.shift for one in found} == {
        i: pytest.approx(shift, abs=1e-9) for i, shift in odd.items()
    }
    assert all(one.step in steps and one.day in (one.step.before, one.step.after) for one in found)


def test_a_few_places_are_no_proof() -> None:
    few = LEAST_PLACES - 1
    assert find_misplaced([Step(DAYS[0], DAYS[1], 1.0, 0.0, few, few)], CROP) == []
    assert find_misplaced([Step(DAYS[0], DAYS[1], 1.0, 0.0, few + 1, few + 1)], CROP) != []


def test_places_lie_apart_and_are_the_same_for_one_seed() -> None:
    grid = np.stack(np.meshgrid(np.arange(60.0), np.arange(40.0)), axis=-1).reshape(-1, 2)
    chosen = choose_places(grid, apart=5.0, seed=0)
    gaps = np.abs(grid[chosen][:, None] - grid[chosen][None]).max(axis=-1)
    assert len(chosen) == 40 and gaps[~np.eye(40, dtype=bool)].min() >= 5
    np.testing.assert_array_equal(chosen, choose_places(grid, apart=5.0, seed=0))
    assert choose_places(grid, apart=100.0, seed=1).size == 1


def test_the_tolerance_is_less_than_a_pixel_of_the_smallest_crop() -> None:
    assert TOLERANCE * CROP_PIXELS > 1  # places whose offset is found to the pixel agree
