"""Artefacts: named by what made them, written aside, and there only when their manifest is.

An artefact is a folder `artifacts/<kind>/<digest>` whose last file is `manifest.json`. The digest covers the kind, its
revision, the parameters and the digests of the inputs, so equal work has one name on every machine. The same name gives
caching, resume, provenance and crash safety: a folder without a manifest is nobody's, and a manifest whose files differ
is damage.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from storage.errors import ArtifactError, InputError
from storage.files import FileRecord, describe_file, differences, list_files, write_atomically

M = TypeVar("M", bound=BaseModel)

MANIFEST = "manifest.json"
DIGEST_LENGTH = 24  # hex digits: 96 bits, far beyond any collision by chance, and still short enough to read
COMMIT_ATTEMPTS = 100  # far beyond the runs that replace one damaged artefact at the same time


class ArtifactRef(BaseModel):
    """Name of an artefact: all that travels between tasks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    digest: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.digest}"


class Manifest(BaseModel):
    """What an artefact is, what made it and which files belong to it."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    digest: str
    revision: int
    params: dict[str, Any]
    inputs: dict[str, Any]
    files: dict[str, FileRecord]
    summary: dict[str, Any]
    created: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Recipe:
    """What makes an artefact: the whole of what its digest covers.

    Attributes
    ----------
    kind : what is made, e.g. `predictions`.
    revision : raised when equal parameters would give other numbers.
    params : JSON values.
    inputs : references or digests (or lists of them) by role.
    """

    kind: str
    revision: int
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def ref(self) -> ArtifactRef:
        """The artefact's name."""
        made_of = [self.kind, self.revision, dict(self.params), _named(self.inputs)]
        return ArtifactRef(kind=self.kind, digest=content_digest(made_of))


def content_digest(content: Any) -> str:
    """Digest of a JSON value, independent of key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def _named(inputs: Mapping[str, Any]) -> dict[str, Any]:
    def name(value: Any) -> Any:
        return [str(item) for item in value] if isinstance(value, list | tuple) else str(value)

    return {role: name(value) for role, value in inputs.items()}


class Draft:
    """An artefact being written: a folder nobody else sees, and what its manifest will say beside the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary: dict[str, Any] = {}
        self._linked: dict[str, FileRecord] = {}

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one file, once: a name may be a link, and writing to it would change another artefact."""
        with (self.folder / name).open("xb") as stream:
            stream.write(content)

    def write_json(self, name: str, content: Any) -> None:
        """Write one JSON file, readable by people."""
        self.write_bytes(name, json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode())

    def link(self, name: str, artifact: "Artifact", source: str) -> None:
        """Make the file `source` of an artefact also the file `name` of this draft: read by nobody, stored once.

        Artefacts never change, so they may share a file; it stays until the last of them is deleted. The checksum is
        the one taken when the file was written. Where the file system has no hard links the file is copied.

        Raises
        ------
        ArtifactError : the artefact has no such file.
        FileExistsError : the draft has one of this name.
        """
        path, original = self.folder / name, artifact.file(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(original, path)
        except FileExistsError:
            raise
        except OSError:
            shutil.copyfile(original, path)
        self._linked[name] = artifact.manifest.files[source]

    def describe(self) -> dict[str, FileRecord]:
        """Size and checksum of every file."""
        return {name: self._linked.get(name) or describe_file(path) for name, path in list_files(self.folder).items()}


@dataclass(frozen=True)
class Artifact:
    """A complete artefact, open for reading."""

    ref: ArtifactRef
    folder: Path
    manifest: Manifest

    @property
    def summary(self) -> dict[str, Any]:
        """What the stage says of its result in the manifest."""
        return self.manifest.summary

    def read_bytes(self, name: str) -> bytes:
        """Content of one file."""
        return self.file(name).read_bytes()

    def read_json(self, name: str) -> Any:
        """Content of one JSON file."""
        return json.loads(self.read_bytes(name))

    def file(self, name: str) -> Path:
        """Path of one file or array of this artefact."""
        path = self.folder / name
        if not path.exists():
            raise ArtifactError(f"artefact {self.ref} has no {name}; `harvest verify` tells what else is damaged")
        return path


class Store:
    """A local folder that holds artefacts, published tables, reports and the records of cached tasks."""

    def __init__(self, root: str | Path) -> None:
        if "://" in str(root):
            raise InputError(
                "A store is a folder on this machine", f"the address {root}", "give a path, e.g. --store harvest-store"
            )
        self.root = Path(root).absolute()

    @property
    def results_folder(self) -> Path:
        """Where Prefect keeps the records of cached tasks, so that other Prefect homes find them too."""
        return self.root / "prefect-results"

    def folder(self, ref: ArtifactRef) -> Path:
        """Where an artefact lies, whether or not it is there."""
        return self.root / "artifacts" / ref.kind / ref.digest

    def open(self, ref: ArtifactRef) -> Artifact:
        """Open an artefact for reading.

        Raises
        ------
        ArtifactError : no manifest, or one that cannot be read.
        """
        folder = self.folder(ref)
        return Artifact(ref, folder, read_manifest(folder, Manifest))

    def damage(self, ref: ArtifactRef) -> list[str]:
        """What is wrong with an artefact, re-reading every byte; empty when it is whole."""
        try:
            artifact = self.open(ref)
            return differences(artifact.folder, artifact.manifest.files, besides={MANIFEST})
        except ArtifactError as error:
            return [str(error)]
        except FileNotFoundError as error:
            return [f"artefact {ref} was moved while it was read: {error}"]

    def holds(self, ref: ArtifactRef) -> bool:
        """Whether the artefact is there and whole."""
        return not self.damage(ref)

    def work_folder(self, ref: ArtifactRef) -> Path:
        """A folder for unfinished work that a later run takes up; `create` removes it when the artefact is there."""
        folder = self._work_path(ref)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _work_path(self, ref: ArtifactRef) -> Path:
        return self.root / "work" / f"{ref.kind}-{ref.digest}"

    @contextmanager
    def create(self, recipe: Recipe, versions: Mapping[str, str] | None = None) -> Generator[Draft]:
        """Write an artefact aside; when the block ends without an error it appears whole under its name.

        A block that fails leaves nothing. A process that is killed leaves a `.tmp-` folder, which nobody reads.
        """
        ref, final = recipe.ref, self.folder(recipe.ref)
        draft = Draft(final.with_name(f".tmp-{ref.digest}-{uuid.uuid4().hex[:8]}"))
        draft.folder.mkdir(parents=True)
        try:
            yield draft
            manifest = Manifest(
                kind=ref.kind,
                digest=ref.digest,
                revision=recipe.revision,
                params=dict(recipe.params),
                inputs=_named(recipe.inputs),
                files=draft.describe(),
                summary=draft.summary,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                versions=dict(versions or {}),
            )
            write_atomically(draft.folder / MANIFEST, manifest.model_dump_json(indent=1).encode())
            self._commit(draft.folder, ref)
        finally:
            shutil.rmtree(draft.folder, ignore_errors=True)
        shutil.rmtree(self._work_path(ref), ignore_errors=True)

    def _commit(self, written: Path, ref: ArtifactRef) -> None:
        """Give a finished folder its final name; a damaged predecessor is moved out of the way first.

        Other runs may do the same at the same time. Each commits once, so an attempt that fails is one that another
        run's commit came between.
        """
        final = self.folder(ref)
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                written.rename(final)  # fails where a folder with files has the name
                return
            except OSError:
                if self.holds(ref):  # another run was faster: equal names are equal content
                    return
                if attempt == COMMIT_ATTEMPTS - 1:
                    raise
            aside = final.with_name(f".tmp-damaged-{ref.digest}-{uuid.uuid4().hex[:8]}")
            with suppress(FileNotFoundError):  # another run moved it first
                final.replace(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def forget_result(self, key: str) -> None:
        """Drop the record of a cached task, so that the task runs again."""
        (self.results_folder / key).unlink(missing_ok=True)


def read_manifest(folder: Path, model: type[M], name: str = MANIFEST) -> M:
    """Read a folder's manifest, or that of one of its parts.

    Raises
    ------
    ArtifactError : it is missing or cannot be understood.
    """
    path = folder / name
    try:
        return model.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{folder} has no {name}: never finished, or deleted") from None
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be read as a manifest: {error}") from None
