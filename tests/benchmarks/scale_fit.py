"""How time and memory grow with the number of plant-dates: fits and their words. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MILLION, LIMIT_GIB = 1_000_000, 4.0
GIB, MB = 2**30, 1e6


@dataclass(frozen=True)
class Measured:
    """One stage at one size: seconds, and megabytes (10^6 bytes) of the process before and at most."""

    n: int
    seconds: float
    start_mb: float
    peak_mb: float


@dataclass(frozen=True)
class Growth:
    """How a stage grows.

    Attributes
    ----------
    exponent : slope of log seconds over log size through all sizes, fixed costs included.
    fixed_s : seconds that a line through the two smallest sizes leaves at size 0: loading the classifier, drawing
        figures, resampling. 0 where the line leaves less than nothing.
    exponent_of_work : the slope between the two largest sizes without them; None with fewer than three sizes, where
        nothing would be left to tell.
    bytes_each : slope of peak memory over size, least squares.
    gib_at_million : the same line at 1,000,000 plant-dates.
    """

    exponent: float
    fixed_s: float
    exponent_of_work: float | None
    bytes_each: float
    gib_at_million: float

    @property
    def fits(self) -> bool:
        """Whether memory at 1,000,000 plant-dates stays under 4 GiB by this line."""
        return self.gib_at_million < LIMIT_GIB


def growth(rows: Sequence[Measured]) -> Growth:
    """Growth of one stage over at least two sizes, ascending."""
    n, seconds = (np.asarray([getattr(row, name) for row in rows], np.float64) for name in ("n", "seconds"))
    fixed = max(0.0, float(seconds[0] - n[0] * (seconds[1] - seconds[0]) / (n[1] - n[0])))
    exponent = float(np.polyfit(np.log(n), np.log(seconds), 1)[0])
    of_work = None
    if len(rows) > 2 and seconds[-2] > fixed:
        work = np.maximum(seconds - fixed, 1e-9)
        of_work = float(np.log(work[-1] / work[-2]) / np.log(n[-1] / n[-2]))
    peak = np.asarray([row.peak_mb for row in rows]) * MB
    slope, start = np.polyfit(n, peak, 1)
    return Growth(exponent, fixed, of_work, float(slope), float(start + slope * MILLION) / GIB)


def as_json(stage: str, rows: Sequence[Measured]) -> dict[str, Any]:
    """A stage's entry of `build/bench-scale.json`."""
    sizes = [{**vars(row), "per_second": row.n / row.seconds} for row in rows]
    if len(rows) < 2:
        return {"stage": stage, "sizes": sizes}
    found = growth(rows)
    return {"stage": stage, "sizes": sizes, **vars(found), "is_under_limit": found.fits}
