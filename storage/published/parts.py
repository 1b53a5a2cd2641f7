"""Write, read and remove parts of a published folder; a part has files and its own manifest, written last.

Parts of a folder are independent: each may be written, replaced or damaged while others are read. There are no locks,
because runs on several machines publish into one store. When two runs publish the same rows at the same time, a fixed
order of the parts decides which one stays.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from storage.artifacts import MANIFEST, ArtifactRef, read_manifest
from storage.errors import ArtifactError
from storage.places.files import FileRecord, Place, damages, describe_content, list_files, write_atomically

PART = "part-0"  # name of the first part of a folder
NAME = re.compile(r"[a-z]+-[0-9a-z]+")  # names that a part may have


class PublishedManifest(BaseModel):
    """Files of a part of a published folder, and the artefacts that they were taken from."""

    model_config = ConfigDict(extra="forbid")

    sources: list[ArtifactRef]
    files: dict[str, FileRecord]


def part_file(part: str) -> str:
    """Return the file name of a part's table."""
    return f"{part}.parquet"


def part_manifest(part: str) -> str:
    """Return the file name of a part's manifest.

    Raises
    ------
    ValueError : the part's name is not valid; its manifest could get the name of the first part's manifest.
    """
    if not NAME.fullmatch(part):
        raise ValueError(f"{part!r} is not the name of a part: a part is named like part-0 or fit-0123ab")
    return MANIFEST if part == PART else f"{part}.json"


def list_parts(folder: Place) -> list[str]:
    """List the parts of a folder that have a manifest, in their fixed order (the first part first)."""
    others = [path.stem for path in folder.glob("*.json") if NAME.fullmatch(path.stem) and path.stem != PART]
    return ([PART] if (folder / MANIFEST).is_file() else []) + sorted(others)


def read_part(folder: Place, part: str) -> PublishedManifest:
    """Read a part's manifest.

    Raises
    ------
    ArtifactError : the manifest is missing or cannot be read.
    """
    return read_manifest(folder, PublishedManifest, part_manifest(part))


def is_current(folder: Place, part: str, sources: Sequence[ArtifactRef]) -> bool:
    """Return whether a part is undamaged and was taken from exactly these artefacts."""
    try:
        manifest = read_part(folder, part)
    except ArtifactError:
        return False
    return manifest.sources == list(sources) and _is_whole(folder, manifest)


def _is_whole(folder: Place, manifest: PublishedManifest) -> bool:
    return not damages(folder, manifest.files)


def write_part(folder: Place, part: str, sources: Sequence[ArtifactRef], contents: Mapping[str, bytes]) -> None:
    """Write a part's files, then its manifest.

    The manifest describes the content that was to be written, not the files found afterwards. If two runs write the
    same part from different sources at the same time, a manifest therefore never covers the files of the other run.
    """
    manifest = folder / part_manifest(part)
    for name in _files_of(folder, part) - contents.keys():  # files of earlier sources
        (folder / name).unlink(missing_ok=True)
    manifest.unlink(missing_ok=True)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    files = {name: describe_content(content) for name, content in sorted(contents.items())}
    said = PublishedManifest(sources=list(sources), files=files)
    write_atomically(manifest, said.model_dump_json(indent=1).encode())


def remove_part(folder: Place, part: str) -> None:
    """Remove a part, its manifest last, so that a killed removal leaves files that still have their sources."""
    for name in (*_files_of(folder, part), part_file(part), part_manifest(part)):
        (folder / name).unlink(missing_ok=True)


def _files_of(folder: Place, part: str) -> set[str]:
    """Return the files of a folder that only this part's manifest names."""
    parts = read_parts(folder)[0]
    own = parts[part].files.keys() & list_files(folder).keys() if part in parts else set[str]()
    return own.difference(*(manifest.files for other, manifest in parts.items() if other != part))


def publish_part(
    folder: Place, part: str, sources: Sequence[ArtifactRef], contents: Callable[[], Mapping[str, bytes]]
) -> str:
    """Write a part from these artefacts, unless some part holds their rows already; return the part that holds them.

    Other parts, such as those of other fits that scored a date, are left alone. Rows of the same artefacts are
    published once: a part whose rows another part holds is not written, and the first part removes others with its
    rows. A part that is already current is not rewritten.

    Parameters
    ----------
    folder : published folder.
    part : name of the part.
    sources : artefacts that the files are taken from.
    contents : makes the content of every file by its name; called only if the part is written.
    """
    part_manifest(part)  # refuses an invalid name before anything is read
    if not is_current(folder, part, sources):
        twin = None if part == PART else find_twin(folder, part, sources)
        if twin is not None:
            remove_part(folder, part)  # left under this name by an earlier or killed run
            return twin
        write_part(folder, part, sources, contents())
    return keep_one(folder, part, sources)


def find_twin(folder: Place, part: str, sources: Sequence[ArtifactRef]) -> str | None:
    """Return the first other part that is undamaged and holds the rows of exactly these artefacts, or None."""
    return next((twin for twin in _parts_of(folder, sources) if twin != part and _holds(folder, twin)), None)


def keep_one(folder: Place, part: str, sources: Sequence[ArtifactRef]) -> str:
    """Keep the first undamaged part with the rows of these artefacts, remove later ones, and return the kept one.

    A part is removed only if an earlier one in the fixed order is undamaged. Of two runs, the one that finishes last
    sees both parts, and both runs keep the same one. So rows are neither lost nor published twice.
    """
    twins = _parts_of(folder, sources)
    kept = next((twin for twin in twins if _holds(folder, twin)), None)
    if kept is None:  # another run is replacing what this one wrote
        return part
    for twin in twins[twins.index(kept) + 1 :]:
        remove_part(folder, twin)
    return kept


def _parts_of(folder: Place, sources: Sequence[ArtifactRef]) -> list[str]:
    """List the parts, damaged or not, that were taken from exactly these artefacts, in any order."""
    return [part for part, found in read_parts(folder)[0].items() if set(found.sources) == set(sources)]


def read_parts(folder: Place) -> tuple[dict[str, PublishedManifest], dict[str, str]]:
    """Read the manifests of a folder: manifests by part, and the problems of unreadable ones by part."""
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
