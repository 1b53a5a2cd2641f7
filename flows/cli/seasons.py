"""Announce new dates to a server, and print a scored date or the rows of a backfill."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.running.servers import shared_server
from storage.errors import InputError
from storage.tables.rows import Row

if TYPE_CHECKING:
    from storage.artifacts import Store
    from storage.records.acquisitions import AcquisitionRecord


def date_results(store: "Store", record: "AcquisitionRecord") -> dict[str, Any]:
    """Return the counts of a scored date, the digest of its fit, and where its exports lie, as JSON values."""
    from flows.acquisition import acquisition_rows
    from flows.report.exports import exports_of

    return {
        "campaign": record.campaign,
        "date": str(record.date),
        "fit": record.fit,
        "rows": acquisition_rows(store, record),
        "exports": exports_of(store, record.campaign, record.artifacts),
    }


def print_date(found: dict[str, Any]) -> None:
    """Print the counts of a scored date, and where its exports lie."""
    from flows.acquisition import sentence
    from flows.cli.results import export_lines

    lines = [*map(sentence, found["rows"]), *(export_lines(found["exports"]) if found["exports"] else ())]
    print(f"{found['campaign']} {found['date']}, scored by the fit {found['fit']}:", *lines, sep="\n")


def print_rows(rows: Sequence[Row]) -> None:
    """Print a backfill's rows as a table."""
    # A pipe has no width, and rich would cut its tables to 80 columns and lose words.
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    table = Table(title="backfill", title_justify="left")
    names = ("season", "acquired", "state", "n_images", "n_check", "n_swapped", "is_outside", "fit", "detail")
    for name in names:
        table.add_column(name, justify="right" if name.startswith("n_") else "left")
    for row in rows:
        table.add_row(*("" if row[name] is None else escape(str(row[name])) for name in names))
    console.print(table)


async def emit_arrival(campaign: str, acquired: date) -> str:
    """Send the event `acquisition.arrived` to the Prefect server, and return the event's id once it is received.

    Raises
    ------
    InputError : no server is set.
    ConnectionError : the server cannot be reached, or does not accept the event.
    """
    import httpx
    from prefect.events import Event, Resource
    from prefect.events.clients import PrefectEventsClient
    from websockets.exceptions import WebSocketException

    if not shared_server():
        raise InputError(
            "PREFECT_API_URL is not set",
            "A date is announced to a Prefect server with workers",
            "set PREFECT_API_URL to the server's address, or score the date on this machine: harvest score",
        )
    resource = {"prefect.resource.id": f"harvest.campaign.{campaign}", "prefect.resource.name": campaign}
    event = Event(
        event="acquisition.arrived",
        resource=Resource.model_validate(resource),
        payload={"campaign": campaign, "date": acquired.isoformat()},
    )
    try:
        async with PrefectEventsClient(checkpoint_every=1) as client:  # 1: wait for an answer after each event
            await client.emit(event)
    except (OSError, httpx.HTTPError, WebSocketException) as error:  # no connection, no access, or cut off
        raise ConnectionError(f"the Prefect server did not accept the announcement: {error}") from error
    return str(event.id)
