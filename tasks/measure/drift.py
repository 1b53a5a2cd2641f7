"""Measure drift: whether a date's unseen plants look to the classifier like the validation plants.

Reads `clusters` (those of the validation maps) and a date's `assignments`. Writes the table `drift`, with one row for
each unseen split of the date. Two things are compared with validation:

- the shares of the clusters, by the total variation distance, which is half the sum of |share - share|;
- the number of novel maps. Novelty is a conformal p-value (Vovk, Gammerman & Shafer 2005, DOI 10.1007/b106715). By
  chance, it is under `NOVEL` for at most one map in twenty. With few validation maps the rate is lower, because their
  own distances are to four fifths of the others, while those of a new map are to all.

Plants grow, so one date differs from the others without any drift. A shift of clusters therefore counts only if it
exceeds the largest one between a validation date and the others, and if chance is ruled out too.

The test permutes which images belong to the date, with the clusters of the images fixed. The chi-square test of
homogeneity needs expected counts that small clusters do not have. Permutation is exact for the reported distance, up to
the number of permutations. It assumes that images are exchangeable. But unseen maps get the cluster of most of their
neighbours, while validation maps have their own. So small clusters lose some maps even without drift.
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
NOVEL = 0.05  # p-value below which a map is novel
LEAST = 20  # fewest validation images of a date to compare; in eight equal clusters, fewer are over 0.3 off by chance
N_PERMUTATIONS, SEED = 9_999, 0  # permutations of the test, and their random seed

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


class DriftParams(Params):
    """Limits beyond which a date is outside what was validated."""

    max_shift: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Largest total variation distance (0..1) between cluster shares of a date and of validation; a "
        "date above it is outside",
    )
    max_novel_share: float = Field(
        default=0.15,
        ge=NOVEL,
        le=1,
        description="Largest share of novel maps of a date, at most 0.05 by chance; a date above it is outside",
    )
    significance: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Significance level of both drift tests; a date is outside only if its p-value is lower",
    )


def cluster_counts(clusters: ArrayLike, n_clusters: int) -> Counts:
    """Count the images (n_clusters,) in each cluster 1, 2, ..., given the clusters (n,) of the images."""
    return np.bincount(np.asarray(clusters, np.int64), minlength=n_clusters + 1)[1:].astype(np.int64)


def total_variation(counts: Counts, others: Counts) -> Floats:
    """Return the total variation distance (...,) in 0..1 between the cluster shares of two sets of images.

    It is the largest difference of their shares in any group of clusters. It is 0 if one set is empty.

    Parameters
    ----------
    counts, others : (..., q) images in each cluster; a cluster may be empty.
    """
    n, n_others = counts.sum(axis=-1), others.sum(axis=-1)
    # The gaps are whole numbers, so that equal distances compare as equal.
    gaps = np.abs(counts * n_others[..., None] - others * n[..., None]).sum(axis=-1)
    return gaps / np.maximum(1, 2 * n * n_others)


def shift_p_value(counts: Counts, others: Counts) -> float:
    """Return the permutation p-value of the distance between two sets of images; 1 if one is empty.

    Permuted is which image is in which set. The cluster counts of a permuted set are draws without replacement
    (multivariate hypergeometric). p = (1 + permutations at least as far apart) / (1 + permutations), which is never 0
    (Phipson & Smyth 2010, DOI 10.2202/1544-6115.1585).

    Parameters
    ----------
    counts, others : (q,) images in each cluster.
    """
    n, together = int(counts.sum()), counts + others
    if n == 0 or not others.any():
        return 1.0
    random = np.random.default_rng(SEED)
    drawn = random.multivariate_hypergeometric(together, n, N_PERMUTATIONS, method="marginals")
    n_extreme = (total_variation(drawn, together - drawn) >= total_variation(counts, others)).sum()
    return (1 + int(n_extreme)) / (1 + N_PERMUTATIONS)


def natural_shift(labels: ArrayLike, dates: Sequence[str]) -> float:
    """Return the largest total variation distance (0..1) of one validation date from the other validation dates.

    Dates with fewer than `LEAST` images are not compared. By chance they are far from the others, and one of them would
    excuse every shift. The distance is 0 if no date is left.

    Parameters
    ----------
    labels : (n,) cluster of each validation map, from 1.
    dates : (n,) date of each validation map.
    """
    clusters, days = np.asarray(labels, np.int64), np.asarray(dates, np.str_)
    n_clusters = int(clusters.max(initial=0))
    total = cluster_counts(clusters, n_clusters)
    of_dates = [cluster_counts(clusters[days == day], n_clusters) for day in np.unique(days)]
    pairs = [(one, total - one) for one in of_dates if min(one.sum(), (total - one).sum()) >= LEAST]
    return max((float(total_variation(*pair)) for pair in pairs), default=0.0)


def novel_share(novelty: ArrayLike, n_validation: int) -> tuple[float, float]:
    """Return the share of novel maps among the novelties (m,) of some images, and its p-value.

    The p-values of one date share their n validation maps. If these happen to lie close together, many maps are novel
    at once. So their number is not binomial.

    The novelty p = (1 + #{validation distances >= s}) / (n + 1) is under `NOVEL` if and only if s exceeds the k-th
    largest validation distance. Here k is the largest whole number with k / (n + 1) under `NOVEL`. The probability u
    that one map does so is Beta(k, n + 1 - k), whatever the distribution of distances. Given u, maps do so
    independently. So the number of novel maps is beta-binomial(m, k, n + 1 - k) (Bates et al. 2023,
    DOI 10.1214/22-AOS2244; Marques 2023, arXiv 2308.08986).

    This holds for maps drawn like the validation maps, and for distances without ties. Ties, and distances to fewer
    maps, make novel maps rarer. They make the p-value too large, never too small. It is 1 without maps, or with too few
    validation maps for any to be novel.
    """
    values = np.asarray(novelty, np.float64)
    n_novel = int((values < NOVEL).sum())
    k = int((np.arange(1, n_validation + 1) / (n_validation + 1) < NOVEL).sum())  # same rounding as the novelties
    if n_novel == 0 or k == 0:
        return n_novel / max(1, len(values)), 1.0
    return n_novel / len(values), float(betabinom.sf(n_novel - 1, len(values), k, n_validation + 1 - k))


def judge_drift(row: dict[str, Any], natural: float, params: DriftParams) -> str:
    """Return why some images are outside what was validated: `clusters`, `novelty`, `clusters novelty` or empty.

    Parameters
    ----------
    row : share_shift, novel_share and their p-values.
    natural : shift between validation dates that growth and chance explain (see `natural_shift`).
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
    """Compare some images with validation; returns the numbers of a row of the table `drift`.

    Parameters
    ----------
    clusters, novelty : (n,) cluster, from 1, and novelty p-value of each image.
    labels : (m,) cluster of each validation map, from 1; the novelty is computed against the same maps.
    natural : shift between validation dates (see `natural_shift`).
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
    """Return the rows of the table `drift`, one for each unseen split among a date's assignments."""
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
    """Return the acquisition date of each validation map, in the order of the labels."""
    return [day for day, rows in clusters.read_json("members.json") for _ in rows]


def drift_recipe(params: DriftParams, clusters: ArtifactRef, assignments: ArtifactRef) -> Recipe:
    """Return the recipe of a date's drift."""
    inputs = {"clusters": clusters, "assignments": assignments}
    return Recipe("drift", REVISION, params.model_dump(mode="json"), inputs)


@task(task_run_name="drift {campaign} {date} {method}", **cached_by(drift_recipe))
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
    """Compare a date's unseen plants with the validation plants to which the clusters were fitted."""
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
