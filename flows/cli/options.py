"""Define the arguments and options that several commands of `harvest` share, and set up Prefect for them."""

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from storage.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console


def checked(store: str) -> str:
    """Return a store's address after checking that its folder is none of a file, or its bucket can be used."""
    if "://" not in store:
        check_folder(
            Path(store),
            f"The store {store} cannot be a folder",
            "A store must be a folder, or a place in a bucket: s3://bucket/prefix",
            "give another --store, or set HARVEST_STORE",
        )
    else:
        from storage.artifacts import Store

        Store(store).check()
    return store


def check_folder(folder: Path, cannot: str, rule: str, remedy: str) -> None:
    """Refuse a place where no folder can be made, because a file stands there or above it.

    Parameters
    ----------
    cannot : beginning of the message, a statement of what cannot be.
    rule, remedy : as in InputError.

    Raises
    ------
    InputError : a file, or a broken link, stands at the folder's path or above it.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists() or place.is_symlink())
    if not there.is_dir():
        raise InputError(f"{cannot}: {there} is {'a file' if there.exists() else 'a broken link'}", rule, remedy)


CampaignArgument = Annotated[str, typer.Argument(help="Name of a campaign that was run on this store")]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        callback=checked,
        envvar="HARVEST_STORE",
        help="Folder of the store of artefacts, tables and reports, or its address in a bucket: "
        "s3://bucket/prefix?endpoint=http://host:port, with credentials in the environment",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text and tables")]
LogsOption = Annotated[bool, typer.Option("--logs", help="Show Prefect's logs on the terminal; its UI always has them")]
DEFAULT_STORE = "harvest-store"  # folder below the working directory


Found = TypeVar("Found")


def print_found(found: Found, as_json: bool, print_words: Callable[[Found], None]) -> None:
    """Print a command's result, as one JSON document or by the function that prints it in words."""
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_words(found)


def tables_console(markup: bool = True) -> "Console":
    """Return a console for tables; `markup` says whether brackets in texts are rich's styles.

    A pipe has no width, and rich would cut its tables to 80 columns and lose figures.
    """
    from rich.console import Console

    return Console(width=None if Console().is_terminal else 120, highlight=False, markup=markup)


class TerminalNotices(logging.Handler):
    """Print warnings of the packages `flows` and `tasks` on standard error, above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message without its level and time."""
        from tqdm import tqdm

        tqdm.write(record.getMessage(), file=sys.stderr)


class StageLines(TerminalNotices):
    """Print one line for each stage that begins where standard error is no terminal and so has no bar, and notes."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message; on a terminal only a note, because the bar tells the rest."""
        if record.getMessage().startswith("note: ") or not sys.stderr.isatty():
            super().emit(record)


NOTICES = TerminalNotices(logging.WARNING)
STAGES = StageLines(logging.INFO)


def configure_prefect(logs: bool) -> None:
    """Set the environment variables that Prefect reads when it is first imported, unless they are set already.

    Threads of its tasks share one heap (see `tasks/heap.py`), which has to be said before they start.

    The level applies to the terminal only: the UI's logs have a handler of their own and keep every level. Warnings of
    `flows` and `tasks` outside Prefect's loggers are shown on the terminal in any case.
    """
    from tasks.heap import share_one_heap

    share_one_heap()
    if not logs:  # Prefect's own handler shows them otherwise
        for package in ("flows", "tasks"):
            logging.getLogger(package).addHandler(NOTICES)
        progress = logging.getLogger("flows.progress")
        progress.addHandler(STAGES)
        progress.setLevel(logging.INFO)
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO" if logs else "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # Prefect's own limit is 20 seconds, and creating a new database on a slow disk takes longer.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
