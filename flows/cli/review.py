"""Commands for a person who looks at clusters: decide on them, and see their examples."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.cli.options import DEFAULT_STORE, JsonOption, LogsOption, StoreOption, configure_prefect
from storage.artifacts import Store
from storage.errors import InputError
from storage.records.campaigns import CampaignRecord, read_record
from storage.records.reviews import Review, find_review, forget_review, keep_review
from storage.tables import CLUSTER_SCORES, SWAPS
from storage.tables.rows import Row, rows_of
from tasks.adjust.review_choices import check_choices, check_words, rule_choice

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
        raise InputError("both", "A review is made or forgotten", "give --forget alone, or decisions alone")
    opened = Store(store)
    record = read_record(opened, campaign)
    configure_prefect(logs)
    from flows.cli.review import chosen_method, decide, print_review, review_results
    from flows.cli.review import forget as forget_decisions

    if choices or forget or reviewer or reason:
        about = chosen_method(record, method)
        if forget:
            forget_decisions(opened, record, about)
        else:
            decide(opened, record, about, choices, reviewer, reason)
        from flows.renew import renew_campaign

        record = renew_campaign(campaign, Store(store).address)
    found = review_results(opened, record)
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
            f"cluster {', '.join(map(str, twice))} is named more than once",
            "A review says one thing of a cluster",
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
    opened = Store(store)
    record = read_record(opened, campaign)
    configure_prefect(logs=False)
    from flows.cli.review import chosen_method
    from flows.report.gallery import write_gallery

    page, n_shown = write_gallery(opened, record, chosen_method(record, method), cluster, n)
    print(json.dumps({"page": str(page), "n_images": n_shown}) if as_json else page)


def decide(
    store: Store, record: CampaignRecord, method: str, choices: Mapping[int, str], reviewer: str, reason: str
) -> Review:
    """Keep a person's decisions on the clusters of one saliency method, in place of what was decided before.

    Raises
    ------
    InputError : decisions that cannot be honoured, or without who and why.
    """
    check_words(reviewer, reason)
    n_classes = len(store.open(record.artifacts["plants"]).summary["classes"])
    scores = record.artifacts[f"scores {method}"]
    check_choices(choices, [row["cluster"] for row in rows_of(store.open(scores), CLUSTER_SCORES)], n_classes)
    review = Review.model_validate(
        {
            "campaign": record.campaign,
            "method": method,
            "scores": scores,
            "choices": choices,
            "reviewer": reviewer.strip(),
            "reason": reason.strip(),
            "decided": datetime.now(UTC).replace(microsecond=0),
        }
    )
    return keep_review(store, review)


def forget(store: Store, record: CampaignRecord, method: str) -> bool:
    """Go back to the rule on the clusters of one saliency method; whether a person had decided."""
    return forget_review(store, record.campaign, record.artifacts[f"scores {method}"])


def chosen_method(record: CampaignRecord, method: str | None) -> str:
    """The saliency method whose clusters are meant: the campaign's only one, where none is named.

    Raises
    ------
    InputError : a method that the campaign did not use, or none where it used several.
    """
    known: list[str] = record.params["explain"]["methods"]
    if method is None and len(known) == 1:
        return known[0]
    if method not in known:
        raise InputError(
            f"{method or 'none named'}; the campaign has {', '.join(known)}",
            "Clusters belong to a saliency method of the campaign",
            "name one with --method",
        )
    return method


def review_results(store: Store, record: CampaignRecord) -> dict[str, Any]:
    """The clusters of a campaign, with what the rule proposes and what stands, and the reviews, as JSON values."""
    clusters: list[Row] = []
    reviews: list[dict[str, Any]] = []
    for method in record.params["explain"]["methods"]:
        scores, swaps = record.artifacts[f"scores {method}"], record.artifacts[f"swaps {method}"]
        pairs = zip(rows_of(store.open(scores), CLUSTER_SCORES), rows_of(store.open(swaps), SWAPS), strict=True)
        clusters += [_cluster(row, swap) for row, swap in pairs]
        review = find_review(store, record.campaign, scores)
        reviews += [] if review is None else [review.model_dump(mode="json")]
    return {
        "campaign": record.campaign,
        "confidence": record.params["score"]["confidence"],
        "clusters": clusters,
        "reviews": reviews,
    }


def _cluster(row: Row, swap: Row) -> Row:
    names = ("method", "cluster", "n", "n_wrong", "error_share", "error_share_lower", "error_share_upper")
    return {
        **{name: row[name] for name in names},
        "proposed": rule_choice(swap["is_proposed"]),
        **{name: swap[name] for name in ("decision", "decided_by", "reviewer", "reason")},
    }


def print_review(found: dict[str, Any]) -> None:
    """Print the clusters for a person."""
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    table = Table(title=f"{found['campaign']}: clusters of validation maps", title_justify="left")
    interval = f"{found['confidence']:.4g} interval"
    for name in ("method", "cluster", "n", "wrong", "error share", interval, "the rule", "decision", "by", "why"):
        table.add_column(name, justify="left" if name in ("method", "the rule", "decision", "by", "why") else "right")
    for row in found["clusters"]:
        figures = (str(row["cluster"]), str(row["n"]), str(row["n_wrong"]), f"{row['error_share']:.2f}")
        ends = f"{row['error_share_lower']:.2f} .. {row['error_share_upper']:.2f}"
        who = row["reviewer"] or row["decided_by"]
        words = (row["proposed"], row["decision"], escape(who), escape(row["reason"]))
        table.add_row(row["method"], *figures, ends, *words)
    console.print(table)
    for review in found["reviews"]:
        console.print(
            f"{review['method']}: reviewed by {review['reviewer']} on {review['decided']}: {review['reason']}",
            markup=False,
        )
