"""What the report says of several saliency methods beside each other, from the rows of the tables: no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report_content import Effect, adjustment_effect
from tasks.report_words import UNSEEN, method_name

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What adjustment by one method came to.

    Attributes
    ----------
    after : row of the table `metrics` of every compared split, in their order.
    effects : what was swapped in each of them.
    n_swapped : clusters whose answers are swapped, of n_clusters.
    """

    method: str
    name: str
    after: list[Row]
    effects: list[Effect]
    n_swapped: int
    n_clusters: int


@dataclass(frozen=True)
class Comparison:
    """Methods that explain the same answers of one classifier: before adjustment they are equal.

    Attributes
    ----------
    splits : those with labels, unseen plants first: only they show whether adjustment helps.
    before : row of the table `metrics` of each of them.
    """

    splits: list[str]
    before: list[Row]
    outcomes: list[Outcome]


def compare_methods(
    metrics: Mapping[str, Sequence[Row]], adjusted: Mapping[str, Sequence[Row]], clusters: Mapping[str, Sequence[Row]]
) -> Comparison | None:
    """Put methods side by side; None where there are fewer than two.

    Each argument has one entry a method: rows of the tables `metrics` and `adjusted`, and rows of `cluster_rows`.
    """
    if len(metrics) < 2:
        return None
    found = {(method, row["split"], row["state"]): row for method, rows in metrics.items() for row in rows}
    first = next(iter(metrics))
    splits = [split for split in (*UNSEEN, "val") if (first, split, "before") in found]
    return Comparison(
        splits=splits,
        before=[found[first, split, "before"] for split in splits],
        outcomes=[
            Outcome(
                method=method,
                name=method_name(method),
                after=[found[method, split, "after"] for split in splits],
                effects=[adjustment_effect(adjusted[method], split) for split in splits],
                n_swapped=sum(row["is_swapped"] for row in clusters[method]),
                n_clusters=len(clusters[method]),
            )
            for method in metrics
        ],
    )
