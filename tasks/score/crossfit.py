"""Cross-fit clusters and scores: judge every labelled validation image without its own plant.

Reads the validation maps and predictions of every date. Writes the table `crossfit` and the clusters' counts by fold.
Also writes the evidence by which images of any date are judged: validation answers, map distances, the combined
model, and the cluster that each validation map would get if it were new.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.arrays.specs import COORDINATES, FEATURES, LABELS, LOGITS, MAP_DISTANCE, TRUTH, VOTES
from storage.arrays.zarr_files import read_array, write_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import CROSSFIT
from storage.tables.parquet import write_table
from tasks.cluster.axes import isometric
from tasks.cluster.folds import CrossFit
from tasks.cluster.members import DateMembers, MemberVectors, column, joined_answers, made_by, plants_of, read_members
from tasks.cluster.nearest import assign_clusters
from tasks.cluster.params import ClusterParams
from tasks.score.combine import INPUTS
from tasks.score.held_out import Validation, combined_cross_fit, cross_fit
from tasks.score.signals import answer_evidence
from tasks.score.uncertainty import ready_model, resampled_models
from tasks.stage import cached_by, made_once

REVISION = 3


def crossfit_recipe(
    params: ClusterParams, size: int, clusters: ArtifactRef, saliency: list[ArtifactRef], predictions: list[ArtifactRef]
) -> Recipe:
    """Return the recipe of a campaign's cross-fitted judgements."""
    inputs = {"clusters": clusters, "saliency": saliency, "predictions": predictions}
    return Recipe("crossfit", REVISION, params.numbers(size), inputs)


@task(task_run_name="crossfit {campaign} {method}", **cached_by(crossfit_recipe))
@made_once(crossfit_recipe)
def cross_fit_validation(
    draft: Draft,
    store: Store,
    method: str,
    params: ClusterParams,
    size: int,
    clusters: ArtifactRef,
    saliency: list[ArtifactRef],
    predictions: list[ArtifactRef],
) -> None:
    """Judge every labelled validation image by clusters and scores that were fitted without its fold.

    Raises
    ------
    InputError : the validation images are of fewer than three plants.
    """
    members = read_members(store, saliency, predictions)
    data = read_validation(members, params, size)
    found = cross_fit(data, params, params.kernel)
    combined = combined_cross_fit(data, found, params, params.kernel)
    marks = made_by(members, method, clusters)
    write_table(draft, CROSSFIT, crossfit_columns(members, data, found, combined.tolist(), marks))
    write_array(draft, MAP_DISTANCE, found.signals["map_distance"])
    write_array(draft, VOTES, votes_of_other_plants(store.open(clusters), data.plants, params.neighbours))
    write_array(draft, LOGITS, data.answers.logits)
    write_array(draft, FEATURES, data.answers.features)
    write_array(draft, TRUTH, data.truth)
    model = ready_model(data, found.signals)
    draft.write_json("ready_model.json", model.as_json())
    draft.write_json("resampled_models.json", [one.as_json() for one in resampled_models(data, found.signals)])
    draft.write_json("folds.json", {str(fold): vars(one) for fold, one in found.clusters.items()})
    draft.summary = {
        "temperature": answer_evidence(data.answers, data.truth).temperature,
        "weights": dict(zip(INPUTS, model.combination.weights.tolist(), strict=True)),
        "warnings": fold_warnings(found),
    }


def read_validation(members: list[DateMembers], params: ClusterParams, size: int) -> Validation:
    """Read the labelled validation images; their maps become coordinates with the same distances."""
    return Validation(
        vectors=isometric(MemberVectors(members, size, params.scaling)),
        answers=joined_answers(members),
        truth=np.asarray(column(members, "label"), np.int64),
        plants=plants_of(members),
        dates=[one.date for one in members for _ in one.rows],
    )


def votes_of_other_plants(fit: Artifact, plants: Sequence[str], k: int) -> NDArray[np.int64]:
    """Return the cluster (n,) that each validation map would get if it were a new plant's.

    A new map gets the cluster of most of its nearest validation maps, while a validation map has the cluster it was
    fitted into. Only votes are comparable with the clusters of new maps.

    Parameters
    ----------
    fit : artefact of the clusters.
    plants : (n,) plant of each validation map; maps of the same plant do not vote.
    k : number of nearest maps that vote.
    """
    coordinates, labels = read_array(fit, COORDINATES), read_array(fit, LABELS)
    which = np.unique(np.asarray(plants), return_inverse=True)[1]
    return assign_clusters(coordinates, coordinates, labels, k, (which, which))[0]


def crossfit_columns(
    members: list[DateMembers], data: Validation, found: CrossFit, combined: list[float], marks: dict[str, str]
) -> dict[str, Any]:
    """Return the columns of the table `crossfit`."""
    n, signals = len(found.fold), {name: values.tolist() for name, values in found.signals.items()}
    same = ("error_share", "neighbour_agreement", "novelty", "nearest_map_reliability", "softmax")
    return {
        "acquired": [date.fromisoformat(one.date) for one in members for _ in one.rows],
        "row": [row for one in members for row in one.rows.tolist()],
        "plant_id": list(data.plants),
        "label": data.truth.tolist(),
        "predicted": data.answers.predicted.tolist(),
        "fold": found.fold.tolist(),
        "cluster": found.signals["cluster"].astype(int).tolist(),
        **{name: signals[name] for name in (*same, "calibrated_softmax", "feature_reliability", "trust_score")},
        "combined_reliability": combined,
        **{name: [value] * n for name, value in marks.items()},
    }


def fold_warnings(found: CrossFit) -> list[str]:
    """Return warnings about the cross-fitted figures, one sentence each; empty when nothing stands out."""
    problems = [one.problem for one in found.clusters.values() if one.problem]
    if not problems:
        return []
    return [
        f"in {len(problems)} of {len(found.clusters)} folds the other maps could not be clustered ({problems[0]}): "
        "there the error share of all images is used instead of a cluster's"
    ]
