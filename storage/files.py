"""Files and their content: atomic writes, checksums, and what differs from a list of them."""

import hashlib
import os
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class FileRecord(BaseModel):
    """Size in bytes and SHA-256 (hex) of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    sha256: str


def describe_file(path: Path) -> FileRecord:
    """Size and checksum of a file."""
    with path.open("rb") as stream:
        return FileRecord(size=path.stat().st_size, sha256=hashlib.file_digest(stream, "sha256").hexdigest())


def describe_content(content: bytes) -> FileRecord:
    """Size and checksum of what a file is to hold."""
    return FileRecord(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def list_files(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its relative name with `/`, in a stable order."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def describe_files(folder: Path) -> dict[str, FileRecord]:
    """Size and checksum of every file below a folder."""
    return {name: describe_file(path) for name, path in list_files(folder).items()}


def differences(folder: Path, expected: Mapping[str, FileRecord], besides: Collection[str] = ()) -> list[str]:
    """What distinguishes a folder from the files it should hold, one sentence each, naming the file.

    Every byte is read: a size alone does not show a flipped bit.
    """
    present = list_files(folder)
    found: list[str] = []
    for name, record in expected.items():
        if name not in present:
            found.append(f"{_thing(name)} {name} is missing")
            continue
        actual = describe_file(present[name])
        if actual.size != record.size:
            found.append(f"{_thing(name)} {name} has {actual.size} bytes, its manifest says {record.size}")
        elif actual.sha256 != record.sha256:
            found.append(f"{_thing(name)} {name} has changed content (SHA-256 differs from its manifest)")
    # A killed `write_atomically` leaves a `.tmp-` file, which nobody reads.
    known = {*expected, *besides}
    extra = [name for name, path in present.items() if name not in known and not path.name.startswith(".tmp-")]
    return found + [f"{_thing(name)} {name} is not in the manifest" for name in extra]


def _thing(name: str) -> str:
    """Zarr v3 keeps its shards under `<array>/c/`; everything else is a plain file to the reader."""
    return "shard" if ".zarr/c" in f"/{name}" else "file"


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file so that a reader, or a kill at any moment, sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
