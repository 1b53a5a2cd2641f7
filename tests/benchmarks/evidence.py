"""Compute candidate signals: more evidence on answers that a finished campaign can give without training again.

`tests.benchmarks.evidence_study` studies them: the mean and the spread of the answers to the eight symmetries of an
image (its turns and mirror images), the plant's answers on earlier dates, those of its neighbours in the field, and the
distance to training plants in the classifier's features. None needs a label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from storage.arrays.specs import FEATURES, IMAGES, LOGITS
from storage.arrays.zarr_files import open_array, read_array, read_rows
from storage.artifacts import ArtifactRef, Store
from storage.tables import CROSSFIT, OBSERVATIONS, PLANTS, RELIABILITIES
from storage.tables.rows import Row, rows_of
from tasks.classify.features import logits_and_features
from tasks.classify.loading import load_classifier
from tasks.classify.model import Classifier
from tasks.cluster.nearest import nearest
from tasks.decide.params import DecideParams
from tasks.parameters import Runtime
from tasks.score.combine import answer_sign
from tests.benchmarks.study import METHOD

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CANDIDATES = ("symmetries' mean", "symmetries' spread", "earlier dates", "neighbours", "training plants")
N_NEIGHBOURS, N_TRAINING = 4, 5  # plants beside a plant, and training images near an image, of which the mean is taken
BATCH = 64


@dataclass(frozen=True)
class Judged:
    """Labelled images with what the product knows of them and the candidates.

    Attributes
    ----------
    plants : plant of each of n images.
    truth, predicted : (n,) true and predicted classes.
    odds : (n,) log-odds that the predicted class is right, by the combined model.
    candidates : (n, 5) values in the order of `CANDIDATES`; a higher value speaks for the predicted class.
    is_vetoed : (n,) whether the map is new to validation.
    fold : (n,) fold of the cross-fit; 0 for unseen images.
    """

    plants: tuple[str, ...]
    truth: Ints
    predicted: Ints
    odds: Floats
    candidates: Floats
    is_vetoed: NDArray[np.bool_]
    fold: Ints


@dataclass(frozen=True)
class DateAnswers:
    """Answers to all images of a date: plant and split of each, log-odds of being ready (n,), and features (n, d)."""

    plants: list[str]
    splits: list[str]
    ready: Floats
    features: Floats


def date_answers(store: Store, artifacts: Mapping[str, ArtifactRef], day: date) -> DateAnswers:
    """Read the classifier's answers of a date."""
    predictions, images = (store.open(artifacts[f"{kind} {day}"]) for kind in ("predictions", "images"))
    rows = rows_of(images, OBSERVATIONS, ("plant_id", "split"))
    logits = read_array(predictions, LOGITS).astype(np.float64)
    features = read_array(predictions, FEATURES).astype(np.float64)
    return DateAnswers(
        [row["plant_id"] for row in rows], [row["split"] for row in rows], logits[:, 1] - logits[:, 0], features
    )


def symmetries(classifier: Classifier, pixels: NDArray[np.uint8]) -> Floats:
    """Return the log-odds (n, 8) of being ready of the eight symmetries of n square images (n, h, h, 3)."""
    turned = [np.rot90(side, turns, axes=(1, 2)) for side in (pixels, pixels[:, :, ::-1]) for turns in range(4)]
    logits = [logits_and_features(classifier, np.ascontiguousarray(one), BATCH)[0] for one in turned]
    return np.stack([one[:, 1] - one[:, 0] for one in logits], axis=1).astype(np.float64)


def earlier_answers(by_date: Mapping[date, DateAnswers], day: date) -> dict[str, float]:
    """Return the largest log-odds of being ready that each plant had on an earlier date."""
    found: dict[str, float] = {}
    for earlier in (one for one in by_date if one < day):
        for plant, odds in zip(by_date[earlier].plants, by_date[earlier].ready.tolist(), strict=True):
            found[plant] = max(found.get(plant, -np.inf), odds)
    return found


def neighbour_answers(here: DateAnswers, places: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Return the mean log-odds of being ready of the plants nearest to each plant, less the mean of the date."""
    at = np.asarray([places[plant] for plant in here.plants])
    index = nearest(at, at, N_NEIGHBOURS + 1)[0][:, 1:]
    mean = here.ready[index].mean(axis=1) - here.ready.mean()
    return dict(zip(here.plants, mean.tolist(), strict=True))


def candidate_values(
    store: Store,
    artifacts: Mapping[str, ArtifactRef],
    by_date: Mapping[date, DateAnswers],
    training: Floats,
    day: date,
) -> dict[str, Floats]:
    """Return the candidates (5,) of every plant of a date that did not train, as evidence for the predicted class.

    A plant without an earlier date gets the mean of those that have one, which says nothing about it.
    """
    here = by_date[day]
    rows = np.flatnonzero(np.asarray(here.splits) != "train")
    plants = [here.plants[row] for row in rows]
    classifier = load_classifier(store.open(artifacts["classifier"]), Runtime(device="cpu"))
    turned = symmetries(classifier, read_rows(open_array(store.open(artifacts[f"images {day}"]), IMAGES), rows))
    places = {
        row["plant_id"]: (row["easting"], row["northing"]) for row in rows_of(store.open(artifacts["plants"]), PLANTS)
    }
    earlier, beside = earlier_answers(by_date, day), neighbour_answers(here, places)
    usual = float(np.mean(list(earlier.values()))) if earlier else 0.0
    sign = answer_sign((here.ready[rows] > 0).astype(np.int64))
    distance = nearest(here.features[rows], training, N_TRAINING)[1].mean(axis=1)
    columns = (
        sign * turned.mean(axis=1),
        -turned.std(axis=1),
        sign * np.asarray([earlier.get(plant, usual) for plant in plants]),
        sign * np.asarray([beside[plant] for plant in plants]),
        -distance,
    )
    return dict(zip(plants, np.stack(columns, axis=1), strict=True))


def judged_images(store: Store, artifacts: Mapping[str, ArtifactRef], days: Sequence[date]) -> tuple[Judged, Judged]:
    """Return the labelled validation images of a campaign, cross-fitted, and its test images."""
    by_date = {day: date_answers(store, artifacts, day) for day in days}
    training = np.concatenate([one.features[np.asarray(one.splits) == "train"] for one in by_date.values()])
    values = {day: candidate_values(store, artifacts, by_date, training, day) for day in days}
    known = [(row["acquired"], row) for row in rows_of(store.open(artifacts[f"crossfit {METHOD}"]), CROSSFIT)]
    unseen = [
        (day, row)
        for day in days
        for row in rows_of(store.open(artifacts[f"reliability {METHOD} {day}"]), RELIABILITIES)
        if row["label"] is not None and row["split"] == "test"
    ]
    return judged(known, values), judged(unseen, values)


def judged(rows: Sequence[tuple[date, Row]], values: Mapping[date, Mapping[str, Floats]]) -> Judged:
    """Join rows of `crossfit` or `reliability` with the candidates."""
    columns = {name: [row[name] for _, row in rows] for name in ("label", "predicted", "novelty")}
    right = np.asarray([row["combined_reliability"] for _, row in rows], np.float64)
    return Judged(
        tuple(row["plant_id"] for _, row in rows),
        np.asarray(columns["label"], np.int64),
        np.asarray(columns["predicted"], np.int64),
        logit(right),
        np.stack([values[day][row["plant_id"]] for day, row in rows]),
        np.asarray(columns["novelty"], np.float64) < DecideParams().least_novelty,
        np.asarray([row.get("fold", 0) for _, row in rows], np.int64),
    )
