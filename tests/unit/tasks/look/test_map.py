"""Test the map of plants by split."""

import io
from datetime import date

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from tasks.look.map import MARKERS, draw_map, places_of
from tasks.sources.contract import SourceImage

DAY = date(2024, 5, 1)


@pytest.mark.parametrize("width", [1.0, 40.0])
def test_the_legend_names_every_split_whatever_the_shape_of_the_field(width: float) -> None:
    """Plants stand in the lower half of the frame, so what has their colours in the upper half is the legend."""
    images = [
        SourceImage(f"{split}{i}", DAY, split, "plants", "a.tif", easting=width * i / 5, northing=float(i))
        for split in MARKERS
        for i in range(5)
    ]
    picture = np.asarray(Image.open(io.BytesIO(draw_map(images, places_of(images), (0, 0, width, 40)))).convert("RGB"))
    upper = picture[: len(picture) // 2].reshape(-1, 3).astype(int)
    for colour, _ in MARKERS.values():
        wanted = np.rint(255 * np.array(to_rgb(colour))).astype(int)
        assert (np.abs(upper - wanted).max(axis=1) <= 3).sum() > 10
