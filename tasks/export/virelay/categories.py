"""Sort explained images into the categories that a viewer offers: all, splits, dates and clusters. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.tables.names import SPLIT_NAMES
from storage.tables.rows import Row
from storage.viewers.virelay import Category


def image_categories(table: Sequence[Mapping[str, Any]]) -> list[Category]:
    """Sort images, given by rows with `split` and `date`, into all images, those of each split and of each date."""
    splits, days = (np.asarray([row[name] for row in table]) for name in ("split", "date"))
    found = [Category("all", "all explained images", np.arange(len(table)))]
    found += [Category(split, f"{name} images", np.flatnonzero(splits == split)) for split, name in SPLIT_NAMES.items()]
    found += [Category(day, "date", np.flatnonzero(days == day)) for day in np.unique(days).tolist()]
    return [one for one in found if len(one.places)]


def cluster_categories(clusters: NDArray[np.integer], scores: Iterable[Row]) -> list[Category]:
    """Sort images into the clusters (n,) of their maps, each titled with its reliability.

    Parameters
    ----------
    scores : rows of the table `clusters` of one saliency method.
    """
    return [
        Category(f"cluster {row['cluster']}", reliability_words(row), np.flatnonzero(clusters == row["cluster"]))
        for row in scores
    ]


def reliability_words(score: Row) -> str:
    """Say how many validation answers of a cluster are wrong, with the interval of that share."""
    lower, upper = (round(100 * score[f"error_share_{end}"]) for end in ("lower", "upper"))
    return f"{score['n_wrong']} of {score['n']} wrong, {lower} to {upper} %"
