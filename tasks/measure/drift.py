"""Measure drift: whether a date's unseen plants look to the classifier like the validation plants.

Reads `crossfit` (validation images of all dates) and a date's `assignments` and `predictions`. Writes the table
`drift`, with one row for each unseen split of the date. Three things are compared with validation:

- the shares of the clusters, by the total variation distance, which is half the sum of |share - share|;
- the shares of the classifier's answers, by the same distance. They differ where more plants are ready than in
  validation, and reliability does not carry over to such a date;
- the number of novel maps. Novelty is a cross-conformal p-value (see `tasks.cluster.novelty`). By chance, it is under
  `NOVEL` for about one map in twenty.

Plants grow, so one date differs from the others without any drift. A shift of clusters or answers therefore counts only
if it exceeds the largest one between a validation date and the others, and if chance is ruled out too.

Plants that the fit has seen are left out. A plant that trained the classifier, or whose earlier maps are validation
maps, is no example of a new plant. Validation maps are compared by the cluster that they would get if they were new:
that of most of their nearest maps of other plants.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from prefect import task

from storage.arrays.specs import VOTES
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import ASSIGNMENTS, CROSSFIT, DRIFT, PREDICTIONS
from storage.tables.names import MADE_BY, UNSEEN
from storage.tables.parquet import Rows, read_columns, rows_to_columns, write_table
from tasks.measure.params import NOVEL, DriftParams
from tasks.measure.shift import natural_shift, plant_shares, shift
from tasks.stage import cached_by, made_once

REVISION = 3


@dataclass(frozen=True)
class Validated:
    """Labelled validation images, to which the plants of a date are compared.

    Attributes
    ----------
    votes : (n,) cluster, from 1, that most of a map's nearest maps of other plants have.
    answers : (n,) class that the classifier answers.
    plants, dates : (n,) plant and acquisition date of each image.
    """

    votes: NDArray[np.int64]
    answers: NDArray[np.int64]
    plants: list[str]
    dates: list[str]

    @property
    def n_plants(self) -> int:
        """Return the number of plants."""
        return len(set(self.plants))


def natural_shifts(known: Validated) -> dict[str, float]:
    """Return the shifts between validation dates that growth and chance explain, by the column that they excuse."""
    return {
        name: natural_shift(kinds, known.plants, known.dates, int(kinds.max(initial=0)) + 1)
        for name, kinds in (("share_shift", known.votes), ("answer_shift", known.answers))
    }


def novel_share(novelty: ArrayLike, n_validation: int, n_plants: int) -> tuple[float, float]:
    """Return the share of novel maps among the novelties (m,) of some plants' images, and its p-value.

    The p-values of one date share their validation maps. If these happen to lie close together, many maps are novel at
    once. So their number is not binomial.

    With one distance for a new map, its novelty (1 + #{validation distances >= s}) / (n + 1) is under `NOVEL` if and
    only if s exceeds the k-th largest validation distance. Here k is the largest whole number with k / (n + 1) under
    `NOVEL`. The probability u that one map does so is Beta(k, n + 1 - k), whatever the distribution of distances. Given
    u, maps do so independently. So the number of novel maps is beta-binomial(m, k, n + 1 - k) (Bates et al. 2023,
    DOI 10.1214/22-AOS2244; Marques 2023, arXiv 2308.08986).

    Maps of one plant are alike. At worst they are equally far, and then a map is novel if and only if its distance
    exceeds that of the j-th most distant of p validation plants, with j = 1 + (k - 1) p / n. So the chance is that of p
    maps and j. It is exact for one map a plant, and too large where maps of a plant differ.

    Parameters
    ----------
    novelty : (m,) novelty of one image of each plant.
    n_validation, n_plants : number of validation maps, and of their plants.

    Returns
    -------
    share, p : p is 1 without maps, or with too few validation maps for any to be novel.
    """
    values = np.asarray(novelty, np.float64)
    n_novel = int((values < NOVEL).sum())
    k = int((np.arange(1, n_validation + 1) / (n_validation + 1) < NOVEL).sum())  # same rounding as the novelties
    if n_novel == 0 or k == 0:
        return n_novel / max(1, len(values)), 1.0
    j = 1 + (k - 1) * n_plants / n_validation
    return n_novel / len(values), float(scipy.stats.betabinom.sf(n_novel - 1, len(values), j, n_plants + 1 - j))


def judge_drift(row: Mapping[str, Any], natural: Mapping[str, float], params: DriftParams) -> str:
    """Return why some images are outside what was validated: `clusters`, `novelty`, `answers`, several, or empty.

    Parameters
    ----------
    row : share_shift, novel_share, answer_shift and their p-values.
    natural : shifts between validation dates that growth and chance explain (see `natural_shifts`).
    """
    limits = {
        "clusters": ("share_shift", params.max_shift),
        "novelty": ("novel_share", params.max_novel_share),
        "answers": ("answer_shift", params.max_answer_shift),
    }
    return " ".join(
        reason
        for reason, (name, limit) in limits.items()
        if row[name] > max(limit, natural.get(name, 0)) and row[f"{name}_p"] < params.significance
    )


def compare(
    clusters: ArrayLike,
    answers: ArrayLike,
    novelty: ArrayLike,
    known: Validated,
    natural: Mapping[str, float],
    params: DriftParams,
) -> dict[str, Any]:
    """Compare one image each of some new plants with validation; returns the numbers of a row of the table `drift`.

    Parameters
    ----------
    clusters, answers, novelty : (n,) cluster, from 1, answered class and novelty p-value of each image.
    known : validation images, none of which is of these plants; the novelty is computed against the same maps.
    natural : shifts between validation dates (see `natural_shifts`).
    """
    row: dict[str, Any] = {"n": len(np.asarray(clusters))}
    for name, here, validated in (
        ("share_shift", np.asarray(clusters, np.int64), known.votes),
        ("answer_shift", np.asarray(answers, np.int64), known.answers),
    ):
        n_kinds = int(max(here.max(initial=0), validated.max(initial=0))) + 1
        row[name], row[f"{name}_p"] = shift(here, plant_shares(validated, known.plants, n_kinds))
    row["novel_share"], row["novel_share_p"] = novel_share(novelty, len(known.plants), known.n_plants)
    reason = judge_drift(row, natural, params)
    return {**row, "is_outside": bool(reason), "reason": reason}


def drift_rows(
    images: Rows, known: Validated, natural: Mapping[str, float], params: DriftParams
) -> list[dict[str, Any]]:
    """Return the rows of the table `drift`, one for each unseen split among a date's images.

    Parameters
    ----------
    images : columns of the table `assignments`, and the images' `predicted`; each plant has one image.
    """
    splits = np.asarray(images["split"], np.str_)
    is_seen = np.asarray([mark is not None for mark in images["seen"]], np.bool_)
    clusters, answers, novelty = (np.asarray(images[name]) for name in ("cluster", "predicted", "novelty"))
    rows: list[dict[str, Any]] = []
    for split in UNSEEN:
        if (splits == split).any():
            here = (splits == split) & ~is_seen
            row = compare(clusters[here], answers[here], novelty[here], known, natural, params)
            n_seen = int((splits == split).sum()) - row["n"]
            rows.append({**{name: images[name][0] for name in MADE_BY}, "split": split, "n_seen": n_seen, **row})
    return rows


def read_validated(crossfit: Artifact) -> Validated:
    """Read what the validation images of a fit were answered, and which clusters they would get if they were new."""
    table = read_columns(crossfit, CROSSFIT, ("acquired", "plant_id", "predicted"))
    return Validated(
        votes=read_array(crossfit, VOTES).astype(np.int64),
        answers=np.asarray(table["predicted"], np.int64),
        plants=table["plant_id"],
        dates=[day.isoformat() for day in table["acquired"]],
    )


def read_images(assignments: Artifact, predictions: Artifact) -> Rows:
    """Read the columns of a date's explained images that drift is measured by."""
    table = read_columns(assignments, ASSIGNMENTS, (*MADE_BY, "split", "row", "cluster", "novelty", "seen"))
    known = read_columns(predictions, PREDICTIONS, ("row", "predicted"))
    answer = dict(zip(known["row"], known["predicted"], strict=True))
    return {**table, "predicted": [answer[row] for row in table["row"]]}


def drift_recipe(
    params: DriftParams, crossfit: ArtifactRef, assignments: ArtifactRef, predictions: ArtifactRef
) -> Recipe:
    """Return the recipe of a date's drift."""
    inputs = {"crossfit": crossfit, "assignments": assignments, "predictions": predictions}
    return Recipe("drift", REVISION, params.model_dump(mode="json"), inputs)


@task(task_run_name="drift {campaign} {date} {method}", **cached_by(drift_recipe))
@made_once(drift_recipe)
def measure_drift(
    draft: Draft,
    store: Store,
    date: date,
    method: str,
    params: DriftParams,
    crossfit: ArtifactRef,
    assignments: ArtifactRef,
    predictions: ArtifactRef,
) -> None:
    """Compare a date's unseen plants with the validation plants by which they are judged."""
    known = read_validated(store.open(crossfit))
    natural = natural_shifts(known)
    rows = drift_rows(read_images(store.open(assignments), store.open(predictions)), known, natural, params)
    outside = [row["split"] for row in rows if row["is_outside"]]
    write_table(draft, DRIFT, rows_to_columns(DRIFT, rows))
    draft.summary = {
        "date": date.isoformat(),
        "natural_shift": natural["share_shift"],
        "natural_answer_shift": natural["answer_shift"],
        "n_seen": sum(row["n_seen"] for row in rows),
        "n_outside": len(outside),
        "outside": outside,
    }
