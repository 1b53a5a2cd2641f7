"""Match the plants of a harvest table with the plants of the images, and find names that differ only in writing."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

N_NAMED = 10  # plants or pairs that a note names at most

LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
SEPARATORS = re.compile(r"[\s\-_./]")


@dataclass(frozen=True, slots=True)
class Matching:
    """Plants of a harvest table beside the plants of the images of the requested dates.

    Attributes
    ----------
    table : file name of the harvest table.
    in_table : ids of all plants that the table names.
    in_images : ids of all plants that have an image.
    in_need : ids of the plants whose labels the campaign needs: in the split `train`, `val` or `test`, and without a
        label that the source states. A plant without a split is only scored, so it may lack a row.
    harvested : day by which a plant was harvested, by id, for the plants that the table says were.
    """

    table: str
    in_table: frozenset[str]
    in_images: frozenset[str]
    in_need: frozenset[str]
    harvested: Mapping[str, date] = field(default_factory=dict[str, date])

    @property
    def without_image(self) -> list[str]:
        """Return the plants of the table that have no image, sorted."""
        return sorted(self.in_table - self.in_images)

    @property
    def without_row(self) -> list[str]:
        """Return the plants of the images that have no row in the table, sorted."""
        return sorted(self.in_images - self.in_table)

    @property
    def unlabelled(self) -> list[str]:
        """Return the plants that need a row in the table and have none, sorted."""
        return sorted(self.in_need - self.in_table)

    @property
    def near(self) -> list[tuple[str, str]]:
        """Return pairs of a plant of the table and a plant of the images that are probably the same plant."""
        return near_matches(self.without_image, self.without_row)


def plain_name(name: str) -> str:
    """Return a plant id in lower case, without spaces, separators `-_./` and leading zeros of its numbers."""
    return SEPARATORS.sub("", LEADING_ZEROS.sub("", name.lower()))


def near_matches(left: Iterable[str], right: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs (left, right) of plant ids that are equal as `plain_name`, sorted."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for one in right:
        by_name[plain_name(one)].append(one)
    return sorted((one, other) for one in left for other in by_name[plain_name(one)])


def describe_matching(matching: Matching) -> list[str]:
    """Return notes on rows without an image, plants without a row, and names that differ only in writing."""
    notes: list[str] = []
    table, without_image, without_row = matching.table, matching.without_image, matching.without_row
    if without_image:
        n = f"{len(without_image)} of {len(matching.in_table)} plants in {table}"
        notes.append(f"{n} have no image on the requested dates: {name_some(without_image)}")
    if without_row:
        n = f"{len(without_row)} of {len(matching.in_images)} plants with an image"
        need = f"{len(matching.unlabelled)} of them in train, val or test"
        notes.append(f"{n} have no row in {table}, {need}: {name_some(without_row)}")
    if near := matching.near:
        pairs = name_some([f"table `{one}` looks like plant `{other}`" for one, other in near])
        notes.append(f"plants written differently in {table} and in the images: {pairs}")
    return notes


def name_some(names: list[str]) -> str:
    """Join the first names of a list by commas, and count the others."""
    others = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return ", ".join(names[:N_NAMED]) + others
