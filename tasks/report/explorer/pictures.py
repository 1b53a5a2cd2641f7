"""Make the small pictures of the plant explorer, in as many bytes as the page may have."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import iter_images, open_array
from tasks.report.explorer.chosen import Day, Explained, evenly
from tasks.report.sprites import sprite_sheets

SIDES = (128, 96, 64, 48)  # sides of a tile in pixels, the largest that `MOST_PIXELS` allows is used
MOST_PIXELS = 24_000_000  # pixels of all tiles together; 72 MB while the page is made
QUALITIES = (80, 60, 40, 25)  # of WebP, the best that fits into the page is used
TRIED = 400  # tiles by which a quality is judged before all are encoded
IMAGES_AT_ONCE = 64  # images held in memory at their full size


def tile_side(n: int, size: int) -> int:
    """Return the side in pixels of the tiles of n images; more images have smaller ones, never larger than `size`."""
    return min(size, next((side for side in SIDES if n * side**2 <= MOST_PIXELS), SIDES[-1]))


def read_tiles(days: Sequence[Day], images: Explained, side: int) -> NDArray[np.uint8]:
    """Read some images, made smaller: tiles (n, side, side, 3). Images that are not square keep their middle."""
    tiles = np.empty((len(images), side, side, 3), np.uint8)
    for number, day in enumerate(days):
        where = np.flatnonzero(images.day == number)
        where = where[np.argsort(images.row[where])]  # ascending positions read each file once
        array = open_array(day.artifacts[f"images {day.date}"], IMAGES)
        start = 0
        for block in iter_images(array, images.row[where], IMAGES_AT_ONCE):
            for image in block:
                tiles[where[start]] = _middle(image, side)
                start += 1
    return tiles


def _middle(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    whole = Image.fromarray(image)
    least = min(whole.size)
    left, top = (whole.width - least) // 2, (whole.height - least) // 2
    box = (left, top, left + least, top + least)
    return np.asarray(whole.resize((side, side), Image.Resampling.BOX, box))


def fitted_sheets(tiles: NDArray[np.uint8], budget: int) -> tuple[NDArray[np.int64], list[bytes]]:
    """Return which of some tiles (n, side, side, 3) are shown, ascending, and their sheets of at most `budget` bytes.

    All are shown if one of `QUALITIES` makes the sheets small enough. Otherwise fewer are, at equal distances.
    """
    shown = np.arange(len(tiles))
    while True:
        n_bytes = 0.0
        for quality in QUALITIES:
            n_bytes = _expected(tiles[shown], quality)
            if n_bytes <= budget:
                sheets = sprite_sheets(tiles[shown], tiles.shape[1], quality)
                n_bytes = sum(map(len, sheets))
                if n_bytes <= budget:
                    return shown, sheets
        shown = shown[evenly(len(shown), max(1, int(0.95 * len(shown) * budget / n_bytes)))]


def _expected(tiles: NDArray[np.uint8], quality: int) -> float:
    """Return the expected bytes of the sheets of tiles, by those of `TRIED` of them; 0 if there are no more."""
    if len(tiles) <= TRIED:
        return 0
    some = tiles[evenly(len(tiles), TRIED)]
    return sum(map(len, sprite_sheets(some, tiles.shape[1], quality))) * len(tiles) / len(some)
