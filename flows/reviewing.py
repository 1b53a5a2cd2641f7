"""What `harvest review` shows and takes: a campaign's clusters, and decisions on them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from storage.artifacts import Store
from storage.errors import InputError
from storage.publish import CampaignRecord
from storage.reviews import Review, find_review, forget_review, keep_review
from storage.tables import CLUSTER_SCORES, SWAPS
from tasks.report_tables import Row, rows_of
from tasks.review_rules import check_choices, check_words, rule_choice


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
            "Clusters belong to a saliency method of the campaign",
            f"{method or 'none named'}; the campaign has {', '.join(known)}",
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
