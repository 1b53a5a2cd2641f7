"""Parts of a published folder: each some files and its own manifest, written last.

Parts lie beside each other without knowing of each other: each may be written, replaced or damaged while the others are
read. Nobody holds a lock, since runs on several machines publish into one store; what two of them do at the same time
is settled by an order of the parts that all agree on.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from storage.artifacts import MANIFEST, ArtifactRef, read_manifest
from storage.errors import ArtifactError
from storage.places.files import FileRecord, Place, damages, describe_content, list_files, write_atomically

PART = "part-0"
NAME = re.compile(r"[a-z]+-[0-9a-z]+")


class PublishedManifest(BaseModel):
    """What a part of a published folder holds and which artefacts it was taken from."""

    model_config = ConfigDict(extra="forbid")

    sources: list[ArtifactRef]
    files: dict[str, FileRecord]


def part_file(part: str) -> str:
    """Name of a part's table."""
    return f"{part}.parquet"


def part_manifest(part: str) -> str:
    """Name of a part's manifest. A name that could be that of the first part's manifest is a programmer's error."""
    if not NAME.fullmatch(part):
        raise ValueError(f"a part is named like part-0 or fit-0123ab, got {part!r}")
    return MANIFEST if part == PART else f"{part}.json"


def list_parts(folder: Place) -> list[str]:
    """Parts of a folder that have a manifest, in the order in which they are kept."""
    others = [path.stem for path in folder.glob("*.json") if NAME.fullmatch(path.stem) and path.stem != PART]
    return ([PART] if (folder / MANIFEST).is_file() else []) + sorted(others)


def read_part(folder: Place, part: str) -> PublishedManifest:
    """A part's manifest.

    Raises
    ------
    ArtifactError : it is missing or cannot be understood.
    """
    return read_manifest(folder, PublishedManifest, part_manifest(part))


def is_current(folder: Place, part: str, sources: Sequence[ArtifactRef]) -> bool:
    """Whether a part is whole and was taken from exactly these artefacts; other files of the folder do not matter."""
    try:
        manifest = read_part(folder, part)
    except ArtifactError:
        return False
    return manifest.sources == list(sources) and _is_whole(folder, manifest)


def _is_whole(folder: Place, manifest: PublishedManifest) -> bool:
    return not damages(folder, manifest.files)


def write_part(folder: Place, part: str, sources: Sequence[ArtifactRef], contents: Mapping[str, bytes]) -> None:
    """Write a part's files, then its manifest.

    The manifest tells what was to be written, not what lies there: where two runs write the same part from other
    sources at the same time, it can then not vouch for the other's files.
    """
    manifest = folder / part_manifest(part)
    for name in _files_of(folder, part) - contents.keys():  # of sources that are not there any more
        (folder / name).unlink(missing_ok=True)
    manifest.unlink(missing_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    files = {name: describe_content(content) for name, content in sorted(contents.items())}
    said = PublishedManifest(sources=list(sources), files=files)
    write_atomically(manifest, said.model_dump_json(indent=1).encode())


def remove_part(folder: Place, part: str) -> None:
    """Remove a part. The manifest goes last, so that what a kill leaves still says where it came from."""
    for name in (*_files_of(folder, part), part_file(part), part_manifest(part)):
        (folder / name).unlink(missing_ok=True)


def _files_of(folder: Place, part: str) -> set[str]:
    """Files of a folder that a part's manifest names and no other part's does."""
    parts = read_parts(folder)[0]
    own = parts[part].files.keys() & list_files(folder).keys() if part in parts else set[str]()
    return own.difference(*(manifest.files for other, manifest in parts.items() if other != part))


def publish_part(
    folder: Place, part: str, sources: Sequence[ArtifactRef], contents: Callable[[], Mapping[str, bytes]]
) -> str:
    """Write a part of these artefacts, unless it or another part has them already; returns the part that has them.

    Other parts (say, one of every fit that scored a date) lie beside it and are left alone, except that rows of the
    same artefacts are published once: a part whose rows are there in another is not written, and the first part
    removes others with its rows. An equal part is left as it is.
    """
    part_manifest(part)  # refuses a name that is none, before anything is read
    if not is_current(folder, part, sources):
        twin = None if part == PART else find_twin(folder, part, sources)
        if twin is not None:
            remove_part(folder, part)  # what an earlier run, or a killed one, left under this name
            return twin
        write_part(folder, part, sources, contents())
    return keep_one(folder, part, sources)


def find_twin(folder: Place, part: str, sources: Sequence[ArtifactRef]) -> str | None:
    """Another part, whole and with the rows of exactly these artefacts; the first where there are several."""
    return next((twin for twin in _parts_of(folder, sources) if twin != part and _holds(folder, twin)), None)


def keep_one(folder: Place, part: str, sources: Sequence[ArtifactRef]) -> str:
    """Of the parts with the rows of these artefacts keep the first whole one, which is returned, and remove the rest.

    A part is removed only where one before it in the order is whole. So whichever of two runs comes last sees both
    parts and both runs keep the same one: rows are neither lost nor there twice.
    """
    twins = _parts_of(folder, sources)
    kept = next((twin for twin in twins if _holds(folder, twin)), None)
    if kept is None:  # another run is replacing what this one wrote
        return part
    for twin in twins[twins.index(kept) + 1 :]:
        remove_part(folder, twin)
    return kept


def _parts_of(folder: Place, sources: Sequence[ArtifactRef]) -> list[str]:
    """Parts, whole or not, that were taken from exactly these artefacts, in any order of rows."""
    return [part for part, found in read_parts(folder)[0].items() if set(found.sources) == set(sources)]


def read_parts(folder: Place) -> tuple[dict[str, PublishedManifest], dict[str, str]]:
    """Manifests of a folder by part, and what is wrong with those that cannot be read."""
    read: dict[str, PublishedManifest] = {}
    unreadable: dict[str, str] = {}
    for part in list_parts(folder):
        try:
            read[part] = read_part(folder, part)
        except ArtifactError as error:
            unreadable[part] = str(error)
    return read, unreadable


def _holds(folder: Place, part: str) -> bool:
    try:
        return _is_whole(folder, read_part(folder, part))
    except ArtifactError:
        return False
