"""Define the commands that score new acquisition dates: `harvest score`, `announce` and `backfill`."""

import asyncio
import json
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.failures import kept_failures
from flows.cli.options import (
    DEFAULT_STORE,
    CampaignArgument,
    JsonOption,
    LogsOption,
    StoreOption,
    configure_prefect,
    print_found,
)
from flows.cli.server.own import await_server, begin_server
from flows.cli.server.settings import check_address, find_address
from storage.errors import InputError

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
    from storage.artifacts import Store
    from storage.records.campaigns import read_record

    record = read_record(Store(store), campaign)
    from flows.cli.checks.early import check_dates
    from flows.parameters import check_campaign_name, recorded_params, refuse_own_date

    check_campaign_name(campaign)
    refuse_own_date(Store(store), campaign, acquired.date())
    check_dates(recorded_params(record.params).source, [acquired.date()])
    configure_prefect(logs)
    server = begin_server()
    import_module("tasks.classify.loading")  # loads torch while the server starts
    from flows.acquisition import score_acquisition
    from flows.cli.seasons import date_results, print_date
    from tasks.ingest.arrival import NotSettled
    from tasks.ingest.params import AT_ONCE

    await_server(server)
    try:
        with kept_failures(store, campaign, f"{acquired.date()}"):
            record = score_acquisition(campaign, acquired.date(), Store(store).address, arrival=AT_ONCE)
    except NotSettled as error:
        found, remedy = str(error), "give another date, or try again when all its files are copied"
        raise InputError(found, "A date is scored only when all its files are there", remedy) from None
    print_found(date_results(Store(store), record), as_json, print_date)


@app.command()
def announce(
    campaign: Annotated[str, typer.Argument(help="Name of a campaign that the server's workers can score dates of")],
    acquired: DateOption,
    as_json: JsonOption = False,
) -> None:
    """Tell the Prefect server that the images of a date have arrived, so that its workers score the date.

    A date that is announced several times is scored once.
    """
    from flows.cli.seasons import emit_arrival
    from flows.parameters import check_campaign_name

    check_campaign_name(campaign)
    configure_prefect(logs=False)
    if address := find_address():
        check_address(address)
    event = asyncio.run(emit_arrival(campaign, acquired.date()))
    print(json.dumps({"event": event}) if as_json else f"announced {campaign} {acquired.date()}: event {event}")


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
    from flows.cli.checks.early import check_cuda
    from flows.cli.seasons_file import load_seasons_file

    params, runtime = load_seasons_file(seasons)
    if find_address() is None:
        check_cuda(runtime)
    configure_prefect(logs)
    server = begin_server()
    from flows.backfill import BackfillError, backfill_seasons
    from flows.cli.seasons import print_rows
    from storage.artifacts import Store

    await_server(server)
    failure: BackfillError | None = None
    try:
        rows = backfill_seasons(params, Store(store).address, runtime)
    except BackfillError as error:
        rows, failure = error.rows, error
    print_found(rows, as_json, print_rows)
    raise typer.Exit(1 if failure else 0)
