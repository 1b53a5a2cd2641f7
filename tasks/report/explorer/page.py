"""Prepare the plant explorer of a report: pictures, maps and answers of the explained images, as text for its page.

Reads images, saliency maps, assignments and decisions of every date from the store, and the axes of the clusters.
The scripts `explorer.js`, `explorer-scatter.js` and `explorer-card.js` show them.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.artifacts import Artifact
from storage.tables.names import SPLIT_NAMES, SPLITS
from storage.tables.rows import Row, days_of
from tasks.decide.decisions import decisions_of
from tasks.export.walking import natural_key
from tasks.report.explorer.answers import Answers, numbers_of, read_answers
from tasks.report.explorer.chosen import MOST_IMAGES, Day, Explained, evenly, explained_days, read_explained
from tasks.report.explorer.maps import PlacedMaps, alike, place_maps
from tasks.report.explorer.pictures import fitted_sheets, read_tiles, tile_side
from tasks.report.field.summary import day_label
from tasks.report.field.texts import TEXTS
from tasks.report.inputs import CampaignResults, MethodResults
from tasks.report.sprites import ACROSS
from tasks.report.words import method_name

PICTURE_BYTES = 5_200_000  # most bytes of pictures on a page; a third more as text
METHOD_BYTES = 3_500_000  # most bytes of text with maps and answers; the first method has its own in any case


@dataclass(frozen=True)
class Explorer:
    """Plant explorer of a page.

    Attributes
    ----------
    content : maps and answers as JSON, safe inside a `script` element.
    sheets : sheets of pictures, WebP as base64.
    n, n_shown : number of explained images, and of those on the page.
    methods : names of the saliency methods on the page.
    left_out : names of the saliency methods whose maps do not fit.
    without : dates with decisions that are not on the page, because the store lacks their maps by some method.
    n_earlier : number of earlier dates, scored since the fit, that are not on the page.
    """

    content: str
    sheets: list[str]
    n: int
    n_shown: int
    dates: list[str]
    clusters: list[int]
    decisions: list[str]
    plots: list[str]
    methods: list[tuple[str, str]]
    left_out: list[str]
    least_novelty: float
    without: list[str]
    n_earlier: int


def explorer_page(results: CampaignResults) -> Explorer | None:
    """Prepare the plant explorer of a campaign; None if no date has pictures, maps and answers."""
    methods = [one.method for one in results.methods]
    days = explained_days(results.artifacts, results.scored, methods)
    decided = {day for some in (results.artifacts, results.scored) for day in days_of(some, f"decided {methods[0]}")}
    every = read_explained(days, methods[0]) if days else None
    if every is None or not len(every):
        return None
    images = every[evenly(len(every), MOST_IMAGES)]
    side = tile_side(len(images), results.params["ingest"]["image_size"])
    shown, sheets = fitted_sheets(read_tiles(days, images, side), PICTURE_BYTES)
    images = images[shown]
    answers = read_answers(days, methods, images, results.classes)
    texts, left_out = method_texts(results.methods, results.artifacts, days, images, answers, results.classes)
    first = answers[methods[0]].decided
    plots = sorted({row["plot"] for row in first if row["plot"] is not None}, key=natural_key)
    least = results.params["decide"]["least_novelty"]
    common = {
        **_common(days, images, first, results.classes, plots),
        "tile": side,
        "across": ACROSS,
        "least_novelty": least,
    }
    return Explorer(
        content=f'{{"common":{_json(common)},"methods":[{",".join(texts.values())}]}}',
        sheets=[base64.b64encode(sheet).decode() for sheet in sheets],
        n=len(every),
        n_shown=len(images),
        dates=[day.date for day in days],
        clusters=sorted({row["cluster"] for row in results.methods[0].clusters}),
        decisions=decisions_of(results.classes),
        plots=plots,
        methods=[(method, method_name(method)) for method in texts],
        left_out=[method_name(method) for method in left_out],
        least_novelty=least,
        without=sorted(decided - {day.date for day in days}),
        n_earlier=sum(one.summary.date not in decided for one in results.told),
    )


def _common(
    days: Sequence[Day], images: Explained, decided: Sequence[Row], classes: Sequence[str], plots: Sequence[str]
) -> dict[str, Any]:
    """Return what all saliency methods have in common; numbers of names, -1 where unknown."""
    plants = sorted(set(images.plants), key=natural_key)
    return {
        "classes": list(classes),
        "splits": [SPLIT_NAMES[split] for split in SPLITS],
        "decisions": decisions_of(classes),
        "dates": [[day.date, day_label(day.date)] for day in days],
        "plots": list(plots),
        "plants": plants,
        "plant": numbers_of(images.plants, plants),
        "date": images.day.tolist(),
        "split": numbers_of(images.splits, SPLITS),
        "plot": numbers_of([row["plot"] for row in decided], plots),
        "label": numbers_of([row["label"] for row in decided], classes),
        "predicted": numbers_of([row["predicted"] for row in decided], classes),
    }


def method_texts(
    methods: Sequence[MethodResults],
    artifacts: dict[str, Artifact],
    days: Sequence[Day],
    images: Explained,
    answers: dict[str, Answers],
    classes: Sequence[str],
) -> tuple[dict[str, str], list[str]]:
    """Return the JSON of the methods that fit into `METHOD_BYTES` by name, and the names of those that do not."""
    texts: dict[str, str] = {}
    left_out: list[str] = []
    for one in methods:
        maps = place_maps(days, artifacts[f"clusters {one.method}"], one.method, images)
        near = alike(maps.coordinates, images.plants)
        text = _json(_of_method(one, maps, near, answers[one.method], classes))
        if texts and sum(map(len, texts.values())) + len(text) > METHOD_BYTES:
            left_out.append(one.method)
        else:
            texts[one.method] = text
    return texts, left_out


def _of_method(
    one: MethodResults, maps: PlacedMaps, near: NDArray[np.int64], answers: Answers, classes: Sequence[str]
) -> dict[str, Any]:
    decided, assigned = answers.decided, answers.assigned
    reasons = sorted({row["check_reason"] for row in decided})
    x, y = maps.first_two().T.tolist()
    swapped = {row["cluster"] for row in one.swaps if row["is_swapped"]}
    return {
        "method": one.method,
        "name": method_name(one.method),
        "is_signed": maps.is_signed,
        "clusters": [
            [row["cluster"], row["n"], row["n_wrong"], int(row["cluster"] in swapped)] for row in one.clusters
        ],
        "reasons": [[TEXTS.get(f"reason.{word}", word) for word in text.split()] for text in reasons],
        "cluster": [row["cluster"] for row in assigned],
        "novelty": [float(f"{row['novelty']:.3g}") for row in assigned],
        "flat": [i for i, row in enumerate(assigned) if row["is_flat_map"]],
        "answer": numbers_of([row["answer"] for row in decided], classes),
        "decision": numbers_of([row["decision"] for row in decided], decisions_of(classes)),
        "reason": numbers_of([row["check_reason"] for row in decided], reasons),
        "reliability": [round(row["answer_reliability"], 3) for row in decided],
        "x": [float(f"{value:.4g}") for value in x],
        "y": [float(f"{value:.4g}") for value in y],
        "n_alike": near.shape[1],
        "alike": near.ravel().tolist(),
        "maps": base64.b64encode(maps.coarse).decode(),
    }


def _json(content: dict[str, Any]) -> str:
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")  # `<` could end the element or open a comment in it
