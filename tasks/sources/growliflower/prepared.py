"""Collapse prepared patches: keep one labelled image of the augmented copies of each original."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from storage.errors import InputError
from tasks.sources.checks import refuse_duplicates, text_table
from tasks.sources.contract import SourceImage
from tasks.sources.growliflower.release import PreparedFile, make_image

ORIGINAL_WORDS = (None, "orig", "original", "0", "none")  # augmentation in the file name of an original, best first


def collapse_copies(files: Iterable[PreparedFile]) -> tuple[list[SourceImage], list[str]]:
    """Keep one image of each original: the copy named as the original, else the first by augmentation and path.

    Returns
    -------
    images : one image per plant and date, with its label.
    notes : number of copies that were skipped, and number of images without a copy that is named as the original.

    Raises
    ------
    InputError : copies have different labels, or two files are the same augmentation of one original.
    """
    originals: dict[tuple[date, str], list[PreparedFile]] = defaultdict(list)
    for file in files:
        originals[file.acquired, file.plant_id].append(file)
    refuse_two_labels(originals)
    images: list[SourceImage] = []
    n_unnamed = 0
    for (day, plant_id), copies in originals.items():
        refuse_duplicates((f"{plant_id} {copy.augmentation or ''}".strip(), day, copy.path) for copy in copies)
        copies.sort(key=augmentation_order)
        n_unnamed += augmentation_order(copies[0])[0] == len(ORIGINAL_WORDS)
        images.append(replace(make_image(plant_id, day, copies[0].path), label=copies[0].label))
    n_passed_by = sum(map(len, originals.values())) - len(originals)
    notes = [f"{n_passed_by} augmented copies of {len(originals)} images passed by"] if n_passed_by else []
    if n_unnamed:
        notes.append(f"{n_unnamed} images have no copy named as the original; the first copy by name stands for it")
    return images, notes


def augmentation_order(file: PreparedFile) -> tuple[int, str, str]:
    """Return the sort key that puts copies named as the original first."""
    word = file.augmentation.lower() if file.augmentation is not None else None
    rank = ORIGINAL_WORDS.index(word) if word in ORIGINAL_WORDS else len(ORIGINAL_WORDS)
    return rank, word or "", file.path


def refuse_two_labels(originals: Mapping[tuple[date, str], Sequence[PreparedFile]]) -> None:
    """Raise InputError if the copies of an original have different labels."""
    counts = {key: Counter(copy.label for copy in copies) for key, copies in originals.items()}
    rows = [(plant, day, n[0], n[1]) for (day, plant), n in sorted(counts.items()) if len(n) > 1]
    if rows:
        raise InputError(
            f"{len(rows)} originals have copies of both labels"
            + text_table(("plant", "date", "label 0", "label 1"), rows),
            "All copies of one original must have the same label",
            "correct the file names",
        )
