"""A folder as a disk may have it after a loss of power: what was synced, and any part of what was not.

Of a file the disk has the content of its last sync, of a folder the names of its last sync. What changed since may be
there as well, or a part of it. This is what POSIX promises and no more (Pillai et al. 2014, "All File Systems Are Not
Created Equal"); real file systems lose less.
"""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WATCHED = ("fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir")


class Disk:
    """Watches what is synced below a folder, and draws what a loss of power leaves at each moment.

    Attributes
    ----------
    n_moments : number of moments so far: one before and one after each operation of `WATCHED`.
    """

    def __init__(self, root: Path, seed: int, on_loss: Callable[["Disk"], None]) -> None:
        self.root = root
        self.n_moments = 0
        self._chance = random.Random(seed)
        self._on_loss = on_loss
        self._contents: dict[int, bytes] = {}  # by inode, as of the last sync
        self._names: dict[int, dict[str, int]] = {}
        self._held: list[int] = []  # open files, so that no inode is given to another file
        self._lock = threading.RLock()  # files are synced by several threads

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Watch every operation of this process until the patch is undone."""
        for name in WATCHED:
            patch.setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self._lose()
                result = operation(*arguments, **options)
                if name == "fsync":
                    self._note(arguments[0])
                self._lose()
                return result

        return watched

    def _lose(self) -> None:
        self.n_moments += 1
        self._on_loss(self)

    def _note(self, stream: int) -> None:
        path, inode = Path(f"/proc/self/fd/{stream}").readlink(), os.fstat(stream).st_ino
        if path.is_relative_to(self.root):
            self._held.append(os.dup(stream))
            if path.is_dir():
                self._names[inode] = {one.name: one.inode() for one in os.scandir(path)}
            else:
                self._contents[inode] = path.read_bytes()

    def draw(self, image: Path) -> None:
        """Write into a new folder what the disk may have if the power is lost now."""
        image.mkdir()
        now = {path.stat().st_ino: path for path in self.root.rglob("*")}
        self._draw_folder(self.root.stat().st_ino, self.root, image, now)

    def _draw_folder(self, inode: int, folder: Path | None, image: Path, now: dict[int, Path]) -> None:
        synced = self._names.get(inode, {})
        present = {one.name: one.inode() for one in os.scandir(folder)} if folder else {}
        for name in sorted({*synced, *present}):
            found = self._chance.choice((synced.get(name), present.get(name)))
            if found is not None:
                self._draw(found, image / name, now)

    def _draw(self, inode: int, image: Path, now: dict[int, Path]) -> None:
        path = now.get(inode)
        if inode in self._names or (path is not None and path.is_dir()):
            image.mkdir(exist_ok=True)
            self._draw_folder(inode, path, image, now)
            return
        synced = self._contents.get(inode, b"")
        written = path.read_bytes() if path else synced
        part = written[: self._chance.randint(0, len(written))] if written != synced else written
        image.write_bytes(self._chance.choice((synced, part, written)))

    def close(self) -> None:
        """Let go of the files held."""
        for stream in self._held:
            os.close(stream)
