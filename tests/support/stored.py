"""Stores and backups that earlier versions of the program wrote: tests/stored/README.md."""

import shutil
import tarfile
from pathlib import Path

from tests.support.repository import ROOT

STORED = ROOT / "tests/stored"
STORE_0_1_0 = STORED / "store-0.1.0.tar.xz"


def stored_store(folder: Path) -> Path:
    """Lay out a store of version 0.1.0, its images and its campaign file; return their folder."""
    with tarfile.open(STORE_0_1_0) as archive:
        archive.extractall(folder, filter="data")
    return folder / "field2"


def stored_backup(folder: Path) -> tuple[Path, Path]:
    """Lay out a backup of a service that worked on that store, and the images; return it and its campaign file.

    The archive lacks the artefacts that version 0.1.0 had made.
    """
    field = stored_store(folder)
    with tarfile.open(STORED / "backup-2026-11-30.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    backup = folder / "backup"
    shutil.copytree(field / "store/artifacts", backup / "store/artifacts", dirs_exist_ok=True)
    (backup / "secrets.env").chmod(0o600)
    return backup, field / "before.toml"
