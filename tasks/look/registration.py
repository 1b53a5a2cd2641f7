"""Measure how far the orthophotos of neighbouring dates lie apart, at many places. Pure functions.

The middle of a window of the earlier date is looked for in the window of the later date. Normalised cross-correlation
finds it to the pixel (Lewis 1995, Fast template matching), and an upsampled Fourier transform to a tenth of it
(Guizar-Sicairos et al. 2008, Optics Letters 33, 156). Before, a filter takes out noise, and the light of a date, which
changes slowly. Phase correlation of whole windows weighs all frequencies alike, and fails more often where plants grew.

Each place is a vote: an offset counts if enough places agree on it, because plants that grew, were cut or were moved by
the wind mislead single places only. Rows of plants look alike one spacing further. Only what does not repeat tells one
spacing from none: uneven distances, gaps, weeds, stones. So the middle of a window is several crops wide. What cannot
be found: offsets by a whole spacing where nothing but equal plants is seen, and offsets of more than a quarter of a
window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.feature import match_template
from skimage.filters import difference_of_gaussians, window
from skimage.registration import phase_cross_correlation

WINDOW_CROPS = 12  # side of a window, crops; its middle, half as wide, is found up to three crops away
CROP_PIXELS = 16  # pixels of a window for the side of a crop
FINEST, COARSEST = 1.0, 4.0  # standard deviations of the filter that keeps what lies between them, pixels
SUBPIXEL = 10  # offsets are found to this part of a pixel
MOST_PLACES = 40  # places at which two dates are compared
LEAST_PLACES = 5  # places that must be comparable, and that must agree
AGREEING_SHARE = 0.5  # share of the compared places that must agree
LEAST_VALID = 0.8  # share of a window's middle that an orthophoto must show
LEAST_CONTRAST = 2.0  # standard deviation below which a window's middle shows nothing, grey levels
TOLERANCE = 0.1  # offsets that differ by less agree, and smaller ones are not told, crops


@dataclass(frozen=True, slots=True)
class Step:
    """How far the orthophoto of a date lies from that of the date before.

    Attributes
    ----------
    east, north : offset on which most places agree, metres; NaN if no places can be compared.
    n_agree : number of places that agree on it.
    n_places : number of places that were compared.
    """

    before: date
    after: date
    east: float
    north: float
    n_agree: int
    n_places: int

    @property
    def is_sure(self) -> bool:
        """Return whether enough places agree for the offset to count."""
        return self.n_agree >= max(LEAST_PLACES, AGREEING_SHARE * self.n_places)


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A date whose orthophoto lies beside those of most dates.

    Attributes
    ----------
    shift : metres to the east and north from where most dates' orthophotos lie.
    step : comparison with the neighbouring date that shows it.
    """

    day: date
    shift: tuple[float, float]
    step: Step


def choose_places(places: NDArray[np.float64], apart: float, seed: int) -> NDArray[np.int64]:
    """Choose up to `MOST_PLACES` places (n, 2) at random that differ by at least `apart` in one direction."""
    is_free = np.ones(len(places), np.bool_)
    chosen: list[int] = []
    for i in np.random.default_rng(seed).permutation(len(places)).tolist():
        if is_free[i] and len(chosen) < MOST_PLACES:
            chosen.append(i)
            is_free &= np.abs(places - places[i]).max(axis=1) >= apart
    return np.sort(np.asarray(chosen, np.int64))


def middle(side: int) -> slice:
    """Return the pixels of the middle half of a side."""
    return slice(side // 4, side // 4 + side // 2)


def prepare_window(pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Return a window (side, side, 3) in grey without light and noise; None if its middle shows too little.

    Parameters
    ----------
    valid : where the window has pixels, shape (side, side).
    """
    grey, inner = pixels.mean(axis=-1), middle(len(pixels))
    shown = grey[inner, inner][valid[inner, inner]]
    if shown.size < LEAST_VALID * valid[inner, inner].size or shown.std() < LEAST_CONTRAST:
        return None
    filled = np.where(valid, grey, grey[valid].mean())
    return difference_of_gaussians(filled, FINEST, COARSEST) * valid


def find_offset(before: NDArray[np.float64], after: NDArray[np.float64]) -> tuple[float, float]:
    """Return how far a window (side, side) shows the middle of another one to the right and up, pixels."""
    inner = middle(len(before))
    template = before[inner, inner]
    matches = match_template(after, template)
    row, column = np.unravel_index(int(matches.argmax()), matches.shape)
    found = after[row : row + len(template), column : column + len(template)]
    fade = window("hann", template.shape)  # without it, the edges would correlate at offset 0
    images = [(one - one.mean()) * fade for one in (template, found)]
    # The weights of the frequencies are kept, which the function documents and its types do not.
    options: dict[str, Any] = {"upsample_factor": SUBPIXEL, "normalization": None}
    back, *_ = phase_cross_correlation(*images, **options)
    down, right = np.array([row, column]) - inner.start - back  # the function returns the way back
    return float(right), -float(down)


def find_agreement(offsets: NDArray[np.float64], radius: float) -> tuple[NDArray[np.float64], int]:
    """Return the median of the offsets (n, 2) that lie around the one with most others in a radius, and their number.

    At least one offset is needed.
    """
    near = np.linalg.norm(offsets[:, None] - offsets[None], axis=-1) <= radius
    most = near[near.sum(axis=1).argmax()]
    return np.median(offsets[most], axis=0), int(most.sum())


def compare_dates(
    days: tuple[date, date],
    before: Sequence[NDArray[np.float64] | None],
    after: Sequence[NDArray[np.float64] | None],
    crop_metres: float,
) -> Step:
    """Compare the orthophotos of two dates.

    Parameters
    ----------
    before, after : windows at the same places, as `prepare_window` returns them.
    """
    pairs = [(one, other) for one, other in zip(before, after, strict=True) if one is not None and other is not None]
    if not pairs:
        return Step(*days, np.nan, np.nan, 0, 0)
    found, n_agree = find_agreement(np.array([find_offset(*pair) for pair in pairs]), TOLERANCE * CROP_PIXELS)
    east, north = (found * crop_metres / CROP_PIXELS).tolist()
    return Step(*days, east, north, n_agree, len(pairs))


def find_misplaced(steps: Sequence[Step], crop_metres: float) -> list[Misplaced]:
    """Find the dates whose orthophoto lies more than the tolerance beside those of most dates.

    Dates are placed one after another. A pair of dates without a sure offset parts the dates before from those after.
    """
    found: list[Misplaced] = []
    for chain in split_chains(steps):
        days = [chain[0].before, *(step.after for step in chain)]
        places = np.cumsum([(0.0, 0.0), *((step.east, step.north) for step in chain)], axis=0)
        near = np.linalg.norm(places[:, None] - places[None], axis=-1) <= TOLERANCE * crop_metres
        usual = int(near.sum(axis=1).argmax())
        for i in np.flatnonzero(~near[usual]).tolist():
            east, north = (places[i] - places[usual]).tolist()
            found.append(Misplaced(days[i], (east, north), chain[i - 1] if i > usual else chain[i]))
    return found


def split_chains(steps: Sequence[Step]) -> list[list[Step]]:
    """Return the runs of sure steps between neighbouring dates."""
    chains: list[list[Step]] = [[]]
    for step in steps:
        if step.is_sure:
            chains[-1].append(step)
        else:
            chains.append([])
    return [chain for chain in chains if chain]
