"""Split a field into training, validation and test by blocks in space, and measure how far the splits lie apart."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from storage.errors import InputError
from storage.tables.names import Split

SHARES: dict[Split, float] = {"train": 0.6, "val": 0.2, "test": 0.2}  # share of the plants that each split aims at


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


def describe_distance(east: NDArray[np.float64], north: NDArray[np.float64], splits: Sequence[Split]) -> list[str]:
    """Return a note on how far validation and test plants lie from training plants."""
    places, names = np.column_stack([east, north]), np.array(splits)
    near, far = names == "train", np.isin(names, ["val", "test"])
    if not near.any() or not far.any():
        return []
    metres = KDTree(places[near]).query(places[far])[0]
    return [
        f"validation and test plants lie {metres.min():.2f} m or more from the next training plant, "
        f"half of them {np.median(metres):.2f} m or more"
    ]
