"""Count the plants that a date has pictures of, beside those that should stand on it.

A part of a date's files can look complete: nothing is copied any more, because the copy was cut off or the second half
comes another day. Such a date is scored, with a mark wherever its numbers are shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from storage.artifacts import ArtifactRef, Store
from tasks.sources.matching import Matching

# Share of the expected plants under which a date is marked. A flight misses some plants, and those that were harvested
# since the harvest table was written cannot be known. A date cut off in the middle, or without one plot of a few, lacks
# more than a fifth.
FEW = 0.8
# Reasons of plants that are left out without a picture of the date.
PICTURELESS = frozenset({"missing_file", "missing_raster", "outside_raster"})
HARVESTED = "harvested"  # reason of plants that no longer stand


@dataclass(frozen=True)
class Completeness:
    """Numbers of a date's plants.

    Attributes
    ----------
    n_plants : expected plants of which the date has a picture; all plants with one if it is unknown which are expected.
    n_expected : plants that should stand; None if unknown.
    """

    n_plants: int
    n_expected: int | None = None

    @property
    def is_few(self) -> bool:
        """Return whether the date has far fewer plants than should stand."""
        return self.n_expected is not None and self.n_plants < FEW * self.n_expected

    @property
    def mark(self) -> str:
        """Return the counts in words if there are far fewer plants than expected; else an empty text."""
        return f"{self.n_plants} of {self.n_expected} expected plants" if self.is_few else ""


def standing_plants(plants: Iterable[Mapping[str, Any]], matching: Matching | None, day: date) -> set[str]:
    """Return the ids of a campaign's plants that are not known to be harvested before a date.

    Parameters
    ----------
    plants : rows of the table `plants` of the campaign.
    matching : harvest table of the source as it is now, which counts more than what the campaign knew; None without.
    """
    known = {row["plant_id"]: row["harvest_by"] for row in plants}
    if matching is not None:
        known |= {plant: matching.harvested.get(plant) for plant in known.keys() & matching.in_table}
    return {plant for plant, by in known.items() if by is None or by >= day}


def count_plants(listing: Mapping[str, Any], standing: Iterable[str] | None) -> Completeness:
    """Count the plants of a date's listing among those that should stand; None if it is unknown which do."""
    left_out = listing["left_out"]
    gone = {entry["plant_id"] for entry in left_out if entry["reason"] == HARVESTED}
    pictured = {entry["plant_id"] for entry in listing["images"]}
    pictured |= {entry["plant_id"] for entry in left_out if entry["reason"] not in PICTURELESS} - gone
    if standing is None:
        return Completeness(len(pictured))
    expected = set(standing) - gone
    return Completeness(len(pictured & expected), len(expected))


def scored_completeness(store: Store, artifacts: Mapping[str, ArtifactRef], day: date) -> Completeness | None:
    """Read the numbers of plants of a scored date from its artefacts by role; None if an earlier version scored it."""
    ref = artifacts.get(f"acquisition {day}")
    return None if ref is None else read_completeness(store.open(ref).summary)


def scored_mark(store: Store, artifacts: Mapping[str, ArtifactRef], day: date) -> str:
    """Return the mark of a scored date (see `Completeness.mark`); empty if it has none, or its numbers are unknown."""
    counts = scored_completeness(store, artifacts, day)
    return counts.mark if counts else ""


def read_completeness(summary: Mapping[str, Any]) -> Completeness | None:
    """Read the numbers of plants from the summary of an artefact `acquisition`; None where it has none."""
    n_plants = summary.get("n_plants")
    return None if n_plants is None else Completeness(n_plants, summary["n_expected"])
