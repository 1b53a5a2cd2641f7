"""Counts of a campaign, what they must allow, and how they compare with the paper's."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from storage.errors import InputError

# Kierdorf & Roscher 2023, section 2.2; training images per class from the augmented counts 2,432 / 8 and 3,792 / 16.
PAPER_DATES = ("2021-08-23", "2021-08-25", "2021-08-30", "2021-09-03")
PAPER_COUNTS = {"train": 541, "val": 196, "test": 194, "train not_ready": 304, "train ready": 237}
LEAST_PLANTS = 3  # one is left out, and of the others one again, to learn what the signals are worth


@dataclass(frozen=True)
class Counts:
    """Images of a campaign.

    Attributes
    ----------
    by_split : images by split and class name; `unlabelled` where no label is known.
    validation_plants : plants with labelled validation images.
    """

    dates: tuple[str, ...]
    classes: tuple[str, ...]
    by_split: dict[str, dict[str, int]]
    validation_plants: int

    @classmethod
    def of(cls, listings: Iterable[dict[str, Any]]) -> "Counts":
        """Count the images of the dates' listings, at least one; they are taken one after another."""
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
        """All images."""
        return sum(sum(split.values()) for split in self.by_split.values())

    def labelled(self, split: str) -> dict[str, int]:
        """Labelled images of a split by class name."""
        return {name: self.by_split.get(split, {}).get(name, 0) for name in self.classes}

    def table(self) -> str:
        """The counts as lines of text."""
        lines = [
            f"    {split}: " + ", ".join(f"{n} {name}" for name, n in counts.items())
            for split, counts in sorted(self.by_split.items())
        ]
        return "\n".join(lines) or "    no images"


def check_counts(counts: Counts, n_needed: int, is_trained: bool) -> None:
    """Refuse a campaign that cannot be analysed.

    Parameters
    ----------
    counts : of the whole campaign.
    n_needed : labelled validation images that clusters and neighbours need.
    is_trained : whether a classifier is trained, rather than given.

    Raises
    ------
    InputError : a class without training images; too few labelled validation images, or of too few plants.
    """
    training = counts.labelled("train")
    if len(counts.classes) < 2 or (is_trained and min(training.values()) == 0):
        raise InputError(
            f"classes {', '.join(counts.classes)}:\n{counts.table()}",
            "A campaign needs at least two classes with training images each",
            "add dates or plants that show the other class, check the harvest table and ingest.window_days",
        )
    n_validation = sum(counts.labelled("val").values())
    if n_validation < n_needed:
        raise InputError(
            f"{n_validation} labelled validation images:\n{counts.table()}",
            f"There must be at least {n_needed} labelled validation images, one for each of cluster.n_clusters "
            "and more than cluster.neighbours",
            "add dates or plants to the validation split, or lower cluster.n_clusters and cluster.neighbours",
        )
    if counts.validation_plants < LEAST_PLANTS:
        raise InputError(
            f"{counts.validation_plants} plants in {n_validation} images:\n{counts.table()}",
            f"Labelled validation images must show at least {LEAST_PLANTS} plants, as cross-fitting leaves plants out",
            "add plants to the validation split",
        )


def paper_comparison(counts: Counts) -> dict[str, dict[str, int]]:
    """The paper's counts beside ours, when its four dates of two classes were asked for; otherwise empty."""
    if tuple(sorted(counts.dates)) != PAPER_DATES or len(counts.classes) != 2:
        return {}
    ours = {split: sum(counts.labelled(split).values()) for split in ("train", "val", "test")}
    not_ready, ready = counts.labelled("train").values()
    ours |= {"train not_ready": not_ready, "train ready": ready}
    return {name: {"paper": n, "found": ours[name], "difference": ours[name] - n} for name, n in PAPER_COUNTS.items()}
