"""Write Zarr v3 arrays by whole shards, link finished shards, and read arrays.

A shard is one file. Two writers inside one shard silently lose each other's chunks, so every shard has one owner.
Blocks that do not cover whole shards are refused, and so are parts that do not tile an array (`link_shards`).
"""

import json
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storage.arrays.chunks import chunk_key, covers_whole_shards, shard_length
from storage.arrays.specs import PLANT_IDS, ArraySpec
from storage.artifacts import Artifact, Draft
from storage.errors import ArtifactError
from storage.places.files import write_new

if TYPE_CHECKING:
    import zarr
    from zarr.core.buffer import Buffer
    from zarr.storage import LocalStore, MemoryStore

    from storage.arrays.encoding import FileEncoding

WORTH_ONE = 1_000_000  # bytes of images that are decoded by the shard as fast as Zarr reads one image alone


def create_array(draft: Draft, spec: ArraySpec, shape: tuple[int, ...], shard: int | None = None) -> "zarr.Array[Any]":
    """Create an empty array for `write_block` in a draft; `shard` is the images per file (default: the spec's)."""
    from zarr.storage import LocalStore

    return _create(LocalStore(draft.folder / spec.name), spec, shape, shard)


def _create(
    store: "LocalStore | MemoryStore", spec: ArraySpec, shape: tuple[int, ...], shard: int | None
) -> "zarr.Array[Any]":
    import zarr
    from zarr.codecs import BloscCodec

    rest, shard = shape[1:], shard or spec.shard
    # Zarr refuses empty chunks. A shard must hold whole chunks even where the array has fewer images than a shard.
    chunk = max(1, spec.chunk if spec.chunk is not None else shape[0])
    return zarr.create_array(
        store=store,
        shape=shape,
        chunks=(chunk, *(max(1, n) for n in rest)),
        shards=None if shard is None else (shard, *(max(1, n) for n in rest)),
        dtype=str if spec.dtype == "string" else spec.dtype,
        compressors=BloscCodec(cname="lz4", clevel=5, shuffle=spec.shuffle),
        dimension_names=spec.dims,
        attributes={"meaning": spec.meaning, "unit": spec.unit, "version": spec.version},
        zarr_format=3,
        # Without this, a shard of zeros has no file, and a missing shard would look the same.
        config={"write_empty_chunks": True},
    )


@lru_cache(maxsize=64)
def _layout_of(
    spec: ArraySpec, shape: tuple[int, ...], shard: int | None
) -> "tuple[zarr.Array[Any], bytes, FileEncoding | None]":
    """Return an empty array in memory, its metadata as a file, and its encoding.

    Zarr takes milliseconds to make an array. A date's maps are written as hundreds of arrays of one layout.
    """
    from zarr.storage import MemoryStore

    from storage.arrays.encoding import file_encoding

    files: dict[str, Buffer] = {}
    array = _create(MemoryStore(files), spec, shape, shard)
    return array, files["zarr.json"].to_bytes(), file_encoding(array)


def write_block(array: "zarr.Array[Any]", start: int, block: NDArray[Any]) -> None:
    """Write a block of images `start, start + 1, ...` into an array.

    Raises
    ------
    ArtifactError : the block does not cover whole shards.
    """
    (n, *_), unit, part = array.shape, shard_length(array), range(start, start + len(block))
    if not covers_whole_shards(part, n, unit):
        raise ArtifactError(
            f"a block of images {_named([part])} does not cover whole shards of {unit} images (of {n}); two writers "
            "in one shard would lose each other's images"
        )
    from zarr.storage import LocalStore

    from storage.arrays.encoding import file_encoding

    encoding = file_encoding(array) if isinstance(array.store, LocalStore) else None
    if encoding is not None:
        for name, parts in _files(array, encoding, start, block):
            path = array.store.root / name  # pyright: ignore
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(path, parts)
    elif len(block):
        array[part.start : part.stop] = block


def _files(
    array: "zarr.Array[Any]", encoding: "FileEncoding", first: int, images: NDArray[Any]
) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the names below the array, and the parts, of the files that hold images `first, first + 1, ...`."""
    for start in range(0, len(images), encoding.length):
        yield chunk_key(array, first + start), encoding.encode(images[start : start + encoding.length])


def write_array(draft: Draft, spec: ArraySpec, values: NDArray[Any], shard: int | None = None) -> None:
    """Write a whole array at once; `shard` is the images per file (default: the spec's)."""
    array, metadata, encoding = _layout_of(spec, values.shape, shard)
    if encoding is None:
        cast = values if spec.dtype == "string" else values.astype(spec.dtype)
        write_block(create_array(draft, spec, values.shape, shard), 0, cast)
        return
    (draft.folder / spec.name).mkdir(exist_ok=True)
    draft.write_bytes(f"{spec.name}/zarr.json", metadata)
    for name, parts in _files(array, encoding, 0, values):
        (draft.folder / spec.name / name).parent.mkdir(parents=True, exist_ok=True)
        draft.write_parts(f"{spec.name}/{name}", parts)


def write_group(draft: Draft, plants: Sequence[str], attributes: Mapping[str, str]) -> None:
    """Make the arrays of a draft, and the ids of plants, one Zarr group, which `xarray.open_zarr` opens as a dataset.

    The group holds the metadata of its arrays, so readers list no folder, and the tables beside the arrays do not
    matter. Arrays with one axis are coordinates.

    Parameters
    ----------
    plants : plant of each image or map, along the first axis of the arrays.
    attributes : texts by name that say what the group is of, such as `date` and `method`.
    """
    write_array(draft, PLANT_IDS, np.asarray(plants, np.dtypes.StringDType()))
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(draft.folder.glob("*/zarr.json"))}
    along = [name for name, metadata in found.items() if len(metadata["shape"]) == 1]
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {**attributes, "coordinates": " ".join(along)},
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": found},
    }
    draft.write_bytes("zarr.json", json.dumps(group, separators=(",", ":")).encode())


@dataclass(frozen=True)
class Part:
    """Part of an array: images `first, first + 1, ...`, which an artefact holds as an array of the same name."""

    first: int
    artifact: Artifact


def link_shards(draft: Draft, spec: ArraySpec, n: int, parts: Sequence[Part]) -> None:
    """Make one array of `n` images by linking the shards of finished artefacts, without decoding or copying them.

    Without images there are no parts, and the array is empty along all its axes.

    Raises
    ------
    ArtifactError : the parts do not tile the array in whole shards, or differ in layout.
    """
    first = open_array(parts[0].artifact, spec) if parts else None
    rest, shard = ((0,) * (len(spec.dims) - 1), None) if first is None else (first.shape[1:], shard_length(first))
    whole = create_array(draft, spec, (n, *rest), shard)
    stated = _without_length(json.loads((draft.folder / spec.name / "zarr.json").read_bytes()))[1]
    ranges = list[range]()
    for part in parts:
        length, found = _without_length(part.artifact.read_json(f"{array_name(part.artifact, spec)}/zarr.json"))
        if length is None or found != stated:  # damaged, or another version of Zarr wrote the same in other words
            array = open_array(part.artifact, spec)
            check_layout(part.artifact, array, whole)
            length = array.shape[0]
        ranges.append(range(part.first, part.first + length))
    unit = shard_length(whole)
    check_tiling(ranges, n, unit)
    for part, own in zip(parts, ranges, strict=True):
        for start in own[::unit]:
            source = _shard_file(whole, array_name(part.artifact, spec), start - part.first)
            link_file(draft, _shard_file(whole, spec.name, start), part.artifact, source)


def _without_length(metadata: Any) -> tuple[int | None, Any]:
    """Return the number of images that an array's metadata states, and the rest; None and nothing if it is damaged.

    Zarr would take a millisecond to open each of hundreds of parts.
    """
    match metadata:
        case {"shape": [int(length), *rest], **others}:
            return length, (rest, others)
        case _:
            return None, None


def link_file(draft: Draft, name: str, artifact: Artifact, source: str) -> None:
    """Link the file `source` of an artefact as the file `name` of a draft, without reading it.

    Raises
    ------
    ArtifactError : the artefact has no such file.
    FileExistsError : the draft already has a file of this name.
    """
    try:
        draft.link(name, artifact.file(source), artifact.manifest.files[source])
    except FileNotFoundError:
        raise artifact.lacks(source) from None


def _shard_file(array: "zarr.Array[Any]", name: str, start: int) -> str:
    """Return the name, within its artefact, of the shard file of the array `name` that begins with image `start`."""
    return f"{name}/{chunk_key(array, start)}"


def check_layout(artifact: Artifact, part: "zarr.Array[Any]", whole: "zarr.Array[Any]") -> None:
    """Refuse a part whose shards cannot be shards of the whole array.

    Raises
    ------
    ArtifactError : the part has another native shape, length of shard or compression.
    """
    what = ("data_type", "fill_value", "chunk_grid", "chunk_key_encoding", "codecs")
    found, expected = (
        {"native shape": array.shape[1:], **{name: metadata.get(name) for name in what}}
        for array in (part, whole)
        for metadata in (array.metadata.to_dict(),)
    )
    differing = [name for name in expected if found[name] != expected[name]]
    if differing:
        raise ArtifactError(
            f"{artifact.ref} has "
            + ", ".join(f"{name} {found[name]}, other parts {expected[name]}" for name in differing)
            + "; all parts of an array must have one layout"
        )


def check_tiling(parts: Sequence[range], n: int, shard: int) -> None:
    """Refuse parts of `n` images that do not tile the array in whole shards, each with one owner.

    Raises
    ------
    ArtifactError : a part cuts a shard, or two parts, or none, hold some images; the message names the images.
    """
    split = [part for part in parts if not covers_whole_shards(part, n, shard)]
    if split:
        raise ArtifactError(f"images {_named(split)} (of {n}) are not whole shards of {shard}; parts must be")
    owners = np.zeros(n, np.int64)
    for part in parts:
        owners[part.start : part.stop] += 1
    for chosen, problem in ((owners > 1, "owned twice"), (owners == 0, "owned by nobody")):
        if chosen.any():
            raise ArtifactError(f"images {_named(_runs(chosen))} (of {n}) are {problem}; a shard must have one owner")


def _runs(chosen: NDArray[np.bool_]) -> list[range]:
    """Return the ranges of consecutive images that are chosen."""
    edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).tolist()
    return [range(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _named(parts: Sequence[range]) -> str:
    """Return the first and last image of each part as text."""
    return ", ".join(f"{part.start}..{part.stop - 1}" for part in parts)


def array_name(artifact: Artifact, spec: ArraySpec) -> str:
    """Return the name of an array's folder in an artefact; earlier versions added `.zarr` to it."""
    earlier = f"{spec.name}.zarr"
    return earlier if f"{earlier}/zarr.json" in artifact.manifest.files else spec.name


def open_array(artifact: Artifact, spec: ArraySpec) -> "zarr.Array[Any]":
    """Open an array of an artefact for lazy reading.

    Raises
    ------
    ArtifactError : it is missing or damaged, or its axes, type or version are not those of `spec`.
    """
    import zarr

    from storage.arrays.shards import reading_store
    from storage.arrays.stored import DAMAGED, StoredArray

    name = array_name(artifact, spec)
    place = artifact.file(name)
    try:
        array = StoredArray(zarr.open_array(store=reading_store(place), mode="r", zarr_format=3).async_array)
        found = _layout(array)
        n_shards = math.prod(
            math.ceil(n / length) for n, length in zip(array.shape, array.shards or array.chunks, strict=True)
        )
    except (OSError, *DAMAGED) as error:
        raise ArtifactError(f"{artifact.ref}/{spec.name} cannot be opened: {error!r}") from error
    expected = (spec.dims, spec.dtype, spec.version)
    if found != expected:
        raise ArtifactError(f"{artifact.ref}/{spec.name} has axes, type and version {found}, expected {expected}")
    n_files = sum(one.startswith(f"{name}/c/") for one in artifact.manifest.files)
    if n_shards != n_files:  # else a shape that is too large would be read as zeros
        raise ArtifactError(
            f"{artifact.ref}/{spec.name} has {n_files} shards, its shape {array.shape} needs {n_shards}"
        )
    return array


def _layout(array: "zarr.Array[Any]") -> tuple[tuple[str | None, ...], str, Any]:
    dtype = "string" if array.dtype.kind in "TO" else str(array.dtype)
    return tuple(array.metadata.dimension_names or ()), dtype, array.attrs.get("version")  # pyright: ignore


def read_array(artifact: Artifact, spec: ArraySpec) -> NDArray[Any]:
    """Read a whole array of an artefact into memory."""
    return np.asarray(open_array(artifact, spec)[...])


def read_rows(array: "zarr.Array[Any]", rows: NDArray[np.integer]) -> NDArray[Any]:
    """Read the images at positions `rows` (n,), in that order.

    Zarr's own indexing by several positions is avoided. It makes an index entry for every value, which costs 18 MB and
    30 ms for each image of 256 x 256 pixels.
    """
    images = np.empty((len(rows), *array.shape[1:]), array.dtype)
    length = shard_length(array)
    files = rows // length
    for first in (np.unique(files) * length).tolist():
        places = np.flatnonzero(files * length == first)
        n_held = min(length, array.shape[0] - first)  # the last file holds fewer
        if array.chunks[0] == length or len(places) * WORTH_ONE >= n_held * images[:1].nbytes:
            images[places] = np.asarray(array[first : first + length])[rows[places] - first]
        else:
            for place in places.tolist():
                images[place] = array[int(rows[place])]
    return images


def iter_images(array: "zarr.Array[Any]", rows: NDArray[np.integer], size: int) -> Generator[NDArray[Any]]:
    """Yield the images at positions `rows` (n,), `size` at a time; ascending positions read each file once."""
    left = np.empty((0, *array.shape[1:]), array.dtype)
    for of_file in np.split(rows, np.flatnonzero(np.diff(rows // shard_length(array))) + 1):
        left = np.concatenate([left, read_rows(array, of_file)])
        while len(left) >= size:
            yield left[:size]
            left = left[size:]
    if len(left):
        yield left
