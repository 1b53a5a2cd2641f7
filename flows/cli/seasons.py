"""Define the commands that score new acquisition dates: `harvest score`, `announce` and `backfill`."""

import asyncio
import json
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.cli.options import (
    DEFAULT_STORE,
    CampaignArgument,
    JsonOption,
    LogsOption,
    StoreOption,
    configure_prefect,
)
from storage.artifacts import Store
from storage.errors import InputError
from storage.records.campaigns import read_record
from storage.tables.rows import Row


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


app = typer.Typer()
DateOption = Annotated[datetime, typer.Option("--date", formats=["%Y-%m-%d"], help="Acquisition date of the images")]


@app.command()
def score(
    campaign: CampaignArgument,
    acquired: DateOption,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    logs: LogsOption = False,
) -> None:
    """Score a new acquisition date with a campaign's classifier and clusters.

    The date needs no labels, and nothing is trained. Its files are read as they are now: the command does not wait for
    a copy that is still going on.
    """
    read_record(Store(store), campaign)
    configure_prefect(logs)
    from flows.acquisition import acquisition_rows, score_acquisition, sentence
    from flows.cli.results import export_lines
    from flows.parameters import check_campaign_name
    from flows.report.exports import exports_of
    from tasks.ingest.arrival import NotSettled
    from tasks.ingest.params import ArrivalParams

    check_campaign_name(campaign)
    now = ArrivalParams(settle_seconds=0, patience_minutes=0)
    try:
        record = score_acquisition(campaign, acquired.date(), Store(store).address, arrival=now)
    except NotSettled as error:
        found, remedy = str(error), "give another date, or try again when all its files are copied"
        raise InputError(found, "A date is scored only when all its files are there", remedy) from None
    rows, exports = acquisition_rows(Store(store), record), exports_of(Store(store), campaign, record.artifacts)
    if as_json:
        of_date = {"campaign": campaign, "date": str(record.date), "fit": record.fit}
        print(json.dumps({**of_date, "rows": rows, "exports": exports}, indent=1))
    else:
        lines = [*map(sentence, rows), *(export_lines(exports) if exports else ())]
        print(f"{campaign} {record.date}, scored by the fit {record.fit}:", *lines, sep="\n")


@app.command()
def announce(
    campaign: Annotated[str, typer.Argument(help="Name of a campaign that the server's workers can score dates of")],
    acquired: DateOption,
    as_json: JsonOption = False,
) -> None:
    """Tell the Prefect server that the images of a date have arrived, so that its workers score the date.

    A date that is announced several times is scored once.
    """
    configure_prefect(logs=False)
    event = asyncio.run(emit_arrival(campaign, acquired.date()))
    print(json.dumps({"event": event}) if as_json else f"announced {campaign} {acquired.date()}: event {event}")


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
    from prefect.settings import PREFECT_API_URL
    from websockets.exceptions import WebSocketException

    if not PREFECT_API_URL.value():
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


@app.command()
def backfill(
    seasons: Annotated[
        Path, typer.Argument(help="TOML file of the backfill, with one table `[[seasons]]` for each season")
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    logs: LogsOption = False,
) -> None:
    """Score the acquisition dates of many seasons.

    A date that the same fit has scored already is not scored again. A date that fails does not stop the others; the
    exit code is then 1.
    """
    configure_prefect(logs)
    from flows.backfill import BackfillError, backfill_seasons
    from flows.cli.seasons_file import load_seasons_file

    params, runtime = load_seasons_file(seasons)
    failure: BackfillError | None = None
    try:
        rows = backfill_seasons(params, Store(store).address, runtime)
    except BackfillError as error:
        rows, failure = error.rows, error
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        print_rows(rows)
    raise typer.Exit(1 if failure else 0)
