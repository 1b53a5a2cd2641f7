"""Keep what the plant explorer shows of a date, so that a report of other dates reads neither its images nor its maps.

What is kept are two artefacts. One has answers and maps of the date's images. The other has their pictures, which are
smaller on a page of more images.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from storage.artifacts import Artifact, Draft, Recipe
from tasks.report.explorer.answers import Answers, read_answers
from tasks.report.explorer.chosen import Day, explained_days, read_explained
from tasks.report.explorer.maps import PlacedMaps, place_maps
from tasks.report.explorer.pictures import Level, level_of, read_pictures, write_pictures
from tasks.report.inputs import CampaignResults
from tasks.report.sprites import COARSE

EXPLORED_REVISION = 1  # of what the plant explorer shows of a date
# Returns the artefact of a recipe; the function fills it if the store lacks it.
Make = Callable[[Recipe, Callable[[Draft], None]], Artifact]
FILE = "explored.json"  # answers about the images of a date
ANSWERS = ("answer", "decision", "check_reason", "answer_reliability")  # columns of decision rows of a method


@dataclass(frozen=True)
class Explored:
    """What the plant explorer shows of the images (m) of a date, the most novel first.

    Attributes
    ----------
    n : number of the date's explained images; more than m if the date alone has too many for a page.
    common : columns (m,) that all saliency methods share: `row`, `novelty` by the first method, `plant_id`, `split`,
        and `plot`, `label` and `predicted` of decision rows.
    methods : columns (m,) by saliency method: `cluster`, `novelty`, `is_flat_map`, and those of `ANSWERS`.
    maps : maps by saliency method.
    sheets : pictures, a hundred each (see `read_pictures`).
    """

    date: str
    n: int
    common: dict[str, list[Any]]
    methods: dict[str, dict[str, list[Any]]]
    maps: dict[str, PlacedMaps]
    sheets: list[str]


@dataclass(frozen=True)
class KeptDates:
    """What the plant explorer shows of every date, in order, and the artefacts in which it is kept."""

    dates: list[Explored]
    artifacts: list[Artifact]


def explore_dates(make: Make, results: CampaignResults) -> KeptDates:
    """Read what the plant explorer shows of every date that has images, maps and answers."""
    methods = [one.method for one in results.methods]
    days = explained_days(results.artifacts, results.scored, methods)
    answered = [_answered(make, results, day, methods) for day in days]
    size = results.params["ingest"]["image_size"]
    level = level_of(sum(one.summary["n"] for one in answered), size)
    pictured = [_pictured(make, day, methods[0], level) for day in days]
    dates = [read_explored(*one, methods) for one in zip(days, answered, pictured, strict=True)]
    return KeptDates(dates, [*answered, *pictured])


def _answered(make: Make, results: CampaignResults, day: Day, methods: Sequence[str]) -> Artifact:
    """Return the artefact with answers and maps of a date's images."""
    kinds = [f"{kind} {method} {day.date}" for kind in ("assignments", "saliency", "decided") for method in methods]
    refs = {role: day.artifacts[role].ref for role in (f"images {day.date}", *kinds)}
    clusters = {method: results.artifacts[f"clusters {method}"] for method in methods}
    fields = {"date": day.date, "methods": list(methods), "classes": results.classes}
    inputs = {**refs, **{f"clusters {method}": one.ref for method, one in clusters.items()}}
    recipe = Recipe("explored", EXPLORED_REVISION, fields, inputs)
    return make(recipe, lambda draft: write_explored(draft, day, clusters, results.classes))


def _pictured(make: Make, day: Day, method: str, level: Level) -> Artifact:
    """Return the artefact with the pictures of a date's images."""
    inputs = {role: day.artifacts[role].ref for role in (f"images {day.date}", f"assignments {method} {day.date}")}
    fields = {"date": day.date, "method": method, **level._asdict()}
    recipe = Recipe("explorer_pictures", EXPLORED_REVISION, fields, inputs)
    return make(recipe, lambda draft: write_pictures(draft, day, method, level))


def write_explored(draft: Draft, day: Day, clusters: dict[str, Artifact], classes: Sequence[str]) -> None:
    """Write answers and maps of a date's images to an artefact; `clusters` are those of every saliency method."""
    methods = list(clusters)
    images = read_explained(day, methods[0])
    answers = read_answers(day, methods, images.plants, classes)
    first = answers[methods[0]].decided
    common = {
        "row": images.row.tolist(),
        "novelty": images.novelty,
        "plant_id": images.plants,
        "split": images.splits,
        **{name: [row[name] for row in first] for name in ("plot", "label", "predicted")},
    }
    told = {"common": common, "methods": {method: _columns(answers[method]) for method in methods}}
    draft.write_bytes(FILE, json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode())
    for method in methods:
        placed = place_maps(day.artifacts[f"saliency {method} {day.date}"], clusters[method], images.row)
        draft.write_bytes(f"coordinates-{method}.f4", placed.coordinates.astype("<f4").tobytes())
        draft.write_bytes(f"maps-{method}.i1", placed.coarse.tobytes())
    draft.summary = {"n": images.n, "n_shown": len(images.row)}


def _columns(answers: Answers) -> dict[str, list[Any]]:
    assigned = {name: [row[name] for row in answers.assigned] for name in ("cluster", "novelty", "is_flat_map")}
    return {**assigned, **{name: [row[name] for row in answers.decided] for name in ANSWERS}}


def read_explored(day: Day, answered: Artifact, pictured: Artifact, methods: Sequence[str]) -> Explored:
    """Read what was kept of a date."""
    told = json.loads(answered.read_bytes(FILE))
    n, n_shown = answered.summary["n"], answered.summary["n_shown"]

    def maps_of(method: str) -> PlacedMaps:
        coordinates = np.frombuffer(answered.read_bytes(f"coordinates-{method}.f4"), "<f4")
        coarse = np.frombuffer(answered.read_bytes(f"maps-{method}.i1"), np.int8)
        return PlacedMaps(coordinates.reshape(n_shown, -1), coarse.reshape(n_shown, COARSE**2))

    maps = {method: maps_of(method) for method in methods} if n_shown else {}
    sheets = read_pictures(pictured) if n_shown else []
    return Explored(day.date, n, told["common"], told["methods"], maps, sheets)
