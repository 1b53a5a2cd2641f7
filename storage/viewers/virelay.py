"""Write the files of a ViRelAy project: images, attributions, analysis, label map, project file.

ViRelAy shows saliency maps beside their embedding and clusters (Anders et al. 2021, arXiv 2106.13200). The layouts are
those that version 0.6 reads. Images and maps are taken part by part, so a file may be larger than memory.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
CHANNELS = 3  # channels of an attribution; ViRelAy shows their sum, and most of its colour maps refuse a single channel
BYTES_PER_VALUE = 2  # of an attribution, float16 as in the store


@dataclass(frozen=True)
class Category:
    """Part of the maps that ViRelAy shows together.

    Attributes
    ----------
    name : short name, different from that of all other categories.
    title : words for the reader; ViRelAy writes `title (name)`.
    places : (m,) positions of its images among all images.
    """

    name: str
    title: str
    places: NDArray[np.int64]


def write_images(
    path: Path,
    shape: tuple[int, int, int, int],
    parts: Iterable[NDArray[np.uint8]],
    labels: NDArray[np.integer],
    texts: Mapping[str, Sequence[str]],
) -> None:
    """Write images (n, h, w, 3) and their labels.

    Parameters
    ----------
    parts : the images in order, in parts of any length.
    labels : (n,) index of each image's label in the label map.
    texts : n texts by name, such as the plant of each image. ViRelAy does not read them.
    """
    with h5py.File(path, "w") as file:
        # One image is read at a time. Photographs hardly compress, so they are not compressed.
        pixels = file.create_dataset("data", shape, np.uint8, chunks=(1, *shape[1:]))
        start = 0
        for part in parts:
            pixels[start : start + len(part)] = part
            start += len(part)
        file["label"] = labels.astype(np.uint16)
        for name, values in texts.items():
            file.create_dataset(name, data=list(values), dtype=h5py.string_dtype())


def write_attributions(
    path: Path,
    shape: tuple[int, int, int],
    parts: Iterable[Floats],
    labels: NDArray[np.integer],
    scores: Floats,
) -> None:
    """Write maps (n, h, w) as attributions (n, 3, h, w), with the labels and the classifier's scores of their images.

    The first channel is the map and the others are zero, so that their sum is the map. Zero channels take no space.

    Parameters
    ----------
    parts : the maps in order, in parts of any length.
    labels : (n,) index of each image's label in the label map.
    scores : (n, classes) probability of each class.
    """
    n, *pixels = shape
    with h5py.File(path, "w") as file:
        maps = file.create_dataset(
            "attribution", (n, CHANNELS, *pixels), np.float16, chunks=(1, 1, *pixels), compression=1, shuffle=True
        )
        start = 0
        for part in parts:
            maps[start : start + len(part), 0] = part
            start += len(part)
        file["label"] = labels.astype(np.uint16)
        file["prediction"] = scores.astype(np.float32)


def write_analysis(
    path: Path,
    categories: Sequence[Category],
    embeddings: Mapping[str, Floats],
    clusterings: Mapping[str, NDArray[np.integer]],
) -> None:
    """Write embeddings and clusters of all maps, once for each category of them.

    Parameters
    ----------
    embeddings : (n, axes) coordinates of all maps, by name.
    clusterings : (n,) cluster of each map from 1, by name. ViRelAy counts from 0 and shows one more.
    """
    with h5py.File(path, "w", track_order=True) as file:  # categories are shown in this order, not by name
        for one in categories:
            group = file.create_group(one.name)
            group["index"] = one.places.astype(np.uint32)
            for name, coordinates in embeddings.items():
                group[f"embedding/{name}"] = coordinates[one.places].astype(np.float32)
            for name, clusters in clusterings.items():
                group[f"cluster/{name}"] = clusters[one.places].astype(np.int32) - 1


def write_label_map(path: Path, labels: Sequence[str], categories: Sequence[Category]) -> None:
    """Write the names of labels, in the order of their indices, and behind them the titles of categories.

    ViRelAy finds the title of a category as the name of the label whose WordNet id is the category's name.
    """
    named = [(f"label {i}", label) for i, label in enumerate(labels)]
    named += [(one.name, one.title) for one in categories]
    entries = [{"index": i, "word_net_id": key, "name": name} for i, (key, name) in enumerate(named)]
    path.write_text(json.dumps(entries, indent=1, ensure_ascii=False), encoding="utf-8")


def write_project(path: Path, project: Mapping[str, Any]) -> None:
    """Write a project file. ViRelAy reads YAML, and every JSON document is one."""
    path.write_text(json.dumps({"project": project}, indent=2, ensure_ascii=False), encoding="utf-8")
