"""Make the small pictures of a date in the plant explorer, and keep them for all reports that show them."""

import base64
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import iter_images, open_array
from storage.artifacts import Artifact, Draft
from tasks.batches import batches
from tasks.report.explorer.chosen import MOST_IMAGES, PER_SHEET, Day, evenly, read_explained
from tasks.report.sprites import sheet_of, tile_of

FILE = "sheets.txt"  # sheets of a date, each as a line of base64, as the page needs them
PICTURE_BYTES = 6_000_000  # most bytes of pictures on a page; a third more as text
# Most images of a page, and the side of their tiles in pixels. A page of more images has smaller or coarser pictures.
LEVELS = ((500, 128), (1_000, 128), (1_500, 128), (2_600, 96), (4_000, 64), (6_000, 64), (MOST_IMAGES, 48))
ENOUGH = 1.0  # bytes of a pixel that any picture takes at most, at the best quality
QUALITIES = (80, 60, 40, 25)  # of WebP, the best that fits is used
TRIED = 200  # tiles by which a quality is judged before all are encoded
IMAGES_AT_ONCE = 64  # images held in memory at their full size


class Level(NamedTuple):
    """Side of a tile in pixels, and bytes that a picture may take."""

    side: int
    n_bytes: int


def level_of(n: int, size: int) -> Level:
    """Return the level of a page of n images of `size` pixels; its tiles are never larger than the images.

    There are few levels, so that the pictures of a date seldom change when the page gets more images.
    """
    most, side = next((one for one in LEVELS if n <= one[0]), LEVELS[-1])
    side = min(side, size)
    return Level(side, min(PICTURE_BYTES // most, int(ENOUGH * side**2)))


def write_pictures(draft: Draft, day: Day, method: str, level: Level) -> None:
    """Make the sheets of a date, in the order of its images, and write them to an artefact."""
    tiles = read_tiles(day, read_explained(day, method).row, level.side)
    sheets = sheets_of(tiles, level.n_bytes)
    draft.write_bytes(FILE, b"\n".join(base64.b64encode(sheet) for sheet in sheets))


def read_pictures(artifact: Artifact) -> list[str]:
    """Read the sheets of a date: WebP as base64."""
    return artifact.read_bytes(FILE).decode().split("\n")


def picture_bytes(sheets: Sequence[str]) -> NDArray[np.int64]:
    """Return the bytes of each sheet, without those that base64 adds."""
    return np.asarray([len(sheet) * 3 // 4 for sheet in sheets], np.int64)


def read_tiles(day: Day, rows: NDArray[np.int64], side: int) -> NDArray[np.uint8]:
    """Read some images of a date, made smaller: tiles (n, side, side, 3)."""
    tiles = np.empty((len(rows), side, side, 3), np.uint8)
    order = np.argsort(rows)  # ascending positions read each file once
    array, start = open_array(day.artifacts[f"images {day.date}"], IMAGES), 0
    for block in iter_images(array, rows[order], IMAGES_AT_ONCE):
        for image in block:
            tiles[order[start]] = tile_of(image, side)
            start += 1
    return tiles


def sheets_of(tiles: NDArray[np.uint8], n_bytes: int) -> list[bytes]:
    """Return the sheets of tiles (n, side, side, 3), at the best quality that takes at most `n_bytes` for each tile.

    Where none does, they have the lowest. Quality is judged by `TRIED` tiles.
    """
    some = tiles[evenly(len(tiles), TRIED)]
    fitting = (one for one in QUALITIES if sum(map(len, _sheets(some, one))) <= n_bytes * len(some))
    return _sheets(tiles, next(fitting, QUALITIES[-1]))


def _sheets(tiles: NDArray[np.uint8], quality: int) -> list[bytes]:
    return [sheet_of(tiles[part], quality) for part in batches(len(tiles), PER_SHEET)]
