"""Write files atomically, compute checksums, and compare files with a manifest.

A file lies in a local folder or is an object in a bucket (`Place`). Whether a file exists is asked of the file itself.
Listings, which may be out of date in a bucket, only find names.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from storage.places.durable import make_folder, sync
from storage.places.faults import writing
from storage.places.objects import ObjectPath

Place = Path | ObjectPath

AT_ONCE = 16  # files read or requested in parallel; a bucket needs about 10 ms per request


class FileRecord(BaseModel):
    """Size in bytes and SHA-256 (hex) of one file, and its entity tag if it is an object in a bucket."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str
    etag: str | None = None

    @model_serializer(mode="wrap")
    def _without_absent_tag(self, others: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {name: value for name, value in others(self).items() if value is not None}


def _inside(name: str) -> str:
    if ".." in name.split("/") or name.startswith("/") or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} does not lie below its folder; a manifest names only files below its own folder")
    return name


# Name of a file below a folder, with `/`. A manifest that names files elsewhere is refused: they could be read into a
# report, overwritten or deleted.
FileName = Annotated[str, AfterValidator(_inside)]


def describe_file(path: Place) -> FileRecord:
    """Return the size and checksum of a file, read block by block."""
    if isinstance(path, Path):
        with path.open("rb") as stream:
            return FileRecord(size=path.stat().st_size, sha256=hashlib.file_digest(stream, "sha256").hexdigest())
    size, sha256 = path.checksum()
    return FileRecord(size=size, sha256=sha256)


def describe_content(content: bytes) -> FileRecord:
    """Return the size and checksum of the content of a file to be written."""
    return FileRecord(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def relative_name(path: Place, folder: Place) -> str:
    """Return the path of a file or folder relative to a folder, with `/`."""
    return PurePosixPath(*path.parts).relative_to(PurePosixPath(*folder.parts)).as_posix()


def list_files(folder: Place) -> dict[str, Place]:
    """Return every file below a folder by its relative name with `/`, sorted."""
    if isinstance(folder, ObjectPath):
        return {path.relative_to(folder).as_posix(): path for path in sorted(folder.files())}
    return dict(files_below(folder))


def files_below(folder: Path) -> dict[str, Path]:
    """Return every file below a local folder by its relative name with `/`, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def damages(folder: Place, expected: Mapping[str, FileRecord], by_tag: bool = False) -> list[str]:
    """List what is wrong with the files that a folder should hold, one sentence each, naming the file.

    Every byte is read, because a size alone does not show a flipped bit.

    Parameters
    ----------
    expected : size and checksum of every file, by its name below the folder.
    by_tag : trust the server of a bucket that an object of the same size and tag is unchanged. An object with another
        tag, or none, is read.
    """
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(expected)))) as pool:
        found = pool.map(lambda name: _damage(folder, name, expected[name], by_tag), expected)
        return [problem for problem in found if problem]


def wrong_sizes(folder: Place, expected: Mapping[str, FileRecord]) -> list[str]:
    """List the files that a folder should hold and that are missing or have another size; no content is read."""
    with ThreadPoolExecutor(min(AT_ONCE, max(1, len(expected)))) as pool:
        found = pool.map(lambda name: _wrong_size(folder, name, expected[name].size), expected)
        return [problem for problem in found if problem]


def _wrong_size(folder: Place, name: str, size: int) -> str | None:
    path = folder / name
    try:
        actual = path.state().size if isinstance(path, ObjectPath) else path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return f"{folder}: {_thing(name)} {name} is missing"
    return None if actual == size else f"{folder}: {_thing(name)} {name} has {actual} bytes, its manifest says {size}"


def _damage(folder: Place, name: str, record: FileRecord, by_tag: bool) -> str | None:
    path = folder / name
    try:
        if by_tag and isinstance(path, ObjectPath) and record.etag and path.state()[:2] == (record.size, record.etag):
            return None
        actual = describe_file(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return f"{_thing(name)} {name} is missing"
    if actual.size != record.size:
        return f"{_thing(name)} {name} has {actual.size} bytes, its manifest says {record.size}"
    if actual.sha256 != record.sha256:
        return f"{_thing(name)} {name} has changed content (SHA-256 differs from its manifest)"
    return None


def changed_at(path: Place) -> datetime | None:
    """Return when a file was last written, in UTC; None where there is none."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) if isinstance(path, Path) else path.state().changed
    except FileNotFoundError:
        return None


def strangers(folder: Place, known: Collection[str]) -> list[str]:
    """List the files in a folder whose names are not among the known ones, one sentence each."""
    # A killed `write_atomically` leaves a `.tmp-` file, which no reader opens.
    extra = [name for name, path in list_files(folder).items() if name not in known and path.name[:5] != ".tmp-"]
    return [f"{_thing(name)} {name} is not in the manifest" for name in extra]


def _thing(name: str) -> str:
    """Return the word for a file: Zarr v3 keeps its shards under `<array>/c/`, all others are plain files."""
    return "shard" if "/c/" in name else "file"


def write_atomically(path: Place, content: bytes) -> None:
    """Replace a file atomically: a reader finds the old content or the new, never a part.

    So it is after a kill at any moment, and after a loss of power. When this returns, the new content is on the disk.

    Raises
    ------
    WriteError : the disk is full or read-only.
    """
    if isinstance(path, ObjectPath):
        path.write_bytes(content)
        return
    temporary = path.with_name(f".tmp-{path.name}-{uuid.uuid4().hex[:8]}")
    with writing(f"File {path.name}", path.parent, len(content)):
        make_folder(path.parent)
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def remove_file(path: Place) -> None:
    """Remove a file, if it exists; when this returns, it stays removed also after a loss of power."""
    with suppress(FileNotFoundError):
        path.unlink()
        if isinstance(path, Path):
            sync(path.parent)


def remove_all(folder: Place) -> None:
    """Remove a folder and its content, if it exists."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.remove_all()


def remove_if_empty(folder: Place) -> None:
    """Remove an empty local folder; a bucket has no folders."""
    if isinstance(folder, Path):
        with suppress(OSError):  # it does not exist, or another run has written into it
            folder.rmdir()
