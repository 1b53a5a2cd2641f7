"""Every file and folder is synced, in threads that a fork makes anew."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from storage.places.durable import sync_all


def tree(folder: Path, n: int) -> set[int]:
    """Make folders in folders with `n` files in all; return the inodes of everything, the folder itself included."""
    (folder / "empty").mkdir(parents=True)
    for k in range(n):
        path = folder / f"c/{k % 3}/0/{k}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([k]))
    return {path.stat().st_ino for path in (folder, *folder.rglob("*"))}


@pytest.mark.parametrize(("n", "before"), [(0, set()), (1, set()), (100, set()), (100, {"c/1/0/1", "c/0/0/99"})])
def test_every_other_file_and_folder_is_synced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, before: set[str]
) -> None:
    expected, synced, fsync = tree(tmp_path / "draft", n), list[int](), os.fsync
    expected -= {(tmp_path / "draft" / name).stat().st_ino for name in before}

    def noted(stream: int) -> None:
        fsync(stream)
        synced.append(os.fstat(stream).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    sync_all(tmp_path / "draft", before)
    assert sorted(synced) == sorted(expected)


def test_one_file_that_the_disk_refuses_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "draft", 100)
    refused, fsync = (tmp_path / "draft/c/0/0/99").stat().st_ino, os.fsync

    def full(stream: int) -> None:
        if os.fstat(stream).st_ino == refused:
            raise OSError(errno.EIO, "no answer")
        fsync(stream)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no answer"):
        sync_all(tmp_path / "draft")


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_all(tmp_path / "gone")


def test_a_fork_syncs_too(tmp_path: Path) -> None:
    """Threads do not survive a fork: without its own, the child would wait for ever."""
    tree(tmp_path / "draft", 3)
    sync_all(tmp_path / "draft")
    child = os.fork()
    if child == 0:
        sync_all(tmp_path / "draft")
        os._exit(0)
    for _ in range(600):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the fork did not end")
