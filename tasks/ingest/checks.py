"""Count the images of a campaign, refuse counts that allow no analysis, and compare them with the paper's counts."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from storage.errors import InputError
from tasks.sources.checks import text_table
from tasks.sources.matching import N_NAMED, Matching

# Kierdorf & Roscher 2023, section 2.2; training images per class from the augmented counts 2,432 / 8 and 3,792 / 16.
PAPER_DATES = ("2021-08-23", "2021-08-25", "2021-08-30", "2021-09-03")
PAPER_COUNTS = {"train": 541, "val": 196, "test": 194, "train not_ready": 304, "train ready": 237}
LEAST_PLANTS = 3  # validation plants needed, as nested cross-fitting leaves out one plant, then another of the rest


@dataclass(frozen=True)
class Counts:
    """Numbers of images and plants of a campaign.

    Attributes
    ----------
    by_split : number of images by split and class name; images without a label count as `unlabelled`.
    validation_plants : number of plants with labelled validation images.
    """

    dates: tuple[str, ...]
    classes: tuple[str, ...]
    by_split: dict[str, dict[str, int]]
    validation_plants: int

    @classmethod
    def of(cls, listings: Iterable[dict[str, Any]]) -> "Counts":
        """Count the images of one or more dates' listings, which are read one after another."""
        classes, dates = tuple[str, ...](), list[str]()
        by_split: dict[str, dict[str, int]] = {}
        plants: set[str] = set()
        for listing in listings:
            classes = classes or tuple(listing["classes"])
            dates.append(listing["date"])
            for entry in listing["images"]:
                split = by_split.setdefault(entry["split"], dict.fromkeys((*classes, "unlabelled"), 0))
                split["unlabelled" if entry["label"] is None else classes[entry["label"]]] += 1
                if entry["split"] == "val" and entry["label"] is not None:
                    plants.add(entry["plant_id"])
        return cls(tuple(dates), classes, by_split, len(plants))

    @property
    def n_images(self) -> int:
        """Return the number of all images."""
        return sum(sum(split.values()) for split in self.by_split.values())

    def labelled(self, split: str) -> dict[str, int]:
        """Return the number of labelled images of a split by class name."""
        return {name: self.by_split.get(split, {}).get(name, 0) for name in self.classes}

    def table(self) -> str:
        """Return the counts as lines of text, one line a split."""
        lines = [
            f"    {split}: " + ", ".join(f"{n} {name}" for name, n in counts.items())
            for split, counts in sorted(self.by_split.items())
        ]
        return "\n".join(lines) or "    no images"


def check_counts(counts: Counts, n_needed: int, is_trained: bool) -> None:
    """Refuse a campaign that has too few images or plants for the analysis.

    Parameters
    ----------
    counts : counts of the whole campaign.
    n_needed : number of labelled validation images that clusters and neighbours need.
    is_trained : whether a classifier is trained rather than given.

    Raises
    ------
    InputError : a class has no training images, or there are too few labelled validation images or plants.
    """
    training = counts.labelled("train")
    if len(counts.classes) < 2 or (is_trained and min(training.values()) == 0):
        raise InputError(
            f"The campaign has the classes {', '.join(counts.classes) or 'none'} and these images:\n{counts.table()}",
            "A campaign must have at least two classes, each with training images",
            "add dates or plants that show the other class, check the harvest table and ingest.window_days",
        )
    n_validation = sum(counts.labelled("val").values())
    if n_validation < n_needed:
        raise InputError(
            f"Only {n_validation} validation images have a label:\n{counts.table()}",
            f"At least {n_needed} validation images must have a label: at least cluster.n_clusters, and more than "
            "cluster.neighbours",
            "add dates or plants to the validation split, or lower cluster.n_clusters and cluster.neighbours",
        )
    if counts.validation_plants < LEAST_PLANTS:
        raise InputError(
            f"The {n_validation} labelled validation images show only {counts.validation_plants} plants:\n"
            f"{counts.table()}",
            f"Labelled validation images must show at least {LEAST_PLANTS} plants, as cross-fitting leaves plants out",
            "add plants to the validation split",
        )


def check_matching(matching: Matching | None, max_unmatched: float) -> None:
    """Refuse a harvest table whose plants are mostly not those of the images.

    Parameters
    ----------
    matching : plants of the table and of the images; None if there is no table.
    max_unmatched : largest allowed share of plants without an image or without a row, in [0, 1].

    Raises
    ------
    InputError : more of the table's plants have no image, or more of the plants in train, val and test have no row. The
        message gives both counts and names plants that are probably the same.
    """
    if matching is None:
        return
    table, in_table, in_need = matching.table, len(matching.in_table), len(matching.in_need)
    without_image, unlabelled = matching.without_image, matching.unlabelled
    if len(without_image) <= max_unmatched * in_table and len(unlabelled) <= max_unmatched * in_need:
        return
    near = matching.near
    shown = near or list(zip_longest(without_image[:N_NAMED], matching.without_row[:N_NAMED], fillvalue=""))
    looks = f"; {len(near)} differ only in case, separators, spaces or leading zeros" if near else ""
    raise InputError(
        f"{len(without_image)} of {in_table} plants in {table} have no image on the requested dates, and "
        f"{len(unlabelled)} of {in_need} plants in train, val and test have no row in {table}{looks}"
        + text_table((f"only in {table}", "only in the images"), shown, N_NAMED),
        f"At most {max_unmatched:.0%} of either may be without the other (ingest.max_unmatched)",
        f"write the plants in {table} as in the images, check that all images are there, or raise "
        "ingest.max_unmatched if one of the two is of a larger field",
    )


def paper_comparison(counts: Counts) -> dict[str, dict[str, int]]:
    """Return the paper's counts beside the campaign's, or nothing unless it has the paper's four dates and two classes.

    Returns
    -------
    `paper`, `found` and `difference` by split, and by class of the training images.
    """
    if tuple(sorted(counts.dates)) != PAPER_DATES or len(counts.classes) != 2:
        return {}
    ours = {split: sum(counts.labelled(split).values()) for split in ("train", "val", "test")}
    not_ready, ready = counts.labelled("train").values()
    ours |= {"train not_ready": not_ready, "train ready": ready}
    return {name: {"paper": n, "found": ours[name], "difference": ours[name] - n} for name, n in PAPER_COUNTS.items()}
