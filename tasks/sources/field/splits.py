"""Split a field into training, validation and test by blocks in space, and measure how far the splits lie apart."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.contract import SourceImage

SLACK = 1e-3  # metres by which plants may be nearer than a margin, because positions are rounded to it
# Splits that give up plants that lie too near to those of the others, in this order.
ORDER: tuple[tuple[Split, tuple[Split, ...]], ...] = (("test", ("val",)), ("train", ("val", "test")))
SHARES: dict[Split, float] = {"train": 0.6, "val": 0.2, "test": 0.2}  # share of the plants that each split aims at


@dataclass(frozen=True, slots=True)
class Blocks:
    """How splits are drawn where the file states none.

    Attributes
    ----------
    side : side of square blocks, metres; None draws whole plots.
    margin : distance along easting or northing that plants of different splits keep where square blocks are drawn,
        metres.
    seed : seed of the draw.
    """

    side: float | None
    margin: float
    seed: int


def draw_blocks(blocks: Sequence[str], seed: int) -> dict[str, Split]:
    """Draw a split for every block, so that about 60 % of the plants are for training and 20 % each for the others.

    Blocks come in a random order. Each goes to the split that lacks most plants. The last blocks go to splits that have
    none.

    Parameters
    ----------
    blocks : name of each plant's block.
    seed : equal seeds give equal splits.

    Raises
    ------
    InputError : there are fewer than three blocks.
    """
    sizes, names = Counter(blocks), sorted(set(blocks))
    if len(names) < len(SHARES):
        raise InputError(
            f"The plants lie in {len(names)} blocks: {', '.join(names)}",
            "Training, validation and test need at least three blocks",
            "state smaller blocks with source.block_metres, or a column with source.plants.split_column",
        )
    split_of: dict[str, Split] = {}
    lacking = {split: share * len(blocks) for split, share in SHARES.items()}
    order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    for n_left, block in zip(range(len(order), 0, -1), order, strict=True):
        empty: list[Split] = [split for split in SHARES if split not in split_of.values()]
        open_to: list[Split] = empty if n_left <= len(empty) else list(SHARES)
        split = max(open_to, key=lambda one: lacking[one])
        split_of[block] = split
        lacking[split] -= sizes[block]
    return split_of


def square_blocks(east: NDArray[np.float64], north: NDArray[np.float64], side: float) -> list[str]:
    """Return the name of the square in which each position lies, of a grid through the least easting and northing.

    Parameters
    ----------
    side : side of a square, metres.
    """
    columns = np.floor((east - east.min()) / side).astype(int)
    rows = np.floor((north - north.min()) / side).astype(int)
    return [f"block {column}/{row}" for column, row in zip(columns, rows, strict=True)]


def keep_apart(
    east: NDArray[np.float64], north: NDArray[np.float64], splits: Sequence[Split], margin: float
) -> list[Split]:
    """Return splits in which plants of different ones lie a margin apart; plants that are too near become `new`.

    Validation keeps all its plants. Test plants that are too near to one of them are set aside. So are training plants
    that are too near to a plant left in validation or test, because training has most plants to spare.

    Parameters
    ----------
    margin : distance along easting or northing, metres. Crops of one side are squares along these axes, and share no
        pixel if they lie a side apart along one of them.

    Raises
    ------
    InputError : a split is left without plants.
    """
    kept = list(splits)
    for split, before in ORDER:
        for n in find_near(east, north, kept, split, before, margin).tolist():
            kept[n] = "new"
    if lost := [split for split in SHARES if split not in kept]:
        raise InputError(
            f"A margin of {margin:g} m between blocks leaves no plant for {' and '.join(lost)}",
            "Training, validation and test need plants that lie the margin apart",
            "state larger blocks with source.block_metres, or a smaller source.block_margin",
        )
    return kept


def find_near(
    east: NDArray[np.float64],
    north: NDArray[np.float64],
    splits: Sequence[Split],
    split: Split,
    others: Sequence[Split],
    margin: float,
) -> NDArray[np.int64]:
    """Return the numbers of the plants of a split that lie less than a margin from a plant of other splits.

    Parameters
    ----------
    margin : distance along easting or northing, metres.
    """
    places, names = np.column_stack([east, north]), np.array(splits)
    mine, theirs = np.flatnonzero(names == split), np.isin(names, others)
    if not len(mine) or not theirs.any():
        return np.zeros(0, np.int64)
    metres = scipy.spatial.KDTree(places[theirs]).query(places[mine], p=np.inf)[0]
    return mine[metres < margin - SLACK]


def is_set_aside(one: SourceImage) -> bool:
    """Return whether a plant is in no split because it lies too near to plants of another one."""
    return one.split == "new" and one.split_source == "blocks"


def without_labels(images: Iterable[SourceImage]) -> list[SourceImage]:
    """Return images in which plants that are set aside have no label.

    Their crops show ground of plants that the classifier was trained or judged on. With a label they would be judged
    among the plants that no stage learns from.
    """
    return [replace(one, label=None, harvest=None) if is_set_aside(one) else one for one in images]


def describe_splits(
    east: NDArray[np.float64], north: NDArray[np.float64], splits: Sequence[Split], crop_metres: float
) -> list[str]:
    """Return notes on how far validation and test plants lie from training plants, and on crops that they share.

    Parameters
    ----------
    crop_metres : side of a crop, metres.
    """
    places, names = np.column_stack([east, north]), np.array(splits)
    near, far = names == "train", np.isin(names, ["val", "test"])
    if not near.any() or not far.any():
        return []
    metres = scipy.spatial.KDTree(places[near]).query(places[far])[0]
    notes = [
        f"validation and test plants lie {metres.min():.2f} m or more from the next training plant, "
        f"half of them {np.median(metres):.2f} m or more"
    ]
    n_shared = sum(len(find_near(east, north, splits, split, ["train"], crop_metres)) for split in ("val", "test"))
    if n_shared:
        notes.append(
            f"crops of {n_shared} of {np.count_nonzero(far)} validation and test plants show ground that crops of "
            "training plants show too, so accuracy on them may look better than it is"
        )
    return notes
