"""Draw and count what a report shows of the dates that a fit was made from, and keep it as files of an artefact.

All of it follows from the fit. A report of another date would otherwise read the tables of all dates of the fit again,
and draw the same figures.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import PROTOTYPES
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact, Draft
from storage.tables import (
    ADJUSTED,
    CLUSTER_SCORES,
    CROSSFIT,
    DECIDED,
    EPOCHS,
    EVALUATION,
    METRICS,
    OBSERVATIONS,
    PROMISES,
    RELIABILITIES,
    SWAPS,
)
from storage.tables.names import SCORES, UNSEEN
from storage.tables.rows import Row, labelled_rows, rows_of, shared_rows
from tasks.report import words
from tasks.report.examples import Example, find_examples
from tasks.report.figures import cluster_figure, confusion_figure, overlay_image, prototype_figure, training_figure
from tasks.report.method.clusters import cluster_counts
from tasks.report.method.comparison import tallest_bars
from tasks.report.method.promises import promise_curves
from tasks.report.method.scores import calibration_bins, judged_images, judged_split, risk_curves, split_words
from tasks.report.score_figures import calibration_figure, method_figure, promise_figure, risk_coverage_figure

FILE, TRAINING = "drawn.json", "training.png"  # files of the artefact, besides a PNG for each figure
COUNTED = ("split", "label", "cluster", "predicted", "adjusted", "is_swapped")  # columns of `adjusted`
DECISIONS = ("split", "label", "answer", "check_reason")  # columns of `decided`
Counts = Mapping[str, Mapping[int, Mapping[str, int]]]
Tally = list[tuple[Row, int]]  # different rows in the order in which they first come, and how often each comes


@dataclass(frozen=True)
class Drawn:
    """What is shown of the dates of a fit, by one saliency method.

    Attributes
    ----------
    adjusted, decided : rows of the tables of these names for every date of the fit, with the columns `COUNTED` and
        `DECISIONS` only, equal rows after each other. Equal rows are one object.
    is_signed : whether any prototype or example has evidence against the explained class.
    examples : captions and JPEG of typical images, best first, each with its cluster.
    figures : PNG by kind (see `tasks.report.method.page.MethodPage`).
    """

    adjusted: list[Row]
    decided: list[Row]
    is_signed: bool
    examples: list[dict[str, Any]]
    figures: dict[str, bytes]


@dataclass(frozen=True)
class DrawnFit:
    """What is shown of the dates of a fit.

    Attributes
    ----------
    observations : split, label and flags of the rows of every date, equal rows after each other.
    training : figure of loss and accuracy by epoch; None if the classifier was given.
    methods : what is shown by saliency method.
    """

    observations: list[Row]
    training: bytes | None
    methods: dict[str, Drawn]


@dataclass(frozen=True)
class Judged:
    """Tables and maps of one saliency method that are drawn and counted; `judged` are labelled unseen images."""

    clusters: Sequence[Row]
    swaps: Sequence[Row]
    promises: Sequence[Row]
    metrics: Sequence[Row]
    evaluation: Sequence[Row]
    crossfit: Sequence[Row]
    adjusted: Sequence[Row]
    judged: Sequence[Row]
    prototypes: NDArray[np.float32]
    examples: list[Example]

    @property
    def is_signed(self) -> bool:
        """Return whether any shown map has evidence against the explained class."""
        return any(bool((shown < 0).any()) for shown in (self.prototypes, *(one.saliency for one in self.examples)))

    @property
    def swapped(self) -> list[int]:
        """Return the clusters whose answers are swapped."""
        is_swapped = {row["cluster"] for row in self.swaps if row["is_swapped"]}
        return [row["cluster"] for row in self.clusters if row["cluster"] in is_swapped]


def write_drawn(draft: Draft, artifacts: dict[str, Artifact], methods: Sequence[str]) -> None:
    """Draw and count what is shown of a fit, from its artefacts by role, and write it to an artefact.

    Parameters
    ----------
    methods : saliency methods, in the order of the report.
    """
    classes = list(artifacts["plants"].summary["classes"])
    read = {method: read_judged(artifacts, method) for method in methods}
    counts = [cluster_counts(one.clusters, one.adjusted, len(classes)) for one in read.values()]
    tallest = tallest_bars(counts) if len(read) > 1 else None
    told: dict[str, Any] = {}
    for (method, one), of_one in zip(read.items(), counts, strict=True):
        figures = _figures(one, classes, of_one, tallest)
        for kind, picture in figures.items():
            draft.write_bytes(figure_file(kind, method), picture)
        for i, example in enumerate(one.examples):
            draft.write_bytes(_example_file(method, i), overlay_image(example.image, example.saliency, one.is_signed))
        told[method] = {
            "adjusted": tally(one.adjusted),
            "decided": tally(shared_rows(artifacts, f"decided {method}", DECIDED, DECISIONS)),
            "is_signed": one.is_signed,
            "examples": [_caption(example, classes) for example in one.examples],
            "figures": list(figures),
        }
    observations = shared_rows(artifacts, "images", OBSERVATIONS, ("split", "label", "flags"))
    draft.write_json(FILE, {"observations": tally(observations), "methods": told})
    classifier = artifacts["classifier"]
    epochs = rows_of(classifier, EPOCHS) if f"{EPOCHS.name}.parquet" in classifier.manifest.files else []
    if epochs:
        draft.write_bytes(TRAINING, training_figure(epochs))


def read_drawn(artifact: Artifact) -> DrawnFit:
    """Read what was drawn and counted of a fit."""
    told, files = artifact.read_json(FILE), artifact.manifest.files
    return DrawnFit(
        observations=untallied(told["observations"]),
        training=artifact.read_bytes(TRAINING) if TRAINING in files else None,
        methods={
            method: Drawn(
                adjusted=untallied(one["adjusted"]),
                decided=untallied(one["decided"]),
                is_signed=one["is_signed"],
                examples=[
                    {**caption, "picture": artifact.read_bytes(_example_file(method, i))}
                    for i, caption in enumerate(one["examples"])
                ],
                figures={kind: artifact.read_bytes(figure_file(kind, method)) for kind in one["figures"]},
            )
            for method, one in told["methods"].items()
        },
    )


def tally(rows: Sequence[Row]) -> Tally:
    """Count equal rows, in the order in which each first comes."""
    counts, first = Counter[tuple[Any, ...]](), dict[tuple[Any, ...], Row]()
    for row in rows:
        values = tuple(row.values())
        counts[values] += 1
        first.setdefault(values, row)
    return [(first[values], n) for values, n in counts.items()]


def untallied(counted: Tally) -> list[Row]:
    """Return counted rows one after the other; equal ones are one object."""
    return [row for row, n in counted for _ in range(n)]


def read_judged(artifacts: dict[str, Artifact], method: str) -> Judged:
    """Read what is drawn of a fit by one saliency method, from its artefacts by role."""
    prototypes = read_array(artifacts[f"clusters {method}"], PROTOTYPES)
    names = ("split", "label", "predicted", *SCORES)
    return Judged(
        clusters=rows_of(artifacts[f"scores {method}"], CLUSTER_SCORES),
        swaps=rows_of(artifacts[f"swaps {method}"], SWAPS),
        promises=rows_of(artifacts[f"promises {method}"], PROMISES),
        metrics=rows_of(artifacts[f"metrics {method}"], METRICS),
        evaluation=rows_of(artifacts[f"evaluation {method}"], EVALUATION),
        crossfit=rows_of(artifacts[f"crossfit {method}"], CROSSFIT),
        adjusted=shared_rows(artifacts, f"adjusted {method}", ADJUSTED, COUNTED),
        judged=labelled_rows(artifacts, f"reliability {method}", RELIABILITIES, UNSEEN, names),
        prototypes=prototypes,
        examples=find_examples(artifacts, method, prototypes),
    )


def _figures(one: Judged, classes: list[str], counts: Counts, tallest: Mapping[str, int] | None) -> dict[str, bytes]:
    figures = {
        "prototypes": prototype_figure(one.prototypes, one.clusters, one.is_signed),
        "clusters": cluster_figure(counts, one.swapped),
    }
    if one.metrics:
        figures["confusion"] = confusion_figure(one.metrics, classes)
    if tallest is not None:
        figures["side-by-side"] = method_figure(counts, one.swapped, one.prototypes, one.is_signed, tallest)
    curves = promise_curves(one.promises)
    if curves:
        figures["promise-curve"] = promise_figure(curves, one.promises[0]["confidence"])
    return figures | _score_figures(one)


def _score_figures(one: Judged) -> dict[str, bytes]:
    split = judged_split(one.evaluation)
    images = judged_images(one.judged, one.crossfit, split)
    if split is None or not images:
        return {}
    title = f"{split_words(split)} (n = {len(images)})"
    curves = {words.score_name(score): curve for score, curve in risk_curves(images).items()}
    bins = {words.score_name(score): rows for score, rows in calibration_bins(images).items()}
    return {"risk-coverage": risk_coverage_figure(curves, title), "calibration": calibration_figure(bins, title)}


def _caption(one: Example, classes: list[str]) -> dict[str, Any]:
    return {
        "cluster": one.cluster,
        "plant_id": one.plant_id,
        "date": one.date,
        "label": classes[one.label],
        "predicted": classes[one.predicted],
        "is_right": one.label == one.predicted,
        "flat": ("" if not one.is_flat else "constant map" if one.saliency.any() else "zero map"),
    }


def figure_file(kind: str, method: str) -> str:
    """Return the file name of a figure, without underscores, because Prefect artifacts are named after it."""
    return f"{kind}-{method.replace('_', '-')}.png"


def _example_file(method: str, number: int) -> str:
    return f"example-{method}-{number}.jpg"
