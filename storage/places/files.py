"""Write files atomically, compute checksums, and compare files with a manifest.

A file lies in a local folder or is an object in a bucket (`Place`). Whether a file exists is asked of the file itself.
Listings, which may be out of date in a bucket, only find names.
"""

import errno
import hashlib
import os
import shutil
import stat
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from storage.errors import ArtifactError
from storage.places.durable import begin_writing, make_folder, sync
from storage.places.faults import writing
from storage.places.objects import ObjectPath

Place = Path | ObjectPath

AT_ONCE = 16  # files read or requested in parallel; a bucket needs about 10 ms per request
WRITE_BYTES = 2**20  # bytes of a new file that are written at once: a shard's images one by one take more time
SETTLED_NS = 1_000_000_000  # age of a file's last change from which another change gives it another time, ns
SHOWN_ERRORS = 3  # mistakes that a message names

# What the system says of a link, or of a socket, that is opened as a file.
NO_FILE = {errno.ELOOP, errno.EMLINK, errno.ENXIO}
M = TypeVar("M", bound=BaseModel)


class FileRecord(BaseModel):
    """Size in bytes and SHA-256 (hex) of one file, and its entity tag if it is an object in a bucket."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str
    etag: str | None = None

    @model_serializer(mode="wrap")
    def _without_absent_tag(self, others: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {name: value for name, value in others(self).items() if value is not None}


def open_file(path: Path) -> BufferedReader:
    """Open a file of a store for reading. A link is not followed, and a pipe or device never waited for.

    Raises
    ------
    ArtifactError : it is a link, folder, pipe, socket or device.
    FileNotFoundError, OSError : it does not exist or may not be read, or the disk does not answer.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in NO_FILE:
            raise
        raise _no_file(path) from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise _no_file(path)
    return open(number, "rb")  # noqa: PTH123 -- a number of an open file


def _no_file(path: Path) -> ArtifactError:
    return ArtifactError(f"{path} is a link, folder, pipe or device; a store holds plain files; find out who made it")


def read_file(path: Place) -> bytes:
    """Read the content of a file of a store (see `open_file`)."""
    if not isinstance(path, Path):
        return path.read_bytes()
    with open_file(path) as stream:
        return stream.read()


def read_model(path: Place, model: type[M], what: str) -> M:
    """Read a record of a store as JSON.

    Parameters
    ----------
    what : what the record is, in words, for the message.

    Raises
    ------
    ArtifactError : the record is missing or cannot be read.
    """
    try:
        return model.model_validate_json(read_file(path))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as {what}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return why a file cannot be read, in few words and without its content, which may be anything."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors(include_input=False, include_url=False, include_context=False)
    told = [f"{'.'.join(map(str, one['loc'])) or 'content'}: {one['msg']}"[:200] for one in found[:SHOWN_ERRORS]]
    return "; ".join(told) + (f"; and {len(found) - len(told)} more" if len(found) > len(told) else "")


def describe_file(path: Place) -> FileRecord:
    """Return the size and checksum of a file, read block by block."""
    if isinstance(path, Path):
        with open_file(path) as stream:
            size, digest = os.fstat(stream.fileno()).st_size, hashlib.file_digest(stream, "sha256")
        return FileRecord(size=size, sha256=digest.hexdigest())
    size, sha256 = path.checksum()
    return FileRecord(size=size, sha256=sha256)


def write_new(path: Path, parts: Iterable[bytes]) -> FileRecord:
    """Write a new file from parts that are made one after another, and return its size and checksum.

    Raises
    ------
    FileExistsError : there is a file of this name, which may be a link to another artefact's file.
    """
    size, digest = 0, hashlib.sha256()
    with path.open("xb", WRITE_BYTES) as stream:
        for part in parts:
            size += stream.write(part)
            digest.update(part)
        stream.flush()
        begin_writing(stream.fileno())
    return FileRecord(size=size, sha256=digest.hexdigest())


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
    """Return every file below a local folder by its relative name with `/`, sorted; none where there is no folder.

    Folders that may not be read are left out.

    Raises
    ------
    OSError : the disk does not answer, or a folder was removed meanwhile.
    """
    found = os.walk(folder, onerror=_unless_forbidden) if folder.is_dir() else ()
    paths = sorted(path for parent, _, names in found for name in names if (path := Path(parent, name)).is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _unless_forbidden(error: OSError) -> None:
    if not isinstance(error, PermissionError):
        raise error


def damages(folder: Place, expected: Mapping[str, FileRecord], by_tag: bool = False) -> list[str]:
    """List what is wrong with the files that a folder should hold, one sentence each, naming the file.

    Every byte is read, because a size alone does not show a flipped bit.

    Parameters
    ----------
    expected : size and checksum of every file, by its name below the folder.
    by_tag : trust the server of a bucket that an object of the same size and tag is unchanged. An object with another
        tag, or none, is read. In a folder, a file is read once by a process, and again when its size or times change.
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
        actual = path.state().size if isinstance(path, ObjectPath) else path.lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return f"{folder}: {_thing(name)} {name} is missing"
    return None if actual == size else f"{folder}: {_thing(name)} {name} has {actual} bytes, its manifest says {size}"


def _damage(folder: Place, name: str, record: FileRecord, by_tag: bool) -> str | None:
    path = folder / name
    try:
        if by_tag and isinstance(path, ObjectPath) and record.etag and path.state()[:2] == (record.size, record.etag):
            return None
        actual = _checked_file(path) if isinstance(path, Path) and by_tag else describe_file(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return f"{_thing(name)} {name} is missing"
    except ArtifactError as error:
        return str(error)
    if actual.size != record.size:
        return f"{_thing(name)} {name} has {actual.size} bytes, its manifest says {record.size}"
    if actual.sha256 != record.sha256:
        return f"{_thing(name)} {name} has changed content (SHA-256 differs from its manifest)"
    return None


def _checked_file(path: Path) -> FileRecord:
    """Return size and checksum of a file; one that this process has read is not read again as long as it is unchanged.

    A file that was changed in the last second is read: its time would be the same after another change.
    """
    found = path.lstat()
    if time.time_ns() - found.st_ctime_ns <= SETTLED_NS:
        return describe_file(path)
    return _describe_once(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(maxsize=2**16)
def _describe_once(path: Path, *_state: int) -> FileRecord:
    """Describe a file in a state, which its number, its size and its times (ns) tell from others."""
    return describe_file(path)


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
