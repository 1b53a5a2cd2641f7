"""Options that several commands of `harvest` share, and how they set up Prefect."""

import os
from typing import Annotated

import typer

from storage.artifacts import Store


def checked(store: str) -> str:
    """The store of a command, whose bucket, where it lies in one, can be used."""
    Store(store).check()
    return store


StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        callback=checked,
        envvar="HARVEST_STORE",
        help="folder of artefacts and tables, or s3://bucket/prefix?endpoint=http://host:port with credentials in the "
        "environment",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON document for machines")]
LogsOption = Annotated[bool, typer.Option("--logs", help="show Prefect's logs here too; its UI always has them")]
DEFAULT_STORE = "harvest-store"


def configure_prefect(logs: bool) -> None:
    """Set what Prefect reads when it is first imported, where the environment does not say otherwise.

    The UI's logs come from another handler than the terminal's and keep every level.
    """
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO" if logs else "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # A new database on a slow disk takes longer than the default of 20 seconds.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
