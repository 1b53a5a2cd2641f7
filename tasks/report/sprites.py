"""Pack small pictures of many plants into few image files, and their saliency maps into few bytes. Pure functions.

A page has one file for a hundred plants, because a file for each would cost more in headers than in pixels.
"""

import io
from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ACROSS = 10  # tiles in a line of a sheet, and lines in a full sheet
COARSE = 8  # rows and columns of a coarse map
LARGEST = 127  # value of the largest magnitude in a coarse map


def sprite_sheets(images: Iterable[NDArray[np.uint8]], side: int, quality: int) -> list[bytes]:
    """Pack images (h, w, 3) in order into WebP sheets of 10 x 10 tiles; the last sheet has only the lines it needs.

    Parameters
    ----------
    side : side of a tile in pixels. Images that are not square keep their middle.
    quality : of WebP, 0..100.
    """
    tiles = (tile_of(image, side) for image in images)
    return [sheet_of(np.stack(part), quality) for part in iter(lambda: list(islice(tiles, ACROSS * ACROSS)), [])]


def tile_of(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the middle of an image (h, w, 3) as a tile (side, side, 3)."""
    whole = Image.fromarray(np.ascontiguousarray(image, np.uint8))
    least = min(whole.size)
    left, top = (whole.width - least) // 2, (whole.height - least) // 2
    return np.asarray(whole.resize((side, side), Image.Resampling.BOX, (left, top, left + least, top + least)))


def sheet_of(tiles: NDArray[np.uint8], quality: int) -> bytes:
    """Pack up to a hundred tiles (n, side, side, 3) into one WebP file, ten in a line; free places are black."""
    n, side = tiles.shape[:2]
    lines = -(-n // ACROSS)
    sheet = np.zeros((lines * ACROSS, side, side, 3), np.uint8)
    sheet[:n] = tiles
    pixels = sheet.reshape(lines, ACROSS, side, side, 3).swapaxes(1, 2).reshape(lines * side, ACROSS * side, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def coarse_map(saliency: NDArray[np.floating]) -> bytes:
    """Return a map (h, w) as the means of 8 x 8 parts, in signed bytes row by row (see `coarse_maps`)."""
    return coarse_maps(saliency[None]).tobytes()


def coarse_maps(saliency: NDArray[np.floating]) -> NDArray[np.int8]:
    """Return maps (n, h, w) as the means of 8 x 8 parts, (n, 64).

    The largest magnitude of each becomes 127. A map of fewer rows or columns than eight repeats them. A map that is
    zero everywhere stays zero.
    """
    n, rows, columns = saliency.shape
    parts = (averages(rows) @ np.asarray(saliency, np.float64) @ averages(columns).T).reshape(n, -1)
    largest = np.abs(parts).max(axis=1, initial=0, keepdims=True)
    return (parts / np.where(largest > 0, largest, 1) * LARGEST).round().astype(np.int8)


def averages(n: int) -> NDArray[np.float64]:
    """Return the weights (8, n) of n values in the means of eight equal parts; values that a part cuts count partly."""
    edges = np.linspace(0, n, COARSE + 1)
    low, high = edges[:-1, None], edges[1:, None]
    overlap = np.clip(np.minimum(high, np.arange(1, n + 1)) - np.maximum(low, np.arange(n)), 0, None)
    return overlap / (high - low)
