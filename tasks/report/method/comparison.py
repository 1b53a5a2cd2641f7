"""Compare several saliency methods side by side, from rows of tables; no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.tables.names import CLUSTER_SCORE, COMBINED_SCORE, UNSEEN
from storage.tables.rows import Row
from tasks.report.method.accuracy import swap_counts
from tasks.report.method.scores import judged_scores
from tasks.report.words import method_name


@dataclass(frozen=True)
class Outcome:
    """Result of adjustment by one method.

    Attributes
    ----------
    after : row of the table `metrics` after adjustment, for each compared split in order.
    n_answers : number of swapped answers and of all answers, for each compared split in order.
    n_swapped : number of clusters whose answers are swapped, among `n_clusters`.
    cluster_score, combined_score : rows of the table `evaluation` for the judged split; None without labels.
    """

    method: str
    name: str
    after: list[Row]
    n_answers: list[tuple[int, int]]
    n_swapped: int
    n_clusters: int
    cluster_score: Row | None
    combined_score: Row | None


@dataclass(frozen=True)
class Comparison:
    """Comparison of methods that explain the same answers of one classifier, so that they are equal before adjustment.

    Attributes
    ----------
    splits : splits with labels, unseen plants first, because only they show whether adjustment helps.
    before : row of the table `metrics` before adjustment, for each split.
    outcomes : result of each method.
    """

    splits: list[str]
    before: list[Row]
    outcomes: list[Outcome]


def compare_methods(
    metrics: Mapping[str, Sequence[Row]],
    adjusted: Mapping[str, Sequence[Row]],
    clusters: Mapping[str, Sequence[Row]],
    evaluation: Mapping[str, Sequence[Row]],
) -> Comparison | None:
    """Compare methods; None if there are fewer than two.

    Each argument has one entry per method: rows of the tables `metrics`, `adjusted` and `evaluation`, and rows of
    `cluster_rows`.
    """
    if len(metrics) < 2:
        return None
    found = {(method, row["split"], row["state"]): row for method, rows in metrics.items() for row in rows}
    first = next(iter(metrics))
    splits = [split for split in (*UNSEEN, "val") if (first, split, "before") in found]
    scores = {method: {row["score"]: row for row in judged_scores(rows)} for method, rows in evaluation.items()}
    return Comparison(
        splits=splits,
        before=[found[first, split, "before"] for split in splits],
        outcomes=[
            Outcome(
                method=method,
                name=method_name(method),
                after=[found[method, split, "after"] for split in splits],
                n_answers=[swap_counts(adjusted[method], split) for split in splits],
                n_swapped=sum(row["is_swapped"] for row in clusters[method]),
                n_clusters=len(clusters[method]),
                cluster_score=scores[method].get(CLUSTER_SCORE),
                combined_score=scores[method].get(COMBINED_SCORE),
            )
            for method in metrics
        ],
    )


def tallest_bars(counts: Sequence[Mapping[str, Mapping[int, Mapping[str, int]]]]) -> dict[str, int]:
    """Return the number of images in the largest cluster of any method, by split.

    `counts` has one result of `cluster_counts` per method.
    """
    tallest: dict[str, int] = {}
    for of_method in counts:
        for split, clusters in of_method.items():
            heights = [sum(kinds.values()) for kinds in clusters.values()]
            tallest[split] = max([tallest.get(split, 0), *heights])
    return tallest
