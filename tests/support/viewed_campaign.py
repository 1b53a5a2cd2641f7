"""Write a campaign whose images, maps and clusters a viewer can show: two methods, two dates, and one scored later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import write_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.records.acquisitions import AcquisitionRecord, fit_digest, write_acquisition
from storage.records.campaigns import CampaignRecord, write_record
from tasks.cluster.params import ClusterParams
from tasks.score.params import ScoreParams
from tasks.score.score import score_clusters
from tests.support.planted_campaign import (
    CLASSES,
    DAYS,
    PARAMS,
    Planted,
    Shown,
    assign,
    crossfit,
    fit,
    pattern_map,
    plant,
    season,
)

LATER = "2021-09-20"  # date that was scored with the fit
METHODS = ("gradcam", "lime")
HEIGHT, WIDTH = 16, 16  # pixels of an image; maps have 4 x 4


@dataclass(frozen=True)
class Viewed:
    """A store with a campaign's record."""

    store: Store
    record: CampaignRecord


def view_campaign(root: Path) -> Viewed:
    """Write the campaign `viewed` to a new store. All answers of the third pattern are wrong."""
    store = Store(root)
    dates = [*season(n_val=10, n_test=4), [Shown(f"n{i}", "new", None, i % 2, i % 3) for i in range(5)]]
    days = (*DAYS, LATER)
    refs = {f"images {day}": _write_images(store, day, len(images)) for day, images in zip(days, dates, strict=True)}
    refs |= {"plants": _summed(store, "plants"), "classifier": _summed(store, "classifier")}
    for method in METHODS:
        refs |= _analyse(store, method, dates, days)
    later = {role: ref for role, ref in refs.items() if role.endswith(LATER)}
    own = {role: ref for role, ref in refs.items() if role not in later}
    params: dict[str, Any] = {"explain": {"methods": list(METHODS)}, "dates": list(DAYS)}
    record = CampaignRecord(campaign="viewed", params=params, artifacts=own, report="")
    write_record(store, record)
    scored = AcquisitionRecord(
        campaign="viewed",
        date=date.fromisoformat(LATER),
        fitted_by="viewed",
        fit=fit_digest(own),
        params=params,
        artifacts=later,
    )
    write_acquisition(store, scored)
    return Viewed(store, record)


def _write_images(store: Store, day: str, n: int) -> ArtifactRef:
    """Write n images of noise."""
    pixels = np.random.default_rng(int(day[-2:])).integers(0, 256, (n, HEIGHT, WIDTH, 3), np.uint8)
    recipe = Recipe("images", 1, {"day": day})
    with store.create(recipe) as draft:
        write_array(draft, IMAGES, pixels)
    return recipe.ref


def _summed(store: Store, kind: str) -> ArtifactRef:
    recipe = Recipe(kind, 1)
    with store.create(recipe) as draft:
        draft.write_json("card.json", {"architecture": "resnet18"})
        draft.summary = {"classes": list(CLASSES[:2])}
    return recipe.ref


def _analyse(
    store: Store, method: str, dates: Sequence[Sequence[Shown]], days: Sequence[str], params: ClusterParams = PARAMS
) -> dict[str, ArtifactRef]:
    """Write the maps of a method and their clusters; maps of LIME are those of Grad-CAM, turned and of both signs."""
    planted: list[Planted] = []
    for day, images in zip(days, dates, strict=True):
        maps = np.stack([pattern_map(one, day) for one in images if one.split != "train"])
        shown = maps if method == "gradcam" else (maps - maps.mean(axis=(1, 2), keepdims=True)).transpose(0, 2, 1)
        planted.append(plant(store, day, images, shown))
    fitted = planted[: len(DAYS)]
    clusters = fit(store, fitted, params, method)
    judged = crossfit(store, fitted, clusters, params)
    assigned = [assign(store, one, clusters, judged) for one in planted]
    predictions = [one.predictions for one in planted]
    of_fit = slice(len(DAYS))
    scores = score_clusters.fn(str(store.root), method, ScoreParams(), clusters, assigned[of_fit], predictions[of_fit])
    refs = {f"clusters {method}": clusters, f"scores {method}": scores}
    for one, of_day in zip(planted, assigned, strict=True):
        refs |= {f"saliency {method} {one.day}": one.saliency, f"assignments {method} {one.day}": of_day}
        refs[f"predictions {one.day}"] = one.predictions
    return refs
