"""Commands for a person who looks at clusters: decide on them, and see their examples."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from flows.cli_options import DEFAULT_STORE, JsonOption, LogsOption, StoreOption, configure_prefect
from storage.artifacts import Store
from storage.errors import InputError
from storage.publish import read_record

app = typer.Typer()
CampaignArgument = Annotated[str, typer.Argument(help="name of a campaign that was run")]
MethodOption = Annotated[str | None, typer.Option("--method", help="saliency method; needed where there are several")]
Clusters = list[int]


@app.command()
def review(
    campaign: CampaignArgument,
    swap: Annotated[Clusters | None, typer.Option(help="turn the answers of this cluster round; repeat it")] = None,
    keep: Annotated[Clusters | None, typer.Option(help="leave the answers of this cluster; repeat it")] = None,
    abstain: Annotated[Clusters | None, typer.Option(help="act on no answer of this cluster; repeat it")] = None,
    reviewer: Annotated[str, typer.Option(help="who decides; published")] = "",
    reason: Annotated[str, typer.Option(help="why; published")] = "",
    forget: Annotated[bool, typer.Option("--forget", help="go back to the campaign's rule")] = False,
    method: MethodOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    logs: LogsOption = False,
) -> None:
    """Show a campaign's clusters, or decide on some of them; on the others its rule decides.

    A decision replaces the one before. Answers, tables and report are renewed from the store, also those of dates that
    were scored with the campaign's fit.
    """
    choices = chosen({"swap": swap or (), "keep": keep or (), "abstain": abstain or ()})
    if forget and choices:
        raise InputError("A review is made or forgotten", "both", "give --forget alone, or decisions alone")
    files = Store(store)
    record = read_record(files, campaign)
    configure_prefect(logs)
    from flows.reviewing import chosen_method, decide, print_review, review_results
    from flows.reviewing import forget as forget_decisions

    if choices or forget or reviewer or reason:
        about = chosen_method(record, method)
        if forget:
            forget_decisions(files, record, about)
        else:
            decide(files, record, about, choices, reviewer, reason)
        from flows.renew import renew_campaign

        record = renew_campaign(campaign, Store(store).address)
    found = review_results(files, record)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_review(found)


def chosen(choices: Mapping[str, Iterable[int]]) -> dict[int, str]:
    """Decisions by cluster, of clusters by decision.

    Raises
    ------
    InputError : two decisions on one cluster.
    """
    named = [(cluster, choice) for choice, clusters in choices.items() for cluster in clusters]
    tally = Counter(cluster for cluster, _ in named)
    if twice := sorted(cluster for cluster, count in tally.items() if count > 1):
        raise InputError(
            "A review says one thing of a cluster",
            f"cluster {', '.join(map(str, twice))} is named more than once",
            "name each once",
        )
    return dict(named)


@app.command()
def gallery(
    campaign: CampaignArgument,
    cluster: Annotated[int, typer.Option(min=1, help="number of the cluster")],
    n: Annotated[
        int, typer.Option("--n", min=1, max=500, help="images of validation, and as many of unseen plants")
    ] = 24,
    method: MethodOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a page with a cluster's nearest examples: image, map, prediction and truth; nothing is computed again."""
    files = Store(store)
    record = read_record(files, campaign)
    configure_prefect(logs=False)
    from flows.gallery import write_gallery
    from flows.reviewing import chosen_method

    page, n_shown = write_gallery(files, record, chosen_method(record, method), cluster, n)
    print(json.dumps({"page": str(page), "n_images": n_shown}) if as_json else page)
