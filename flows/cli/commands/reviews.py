"""Define the commands for reviewing clusters: `harvest review` decides on them, `harvest gallery` shows examples."""

import json
from typing import Annotated

import typer

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
from storage.errors import InputError

app = typer.Typer()
MethodOption = Annotated[
    str | None,
    typer.Option("--method", help="Saliency method whose clusters are meant; required if the campaign has several"),
]
Clusters = list[int]


@app.command()
def review(
    campaign: CampaignArgument,
    swap: Annotated[
        Clusters | None,
        typer.Option(help="Number of a cluster whose answers are swapped for the other class; can be repeated"),
    ] = None,
    keep: Annotated[
        Clusters | None, typer.Option(help="Number of a cluster whose answers stay as they are; can be repeated")
    ] = None,
    abstain: Annotated[
        Clusters | None,
        typer.Option(help="Number of a cluster none of whose answers should be acted on; can be repeated"),
    ] = None,
    reviewer: Annotated[
        str, typer.Option(help="Name of the person who decides; required for a decision, and published with it")
    ] = "",
    reason: Annotated[str, typer.Option(help="Reason of the decision; required for it, and published with it")] = "",
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Delete the review of one method's clusters, so that the rule decides again"),
    ] = False,
    method: MethodOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    logs: LogsOption = False,
) -> None:
    """Show a campaign's clusters, or decide which of them to swap, to keep or to abstain from.

    The campaign's rule decides on clusters that are not named. A review replaces the one before. Answers, tables and
    report are then made again from the store, and so are those of dates that were scored with the campaign's fit.
    """
    from flows.cli.review import chosen

    choices = chosen({"swap": swap or (), "keep": keep or (), "abstain": abstain or ()})
    if forget and choices:
        raise InputError(
            "--forget is given together with decisions",
            "A review is either made or forgotten",
            "give --forget alone, or decisions alone",
        )
    from flows.cli.review import chosen_method, decide, forget_decisions, print_review, review_results
    from storage.artifacts import Store
    from storage.records.campaigns import read_record

    opened = Store(store)
    record = read_record(opened, campaign)
    if choices or forget or reviewer or reason:
        about = chosen_method(record, method)
        if forget:
            forget_decisions(opened, record, about)
        else:
            decide(opened, record, about, choices, reviewer, reason)
        configure_prefect(logs)
        server = begin_server()
        from flows.renew import renew_campaign

        await_server(server)
        record = renew_campaign(campaign, Store(store).address)
    print_found(review_results(opened, record), as_json, print_review)


@app.command()
def gallery(
    campaign: CampaignArgument,
    cluster: Annotated[int, typer.Option(min=1, help="Number of the cluster to show")],
    n: Annotated[
        int,
        typer.Option("--n", min=1, max=500, help="Largest number of validation images, and of images of unseen plants"),
    ] = 24,
    method: MethodOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a page with a cluster's nearest examples: image, saliency map, prediction and label.

    The page lies beside the campaign's report. It is made from artefacts in the store: nothing is computed again.
    """
    from flows.cli.review import check_cluster, chosen_method
    from storage.artifacts import Store
    from storage.records.campaigns import read_record

    opened = Store(store)
    record = read_record(opened, campaign)
    about = chosen_method(record, method)
    check_cluster(opened, record, about, cluster)
    configure_prefect(logs=False)
    from flows.report.gallery import write_gallery

    page, n_shown = write_gallery(opened, record, about, cluster, n)
    print(json.dumps({"page": str(page), "n_images": n_shown}) if as_json else page)
