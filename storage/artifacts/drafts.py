"""Drafts: artefacts being written, which nobody sees before their manifest is there.

In a folder a draft is a folder aside that is renamed at the end. A bucket knows no rename: there every attempt has a
prefix of its own below the artefact's name, and the manifest, written last, says which attempt is the artefact. An
attempt that was not finished is what a killed run left, and no reader comes to it.
"""

import json
import os
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.places.files import AT_ONCE, FileRecord, Place, describe_file, files_below, write_atomically
from storage.places.objects import ObjectPath

MANIFEST = "manifest.json"
COMMIT_ATTEMPTS = 100  # far beyond the runs that replace one damaged artefact at the same time


class Draft(ABC):
    """An artefact being written: a folder of this machine, and what its manifest will say beside the files.

    Attributes
    ----------
    folder : where its files are written.
    place : where they will lie below the artefact's name; empty: right there.
    summary : what the stage says of its result.
    """

    place = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary: dict[str, Any] = {}

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one file, once: a name may be a link, and writing to it would change another artefact."""
        with (self.folder / name).open("xb") as stream:
            stream.write(content)

    def write_json(self, name: str, content: Any) -> None:
        """Write one JSON file, readable by people."""
        self.write_bytes(name, json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode())

    @abstractmethod
    def link(self, name: str, source: Place, record: FileRecord) -> None:
        """Make a finished artefact's file also the file `name` of this draft, read by nobody.

        Artefacts never change, so what was recorded when the file was written holds for this one too.

        Raises
        ------
        FileNotFoundError : there is no such file.
        FileExistsError : the draft has one of this name.
        """

    @abstractmethod
    def settle(self) -> None:
        """Say that the shards written so far are final, so that they need not stay on this machine."""

    @abstractmethod
    def finish(self) -> dict[str, FileRecord]:
        """Put every file where it will lie, and describe them."""

    @abstractmethod
    def commit(self, manifest: bytes, is_there: Callable[[], bool]) -> None:
        """Make the artefact appear; one that another run made meanwhile stays, since equal names are equal content.

        Parameters
        ----------
        is_there : whether the artefact is there and whole.
        """

    @abstractmethod
    def discard(self) -> None:
        """Remove what was not committed, and what lies aside."""


def place_of(final: Place) -> str:
    """Where a manifest says that the files of the artefact of this name lie; empty: right there, or there is none."""
    try:
        return str(json.loads((final / MANIFEST).read_bytes()).get("place", ""))
    except (FileNotFoundError, ValueError, AttributeError):
        return ""


def begin_draft(final: Place) -> Draft:
    """A new draft of the artefact of this name."""
    return FolderDraft(final) if isinstance(final, Path) else ObjectDraft(final)


class FolderDraft(Draft):
    """A draft in a folder beside the artefact."""

    def __init__(self, final: Path) -> None:
        super().__init__(final.with_name(f".tmp-{final.name}-{uuid.uuid4().hex[:8]}"))
        self.final = final
        self._linked: dict[str, FileRecord] = {}
        self.folder.mkdir(parents=True)

    def link(self, name: str, source: Place, record: FileRecord) -> None:
        """As a hard link, which stays until the last of the artefacts is deleted; a copy where there are none."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(source, Path)  # artefacts of one store lie in one place
        try:
            os.link(source, path)
        except FileExistsError:
            raise
        except OSError:
            shutil.copyfile(source, path)
        self._linked[name] = record

    def settle(self) -> None:
        """Nothing: they lie on the disk that they will stay on."""

    def finish(self) -> dict[str, FileRecord]:
        """Describe every file."""
        return {name: self._linked.get(name) or describe_file(path) for name, path in files_below(self.folder).items()}

    def commit(self, manifest: bytes, is_there: Callable[[], bool]) -> None:
        """Give the folder its final name; a damaged predecessor is moved out of the way first.

        Other runs may do the same at the same time. Each commits once, so an attempt that fails is one that another
        run's commit came between.
        """
        write_atomically(self.folder / MANIFEST, manifest)
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                self.folder.rename(self.final)  # fails where a folder with files has the name
                return
            except OSError:
                if is_there():  # another run was faster
                    return
                if attempt == COMMIT_ATTEMPTS - 1:
                    raise
            aside = self.final.with_name(f".tmp-damaged-{self.final.name}-{uuid.uuid4().hex[:8]}")
            with suppress(FileNotFoundError):  # another run moved it first
                self.final.replace(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class ObjectDraft(Draft):
    """A draft in a bucket: its files are written on this machine, and sent when they are final."""

    def __init__(self, final: ObjectPath) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix=f"harvest-{final.name}-")))
        self.final = final
        self.place = f"attempt-{uuid.uuid4().hex[:8]}"
        self.may_leave_objects = False  # sent, and not the artefact's
        self._links: dict[str, tuple[ObjectPath, FileRecord]] = {}
        self._sent: dict[str, FileRecord] = {}

    def link(self, name: str, source: Place, record: FileRecord) -> None:
        """As a copy that the server makes when the draft is finished."""
        if name in self._links or (self.folder / name).exists():
            raise FileExistsError(f"the draft of {self.final} has a file {name}")
        assert isinstance(source, ObjectPath)  # artefacts of one store lie in one place
        self._links[name] = source, record

    def settle(self) -> None:
        """Send the shards and remove them from this machine; an array's own description may still change."""
        shards = {name: path for name, path in files_below(self.folder).items() if ".zarr/c/" in name}
        self._send_all(shards)
        for path in shards.values():
            path.unlink()

    def finish(self) -> dict[str, FileRecord]:
        """Send every file and copy the linked ones, several at a time."""
        self._send_all(files_below(self.folder))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._sent.update(zip(self._links, pool.map(self._copy, self._links), strict=True))
        return dict(sorted(self._sent.items()))

    def _send_all(self, files: dict[str, Path]) -> None:
        self.may_leave_objects = True
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._sent.update(zip(files, pool.map(self._send, files, files.values()), strict=True))

    def _send(self, name: str, path: Path) -> FileRecord:
        record = describe_file(path)
        return record.model_copy(update={"etag": (self.final / self.place / name).write_bytes(path)})

    def _copy(self, name: str) -> FileRecord:
        (source, record), target = self._links[name], self.final / self.place / name
        source.copy_to(target)
        return record.model_copy(update={"etag": target.state().etag})

    def commit(self, manifest: bytes, is_there: Callable[[], bool]) -> None:
        """Write the manifest, after which the artefact is there; the files of a damaged predecessor go afterwards.

        Two runs that commit at the same moment both do; the later manifest counts, and the other's files stay, since
        somebody may be reading them.
        """
        if is_there():
            return
        earlier = place_of(self.final)
        write_atomically(self.final / MANIFEST, manifest)
        self.may_leave_objects = False
        if earlier:
            (self.final / earlier).remove_all()

    def discard(self) -> None:
        """Remove what lies on this machine, and what was sent of an attempt that is not the artefact."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.may_leave_objects:
            with suppress(OSError):  # the server is away: `harvest verify` names what is left
                (self.final / self.place).remove_all()
