"""Check a person's decisions on clusters, and combine them with the rule's decisions. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from storage.errors import InputError
from storage.records.reviews import Choice, Review
from storage.tables.rows import Row

RULE, PERSON, TIMEOUT = "rule", "person", "timeout"  # values of the column `decided_by`


def allowed_choices(n_classes: int) -> tuple[Choice, ...]:
    """Return the choices for a cluster, which do not include a swap with more than two classes."""
    return ("swap", "keep", "abstain") if n_classes == 2 else ("keep", "abstain")


def rule_choice(is_swapped: bool) -> Choice:
    """Return the rule's decision as a choice of a review."""
    return "swap" if is_swapped else "keep"


def check_choices(choices: Mapping[int, str], clusters: Iterable[int], n_classes: int) -> None:
    """Refuse decisions that cannot be applied.

    Raises
    ------
    InputError : there is no decision, or one on an unknown cluster or of a kind that does not exist.
    """
    known = sorted(clusters)
    unknown = sorted(set(choices) - set(known))
    if unknown or not choices:
        raise InputError(
            f"The campaign has no cluster {', '.join(map(str, unknown))}" if unknown else "The review has no decision",
            "A review must decide on clusters of the campaign",
            f"name some of {', '.join(map(str, known))}",
        )
    refused = {cluster: choice for cluster, choice in choices.items() if choice not in allowed_choices(n_classes)}
    if refused:
        raise InputError(
            "The review decides " + ", ".join(f"{choice} for cluster {c}" for c, choice in sorted(refused.items())),
            f"The decision on a cluster with {n_classes} classes must be one of "
            f"{', '.join(allowed_choices(n_classes))}; with more than two classes no swap exists",
            "decide one of these",
        )


def check_words(reviewer: str, reason: str) -> None:
    """Refuse a review that does not say who decided and why.

    Raises
    ------
    InputError : the reviewer or the reason is empty.
    """
    if not reviewer.strip() or not reason.strip():
        raise InputError(
            f"The reviewer is {reviewer!r} and the reason is {reason!r}",
            "A review must say who decided and why",
            "give both; they are published with the decision",
        )


def review_rows(swaps: Sequence[Row], review: Review | None, patience_hours: float) -> list[dict[str, Any]]:
    """Return the rows of the table `reviews`.

    Parameters
    ----------
    swaps : rows of the table `swaps` by the rule.
    review : the review; None if nobody answered within `patience_hours`, and every cluster then has a row that says so.
    """
    same = ("method", "cluster", "n", "n_wrong", "error_share", "explained_class", "classifier", "clusters")
    rows: list[dict[str, Any]] = []
    for swap in swaps:
        proposed = rule_choice(swap["is_proposed"])
        found = {**{name: swap[name] for name in same}, "proposed": proposed}
        if review is None:
            waited = f"nobody answered within {patience_hours:g} hours: the rule decided"
            rows.append({**found, "decision": proposed, "reviewer": None, "decided": None, "reason": waited})
        elif swap["cluster"] in review.choices:
            who = {"reviewer": review.reviewer, "decided": review.decided.isoformat(), "reason": review.reason}
            rows.append({**found, "decision": review.choices[swap["cluster"]], **who})
    return rows


def honoured(swaps: Sequence[Row], reviews: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows of the table `swaps` after a review, in which a person's decisions replace the rule's.

    Parameters
    ----------
    swaps, reviews : rows of the tables of these names; `swaps` by the rule.
    """
    decided = {row["cluster"]: row for row in reviews}
    return [_honoured(row, decided.get(row["cluster"])) for row in swaps]


def _honoured(swap: Row, review: Row | None) -> dict[str, Any]:
    if review is None:
        return dict(swap)
    if review["reviewer"] is None:
        return {**swap, "decided_by": TIMEOUT, "reason": f"{swap['reason']} ({review['reason']})"}
    return {
        **swap,
        "decision": review["decision"],
        "decided_by": PERSON,
        "reviewer": review["reviewer"],
        "is_swapped": review["decision"] == "swap",
        "reason": review["reason"],
    }


def person_choices(reviews: Iterable[Row]) -> dict[int, Choice]:
    """Return what a person decided on clusters, by rows of the table `reviews`; the rule's rows are left out."""
    return {row["cluster"]: row["decision"] for row in reviews if row["reviewer"] is not None}
