"""Test what is measured in images: sharpness against a slow formula, and the choice of images by a seed."""

import io
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from tasks.look.images import MEASURED_SIDE, THUMBNAIL, draw_order, measure_dates, sharpness, thumbnail
from tasks.sources import open_rasters
from tasks.sources.contract import SourceImage
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.repository import ROOT
from tests.support.small_field import DAY as FLIGHT
from tests.support.small_field import LATER as NEXT_FLIGHT
from tests.support.small_field import make, write_field

DAY, LATER = date(2021, 8, 23), date(2021, 8, 30)
APPLES = ROOT.parent / "shared/real_images/plantvillage_apple"


def grey(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(values[..., None], 3, axis=2)


def slow_sharpness(values: NDArray[np.uint8]) -> float:
    """Return the variance of four neighbours minus four times the pixel; beyond the border its pixel is repeated."""
    height, width = values.shape
    found = [
        sum(
            int(values[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)])
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
        )
        - 4 * int(values[y, x])
        for y in range(height)
        for x in range(width)
    ]
    mean = sum(found) / len(found)
    return sum((one - mean) ** 2 for one in found) / len(found)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    values = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    assert sharpness(grey(values)) == pytest.approx(slow_sharpness(values), rel=1e-5)
    assert sharpness(grey(np.full((9, 7), 130, np.uint8))) == 0


def test_a_point_by_hand() -> None:
    """One pixel of 10 amid 5 x 5 zeros: -40 once and 10 four times, of 25 values with the mean 0."""
    values = np.zeros((5, 5), np.uint8)
    values[2, 2] = 10
    assert sharpness(grey(values)) == pytest.approx((40**2 + 4 * 10**2) / 25)


def test_large_images_are_measured_at_one_size() -> None:
    """Enlarging spreads detail over more pixels, which is no blur."""
    noise = np.random.default_rng(1).normal(128, 400, (MEASURED_SIDE, MEASURED_SIDE))
    values = np.clip(gaussian_filter(noise, 2), 0, 255).astype(np.uint8)
    large = np.asarray(Image.fromarray(values).resize((2 * MEASURED_SIDE, 2 * MEASURED_SIDE), Image.Resampling.BICUBIC))
    once = sharpness(grey(values))
    assert 0.5 < sharpness(grey(large)) / once < 1.1
    assert sharpness(grey(large[:MEASURED_SIDE, :MEASURED_SIDE])) / once < 0.2


@pytest.mark.skipif(not APPLES.is_dir(), reason="the real photographs are not in ../shared/real_images")
def test_real_photographs_are_sharp_and_blurred_ones_are_not() -> None:
    """Measured on 72 of them: none is below 0.32 of the median; blurred by a pixel, the sharpest is at 0.09."""
    files = sorted(APPLES.glob("train/*/*"))[::60]
    photos = [Image.open(file).convert("RGB") for file in files]
    sharp = np.array([sharpness(np.asarray(photo)) for photo in photos])
    blurred = [sharpness(np.asarray(photo.filter(ImageFilter.GaussianBlur(2)))) for photo in photos]
    assert len(photos) == 12 and sharp.min() > 0.1 * np.median(sharp) > max(blurred)


def test_the_order_is_drawn_by_seed_and_date() -> None:
    order = draw_order(50, DAY)
    assert sorted(order) == list(range(50)) and list(order) != list(range(50))
    assert list(draw_order(50, DAY)) == list(order)
    assert list(draw_order(50, LATER)) != list(order) != list(draw_order(50, DAY, seed=1))


def test_a_thumbnail_keeps_the_shape() -> None:
    with Image.open(io.BytesIO(thumbnail(np.zeros((200, 100, 3), np.uint8)))) as small:
        assert (small.format, small.size) == ("JPEG", (THUMBNAIL // 2, THUMBNAIL))


class TestSeason:
    SEASON = SeasonParams(n_plots=1, rows=2, plants_per_row=5, image_size=32, dates=(DAY, LATER), n_damaged=1)
    SOURCE = SyntheticSource(season=SEASON)

    def by_date(self) -> dict[date, list[SourceImage]]:
        images = self.SOURCE.list_images((DAY, LATER)).images
        return {day: [one for one in images if one.acquired == day] for day in (DAY, LATER)}

    def test_the_shown_are_among_the_read(self) -> None:
        by_date = self.by_date()
        found = measure_dates(self.SOURCE, by_date, n_shown=3, n_read=12)
        for day, measured in found.items():
            assert len(measured) == 6 and sum(one.is_shown for one in measured) == 3
            assert all(bool(one.thumbnail) == (one.is_shown and not one.fault) for one in measured)
            places = [by_date[day].index(one.image) for one in measured]
            assert places == sorted(places) == sorted(draw_order(10, day)[:6])

    def test_every_sheet_is_full_however_many_dates_there_are(self) -> None:
        assert [len(one) for one in measure_dates(self.SOURCE, self.by_date(), n_shown=7, n_read=2).values()] == [7, 7]

    def test_an_image_that_cannot_be_read_has_a_fault(self) -> None:
        measured = measure_dates(self.SOURCE, self.by_date())
        faulty = [one for of_date in measured.values() for one in of_date if one.fault]
        damaged = [one.plant.plant_id for one in grow_season(self.SEASON).observations if one.fault]
        assert [one.image.plant_id for one in faulty] == damaged and len(damaged) == 1
        assert all((one.width, one.height, one.thumbnail) == (0, 0, b"") for one in faulty)


def test_an_orthophoto_is_opened_once_and_crops_stay_with_their_plants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(write_field(tmp_path))
    images = source.list_images((FLIGHT, NEXT_FLIGHT)).images
    by_date = {day: [one for one in images if one.acquired == day] for day in (FLIGHT, NEXT_FLIGHT)}
    opened: list[object] = []
    original = open_rasters.open_dataset
    monkeypatch.setattr(open_rasters, "open_dataset", lambda file: opened.append(file) or original(file))
    found = measure_dates(source, by_date)
    assert len(opened) == len(set(opened)) == 2
    for day, measured in found.items():
        assert [one.image for one in measured] == by_date[day]
        assert [one.sharpness for one in measured] == [sharpness(source.read_image(one.image)) for one in measured]
