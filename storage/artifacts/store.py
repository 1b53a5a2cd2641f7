"""Store artefacts under a digest of what made them, and open them again.

An artefact is a folder `artifacts/<kind>/<digest>` whose `manifest.json` was written last. The digest covers the kind,
its revision, the parameters and the digests of the inputs, so equal work has one name on every machine. This name
gives caching, resuming, provenance and crash safety. A folder without a manifest is unfinished, and a manifest whose
files differ shows damage.
"""

import io
import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from storage.artifacts.drafts import MANIFEST, Draft, begin_draft
from storage.artifacts.json_files import content_digest, read_streamed
from storage.artifacts.manifests import Manifest, read_manifest
from storage.artifacts.uses import note_use
from storage.errors import ArtifactError, AwayError
from storage.places.addresses import check_bucket, format_address, parse_address
from storage.places.allowed import refuse_other_store, refuse_way_out
from storage.places.faults import writing
from storage.places.files import (
    Place,
    damages,
    open_file,
    read_file,
    relative_name,
    remove_all,
    strangers,
    wrong_sizes,
)

# Kinds and digests become names of folders, and so may neither lead elsewhere nor be too long for one.
PathPart = Annotated[str, Field(pattern=r"^[\w-]+$", max_length=50)]


class ArtifactRef(BaseModel):
    """Name of an artefact: its kind and digest. Tasks pass references to each other, never content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: PathPart
    digest: PathPart

    def __str__(self) -> str:
        return f"{self.kind}/{self.digest}"

    @classmethod
    def of(cls, text: str) -> "ArtifactRef":
        """Read a reference as manifests state their inputs: `kind/digest`."""
        kind, _, digest = text.partition("/")
        return cls(kind=kind, digest=digest)


# Role of an artefact in a record: its kind, and where there are several, a saliency method and a date.
Role = Annotated[str, Field(pattern=r"^\S+( \S+)*$")]


@dataclass(frozen=True)
class Recipe:
    """Everything that an artefact is made from; its digest covers exactly this.

    Attributes
    ----------
    kind : kind of the artefact, e.g. `predictions`.
    revision : number that is raised when the code gives other numbers for equal parameters.
    params : parameters as JSON values.
    inputs : references or digests (or lists of them) by role.
    """

    kind: str
    revision: int
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def ref(self) -> ArtifactRef:
        """Return the artefact's name."""
        made_of = [self.kind, self.revision, dict(self.params), _named(self.inputs)]
        return ArtifactRef(kind=self.kind, digest=content_digest(made_of))


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
        """Return the stage's key figures from the manifest."""
        return self.manifest.summary

    def read_bytes(self, name: str) -> bytes:
        """Read the content of one file.

        Raises
        ------
        ArtifactError : the file is missing, or is no file.
        """
        try:
            return read_file(self.file(name))
        except FileNotFoundError:
            raise self.lacks(name) from None

    def read_json(self, name: str, *streamed: str) -> Any:
        """Read and parse one JSON file.

        Parameters
        ----------
        streamed : lists of objects in it that become `Streamed`: a long list is then never in memory as a whole.

        Raises
        ------
        ArtifactError : the file is missing or damaged, also while a list is read.
        """
        try:
            if streamed:
                return read_streamed(partial(self._stream, name), str(self.folder / name), streamed)
            return json.loads(self.read_bytes(name))
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{self.folder / name} cannot be read as JSON: {error}") from None

    def _stream(self, name: str) -> IO[bytes]:
        path = self.file(name)
        if not isinstance(path, Path):
            return io.BytesIO(self.read_bytes(name))
        try:
            return open_file(path)
        except FileNotFoundError:
            raise self.lacks(name) from None

    def file(self, name: str) -> Place:
        """Return the place of one file or array of this artefact.

        Raises
        ------
        ArtifactError : the manifest names no such file or array.
        """
        if not any(one == name or one.startswith(f"{name}/") for one in self.manifest.files):
            raise self.lacks(name)
        return self.folder / name

    def lacks(self, name: str) -> ArtifactError:
        """Return the error to raise where a file of this artefact is missing."""
        return ArtifactError(f"artefact {self.ref} has no {name}; `harvest verify` lists all damage in the store")


class Store:
    """A folder or bucket prefix that holds artefacts, published tables, reports and records of cached tasks.

    Parameters
    ----------
    root : a path, or `s3://bucket/prefix?endpoint=http://host:port&region=name` without credentials.

    Attributes
    ----------
    root : place of the store, a local path or an object path.
    address : complete address by which other processes open the store; an absolute path for a folder.

    Raises
    ------
    InputError : the address is not valid, or is none that a run of this service may use.
    """

    def __init__(self, root: str | Path) -> None:
        if "://" in str(root):
            place = parse_address(str(root))
            self.root, self.address = place, format_address(place)
        else:
            self.root = Path(root).absolute()
            self.address = str(self.root)
        refuse_other_store(self.root)

    def check(self) -> None:
        """Refuse a bucket that cannot be used, before any work starts.

        Raises
        ------
        InputError : the bucket does not exist, or the credentials are wrong or missing.
        OSError : the server does not answer.
        """
        if not isinstance(self.root, Path):
            check_bucket(self.root)

    def refuse_absence(self) -> None:
        """Refuse a folder that holds no artefacts, as where its share or disk is not mounted.

        What reads a whole store calls this before it believes that something is missing.

        Raises
        ------
        AwayError : there is no folder `artifacts`.
        OSError : the disk or the network share does not answer.
        """
        if isinstance(self.root, Path) and not (self.root / "artifacts").is_dir():
            raise AwayError(
                f"The store {self.root} has no folder `artifacts`",
                "A store that is kept must be there, with the artefacts of a campaign",
                "mount its share or disk, restore a backup of it, or run a campaign first",
            )

    def own(self, place: Place) -> Place:
        """Return a place below the store, and refuse one from which links lead out of it.

        Through such a link, files elsewhere could be read into a report, overwritten or deleted.

        Raises
        ------
        ArtifactError : the place leads out of the store.
        """
        if isinstance(place, Path) and isinstance(self.root, Path):
            refuse_way_out(place, self.root)
        return place

    def name_of(self, place: Place) -> str:
        """Return the path of a file or folder relative to the store, with `/`."""
        return relative_name(place, self.root)

    @property
    def results_folder(self) -> Place:
        """Return where Prefect keeps the records of cached tasks, so that every Prefect home finds them."""
        return self.own(self.root / "prefect-results")

    def folder(self, ref: ArtifactRef) -> Place:
        """Return the folder of an artefact, whether or not it exists."""
        return self.root / "artifacts" / ref.kind / ref.digest

    def open(self, ref: ArtifactRef) -> Artifact:
        """Open an artefact for reading.

        Raises
        ------
        ArtifactError : the manifest is missing or cannot be read, or is that of another artefact.
        """
        folder = self.own(self.folder(ref))
        manifest = read_manifest(folder, Manifest)
        if (manifest.kind, manifest.digest) != (ref.kind, ref.digest):
            raise ArtifactError(f"{folder / MANIFEST} is the manifest of {manifest.kind}/{manifest.digest}")
        return Artifact(ref, folder / manifest.place, manifest)

    def damage(self, ref: ArtifactRef) -> list[str]:
        """List what is wrong with an artefact; empty when it is undamaged.

        In a folder, every byte is read and files that the manifest does not name are reported. In a bucket, an object
        is read only if its size or tag differs from the recorded one. Extra objects are not looked for there, because
        a listing may be out of date.
        """
        try:
            artifact = self.open(ref)
            folder, files = artifact.folder, artifact.manifest.files
            others = strangers(folder, {*files, MANIFEST}) if isinstance(folder, Path) else []
            return damages(folder, files, by_tag=True) + others
        except ArtifactError as error:
            return [str(error)]
        except FileNotFoundError as error:
            return [f"artefact {ref} was moved while it was being read: {error}"]

    def wrong_sizes(self, ref: ArtifactRef) -> list[str]:
        """List the files of an artefact that are missing or have another size; no content is read."""
        try:
            artifact = self.open(ref)
        except ArtifactError as error:
            return [str(error)]
        return wrong_sizes(artifact.folder, artifact.manifest.files)

    def holds(self, ref: ArtifactRef) -> bool:
        """Return whether the artefact exists and is undamaged, and note that a run rests on it, or will make it."""
        note_use(self.root, str(ref))  # before reading, so that `harvest gc` does not remove it afterwards
        return not self.damage(ref)

    def work_folder(self, ref: ArtifactRef) -> Place:
        """Return a place for checkpoints from which a later run resumes; `create` removes it at the end."""
        folder = self._work_folder(ref)
        if isinstance(folder, Path):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _work_folder(self, ref: ArtifactRef) -> Place:
        return self.own(self.root / "work" / f"{ref.kind}-{ref.digest}")

    @contextmanager
    def create(self, recipe: Recipe, versions: Mapping[str, str] | None = None) -> Generator[Draft]:
        """Write an artefact as a draft; it becomes visible, complete, when the block ends without an error.

        A block that fails leaves nothing behind. A killed process leaves a folder `.tmp-...`, or an attempt in a
        bucket; no reader opens either.

        Parameters
        ----------
        recipe : everything that the artefact is made from.
        versions : versions of the packages that made the numbers, for the manifest.

        Raises
        ------
        WriteError : the disk is full or read-only.
        """
        ref = recipe.ref
        final = self.own(self.folder(ref))
        with writing(f"Artefact {ref}", final.parent if isinstance(final, Path) else Path(tempfile.gettempdir())):
            draft = begin_draft(final)
            try:
                yield draft
                self._commit(draft, recipe, dict(versions or {}))
            finally:
                draft.discard()
        remove_all(self._work_folder(ref))

    def _commit(self, draft: Draft, recipe: Recipe, versions: dict[str, str]) -> None:
        ref = recipe.ref
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
            versions=versions,
        )
        draft.commit(manifest.model_dump_json(indent=1).encode(), lambda: self.holds(ref))

    def forget_result(self, key: str) -> None:
        """Delete the record of a cached task, so that the task runs again."""
        (self.results_folder / key).unlink(missing_ok=True)
