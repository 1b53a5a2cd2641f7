"""Prepare what the report says of one saliency method's clusters, from rows of tables. Pure functions, no files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from storage.tables.names import UNSEEN
from storage.tables.rows import Row
from tasks.report.words import DIAGNOSTICS, percent

FEW = 20  # validation images below which a cluster is small: near a half, the interval of its error share is 0.4 wide


def answer_kind(label: int | None, predicted: int, n_classes: int) -> str:
    """Name the kind of an answer: TP, TN, FP, FN (class 1 is positive), right or wrong, or no label."""
    if label is None:
        return "no label"
    if n_classes != 2:
        return "right" if label == predicted else "wrong"
    return ("T" if label == predicted else "F") + ("P" if predicted == 1 else "N")


def kinds_of(n_classes: int) -> tuple[str, ...]:
    """Return the kinds of labelled answers, right ones first."""
    return ("TP", "TN", "FP", "FN") if n_classes == 2 else ("right", "wrong")


def cluster_counts(
    clusters: Sequence[Row], adjusted: Sequence[Row], n_classes: int
) -> dict[str, dict[int, dict[str, int]]]:
    """Count answers by split, cluster and kind: validation from the scores, other splits from adjusted images."""
    ids = [row["cluster"] for row in clusters]
    counts = {"validation": {row["cluster"]: _validation_kinds(row, n_classes) for row in clusters}}
    for split in UNSEEN:
        rows = [row for row in adjusted if row["split"] == split]
        if rows:
            tally = Counter((r["cluster"], answer_kind(r["label"], r["predicted"], n_classes)) for r in rows)
            counts[split] = {c: {kind: n for (which, kind), n in tally.items() if which == c} for c in ids}
    return counts


def _validation_kinds(row: Row, n_classes: int) -> dict[str, int]:
    if n_classes == 2 and row["tp"] is not None:
        return {kind: row[kind.lower()] for kind in kinds_of(2)}
    return {"right": row["n"] - row["n_wrong"], "wrong": row["n_wrong"]}


def cluster_rows(
    clusters: Sequence[Row], swaps: Sequence[Row], matches: Sequence[Row], adjusted: Sequence[Row], n_classes: int
) -> list[dict[str, Any]]:
    """Return the table of clusters: scores, whether and why each is swapped, and its images of unseen splits.

    `unseen` has one `(n, n_labelled, n_wrong)` per split of `unseen_splits`; `n_wrong` counts answers before
    adjustment. `earlier` is the matching cluster of the earlier fit; None if there is none, or no earlier fit.
    """
    decided, continued = ({row["cluster"]: row for row in rows} for rows in (swaps, matches))
    rows: list[dict[str, Any]] = []
    for cluster in clusters:
        unseen: list[tuple[int, int, int]] = []
        for split in unseen_splits(adjusted):
            inside = [r for r in adjusted if r["split"] == split and r["cluster"] == cluster["cluster"]]
            known = [r for r in inside if r["label"] is not None]
            unseen.append((len(inside), len(known), sum(r["label"] != r["predicted"] for r in known)))
        swap, match = decided[cluster["cluster"]], continued.get(cluster["cluster"], {})
        rows.append(
            {
                **cluster,
                **{name: swap[name] for name in ("is_swapped", "decision", "rule", "reason", "p_holm")},
                "earlier": match.get("earlier_cluster"),
                "likeness": match.get("likeness"),
                "kinds": _validation_kinds(cluster, n_classes),
                "is_small": cluster["n"] < FEW,
                "unseen": unseen,
            }
        )
    return rows


def unseen_splits(adjusted: Sequence[Row]) -> list[str]:
    """Return the splits that no stage learned from and that occur in these rows."""
    return [split for split in UNSEEN if any(row["split"] == split for row in adjusted)]


def small_swaps(rows: Sequence[Row]) -> list[str]:
    """Return a warning if a swap rests on few images, from rows of `cluster_rows`; otherwise none."""
    small = [f"{row['cluster']} (n = {row['n']})" for row in rows if row["is_swapped"] and row["is_small"]]
    if not small:
        return []
    return [f"swapped on the evidence of fewer than {FEW} validation images: cluster {', '.join(small)}"]


def diagnostics(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, value and meaning of the clusters' diagnostics."""
    n = sum(summary["sizes"])
    values = {
        "clustered": f"{n} maps into {len(summary['sizes'])} clusters",
        **({"kernel": "{} = {:g}".format(*summary["kernel"])} if "kernel" in summary else {}),
        "stability": f"{summary['stability']:.2f}",
        "eigengap": f"{summary['eigengap']:.3f}",
        "PCA": f"{summary['n_dimensions']} dimensions, {percent(summary['variance_share'])} of the variance",
        "isolated": f"{summary['n_isolated']} of {n}",
        "zero maps": f"{summary['n_zero']} of {n}",
        "constant maps": f"{summary['n_constant']} of {n}",
    }
    return [(name, value, DIAGNOSTICS[name]) for name, value in values.items()]
