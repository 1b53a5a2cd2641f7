"""Zarr v3 arrays: their layout as data, and writing by whole shards.

A shard is one file. Two writers inside one shard silently lose each other's chunks, so blocks that do not cover whole
shards are refused.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from storage.artifacts import Artifact, Draft
from storage.errors import ArtifactError


@dataclass(frozen=True)
class ArraySpec:
    """Layout and meaning of an array whose first axis counts images (or clusters, components).

    Attributes
    ----------
    name : file name without `.zarr`.
    dims : names of the axes.
    dtype : numpy name.
    meaning, unit : for the reader of the file, kept in its attributes.
    chunk, shard : length along the first axis; None writes the array as one chunk.
    shuffle : Blosc's filter; `bitshuffle` pays for floats, nothing for photographs.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    meaning: str
    unit: str
    chunk: int | None = None
    shard: int | None = None
    shuffle: Literal["noshuffle", "bitshuffle"] = "bitshuffle"
    version: int = 1


IMAGES = ArraySpec(
    "images", ("image", "y", "x", "channel"), "uint8", "RGB image of one plant", "0..255", 1, 64, "noshuffle"
)
SALIENCY = ArraySpec(
    "saliency", ("image", "y", "x"), "float16", "saliency map at native resolution, divided by its peak", "0..1", 1, 512
)
PEAK = ArraySpec("peak", ("image",), "float32", "largest value of each saliency map before division", "logit")
ROWS = ArraySpec("rows", ("image",), "int32", "position of each map's image in the date's images array", "from 0")
EXPLAINED_CLASS = ArraySpec("explained_class", ("image",), "int16", "class that each map explains", "class index")
PCA_MEAN = ArraySpec("pca_mean", ("feature",), "float64", "mean of the unit-length validation maps", "1")
PCA_COMPONENTS = ArraySpec("pca_components", ("component", "feature"), "float64", "principal axes", "1")
COORDINATES = ArraySpec("coordinates", ("map", "component"), "float64", "validation maps in PCA space", "1")
LABELS = ArraySpec("labels", ("map",), "int16", "cluster of each validation map, 1 is the largest", "1")
PROTOTYPES = ArraySpec("prototypes", ("cluster", "y", "x"), "float32", "mean saliency map of each cluster", "1")


def create_array(draft: Draft, spec: ArraySpec, shape: tuple[int, ...]) -> zarr.Array[Any]:
    """Create an empty array in a draft; fill it with `write_block`."""
    rest = shape[1:]
    # Zarr refuses empty chunks, and a shard must hold whole chunks also where there are fewer images than a shard
    # takes.
    chunk = max(1, spec.chunk if spec.chunk is not None else shape[0])
    return zarr.create_array(
        store=str(draft.folder / f"{spec.name}.zarr"),
        shape=shape,
        chunks=(chunk, *(max(1, n) for n in rest)),
        shards=None if spec.shard is None else (spec.shard, *(max(1, n) for n in rest)),
        dtype=spec.dtype,
        compressors=BloscCodec(cname="lz4", clevel=5, shuffle=spec.shuffle),
        dimension_names=spec.dims,
        attributes={"meaning": spec.meaning, "unit": spec.unit, "version": spec.version},
        zarr_format=3,
        # Without this an all-zero shard has no file, and a lost one could not be told from it.
        config={"write_empty_chunks": True},
    )


def write_block(array: zarr.Array[Any], start: int, block: NDArray[Any]) -> None:
    """Write images `start, start + 1, ...` of an array.

    Raises
    ------
    ArtifactError : the block does not cover whole shards.
    """
    unit = (array.shards or array.chunks)[0]
    end = start + len(block)
    if start % unit or (end % unit and end != array.shape[0]) or end > array.shape[0]:
        raise ArtifactError(
            f"a block must cover whole shards of {unit} images (of {array.shape[0]}): got {start}..{end}; "
            "two writers in one shard would lose each other's images"
        )
    if len(block):
        array[start:end] = block


def write_array(draft: Draft, spec: ArraySpec, values: NDArray[Any]) -> None:
    """Write a whole array at once."""
    array = create_array(draft, spec, values.shape)
    write_block(array, 0, values.astype(spec.dtype))


def open_array(artifact: Artifact, spec: ArraySpec) -> zarr.Array[Any]:
    """Open an array lazily.

    Raises
    ------
    ArtifactError : it is missing or damaged, or its axes, type or version are not those of `spec`.
    """
    path: Path = artifact.file(f"{spec.name}.zarr")
    try:
        array = zarr.open_array(store=str(path), mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{artifact.ref}/{spec.name} cannot be opened: {error!r}") from error
    found = (tuple(array.metadata.dimension_names or ()), str(array.dtype), array.attrs.get("version"))  # pyright: ignore
    expected = (spec.dims, spec.dtype, spec.version)
    if found != expected:
        raise ArtifactError(f"{artifact.ref}/{spec.name} has axes, type and version {found}, expected {expected}")
    return array


def read_array(artifact: Artifact, spec: ArraySpec) -> NDArray[Any]:
    """Read a whole array."""
    return np.asarray(open_array(artifact, spec)[...])
