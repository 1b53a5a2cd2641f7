"""Look at image files before they are decoded: too small, too large, turned, or a placeholder of one colour.

The survey writes what it finds into a date's listing, which names the date's images. Dates without such files therefore
keep the names that they had before these rules.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tasks.sources.contract import FileLook, LeftOut, Source, SourceImage, UnreadableImage

LEAST_SIDE = 16  # shortest side of an image that can show a plant, pixels
BLANK_RANGE = 8  # levels that a channel must span; placeholder frames are constant, real soil spans over 100
PLACEHOLDER_BYTES = 0.1  # bytes per pixel below which a compressed image may show one colour; photographs take more
GRID = 16  # distance of the pixels that are looked at first, to tell quickly that an image is not blank


def describe_blank(pixels: NDArray[np.uint8]) -> str:
    """Describe an image (h, w, 3) that shows one colour, as in a release's placeholder frames; empty for others."""
    if channel_range(pixels[::GRID, ::GRID]) >= BLANK_RANGE:
        return ""
    if (spread := value_range(pixels)) < BLANK_RANGE:
        return f"blank: all values within {spread} grey levels"
    spread = channel_range(pixels)
    return f"blank: one colour, each channel within {spread} levels" if spread < BLANK_RANGE else ""


def value_range(pixels: NDArray[np.uint8]) -> int:
    """Return the range of all values of an image."""
    return int(pixels.max()) - int(pixels.min())


def channel_range(pixels: NDArray[np.uint8]) -> int:
    """Return the largest range of values of a channel, over an image (h, w, 3)."""
    return max(value_range(channel) for channel in np.moveaxis(pixels, -1, 0))


def describe_size(look: FileLook, max_pixels: int) -> tuple[str, str] | None:
    """Return reason and detail of an image that is too small or too large; None for others."""
    size = f"{look.width} x {look.height} pixels"
    if min(look.width, look.height) < LEAST_SIDE:
        return "too_small", f"{size}; no side may be under {LEAST_SIDE}"
    if look.width * look.height > max_pixels:
        return "too_large", f"{size}, over ingest.max_pixels = {max_pixels}"
    return None


def refuse_size(source: Source, image: SourceImage, max_pixels: int) -> None:
    """Raise UnreadableImage if an image's header says that it is too small or too large."""
    look = source.look_at(image)
    if look is not None and (fault := describe_size(look, max_pixels)):
        raise UnreadableImage(": ".join(fault))


def judge_looks(
    source: Source, looks: Iterable[tuple[SourceImage, FileLook | None]], max_pixels: int
) -> list[SourceImage | LeftOut]:
    """Add remarks to images by the headers of their files, and leave out those that cannot show a plant.

    Files that may be placeholders are decoded, one after another. Of them only those of a colour are left out here.
    Grey ones are left to ingest, as ever.
    """
    judged: list[SourceImage | LeftOut] = []
    for image, look in looks:
        fault = None if look is None else describe_size(look, max_pixels) or find_placeholder(source, image, look)
        if fault is not None:
            judged.append(LeftOut(image.plant_id, image.acquired, image.path, *fault))
        else:
            judged.append(replace(image, flags=image.flags + look.flags) if look is not None and look.flags else image)
    return judged


def find_placeholder(source: Source, image: SourceImage, look: FileLook) -> tuple[str, str] | None:
    """Return reason and detail of a placeholder of a colour; None for other images, grey or unreadable ones."""
    if not look.is_raw and look.n_bytes > PLACEHOLDER_BYTES * look.width * look.height:
        return None
    try:
        pixels = source.read_image(image)
    except UnreadableImage:
        return None
    blank, is_grey = describe_blank(pixels), value_range(pixels) < BLANK_RANGE
    return ("blank", blank) if blank and not is_grey else None
