"""Choose images of a date by a seed, and measure what is cheap to see in them: size, one colour, sharpness."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import laplace

from tasks.ingest.looks import describe_blank
from tasks.sources.contract import Source, SourceImage, UnreadableImage

SEED = 0  # of the choice of images, the same in every campaign
N_SHOWN = 60  # images of a date on its contact sheet
READERS = 4  # threads that read image files
N_READ = 1000  # images of a campaign that are decoded and measured, which takes some 5 ms each
MEASURED_SIDE = 256  # pixels; larger images are shrunk to this longer side before their sharpness is measured
THUMBNAIL = 96  # longer side of an image on the sheet, pixels


@dataclass(frozen=True, slots=True)
class Measured:
    """One image that was read.

    Attributes
    ----------
    is_shown : whether the image is on its date's contact sheet.
    width, height : size, pixels; 0 if the image cannot be read.
    fault : why the image cannot be read; empty if it can.
    blank : how little of the image varies; empty if it is not of one colour.
    sharpness : variance of the Laplacian, in squared grey levels.
    thumbnail : small JPEG; empty if the image is not on the sheet, or cannot be read.
    """

    image: SourceImage
    is_shown: bool
    width: int = 0
    height: int = 0
    fault: str = ""
    blank: str = ""
    sharpness: float = 0.0
    thumbnail: bytes = b""


def draw_order(n: int, day: date, seed: int = SEED) -> NDArray[np.int64]:
    """Return a random order of the n images of a date, which depends on the number, the date and the seed alone."""
    return np.random.default_rng([seed, day.toordinal()]).permutation(n)


def sharpness(pixels: NDArray[np.uint8]) -> float:
    """Return the variance of the Laplacian of an image (h, w, 3), in squared grey levels.

    The image is made grey, and shrunk to `MEASURED_SIDE` if it is larger. An image out of focus has no fine detail, so
    the value is small (Pech-Pacheco et al. 2000, Diatom autofocusing in brightfield microscopy).
    """
    grey = Image.fromarray(pixels).convert("L")
    grey.thumbnail((MEASURED_SIDE, MEASURED_SIDE), Image.Resampling.BILINEAR)
    return float(laplace(np.asarray(grey, np.float32)).var())


def thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image (h, w, 3) as a JPEG of at most `THUMBNAIL` pixels a side."""
    small, buffer = Image.fromarray(pixels), io.BytesIO()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def measure_image(image: SourceImage, pixels: NDArray[np.uint8] | UnreadableImage, is_shown: bool) -> Measured:
    """Measure one image (h, w, 3) that was read; an image that cannot be read has a fault."""
    if isinstance(pixels, UnreadableImage):
        return Measured(image, is_shown, fault=str(pixels))
    height, width = pixels.shape[:2]
    small = thumbnail(pixels) if is_shown else b""
    return Measured(image, is_shown, width, height, "", describe_blank(pixels), sharpness(pixels), small)


def measure_dates(
    source: Source, by_date: dict[date, list[SourceImage]], n_shown: int = N_SHOWN, n_read: int = N_READ
) -> dict[date, list[Measured]]:
    """Read up to `n_read` images of all dates, the shares of dates being equal, and at least the shown ones.

    Returns
    -------
    Measured images by date, in the order of the listing. The first `n_shown` of a date's random order have a thumbnail.
    """
    each = max(n_shown, n_read // max(1, len(by_date)))
    with ThreadPoolExecutor(READERS) as pool:
        return {day: _measure(pool, source, images, day, (n_shown, each)) for day, images in by_date.items()}


def _measure(
    pool: ThreadPoolExecutor, source: Source, images: Sequence[SourceImage], day: date, numbers: tuple[int, int]
) -> list[Measured]:
    n_shown, n_read = numbers
    order = draw_order(len(images), day)
    shown = set(order[:n_shown].tolist())
    chosen = sorted(order[:n_read].tolist())
    crops = [i for i in chosen if images[i].centre is not None]
    files = [i for i in chosen if images[i].centre is None]

    def measure_part(part: Sequence[int]) -> list[tuple[int, Measured]]:
        read = source.read_images([images[i] for i in part])
        return [(part[k], measure_image(images[part[k]], pixels, part[k] in shown)) for k, pixels in read]

    # Crops are one part, so that each orthophoto is opened once, and each of its blocks is read once.
    parts = [one for one in (crops, *(files[k::READERS] for k in range(READERS))) if one]
    found = dict(one for of_part in pool.map(measure_part, parts) for one in of_part)
    return [found[i] for i in chosen]
