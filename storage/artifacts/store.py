"""Artefacts: named by what made them, written aside, and there only when their manifest is.

An artefact is a folder `artifacts/<kind>/<digest>` whose `manifest.json` was written last. The digest covers the kind,
its revision, the parameters and the digests of the inputs, so equal work has one name on every machine. The same name
gives caching, resume, provenance and crash safety: a folder without a manifest is nobody's, and a manifest whose files
differ is damage.
"""

import hashlib
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from storage.artifacts.drafts import MANIFEST, Draft, begin_draft
from storage.errors import ArtifactError
from storage.places.addresses import check_bucket, format_address, parse_address
from storage.places.files import FileRecord, Place, damages, relative_name, remove_all, strangers

M = TypeVar("M", bound=BaseModel)

DIGEST_LENGTH = 24  # hex digits: 96 bits, far beyond any collision by chance, and still short enough to read


class ArtifactRef(BaseModel):
    """Name of an artefact: all that travels between tasks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    digest: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.digest}"


class Manifest(BaseModel):
    """What an artefact is, what made it and which files belong to it.

    Attributes
    ----------
    files : by their names below `place`.
    place : where they lie below the artefact's name; empty: beside the manifest.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str
    digest: str
    revision: int
    params: dict[str, Any]
    inputs: dict[str, Any]
    files: dict[str, FileRecord]
    place: str = ""
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


@dataclass(frozen=True)
class Artifact:
    """A complete artefact, open for reading."""

    ref: ArtifactRef
    folder: Place
    manifest: Manifest

    @property
    def summary(self) -> dict[str, Any]:
        """What the stage says of its result in the manifest."""
        return self.manifest.summary

    def read_bytes(self, name: str) -> bytes:
        """Content of one file.

        Raises
        ------
        ArtifactError : it is missing.
        """
        try:
            return self.file(name).read_bytes()
        except FileNotFoundError:
            raise self.lacks(name) from None

    def read_json(self, name: str) -> Any:
        """Content of one JSON file."""
        return json.loads(self.read_bytes(name))

    def file(self, name: str) -> Place:
        """Place of one file or array of this artefact.

        Raises
        ------
        ArtifactError : the artefact was made without it.
        """
        if not any(one == name or one.startswith(f"{name}/") for one in self.manifest.files):
            raise self.lacks(name)
        return self.folder / name

    def lacks(self, name: str) -> ArtifactError:
        """What to raise where a file of this artefact is not there."""
        return ArtifactError(f"artefact {self.ref} has no {name}; `harvest verify` tells what else is damaged")


class Store:
    """A folder, or a place in a bucket, that holds artefacts, published tables, reports and records of cached tasks.

    Parameters
    ----------
    root : a path, or `s3://bucket/prefix?endpoint=http://host:port&region=name` without credentials.

    Attributes
    ----------
    address : the same, complete: what other processes open the store by.

    Raises
    ------
    InputError : an address that is none.
    """

    def __init__(self, root: str | Path) -> None:
        if "://" in str(root):
            place = parse_address(str(root))
            self.root, self.address = place, format_address(place)
        else:
            self.root = Path(root).absolute()
            self.address = str(self.root)

    def check(self) -> None:
        """Refuse a bucket that cannot be used, before any work.

        Raises
        ------
        InputError : no such bucket; wrong or missing credentials.
        OSError : the server does not answer.
        """
        if not isinstance(self.root, Path):
            check_bucket(self.root)

    def name_of(self, place: Place) -> str:
        """Where a file or folder of the store lies, relative to it, with `/`."""
        return relative_name(place, self.root)

    @property
    def results_folder(self) -> Place:
        """Where Prefect keeps the records of cached tasks, so that other Prefect homes find them too."""
        return self.root / "prefect-results"

    def folder(self, ref: ArtifactRef) -> Place:
        """Where an artefact lies, whether or not it is there."""
        return self.root / "artifacts" / ref.kind / ref.digest

    def open(self, ref: ArtifactRef) -> Artifact:
        """Open an artefact for reading.

        Raises
        ------
        ArtifactError : no manifest, or one that cannot be read.
        """
        folder = self.folder(ref)
        manifest = read_manifest(folder, Manifest)
        return Artifact(ref, folder / manifest.place, manifest)

    def damage(self, ref: ArtifactRef) -> list[str]:
        """What is wrong with an artefact; empty when it is whole.

        Every byte of a folder's files is read. Of a bucket's objects those are whose size or tag is not that of the
        write, and what else lies there is not looked for, because a listing may be older than the objects.
        """
        try:
            artifact = self.open(ref)
            folder, files = artifact.folder, artifact.manifest.files
            others = strangers(folder, {*files, MANIFEST}) if isinstance(folder, Path) else []
            return damages(folder, files, by_tag=True) + others
        except ArtifactError as error:
            return [str(error)]
        except FileNotFoundError as error:
            return [f"artefact {ref} was moved while it was read: {error}"]

    def holds(self, ref: ArtifactRef) -> bool:
        """Whether the artefact is there and whole."""
        return not self.damage(ref)

    def work_folder(self, ref: ArtifactRef) -> Place:
        """A place for unfinished work that a later run takes up; `create` clears it when the artefact is there."""
        folder = self._work_folder(ref)
        if isinstance(folder, Path):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _work_folder(self, ref: ArtifactRef) -> Place:
        return self.root / "work" / f"{ref.kind}-{ref.digest}"

    @contextmanager
    def create(self, recipe: Recipe, versions: Mapping[str, str] | None = None) -> Generator[Draft]:
        """Write an artefact aside; when the block ends without an error it appears whole under its name.

        A block that fails leaves nothing. A process that is killed leaves a folder `.tmp-...`, or in a bucket an
        attempt, which nobody reads.
        """
        ref = recipe.ref
        draft = begin_draft(self.folder(ref))
        try:
            yield draft
            manifest = Manifest(
                kind=ref.kind,
                digest=ref.digest,
                revision=recipe.revision,
                params=dict(recipe.params),
                inputs=_named(recipe.inputs),
                files=draft.finish(),
                place=draft.place,
                summary=draft.summary,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                versions=dict(versions or {}),
            )
            draft.commit(manifest.model_dump_json(indent=1).encode(), lambda: self.holds(ref))
        finally:
            draft.discard()
        remove_all(self._work_folder(ref))

    def forget_result(self, key: str) -> None:
        """Drop the record of a cached task, so that the task runs again."""
        (self.results_folder / key).unlink(missing_ok=True)


def read_manifest(folder: Place, model: type[M], name: str = MANIFEST) -> M:
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
