"""Pack small pictures of many plants into few image files, and their saliency maps into few bytes. Pure functions.

A page has one file for a hundred plants, because a file for each would cost more in headers than in pixels.
"""

import io
from collections.abc import Iterable, Sequence
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
    tiles = (_tile(image, side) for image in images)
    return [_sheet(part, quality) for part in iter(lambda: list(islice(tiles, ACROSS * ACROSS)), [])]


def _tile(image: NDArray[np.uint8], side: int) -> Image.Image:
    whole = Image.fromarray(np.ascontiguousarray(image, np.uint8))
    least = min(whole.size)
    left, top = (whole.width - least) // 2, (whole.height - least) // 2
    return whole.resize((side, side), Image.Resampling.BOX, (left, top, left + least, top + least))


def _sheet(tiles: Sequence[Image.Image], quality: int) -> bytes:
    side, lines = tiles[0].width, -(-len(tiles) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * side, lines * side))
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % ACROSS * side, i // ACROSS * side))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def coarse_map(saliency: NDArray[np.floating]) -> bytes:
    """Return a map (h, w) as the means of 8 x 8 parts, in signed bytes row by row.

    The largest magnitude becomes 127. A map of fewer rows or columns than eight repeats them. A map that is zero
    everywhere stays zero.
    """
    parts = _means(_means(np.asarray(saliency, np.float64)).T).T
    largest = float(np.abs(parts).max(initial=0))
    scaled = parts / largest * LARGEST if largest > 0 else np.zeros_like(parts)
    return scaled.round().astype(np.int8).tobytes()


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average rows (n, m) over eight equal parts of their length, (8, m); rows that a part cuts count in proportion."""
    n = len(values)
    edges = np.linspace(0, n, COARSE + 1)
    low, high = edges[:-1, None], edges[1:, None]
    overlap = np.clip(np.minimum(high, np.arange(1, n + 1)) - np.maximum(low, np.arange(n)), 0, None)
    return overlap @ values / (high - low)
