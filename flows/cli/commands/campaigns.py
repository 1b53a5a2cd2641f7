"""Define the commands that analyse campaigns: `harvest demo`, `synth`, `plan`, `run`, `report` and `audit`."""

import json
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from flows.cli.server.settings import find_address
from storage.errors import InputError

if TYPE_CHECKING:
    from storage.records.campaigns import CampaignRecord

SHORTCUT_HELP = "Plant a marker that means Ready in training plants only, so that the classifier learns a shortcut"
SEED_HELP = "Seed of the season's random numbers: another seed draws other plants"

app = typer.Typer()
CampaignFile = Annotated[
    Path, typer.Argument(help="TOML file of the campaign, with at least `dates` and a table `source`")
]


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Folder for the synthetic season and the store of its results")] = Path(
        "harvest-demo"
    ),
    shortcut: Annotated[bool, typer.Option(help=SHORTCUT_HELP)] = True,
    seed: Annotated[int, typer.Option(min=0, help=SEED_HELP)] = 0,
    as_json: JsonOption = False,
    logs: LogsOption = False,
) -> None:
    """Draw a synthetic season, analyse it from images to report, score and check a new date, and print the results.

    The new date is a flight of the next year, with an orthophoto and without labels. Some 300 plants stand. What
    somebody finds who looks at some of them comes back as with `harvest checked`.
    """
    configure_prefect(logs)
    name = f"demo-{'shortcut' if shortcut else 'plain'}-{seed}"
    server = begin_server()
    _load_torch(folder / "store", name)
    from flows.acquisition import score_acquisition
    from flows.campaign import analyse_campaign
    from flows.cli.demo import (
        FLIGHT,
        demo_campaign,
        demo_results,
        flight_source,
        look_at_plants,
        print_demo,
        write_demo_season,
        write_flight,
    )
    from storage.artifacts import Store
    from tasks.ingest.params import AT_ONCE

    root, flight = (write(folder, shortcut, seed).absolute() for write in (write_demo_season, write_flight))
    await_server(server)
    store = Store(folder / "store")
    record = analyse_campaign(demo_campaign(name, root), store.address)
    scored = score_acquisition(name, FLIGHT, store.address, source=flight_source(flight), arrival=AT_ONCE)
    checked = look_at_plants(store, name, folder, shortcut, seed)
    print_found(demo_results(store, record, scored, checked), as_json, print_demo)


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="New or empty folder that the season is written to")],
    layout: Annotated[
        Literal["growliflower", "growliflower-prepared", "growliflower-orthophoto", "fiftyone", "folder", "field"],
        typer.Option(help="Folder layout: one of the release, or one that another source reads"),
    ] = "growliflower",
    plots: Annotated[int, typer.Option(min=1, max=5, help="Number of plots in the field")] = 5,
    plants_per_row: Annotated[
        int, typer.Option(min=1, max=20, help="Number of plants in each of a plot's five rows")
    ] = 20,
    image_size: Annotated[
        int, typer.Option(min=32, max=1024, help="Width and height of every image, in pixels; an even number")
    ] = 256,
    dates: Annotated[
        list[datetime] | None,
        typer.Option(
            "--date",
            formats=["%Y-%m-%d"],
            help="Acquisition date; can be repeated. Default: the paper's four dates in 2021",
        ),
    ] = None,
    shortcut: Annotated[bool, typer.Option(help=SHORTCUT_HELP)] = False,
    label_noise: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of harvested plants whose harvest record is wrong")
    ] = 0,
    damaged: Annotated[int, typer.Option(min=0, help="Number of image files that hold random bytes")] = 0,
    duplicates: Annotated[
        int, typer.Option(min=0, help="Number of images that are stored again under another plant")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help=SEED_HELP)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write the images and labels of a synthetic season in a layout that a source reads."""
    from flows.cli.demo import write_synthetic_season
    from tasks.sources.synthetic.params import SeasonParams

    options: dict[str, Any] = {
        "n_plots": plots,
        "plants_per_row": plants_per_row,
        "image_size": image_size,
        "shortcut": shortcut,
        "label_noise": label_noise,
        "n_damaged": damaged,
        "n_duplicates": duplicates,
        "seed": seed,
    }
    if dates:
        options["dates"] = tuple(sorted(day.date() for day in dates))
    season = SeasonParams(**options)
    written = write_synthetic_season(folder, layout, season)
    found = {"folder": str(written.root), "layout": layout, "n_images": len(written.images)}
    said = f"{len(written.images)} images" if written.images else "orthophotos"
    print(json.dumps(found) if as_json else f"{said} in layout {layout}: {written.root}")


@app.command()
def plan(
    campaign: CampaignFile,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Estimate a campaign's work, memory, storage and time on this machine, without running it.

    The command reads the source's lists and sixteen images, and measures the classifier for some seconds. The exit code
    is 2 if a stage needs more memory than the machine has, or the store more room than its disk has free. The message
    then names the keys to change and values that fit.
    """
    from flows.cli.checks.early import check_campaign_early
    from flows.cli.run_file import load_run_file

    params, runtime = load_run_file(campaign)
    check_campaign_early(params, runtime)
    configure_prefect(logs=False)
    from flows.cli.plan import print_plan
    from flows.plan.plan import plan_campaign, plan_rows
    from storage.artifacts import Store

    found = plan_rows(plan_campaign(params, Store(store).address, runtime))
    print_found(found, as_json, print_plan)


@app.command()
def run(
    campaign: CampaignFile,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    logs: LogsOption = False,
) -> None:
    """Analyse a field campaign from images to tables and a report.

    Results are cached in the store. A run that was interrupted continues where it stopped, and a second run computes
    only what changed.
    """
    from flows.cli.checks.early import check_campaign_early
    from flows.cli.run_file import load_run_file

    params, runtime = load_run_file(campaign)
    check_campaign_early(params, runtime, is_here=find_address() is None)
    configure_prefect(logs)
    server = begin_server()
    from flows.campaign import analyse_campaign, begin_survey_of
    from storage.artifacts import Store

    if server is not None:
        begin_survey_of(params, Store(store))
    _load_torch(store, params.campaign)
    await_server(server)
    with kept_failures(store, params.campaign):
        record = analyse_campaign(params, Store(store).address, runtime)
    _show(store, record, as_json)


@app.command()
def report(
    campaign: CampaignArgument,
    tolerated_error: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=0.499,
            help="Tolerated share of wrong answers among those acted on; decisions, tables and exports of the campaign "
            "and of its scored dates are then made again. Default: as in the last run",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a campaign's report again, and print its results.

    The report shows the campaign and every date that its fit has scored. It is made from artefacts in the store:
    nothing is trained or explained again.
    """
    from storage.artifacts import Store
    from storage.records.campaigns import read_record

    opened = Store(store)
    record = read_record(opened, campaign)
    configure_prefect(logs=False)
    if tolerated_error is not None:
        from flows.parameters import recorded_params

        recorded = recorded_params(record.params)
        server = begin_server()
        from flows.renew import renew_campaign

        await_server(server)
        decide = recorded.decide.with_tolerated_error(tolerated_error)
        _show(store, renew_campaign(campaign, opened.address, decide=decide), as_json)
        return
    from flows.report.renewal import renew_report
    from storage.published.publish import publish_report
    from tasks.report.report import write_report

    renew_report(
        opened,
        campaign,
        write=lambda **shown: write_report.fn(str(store), campaign, **shown),
        publish=lambda report: publish_report(opened, report, campaign),
    )
    _show(store, record, as_json)


@app.command()
def audit(
    campaign: CampaignArgument,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="Saliency method of the campaign to audit; can be repeated. Default: all its methods",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    logs: LogsOption = False,
) -> None:
    """Compare what the explained classes `predicted`, the positive class and `label` would claim for a campaign.

    `label` explains the true class: the audit shows how far its claims come from ground truth. Saliency maps for
    explained classes that the campaign did not use are computed. The campaign's own results do not change.
    """
    from storage.artifacts import Store
    from storage.records.campaigns import read_record

    used = read_record(Store(store), campaign).params.get("explain", {}).get("methods", [])
    if unknown := [method for method in methods or () if method not in used]:
        raise InputError(
            f"The saliency method is {unknown[0]}; the campaign has {', '.join(used)}",
            "An audit is of saliency methods of the campaign",
            "name one of these with --method, or none for all",
        )
    configure_prefect(logs)
    server = begin_server()
    from flows.audit import audit_campaign
    from flows.cli.audit import audit_results, print_audit

    await_server(server)
    done = audit_campaign(campaign, Store(store).address, methods or ())
    found = audit_results(Store(store), done)
    print_found(found, as_json, print_audit)


def _load_torch(store: str | Path, campaign: str) -> None:
    """Load torch and torchvision while the server starts, if the campaign has never been finished on this store.

    A finished campaign may need neither. Builds that do not fit together are refused here, before any work.
    """
    from storage.artifacts import Store
    from storage.records.campaigns import find_record

    if find_record(Store(store), campaign) is None:
        import_module("tasks.classify.architectures")


def _show(store: str, record: "CampaignRecord", as_json: bool) -> None:
    from flows.cli.results import print_results, results
    from storage.artifacts import Store

    found = results(Store(store), record)
    print_found(found, as_json, print_results)
