"""Write artefacts as drafts, which readers cannot see until the manifest is committed.

In a local store a draft is a temporary folder that is renamed at the end. A bucket has no rename. There every attempt
has its own prefix below the artefact's name, and the manifest, written last, says which attempt is the artefact. An
unfinished attempt is what a killed run left; no reader opens it.
"""

import json
import os
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from storage.artifacts.json_files import json_parts
from storage.places.durable import make_folder, sync, sync_all
from storage.places.files import (
    AT_ONCE,
    FileRecord,
    Place,
    describe_file,
    files_below,
    read_file,
    write_atomically,
    write_new,
)
from storage.places.names import inside
from storage.places.objects import ObjectPath

MANIFEST = "manifest.json"
COMMIT_ATTEMPTS = 100  # renames tried by one commit; far more than runs that replace one artefact at the same time


class Draft(ABC):
    """An artefact being written: a local folder, and the summary for its manifest.

    Attributes
    ----------
    folder : local folder in which its files are written.
    place : folder of the files below the artefact's name; empty: the files lie directly below the name.
    summary : the stage's key figures about its result, as JSON.
    """

    place = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary: dict[str, Any] = {}
        self._written: dict[str, FileRecord] = {}  # by the methods below, so that they need not be read again

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one new file. An existing file is never overwritten: it may be a link to another artefact's file."""
        self.write_parts(name, [content])

    def write_parts(self, name: str, parts: Iterable[bytes]) -> None:
        """Write one new file from parts that are made one after another."""
        self._written[name] = write_new(self.folder / name, parts)

    def write_json(self, name: str, content: Any) -> None:
        """Write one indented JSON file with sorted keys; an object may have members that are `Streamed`."""
        self.write_parts(name, json_parts(content))

    def _record(self, name: str, path: Path) -> FileRecord:
        """Return the size and checksum of a file, which is read if something else has written it."""
        return self._written.get(name) or describe_file(path)

    @abstractmethod
    def link(self, name: str, source: Place, record: FileRecord) -> None:
        """Link a finished artefact's file as the file `name` of this draft, without reading it.

        Artefacts never change, so the size and checksum recorded for the source hold for the link as well.

        Raises
        ------
        FileNotFoundError : the source does not exist.
        FileExistsError : the draft already has a file of this name.
        """

    @abstractmethod
    def settle(self) -> None:
        """Declare the shards written so far final, so that they can be uploaded and removed from this machine."""

    @abstractmethod
    def finish(self) -> dict[str, FileRecord]:
        """Put every file into its final place and return the size and checksum of each."""

    @abstractmethod
    def commit(self, manifest: bytes, is_there: Callable[[], bool]) -> None:
        """Make the artefact visible. If another run has made it meanwhile, that one stays: equal names, equal content.

        Parameters
        ----------
        manifest : content of the manifest.
        is_there : tells whether the artefact exists and is undamaged.
        """

    @abstractmethod
    def discard(self) -> None:
        """Remove uncommitted and temporary files."""


def place_of(final: Place) -> str:
    """Return the `place` of an artefact's files by its manifest; empty without one, or if they lie beside it."""
    try:
        return inside(str(json.loads(read_file(final / MANIFEST)).get("place", "")))
    except (FileNotFoundError, ValueError, RecursionError, AttributeError):
        return ""


def begin_draft(final: Place) -> Draft:
    """Begin a draft of the artefact with this final name."""
    return FolderDraft(final) if isinstance(final, Path) else ObjectDraft(final)


class FolderDraft(Draft):
    """A draft in a temporary folder beside the artefact."""

    def __init__(self, final: Path) -> None:
        super().__init__(final.with_name(f".tmp-{final.name}-{uuid.uuid4().hex[:8]}"))
        self.final = final
        self._linked: dict[str, FileRecord] = {}  # whose content is on the disk since before their source had a name
        make_folder(final.parent)
        self.folder.mkdir()

    def link(self, name: str, source: Place, record: FileRecord) -> None:
        """Make a hard link, or a copy on a file system without hard links."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(source, Path)  # artefacts of one store lie in one place
        try:
            os.link(source, path)
            self._linked[name] = record
        except FileExistsError:
            raise
        except OSError:
            shutil.copyfile(source, path)
            self._written[name] = record

    def settle(self) -> None:
        """Do nothing: the shards already lie on their final disk."""

    def finish(self) -> dict[str, FileRecord]:
        """Return the size and checksum of every file."""
        found = files_below(self.folder)
        return {name: self._linked.get(name) or self._record(name, path) for name, path in found.items()}

    def commit(self, manifest: bytes, is_there: Callable[[], bool]) -> None:
        """Rename the folder to its final name, after moving a damaged predecessor out of the way.

        Other runs may do the same at the same time. Each run commits once, so a rename fails only because another run
        committed in between. It is then tried again.

        All files are on the disk before the folder has its name. So a loss of power leaves the whole artefact or none.
        No reader opens the folder before, so the manifest needs no place after the other files.
        """
        self.write_bytes(MANIFEST, manifest)
        sync_all(self.folder, self._linked)
        for attempt in range(COMMIT_ATTEMPTS):
            try:
                self.folder.rename(self.final)  # fails where a folder with files has this name
            except OSError:
                if not is_there():
                    if attempt == COMMIT_ATTEMPTS - 1:
                        raise
                    self._move_aside()
                    continue
            sync(self.final.parent)  # also where another run was faster
            return

    def _move_aside(self) -> None:
        """Move a damaged predecessor out of the way and remove it."""
        aside = self.final.with_name(f".tmp-damaged-{self.final.name}-{uuid.uuid4().hex[:8]}")
        with suppress(FileNotFoundError):  # another run moved it first
            self.final.replace(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


class ObjectDraft(Draft):
    """A draft of an artefact in a bucket: files are written locally and uploaded when they are final."""

    def __init__(self, final: ObjectPath) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix=f"harvest-{final.name}-")))
        self.final = final
        self.place = f"attempt-{uuid.uuid4().hex[:8]}"
        self.may_leave_objects = False  # whether uploaded objects may belong to no committed artefact
        self._links: dict[str, tuple[ObjectPath, FileRecord]] = {}
        self._sent: dict[str, FileRecord] = {}

    def link(self, name: str, source: Place, record: FileRecord) -> None:
        """Note the link; the server copies the object when the draft is finished."""
        if name in self._links or (self.folder / name).exists():
            raise FileExistsError(f"the draft of {self.final} already has a file {name}")
        assert isinstance(source, ObjectPath)  # artefacts of one store lie in one place
        self._links[name] = source, record

    def settle(self) -> None:
        """Upload the shards and remove them from this machine. Array metadata stays, as it may still change."""
        shards = {name: path for name, path in files_below(self.folder).items() if "/c/" in name}
        self._send_all(shards)
        for path in shards.values():
            path.unlink()

    def finish(self) -> dict[str, FileRecord]:
        """Upload every file and copy the linked ones, `AT_ONCE` at a time; return the size and checksum of each."""
        self._send_all(files_below(self.folder))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._sent.update(zip(self._links, pool.map(self._copy, self._links), strict=True))
        return dict(sorted(self._sent.items()))

    def _send_all(self, files: dict[str, Path]) -> None:
        self.may_leave_objects = True
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._sent.update(zip(files, pool.map(self._send, files, files.values()), strict=True))

    def _send(self, name: str, path: Path) -> FileRecord:
        record = self._record(name, path)
        return record.model_copy(update={"etag": (self.final / self.place / name).write_bytes(path)})

    def _copy(self, name: str) -> FileRecord:
        (source, record), target = self._links[name], self.final / self.place / name
        source.copy_to(target)
        return record.model_copy(update={"etag": target.state().etag})

    def commit(self, manifest: bytes, is_there: Callable[[], bool]) -> None:
        """Write the manifest, which makes the artefact visible, then delete the files of a damaged predecessor.

        If two runs commit at the same moment, the later manifest counts. The files of the other run stay, because
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
        """Remove the local files, and the objects of an attempt that was not committed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.may_leave_objects:
            with suppress(OSError):  # if the server does not answer, `harvest verify` names the objects left behind
                (self.final / self.place).remove_all()
