"""What a person may decide on clusters, and what becomes of the rule's decisions then. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from storage.errors import InputError
from storage.records.reviews import Choice, Review
from storage.tables.rows import Row
from tasks.parameters import Params

REVIEWED = "reviewed"  # why an answer abstains: a person said so of its cluster
RULE, PERSON, TIMEOUT = "rule", "person", "timeout"  # who decided


class ReviewParams(Params):
    """Whether a person is asked before answers are adjusted."""

    ask: bool = Field(
        default=False,
        description="have a person decide on the clusters in the Prefect UI before answers are adjusted; a decision "
        "that was made is honoured without this too, until the clusters change",
    )
    timeout_hours: float = Field(
        default=72, gt=0, le=24 * 90, description="without an answer for so long the rule decides"
    )


def allowed_choices(n_classes: int) -> tuple[Choice, ...]:
    """What can be decided on a cluster; with more than two classes no swap exists."""
    return ("swap", "keep", "abstain") if n_classes == 2 else ("keep", "abstain")


def rule_choice(is_swapped: bool) -> Choice:
    """The rule's decision in the words of a review."""
    return "swap" if is_swapped else "keep"


def check_choices(choices: Mapping[int, str], clusters: Iterable[int], n_classes: int) -> None:
    """Refuse decisions that cannot be honoured.

    Raises
    ------
    InputError : none at all, on clusters that are not there, or of a kind that does not exist.
    """
    known = sorted(clusters)
    unknown = sorted(set(choices) - set(known))
    if unknown or not choices:
        raise InputError(
            f"clusters {', '.join(map(str, unknown))}" if unknown else "no cluster",
            "A review decides on clusters of the campaign",
            f"name some of {', '.join(map(str, known))}",
        )
    refused = {cluster: choice for cluster, choice in choices.items() if choice not in allowed_choices(n_classes)}
    if refused:
        raise InputError(
            ", ".join(f"{choice} for cluster {cluster}" for cluster, choice in sorted(refused.items())),
            f"On a cluster of {n_classes} classes can be decided: {', '.join(allowed_choices(n_classes))}",
            "decide something else; with more than two classes nobody knows which answer a swap would give",
        )


def check_words(reviewer: str, reason: str) -> None:
    """Refuse a review that does not say who and why.

    Raises
    ------
    InputError : one of the two is empty.
    """
    if not reviewer.strip() or not reason.strip():
        raise InputError(
            f"reviewer {reviewer!r}, reason {reason!r}",
            "A review says who decided and why",
            "give both; they are published with the decision",
        )


def review_rows(swaps: Sequence[Row], review: Review | None, patience_hours: float) -> list[dict[str, Any]]:
    """Rows of the table `reviews`.

    Parameters
    ----------
    swaps : rows of the table `swaps` by the rule.
    review : None where nobody answered for `patience_hours`; then every cluster has a row that says so.
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
    """Rows of the table `swaps` after a review: a person's decision in place of the rule's, where there is one.

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


def abstained_clusters(reviews: Iterable[Row]) -> set[int]:
    """Clusters none of whose answers should be acted on, by rows of the table `reviews`."""
    return {row["cluster"] for row in reviews if row["decision"] == "abstain"}
