"""Write a campaign's images, saliency maps and clusters as projects of the viewer ViRelAy.

Each saliency method is a project of its own, because ViRelAy shows one attribution for each image of a project. All
projects share the file of images. Files appear at once: they are written to a folder beside, which is then renamed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storage.artifacts import Artifact
from storage.places.files import remove_all
from storage.tables import CLUSTER_SCORES
from storage.tables.names import METHOD_NAMES
from storage.tables.rows import rows_of
from storage.viewers.virelay import (
    BYTES_PER_VALUE,
    write_analysis,
    write_attributions,
    write_images,
    write_label_map,
    write_project,
)
from tasks.export.virelay.categories import cluster_categories, image_categories
from tasks.export.virelay.explained import (
    ExplainedImages,
    iter_pixels,
    iter_shown_maps,
    read_clusters,
    read_coordinates,
)

IMAGES_FILE = "images.h5"
NO_LABEL = "no label"  # name of the label of images whose class is unknown
CATEGORIES = 4  # categories of an image: all, its split, its date, its cluster; each repeats its coordinates


def largest_size(explained: ExplainedImages, artifacts: dict[str, Artifact], methods: Sequence[str]) -> int:
    """Return about the bytes that the files take at most; maps are compressed, and mostly take less."""
    n = len(explained.table)
    axes = sum(artifacts[f"clusters {method}"].summary["n_dimensions"] for method in methods)
    maps = n * explained.height * explained.width * BYTES_PER_VALUE * len(methods)
    return explained.n_bytes + maps + CATEGORIES * n * axes * 4


def write_projects(
    folder: Path, campaign: str, artifacts: dict[str, Artifact], methods: Sequence[str], explained: ExplainedImages
) -> list[Path]:
    """Write one project for each saliency method to a new folder; returns the project files.

    Parameters
    ----------
    artifacts : artefacts by role, including those of dates that were scored with the campaign's fit.
    """
    draft = folder.with_name(f".{folder.name}.unfinished")
    remove_all(draft)  # a killed command left it
    draft.mkdir(parents=True)
    try:
        classes: list[str] = artifacts["plants"].summary["classes"]
        shape = (len(explained.table), explained.height, explained.width, 3)
        texts = {name: explained.column(name) for name in ("plant_id", "date", "split")}
        labels = explained.labels(unknown=len(classes))
        write_images(draft / IMAGES_FILE, shape, iter_pixels(artifacts, explained), labels, texts)
        for method in methods:
            _write_method(draft, campaign, artifacts, method, explained, [*classes, NO_LABEL])
        draft.rename(folder)
    finally:
        remove_all(draft)
    return [folder / f"{method}.yaml" for method in methods]


def _write_method(
    folder: Path,
    campaign: str,
    artifacts: dict[str, Artifact],
    method: str,
    explained: ExplainedImages,
    labels: Sequence[str],
) -> None:
    clusters = read_clusters(artifacts, explained, method)
    scores = rows_of(artifacts[f"scores {method}"], CLUSTER_SCORES)
    categories = [*image_categories(explained.table), *cluster_categories(clusters, scores)]
    write_attributions(
        folder / f"{method}-attributions.h5",
        (len(explained.table), explained.height, explained.width),
        iter_shown_maps(artifacts, explained, method),
        explained.labels(unknown=len(labels) - 1),
        np.asarray(explained.column("probabilities"), np.float32),
    )
    coordinates = read_coordinates(artifacts, explained, method)
    write_analysis(
        folder / f"{method}-analysis.h5", categories, {"principal axes": coordinates}, {"clusters": clusters}
    )
    write_label_map(folder / f"{method}-labels.json", labels, categories)
    explained_class = artifacts[f"saliency {method} {explained.days[0]}"].manifest.params["explained_class"]
    architecture = artifacts["classifier"].read_json("card.json")["architecture"]
    described = describe_project(campaign, method, architecture, explained_class, explained.height, explained.width)
    write_project(folder / f"{method}.yaml", described)


def describe_project(
    campaign: str, method: str, architecture: str, explained_class: str, height: int, width: int
) -> dict[str, Any]:
    """Return the content of a project file; paths are relative to it.

    ViRelAy knows two strategies, the true and the predicted label. Maps that explain one fixed class say so in the name
    of the method.
    """
    name = METHOD_NAMES[method]
    is_fixed = explained_class not in ("label", "predicted")
    return {
        "name": f"{campaign}: {name}",
        "model": architecture,
        "label_map": f"{method}-labels.json",
        "dataset": {
            "name": campaign,
            "type": "hdf5",
            "path": IMAGES_FILE,
            "input_width": width,
            "input_height": height,
            "down_sampling_method": "none",
            "up_sampling_method": "none",
        },
        "attributions": {
            "attribution_method": f"{name} of class {explained_class}" if is_fixed else name,
            "attribution_strategy": "true_label" if explained_class == "label" else "predicted_label",
            "sources": [f"{method}-attributions.h5"],
        },
        # ViRelAy replaces - by _ in this name, so it has no -.
        "analyses": [{"analysis_method": "spectral_clustering", "sources": [f"{method}-analysis.h5"]}],
    }
