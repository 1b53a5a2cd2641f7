"""Drift: whether a date's unseen plants look to the classifier like those it was validated on.

Reads `clusters` (the validation maps' clusters) and a date's `assignments`, writes the table `drift`: one row for each
unseen split of the date. Two things are compared with validation:

- how the maps spread over the clusters, by the total variation distance, half the sum of |share - share|;
- how many maps are novel. Novelty is a conformal p-value (Vovk, Gammerman & Shafer 2005, DOI 10.1007/b106715): under
  `NOVEL` for at most one map in twenty by chance. It is for fewer, the fewer validation maps there are: their own
  distances are to four fifths of the others, a new map's are to all of them.

Plants grow, so one date differs from the others without any drift. A shift of clusters therefore counts only beyond the
largest between one validation date and the others, and only where chance is ruled out too.

Chance is told by permutation: which images are the date's, with the images' clusters fixed. The chi-square test of
homogeneity needs expected counts that small clusters do not have, and permutation is exact for the very distance that
is reported, up to the number of permutations. It takes images as exchangeable: unseen maps have the cluster of most of
their neighbours and validation maps their own, so small clusters lose some maps even without drift.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from prefect import task
from pydantic import Field
from scipy.stats import betabinom

from storage.arrays.specs import LABELS
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import ASSIGNMENTS, DRIFT
from storage.tables.names import MADE_BY, UNSEEN
from storage.tables.parquet import Rows, read_columns, rows_to_columns, write_table
from tasks.parameters import Params
from tasks.stage import cached_by, made_once

REVISION = 2
NOVEL = 0.05  # a map is novel below this p-value
LEAST = 20  # validation images; fewer lie over 0.3 from the others in eight equal clusters by chance alone
N_PERMUTATIONS, SEED = 9_999, 0

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class DriftParams(Params):
    """When a date is outside what was validated."""

    max_shift: float = Field(
        default=0.3, ge=0, le=1, description="total variation distance of cluster shares; more is outside"
    )
    max_novel_share: float = Field(
        default=0.15, ge=NOVEL, le=1, description="share of novel maps, at most 0.05 by chance; more is outside"
    )
    significance: float = Field(
        default=0.01, gt=0, lt=1, description="outside only where chance is less likely than this"
    )


def cluster_counts(clusters: ArrayLike, n_clusters: int) -> Counts:
    """Images (n_clusters,) of each cluster 1, 2, ... among some images' clusters (n,)."""
    return np.bincount(np.asarray(clusters, np.int64), minlength=n_clusters + 1)[1:].astype(np.int64)


def total_variation(counts: Counts, others: Counts) -> Floats:
    """Total variation distance of the shares of two lots of images, (...,), 0 to 1.

    It is the largest difference that the two lots have in their share of any set of clusters; 0 where a lot is empty.

    Parameters
    ----------
    counts, others : (..., q) images of each cluster; a cluster may be empty.
    """
    n, n_others = counts.sum(axis=-1), others.sum(axis=-1)
    # In whole numbers, so that equal distances compare as equal.
    gaps = np.abs(counts * n_others[..., None] - others * n[..., None]).sum(axis=-1)
    return gaps / np.maximum(1, 2 * n * n_others)


def shift_p_value(counts: Counts, others: Counts) -> float:
    """Chance of two lots of images at least as far apart with which image is in which lot permuted; 1 if one is empty.

    The clusters' counts of a permuted lot are draws without replacement (multivariate hypergeometric). p = (1 +
    permutations at least as far apart) / (1 + permutations), never 0 (Phipson & Smyth 2010,
    DOI 10.2202/1544-6115.1585).

    Parameters
    ----------
    counts, others : (q,) images of each cluster.
    """
    n, together = int(counts.sum()), counts + others
    if n == 0 or not others.any():
        return 1.0
    random = np.random.default_rng(SEED)
    drawn = random.multivariate_hypergeometric(together, n, N_PERMUTATIONS, method="marginals")
    n_extreme = (total_variation(drawn, together - drawn) >= total_variation(counts, others)).sum()
    return (1 + int(n_extreme)) / (1 + N_PERMUTATIONS)


def natural_shift(labels: ArrayLike, dates: Sequence[str]) -> float:
    """Largest total variation distance of one validation date from the other validation dates, 0 to 1.

    Dates of fewer than `LEAST` images are not compared: they lie far from the others by chance, and one of them would
    excuse every shift of every date. 0 where nothing is left.

    Parameters
    ----------
    labels : (n,) cluster of each validation map, from 1.
    dates : n names.
    """
    clusters, days = np.asarray(labels, np.int64), np.asarray(dates, np.str_)
    n_clusters = int(clusters.max(initial=0))
    total = cluster_counts(clusters, n_clusters)
    of_dates = [cluster_counts(clusters[days == day], n_clusters) for day in np.unique(days)]
    pairs = [(one, total - one) for one in of_dates if min(one.sum(), (total - one).sum()) >= LEAST]
    return max((float(total_variation(*pair)) for pair in pairs), default=0.0)


def novel_share(novelty: ArrayLike, n_validation: int) -> tuple[float, float]:
    """Share of novel maps among the novelties (m,) of some images, and the chance of one at least as large.

    The p-values of one date share their n validation maps: where these happen to lie close together, many maps are
    novel at once. So their number is not binomial. p = (1 + #{validation distances >= s}) / (n + 1) is under `NOVEL`
    if and only if at most k - 1 validation distances are at least s, k the largest whole number with k / (n + 1) under
    `NOVEL`: if s exceeds the k-th largest of them. The chance u that one map does is Beta(k, n + 1 - k) whatever the
    distances' distribution, and given u maps exceed it independently: the number of novel ones is beta-binomial(m, k,
    n + 1 - k) (Bates et al. 2023, DOI 10.1214/22-AOS2244; Marques 2023, arXiv 2308.08986). That holds for maps drawn
    like the validation maps and distances without ties; ties, and distances to fewer maps, make novel maps rarer and
    this chance too large, never too small. Without maps, or with too few validation maps for any to be novel, it is 1.
    """
    values = np.asarray(novelty, np.float64)
    n_novel = int((values < NOVEL).sum())
    k = int((np.arange(1, n_validation + 1) / (n_validation + 1) < NOVEL).sum())  # compared as the novelties are
    if n_novel == 0 or k == 0:
        return n_novel / max(1, len(values)), 1.0
    return n_novel / len(values), float(betabinom.sf(n_novel - 1, len(values), k, n_validation + 1 - k))


def judge_drift(row: dict[str, Any], natural: float, params: DriftParams) -> str:
    """What is outside of what was validated: `clusters`, `novelty`, `clusters novelty` or nothing.

    Parameters
    ----------
    row : share_shift, novel_share and their p-values.
    natural : shift between validation dates that growth and chance explain, as of `natural_shift`.
    """
    limits = {
        "clusters": ("share_shift", max(params.max_shift, natural)),
        "novelty": ("novel_share", params.max_novel_share),
    }
    return " ".join(
        reason
        for reason, (name, limit) in limits.items()
        if row[name] > limit and row[f"{name}_p"] < params.significance
    )


def compare(
    clusters: ArrayLike, novelty: ArrayLike, labels: ArrayLike, natural: float, params: DriftParams
) -> dict[str, Any]:
    """How far some images lie from validation, and whether that is outside: the numbers of a row of `drift`.

    Parameters
    ----------
    clusters, novelty : (n,) of the images, clusters from 1.
    labels : (m,) cluster of each validation map, from 1; novelty counts among the same maps.
    natural : as of `judge_drift`.
    """
    here, validated = np.asarray(clusters, np.int64), np.asarray(labels, np.int64)
    n_clusters = int(max(here.max(initial=0), validated.max(initial=0)))
    counts, others = cluster_counts(here, n_clusters), cluster_counts(validated, n_clusters)
    share, chance = novel_share(novelty, len(validated))
    row: dict[str, Any] = {
        "n": len(here),
        "share_shift": float(total_variation(counts, others)),
        "share_shift_p": shift_p_value(counts, others),
        "novel_share": share,
        "novel_share_p": chance,
    }
    reason = judge_drift(row, natural, params)
    return {**row, "is_outside": bool(reason), "reason": reason}


def drift_rows(assignments: Rows, labels: ArrayLike, natural: float, params: DriftParams) -> list[dict[str, Any]]:
    """Rows of the table `drift`: each unseen split that occurs among the columns of a date's assignments."""
    splits, clusters = np.asarray(assignments["split"], np.str_), np.asarray(assignments["cluster"], np.int64)
    novelty = np.asarray(assignments["novelty"], np.float64)
    return [
        {
            **{name: assignments[name][0] for name in MADE_BY},
            "split": split,
            **compare(clusters[splits == split], novelty[splits == split], labels, natural, params),
        }
        for split in UNSEEN
        if (splits == split).any()
    ]


def validation_dates(clusters: Artifact) -> list[str]:
    """Acquisition date of each validation map, in the order of their labels."""
    return [day for day, rows in clusters.read_json("members.json") for _ in rows]


def drift_recipe(params: DriftParams, clusters: ArtifactRef, assignments: ArtifactRef) -> Recipe:
    """What makes a date's drift."""
    inputs = {"clusters": clusters, "assignments": assignments}
    return Recipe("drift", REVISION, params.model_dump(mode="json"), inputs)


@task(task_run_name="drift {date} {method}", **cached_by(drift_recipe))
@made_once(drift_recipe)
def measure_drift(
    draft: Draft,
    store: Store,
    date: date,
    method: str,
    params: DriftParams,
    clusters: ArtifactRef,
    assignments: ArtifactRef,
) -> None:
    """Compare a date's unseen plants with the validation plants of the clusters."""
    fit = store.open(clusters)
    labels = read_array(fit, LABELS)
    natural = natural_shift(labels, validation_dates(fit))
    table = read_columns(store.open(assignments), ASSIGNMENTS, (*MADE_BY, "split", "cluster", "novelty"))
    rows = drift_rows(table, labels, natural, params)
    outside = [row["split"] for row in rows if row["is_outside"]]
    write_table(draft, DRIFT, rows_to_columns(DRIFT, rows))
    draft.summary = {
        "date": date.isoformat(),
        "natural_shift": natural,
        "n_outside": len(outside),
        "outside": outside,
    }
