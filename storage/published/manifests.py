"""Publish files under a name that people know, with a manifest that is written last.

A published folder holds one set of files: the latest that was published. Artefacts never change, published files do.
There are no locks, because runs on several machines publish into one store. Every file is replaced atomically. If two
runs publish other rows at the same time, each waits a random time and writes again, until files and manifest are of
one run.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from storage.artifacts import ArtifactRef, read_manifest
from storage.errors import ArtifactError
from storage.places.files import FileRecord, Place, damages, describe_content, remove_file, write_atomically
from storage.places.names import FileName

ATTEMPTS = 8  # times that a set is written when other runs publish into the same folder at the same moment
FIRST_WAIT, LONGEST_WAIT = 0.02, 2.0  # limits of the random wait before the next attempt, in seconds


class PublishedManifest(BaseModel):
    """Files of a published folder, and the artefacts that they were taken from."""

    model_config = ConfigDict(extra="forbid")

    sources: list[ArtifactRef]
    files: dict[FileName, FileRecord]


def read_published(manifest: Place) -> PublishedManifest:
    """Read the manifest of published files.

    Raises
    ------
    ArtifactError : the manifest is missing or cannot be read.
    """
    return read_manifest(manifest.parent, PublishedManifest, manifest.name)


def find_published(folder: Place, manifest: Place) -> PublishedManifest | None:
    """Return the manifest of published files if all of them are undamaged, else None."""
    try:
        said = read_published(manifest)
    except ArtifactError:
        return None
    return None if damages(folder, said.files) else said


def publish_files(
    folder: Place, manifest: Place, sources: Sequence[ArtifactRef], contents: Callable[[], Mapping[str, bytes]]
) -> Collection[str]:
    """Publish a set of files in place of the folder's present one, unless it is there already; return their names.

    Parameters
    ----------
    folder : published folder.
    manifest : place of the set's manifest.
    sources : artefacts that the files are taken from.
    contents : makes the content of every file by its name; called only if the files are written.

    Raises
    ------
    ArtifactError : other runs replaced the files at every attempt.
    """
    said = find_published(folder, manifest)
    if said is not None and said.sources == list(sources):
        return said.files
    return _write_until_whole(folder, manifest, sources, contents()).files


def _write_until_whole(
    folder: Place, manifest: Place, sources: Sequence[ArtifactRef], contents: Mapping[str, bytes]
) -> PublishedManifest:
    """Write a set until files and manifest are of one run: this one, or one that was faster."""
    from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

    def write() -> PublishedManifest | None:
        _write(folder, manifest, sources, contents)
        return find_published(folder, manifest)

    wait = wait_random_exponential(FIRST_WAIT, LONGEST_WAIT)  # runs that wait equally long would meet again
    attempts = Retrying(stop=stop_after_attempt(ATTEMPTS), wait=wait, retry=retry_if_result(lambda said: said is None))
    try:
        said = attempts(write)
    except RetryError:
        said = None
    if said is None:
        raise ArtifactError(
            f"{folder} was changed by other runs each of the {ATTEMPTS} times that it was published; its manifest may "
            "not describe its files; run the same command again when no other run publishes there"
        )
    return said


def _write(folder: Place, manifest: Place, sources: Sequence[ArtifactRef], contents: Mapping[str, bytes]) -> None:
    """Write the files that the folder does not have yet, then their manifest.

    A report has a page for every date, of which one is new. The manifest describes the content that was to be written,
    not the files found afterwards. So it never covers the files of another run.
    """
    for name in _files_of(manifest) - contents.keys():  # files of earlier sources
        (folder / name).unlink(missing_ok=True)
    remove_file(manifest)  # it must not come back beside the new files
    files: dict[str, FileRecord] = {}
    for name in sorted(contents):
        content = contents[name]  # read once, as the files of a report are large together
        files[name] = describe_content(content)
        if damages(folder, {name: files[name]}):
            write_atomically(folder / name, content)
    said = PublishedManifest(sources=list(sources), files=files)
    write_atomically(manifest, said.model_dump_json(indent=1).encode())


def remove_published(folder: Place, manifest: Place) -> None:
    """Remove published files, and the manifest last, so that a killed removal leaves files that have their sources."""
    for name in _files_of(manifest):
        (folder / name).unlink(missing_ok=True)
    manifest.unlink(missing_ok=True)


def _files_of(manifest: Place) -> set[str]:
    try:
        return set(read_published(manifest).files)
    except ArtifactError:
        return set()
