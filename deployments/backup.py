"""Save the service while it runs (`deployments/env python -m deployments.backup FOLDER`): docs/backup.md.

Each backup is a folder of its own in FOLDER, named by its time (UTC). The database is saved first and the store after
it: the store then has all that the database says is finished. A backup that is stopped half-way has no such name.
"""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from storage.copying import copy_store
from storage.errors import InputError
from storage.places.durable import sync, sync_all
from storage.places.files import files_below

TIME = "%Y%m%dT%H%M%SZ"  # time in the name of a backup
MADE = "backup.env"  # file that says what a backup is of; written last
DRAFT = ".tmp-"  # begin of the name of a backup that is not finished
SETTINGS = ("secrets.env", "settings.env")  # files of HARVEST_HOME that only their owner may read


def main() -> None:
    """Make a backup; end with status 1 where the store that was saved is damaged."""
    parser = argparse.ArgumentParser(prog="python -m deployments.backup", description=__doc__)
    parser.add_argument("folder", type=Path, help="Folder of all backups, on another disk than the service")
    wanted = parser.parse_args()
    if "HARVEST_HOME" not in os.environ or "PGPASSWORD" not in os.environ:
        sys.exit("HARVEST_HOME is not set; run `deployments/env python -m deployments.backup FOLDER`")
    try:
        made, problems = back_up(wanted.folder.absolute(), os.environ, datetime.now(UTC))
    except InputError as error:
        sys.exit(f"error: {error}")
    print(f"backup: {made}")
    if problems:
        sys.exit("\n".join([f"It is whole, but the store is damaged: {len(problems)} problems", *problems]))


def back_up(folder: Path, environment: Mapping[str, str], now: datetime) -> tuple[Path, list[str]]:
    """Save database, store, secrets, settings and programs in a new folder; return it, and the damage in the store.

    Parameters
    ----------
    environment : settings and secrets of the host, from `deployments/env`.

    Raises
    ------
    InputError : another backup is being made there, the folder lies in the store, or the database cannot be read.
    """
    home, address = Path(environment["HARVEST_HOME"]), environment["HARVEST_STORE"]
    store = None if "://" in address else Path(address)
    if store and folder.resolve().is_relative_to(store):
        raise InputError(f"{folder} lies in the store", "Backups must lie outside the store", "give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        _hold(lock.fileno(), folder)
        for left in folder.glob(f"{DRAFT}*"):
            shutil.rmtree(left)
        earlier = max((path.parent for path in folder.glob(f"*/{MADE}")), default=None)
        final = folder / now.strftime(TIME)
        draft = folder / f"{DRAFT}{final.name}"
        draft.mkdir(mode=0o700)
        _dump_database(draft / "harvest.dump")
        for name in SETTINGS:
            _copy_private(home / name, draft / name)
        if (programs := Path(environment["HARVEST_PROGRAMS"])).is_dir():
            shutil.copytree(programs, draft / "programs")
        problems = copy_store(store, draft / "store", earlier and earlier / "store") if store else []
        said = {"files": str(len(files_below(draft))), **_said(address, now)}
        (draft / MADE).write_text("".join(f"{name}={value}\n" for name, value in said.items()))
        sync_all(draft)
        draft.rename(final)
        sync(folder)
    return final, problems


def _hold(lock: int, folder: Path) -> None:
    """Take the lock of all backups in a folder, until the file is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"Another backup is being made in {folder}", "Backups of a folder are made one by one", "wait for its end"
        ) from None


def _dump_database(path: Path) -> None:
    """Save the database as it is at one moment; `pg_dump` finds it by variables of the environment."""
    if subprocess.run(["pg_dump", "--format=custom", f"--file={path}"]).returncode:
        raise InputError(
            "pg_dump could not save the database", "The service must run while it is saved", "start it, then try again"
        )


def _copy_private(path: Path, to: Path) -> None:
    """Copy a file of secrets, if it exists, so that only its owner may read the copy at any time."""
    if path.is_file():
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(path.read_bytes())


def _said(address: str, now: datetime) -> dict[str, str]:
    """Return what a backup is of: its time, the store's address, and the versions that wrote it."""
    dumped = subprocess.run(["pg_dump", "--version"], capture_output=True, text=True, check=True).stdout.split()
    versions = {name: version(name) for name in ("harvest-reliability", "prefect")}
    return {"time": now.isoformat(timespec="seconds"), "store": address, **versions, "postgresql": dumped[2]}


if __name__ == "__main__":
    main()
