"""Decide on clusters for a person, and print clusters and decisions."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from flows.cli.options import tables_console
from storage.artifacts import Store
from storage.errors import InputError
from storage.records.campaigns import CampaignRecord
from storage.records.reviews import Review, find_review, forget_review, keep_review
from storage.tables import CLUSTER_SCORES, SWAPS
from storage.tables.rows import Row, rows_of
from tasks.adjust.review_choices import check_choices, check_words, rule_choice


def chosen(choices: Mapping[str, Iterable[int]]) -> dict[int, str]:
    """Turn clusters by decision into decisions by cluster.

    Raises
    ------
    InputError : a cluster is named more than once.
    """
    named = [(cluster, choice) for choice, clusters in choices.items() for cluster in clusters]
    tally = Counter(cluster for cluster, _ in named)
    if twice := sorted(cluster for cluster, count in tally.items() if count > 1):
        raise InputError(
            f"cluster {', '.join(map(str, twice))} is named more than once",
            "A review has one decision for each cluster",
            "name each cluster once",
        )
    return dict(named)


def decide(
    store: Store, record: CampaignRecord, method: str, choices: Mapping[int, str], reviewer: str, reason: str
) -> Review:
    """Store a person's decisions on the clusters of one saliency method, in place of an earlier review.

    Raises
    ------
    InputError : a decision cannot be applied, or reviewer or reason is missing.
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


def forget_decisions(store: Store, record: CampaignRecord, method: str) -> bool:
    """Delete the review of one saliency method's clusters, and return whether there was one."""
    return forget_review(store, record.campaign, record.artifacts[f"scores {method}"])


def chosen_method(record: CampaignRecord, method: str | None) -> str:
    """Return the saliency method whose clusters are meant; if none is named, the campaign's only one.

    Raises
    ------
    InputError : the campaign did not use the method, or none is named and it used several.
    """
    known: list[str] = record.params["explain"]["methods"]
    if method is None and len(known) == 1:
        return known[0]
    if method not in known:
        raise InputError(
            f"{'no saliency method is named' if method is None else f'the saliency method is {method}'}; the campaign "
            f"has {', '.join(known)}",
            "Clusters belong to a saliency method of the campaign",
            "name one of these with --method",
        )
    return method


def check_cluster(store: Store, record: CampaignRecord, method: str, cluster: int) -> None:
    """Refuse the number of a cluster that a saliency method of a campaign does not have.

    Raises
    ------
    InputError : there is no such cluster.
    """
    known = [row["cluster"] for row in rows_of(store.open(record.artifacts[f"scores {method}"]), CLUSTER_SCORES)]
    if cluster not in known:
        raise InputError(
            f"There is no cluster {cluster} of {method}; its clusters are {', '.join(map(str, known))}",
            "A cluster is named by its number in the report",
            "give one of these numbers",
        )


def review_results(store: Store, record: CampaignRecord) -> dict[str, Any]:
    """Return a campaign's clusters with the rule's proposal and the decision, and its reviews, as JSON values."""
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
    """Print a campaign's clusters as a table, and its reviews as notes."""
    console = tables_console()
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
