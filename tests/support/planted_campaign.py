"""Write a campaign with planted saliency patterns to a real store, and run the stages that judge its answers."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from datetime import date
from hashlib import sha256
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from storage.arrays.specs import EXPLAINED_CLASS, FEATURES, LOGITS, PEAK, ROWS, SALIENCY
from storage.arrays.zarr_files import open_array, read_array, write_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.tables import (
    ADJUSTED,
    ASSIGNMENTS,
    CLUSTER_SCORES,
    CROSSFIT,
    DECIDED,
    PLANTS,
    PREDICTIONS,
    PROMISES,
    READY_COUNTS,
    RELIABILITIES,
    SWAPS,
)
from storage.tables.parquet import Rows, TableSpec, read_table, rows_to_columns, write_table
from tasks.adjust.adjust import adjust_predictions
from tasks.adjust.decide import decide_swaps
from tasks.adjust.rules import AdjustParams
from tasks.classify.model import softmax
from tasks.cluster.assign import assign_images
from tasks.cluster.cluster import fit_clusters
from tasks.cluster.params import ClusterParams
from tasks.decide.decide import decide_images
from tasks.decide.params import DecideParams
from tasks.decide.promise import make_promises
from tasks.explain.explain import scale_to_peak
from tasks.measure.drift import DriftParams, measure_drift
from tasks.score.crossfit import cross_fit_validation
from tasks.score.params import ScoreParams
from tasks.score.rate import rate_images
from tasks.score.score import score_clusters

DAYS = ("2021-08-23", "2021-09-03")
CLASSES = ("not_ready", "ready", "rotten")  # the first two, unless a season has three classes
SIZE = 64  # side of the upsampled maps that are compared, in pixels
PARAMS = ClusterParams(n_clusters=3, n_seeds=2, neighbours=3)
CORNERS = ((0, 0), (0, 3), (3, 0), (3, 3))  # bright corner of each pattern, as row and column


@dataclass(frozen=True)
class Shown:
    """One image: its plant, true and predicted class, and the pattern of its map."""

    plant: str
    split: str
    label: int | None
    predicted: int
    pattern: int = 0


@dataclass(frozen=True)
class Planted:
    """Artefacts of one date, and the patterns that were planted.

    Attributes
    ----------
    table : columns of the predictions.
    pattern : number of the map's pattern, by row of the array.
    """

    day: str
    saliency: ArtifactRef
    predictions: ArtifactRef
    table: Rows
    pattern: dict[int, int]

    @property
    def members(self) -> list[int]:
        """Return the array rows of the labelled validation images, in the order of the table."""
        rows = zip(self.table["row"], self.table["split"], self.table["label"], strict=True)
        return [row for row, split, label in rows if split == "val" and label is not None]


def chance_of(image: Shown, day: str) -> np.random.Generator:
    """Return a generator that depends only on the image, not on its position among others."""
    return np.random.default_rng(crc32(f"{image.plant} {day}".encode()))


def pattern_map(image: Shown, day: str) -> NDArray[np.float32]:
    """Return a map (4, 4) with one bright corner, a little noise and a random strength."""
    generator = chance_of(image, day)
    values = 0.1 * generator.uniform(size=(4, 4))
    values[CORNERS[image.pattern]] = 1
    return (values * generator.uniform(0.01, 20)).astype(np.float32)


def answer_of(image: Shown, day: str, n_classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits (n_classes,), largest for the predicted class, and features (6,) that point to it."""
    generator = chance_of(image, day)
    logits, features = generator.uniform(-1, 0, n_classes), generator.normal(size=6)
    logits[image.predicted] = generator.uniform(0.1, 3)
    features[image.predicted] += 2
    return logits.astype(np.float32), features.astype(np.float32)


def plant(
    store: Store,
    day: str,
    images: Sequence[Shown],
    maps: NDArray[np.float32] | None = None,
    rows: Sequence[int] | None = None,
    n_classes: int = 2,
    **summary: Any,
) -> Planted:
    """Write a date's predictions, in the order given, and maps of all but the training images.

    Parameters
    ----------
    maps : maps (n, rows, cols) of the explained images; default: maps of their patterns.
    rows : position of each image in the date's images array; default: in the order given.
    summary : summary of the saliency artefact.
    """
    array_row = np.arange(len(images)) if rows is None else np.asarray(rows)
    shown = [i for i, image in enumerate(images) if image.split != "train"]
    if maps is None:
        maps = np.stack([np.zeros((4, 4), np.float32), *(pattern_map(images[i], day) for i in shown)])[1:]
    answers = [answer_of(image, day, n_classes) for image in images]
    logits = np.stack([np.zeros(n_classes, np.float32), *(one for one, _ in answers)])[1:]
    features = np.stack([np.zeros(6, np.float32), *(one for _, one in answers)])[1:]
    table = [
        {
            "plant_id": image.plant,
            "split": image.split,
            "label": image.label,
            "row": int(row),
            "predicted": image.predicted,
            "probabilities": probabilities,
            "classifier": "c0",
        }
        for image, row, probabilities in zip(images, array_row, softmax(logits).tolist(), strict=True)
    ]
    columns = rows_to_columns(PREDICTIONS, table)
    content = {"day": day, "rows": array_row.tolist(), "images": [list(astuple(image)) for image in images]}
    answered = Recipe("predictions", 1, content)
    with store.create(answered) as draft:
        write_table(draft, PREDICTIONS, columns)
        write_array(draft, LOGITS, logits)
        write_array(draft, FEATURES, features)
        draft.summary = {"date": day, "n_images": len(images)}
    made = {"explained_class": "predicted", "maps": sha256(maps.tobytes()).hexdigest(), **summary}
    explained = Recipe("saliency", 1, made, {"predictions": answered.ref})
    scaled, peaks = scale_to_peak(maps)
    with store.create(explained) as draft:
        write_array(draft, SALIENCY, scaled)
        write_array(draft, PEAK, peaks)
        write_array(draft, ROWS, array_row[shown])
        write_array(draft, EXPLAINED_CLASS, np.asarray([images[i].predicted for i in shown], np.int16))
        draft.summary = summary
    named = {int(row): image.pattern for row, image in zip(array_row, images, strict=True)}
    return Planted(day, explained.ref, answered.ref, columns, named)


def season(n_val: int = 20, n_test: int = 8, n_new: int = 2) -> list[list[Shown]]:
    """Return two dates of the same plants; all answers with the third pattern are wrong, and one in ten others."""
    splits = ["val"] * n_val + ["test"] * n_test + ["new"] * n_new + ["train"] * 2
    pattern = [(0, 1, 0, 2, 1, 0, 2, 0, 1, 2)[i % 10] for i in range(len(splits))]
    dates: list[list[Shown]] = []
    for day in range(2):
        label = [(i + i // 10 + day) % 2 for i in range(len(splits))]
        wrong = [pattern[i] == 2 or (7 * i + 3 * day) % 10 == 0 for i in range(len(splits))]
        dates.append(
            [
                Shown(f"p{i:02}", splits[i], None if splits[i] == "new" else label[i], label[i] ^ wrong[i], pattern[i])
                for i in range(len(splits))
            ]
        )
    return dates


def of_three_classes(images: Sequence[Shown]) -> list[Shown]:
    """Return images with labels and answers moved on together, so that what is right stays right."""
    moved = [
        (None if image.label is None else (image.label + i) % 3, (image.predicted + i) % 3)
        for i, image in enumerate(images)
    ]
    return [replace(image, label=label, predicted=to) for image, (label, to) in zip(images, moved, strict=True)]


def plant_season(store: Store, dates: Sequence[Sequence[Shown]], **options: Any) -> list[Planted]:
    """Write the dates of a season; options are those of `plant`."""
    return [plant(store, day, images, **options) for day, images in zip(DAYS, dates, strict=True)]


def fit(store: Store, dates: Sequence[Planted], params: ClusterParams = PARAMS, method: str = "gradcam") -> ArtifactRef:
    """Cluster the validation maps of some dates."""
    refs = [d.saliency for d in dates], [d.predictions for d in dates]
    return fit_clusters.fn(str(store.root), method, params, SIZE, *refs)


def crossfit(
    store: Store, dates: Sequence[Planted], clusters: ArtifactRef, params: ClusterParams = PARAMS
) -> ArtifactRef:
    """Cross-fit the validation images: judge each without its fold."""
    refs = [d.saliency for d in dates], [d.predictions for d in dates]
    return cross_fit_validation.fn(str(store.root), "gradcam", params, SIZE, clusters, *refs)


def assign(
    store: Store, one: Planted, clusters: ArtifactRef, judged: ArtifactRef, plants: ArtifactRef | None = None
) -> ArtifactRef:
    """Assign the images of a date to clusters; `plants` are those of the fit if the date is of its field."""
    named = (str(store.root), date.fromisoformat(one.day), "gradcam")
    return assign_images.fn(*named, clusters, judged, one.saliency, one.predictions, plants)


def plants_of(store: Store, dates: Sequence[Sequence[Shown]]) -> ArtifactRef:
    """Write the plants of some dates, with their splits."""
    splits = {image.plant: image.split for images in dates for image in images}
    return artifact_of(store, PLANTS, [{"plant_id": plant, "split": split} for plant, split in splits.items()])


@dataclass(frozen=True)
class Judged:
    """Artefacts of some dates, from clusters to decisions."""

    store: Store
    dates: list[Planted]
    clusters: ArtifactRef
    crossfit: ArtifactRef
    scores: ArtifactRef
    swaps: ArtifactRef
    assignments: list[ArtifactRef]
    reliability: list[ArtifactRef]
    adjusted: list[ArtifactRef]
    promises: ArtifactRef
    drift: list[ArtifactRef]
    decided: list[ArtifactRef]

    def read(self, spec: TableSpec, day: int = 0) -> Rows:
        """Read a table of a date, or of the campaign."""
        campaign = {
            CROSSFIT.name: self.crossfit,
            CLUSTER_SCORES.name: self.scores,
            SWAPS.name: self.swaps,
            PROMISES.name: self.promises,
        }
        per_date = {
            ASSIGNMENTS.name: self.assignments,
            RELIABILITIES.name: self.reliability,
            ADJUSTED.name: self.adjusted,
            DECIDED.name: self.decided,
            READY_COUNTS.name: self.decided,
        }
        ref = campaign[spec.name] if spec.name in campaign else per_date[spec.name][day]
        return read_table(self.store.open(ref), spec)


def judge(
    store: Store,
    dates: list[Planted],
    params: ClusterParams = PARAMS,
    rules: AdjustParams | None = None,
    deciding: DecideParams | None = None,
) -> Judged:
    """Run the stages from clusters to decisions; by default swap by the paper's rule, which few plants suffice."""
    campaign, deciding = (str(store.root), "gradcam"), deciding or DecideParams()
    clusters = fit(store, dates, params)
    judged = crossfit(store, dates, clusters, params)
    assignments = [assign(store, one, clusters, judged) for one in dates]
    predictions = [one.predictions for one in dates]
    scores = score_clusters.fn(*campaign, ScoreParams(), clusters, assignments, predictions)
    swaps = decide_swaps.fn(*campaign, rules or AdjustParams(rule="paper"), scores, judged)
    classes = CLASSES[: open_array(store.open(judged), LOGITS).shape[1]]
    promises = make_promises.fn(*campaign, deciding, classes, clusters, judged)
    found: dict[str, list[ArtifactRef]] = {name: [] for name in ("reliability", "adjusted", "drift", "decided")}
    for one, assigned in zip(dates, assignments, strict=True):
        named = (str(store.root), date.fromisoformat(one.day), "gradcam")
        rated = rate_images.fn(*named, scores, judged, assigned, one.predictions)
        drift = measure_drift.fn(*named, DriftParams(), judged, assigned, one.predictions)
        found["reliability"].append(rated)
        found["adjusted"].append(adjust_predictions.fn(*named, swaps, rated))
        found["drift"].append(drift)
        found["decided"].append(decide_images.fn(*named, deciding, classes, promises, judged, rated, drift))
    return Judged(store, dates, clusters, judged, scores, swaps, assignments, promises=promises, **found)


def by_plant(table: Rows) -> dict[tuple[Any, str], dict[str, Any]]:
    """Return the rows of a table by plant, and by date where it has that column."""
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return {(row.get("acquired"), row["plant_id"]): row for row in rows}


def all_maps(artifact: Artifact) -> NDArray[np.float32]:
    """Read all saliency maps (n, rows, cols) of a date, in the unit of the method."""
    return np.asarray(read_array(artifact, SALIENCY), np.float32) * read_array(artifact, PEAK)[:, None, None]


def relabelled(images: Sequence[Shown], chosen: str) -> list[Shown]:
    """Return the images with the labels of one plant flipped."""
    return [
        replace(image, label=1 - image.label) if image.plant == chosen and image.label is not None else image
        for image in images
    ]


PLAIN: dict[str, Any] = {"string": "x", "int16": 1, "int32": 1, "double": 0.5, "bool": False, "date32[day]": date.min}


def write_rows(draft: Draft, spec: TableSpec, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of a table; columns that they do not name get a default value."""
    plain = {column.name: PLAIN[str(column.type)] for column in spec.columns}
    write_table(draft, spec, rows_to_columns(spec, [plain | row for row in rows]))


def artifact_of(store: Store, spec: TableSpec, rows: Sequence[dict[str, Any]]) -> ArtifactRef:
    """Write an artefact with one table and return its reference."""
    recipe = Recipe(spec.name, 1, {"rows": [{name: str(value) for name, value in row.items()} for row in rows]})
    with store.create(recipe) as draft:
        write_rows(draft, spec, rows)
    return recipe.ref
