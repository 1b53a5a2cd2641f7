"""A service's store as its disk may have it after a loss of power: what was synced, and any part of what was not.

A library that is loaded into every process of the service (LD_PRELOAD, `disk_log.c`) notes what is synced and removed.
From this, the store is put into a state that POSIX allows after a loss of power: see `tests.support.power_loss`, which
does the same for one process. A file that was cut off keeps what was synced before it grew. PostgreSQL's files are no
part of this: it syncs by itself, and they stay as the processes left them.
"""

import os
import random
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
Names = dict[str, int]  # inode by name


def compiled(folder: Path) -> Path | None:
    """Compile the library into a folder that every user may read; None without a C compiler or on another system."""
    library = folder / "disk_log.so"
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc/self/fd").exists():
        return None
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


@dataclass
class LoggedDisk:
    """The disk of a service's store, whose processes have the library loaded.

    Attributes
    ----------
    n_cut, n_names : files of which a part was lost, and names that were lost or came back, in all losses so far.
    """

    home: Path
    chance: random.Random
    n_cut: int = 0
    n_names: int = 0
    names: dict[int, Names] = field(default_factory=dict[int, Names])  # of each folder, as of its last sync
    contents: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])  # size and time of files
    _drawn: dict[int, Path] = field(default_factory=dict[int, Path])

    @property
    def store(self) -> Path:
        """Folder that is watched."""
        return self.home / "store"

    @property
    def kept(self) -> Path:
        """Files that have lost a name, by their inode."""
        return self.home / "disk" / "kept"

    def lose_power(self) -> None:
        """Put the store into a state that its disk may have now; every process of the service has ended."""
        self._read_log()
        image, before = self.home / "image", self.home / "before"
        present = {path.lstat().st_ino: path for path in self.store.rglob("*")}
        kept = {int(path.name): path for path in self.kept.glob("*")}
        self._drawn.clear()
        self._draw_folder(self.store.stat().st_ino, self.store, image, {**kept, **present})
        shutil.copystat(self.store, image)
        os.chown(image, self.store.stat().st_uid, self.store.stat().st_gid)
        self.store.rename(before)
        image.rename(self.store)
        shutil.rmtree(before)
        self._begin_again()

    def _begin_again(self) -> None:
        """Take all that is there now for synced, and forget what was noted."""
        (self.home / "disk" / "log").unlink(missing_ok=True)
        for path in self.kept.glob("*"):
            path.unlink()
        self.names.clear()
        self.contents.clear()
        for path in (self.store, *self.store.rglob("*")):
            state = path.lstat()
            if path.is_dir():
                self.names[state.st_ino] = inodes(path)
            else:
                self.contents[state.st_ino] = (state.st_size, state.st_mtime_ns)

    def _read_log(self) -> None:
        """Take up what was noted, in the order of time: processes may have written it down in another."""
        log = self.home / "disk" / "log"
        lines = log.read_text().split("\n")[:-1] if log.exists() else []
        for line in sorted(lines, key=lambda line: int(line.split(maxsplit=2)[1])):
            kind, _, inode, *rest = line.split(" ", 3)
            if kind == "F":
                size, time = rest[0].split()
                self.contents[int(inode)] = (int(size), int(time))
            elif kind == "D":
                pairs = [entry.split("/", 1) for entry in rest[0].split("\t")[1:]]
                self.names[int(inode)] = {name: int(one) for one, name in pairs}
            else:  # another folder may get this inode
                self.names.pop(int(inode), None)
                for names in self.names.values():
                    for name in [name for name, one in names.items() if one == int(inode)]:
                        del names[name]

    def _draw_folder(self, inode: int, folder: Path | None, image: Path, paths: dict[int, Path]) -> None:
        image.mkdir()
        synced, present = self.names.get(inode, {}), inodes(folder) if folder else {}
        for name in sorted({*synced, *present}):
            found = self.chance.choice((synced.get(name), present.get(name)))
            self.n_names += found != present.get(name)
            if found is not None:
                self._draw(found, image / name, paths)

    def _draw(self, inode: int, image: Path, paths: dict[int, Path]) -> None:
        path = paths.get(inode)
        if inode in self.names or (path is not None and path.is_dir()):
            self._draw_folder(inode, path, image, paths)
            like = path or self.store
        elif path is None:  # another process replaced it in the same moment, so it was not kept
            return
        elif inode in self._drawn:
            os.link(self._drawn[inode], image)  # a file with two names
            return
        else:
            self._draw_file(inode, path, image)
            like = path
        shutil.copystat(like, image)
        os.chown(image, like.stat().st_uid, like.stat().st_gid)

    def _draw_file(self, inode: int, path: Path, image: Path) -> None:
        size, time = self.contents.get(inode, (0, 0))
        state = path.stat()
        whole = state.st_size
        least = min(size, whole)
        is_synced = (size, time) == (whole, state.st_mtime_ns)
        length = whole if is_synced else self.chance.choice((least, self.chance.randint(least, whole), whole))
        self.n_cut += length < whole
        if length == whole:
            os.link(path, image)
        else:
            image.write_bytes(path.read_bytes()[:length])
        self._drawn[inode] = image


def inodes(folder: Path) -> Names:
    """Inode of everything in a folder by its name."""
    return {one.name: one.inode() for one in os.scandir(folder)}
