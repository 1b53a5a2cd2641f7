"""Fit how time and memory grow with the number of plant-dates. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MILLION, LIMIT_GIB = 1_000_000, 4.0
GIB, MB = 2**30, 1e6


@dataclass(frozen=True)
class Measured:
    """Measurement of one stage at one size: seconds, and megabytes (10^6 bytes) before the stage and at the peak."""

    n: int
    seconds: float
    start_mb: float
    peak_mb: float


@dataclass(frozen=True)
class Growth:
    """Growth of a stage's time and memory with the number of plant-dates.

    Attributes
    ----------
    exponent : slope of log seconds over log size through all sizes, including fixed costs.
    fixed_s : fixed costs in seconds, such as loading the classifier, drawing figures and resampling: the value at
        size 0 of a line through the two smallest sizes, at least 0.
    exponent_of_work : slope between the two largest sizes without fixed costs; None with fewer than three sizes.
    bytes_each : slope of peak memory over size by least squares, in bytes per plant-date.
    gib_at_million : peak memory in GiB at 1,000,000 plant-dates, by the same line.
    """

    exponent: float
    fixed_s: float
    exponent_of_work: float | None
    bytes_each: float
    gib_at_million: float

    @property
    def fits(self) -> bool:
        """Return whether extrapolated memory at 1,000,000 plant-dates stays under 4 GiB."""
        return self.gib_at_million < LIMIT_GIB


def growth(rows: Sequence[Measured]) -> Growth:
    """Fit the growth of one stage over at least two ascending sizes."""
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
    """Return a stage's entry of `build/bench-scale.json`."""
    sizes = [{**vars(row), "per_second": row.n / row.seconds} for row in rows]
    if len(rows) < 2:
        return {"stage": stage, "sizes": sizes}
    found = growth(rows)
    return {"stage": stage, "sizes": sizes, **vars(found), "is_under_limit": found.fits}
