"""What the command line says of a finished campaign."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from storage.artifacts import Store
from storage.publish import CampaignRecord
from storage.tables import CLUSTER_SCORES, METRICS, TableSpec, read_table


def results(store: Store, record: CampaignRecord) -> dict[str, Any]:
    """Metrics, clusters, warnings and places of a campaign as JSON values."""
    params = record.params
    clusters = [store.open(ref).summary for role, ref in record.artifacts.items() if role.startswith("clusters ")]
    return {
        "campaign": record.campaign,
        "image_size": params["ingest"]["image_size"],
        "kernel": f"{params['cluster']['affinity']} = {params['cluster']['scale']}",
        "explained_class": params["explain"]["explained_class"],
        "threshold": params["adjust"]["threshold"],
        "confidence": params["score"]["confidence"],
        "metrics": _rows(store, record, "metrics", METRICS),
        "clusters": _rows(store, record, "scores", CLUSTER_SCORES),
        "rejected": store.open(record.artifacts["plants"]).summary["rejected"],
        "warnings": [f"{summary['method']}: {text}" for summary in clusters for text in summary["warnings"]],
        "report": str(store.root / record.report),
        "tables": str(store.root / "tables"),
    }


def _rows(store: Store, record: CampaignRecord, kind: str, spec: TableSpec) -> list[dict[str, Any]]:
    tables = [read_table(store.open(ref), spec) for role, ref in record.artifacts.items() if role.split()[0] == kind]
    return [{name: table[name][i] for name in table} for table in tables for i in range(len(table["method"]))]


def print_results(found: dict[str, Any]) -> None:
    """Print results for a person."""
    # A pipe has no width; tables cut to 80 columns would lose figures.
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    console.print(_metrics_table(found))
    console.print(_clusters_table(found))
    for text in found["warnings"]:
        console.print(f"note: {text}", markup=False)
    left_out = ", ".join(f"{n} {reason}" for reason, n in sorted(found["rejected"].items()))
    console.print(f"left out: {left_out or 'nothing'}", markup=False)
    for name in ("tables", "report"):
        print(f"{name + ':':8} {Path(found[name])}")  # plain, so that a path is never wrapped


def _metrics_table(found: dict[str, Any]) -> Table:
    title = (
        f"{found['campaign']}: accuracy before and after adjustment "
        f"({found['image_size']} px, kernel {found['kernel']}, explained class {found['explained_class']})"
    )
    table = Table(title=title, title_justify="left")
    for name in ("method", "split", "state", "n", "overall accuracy", "average class accuracy", ""):
        table.add_column(name, justify="left" if name in ("method", "split", "state", "") else "right")
    for row in found["metrics"]:
        shares = (f"{row['overall_accuracy']:.1%}", f"{row['average_class_accuracy']:.1%}")
        note = "in-sample" if row["is_in_sample"] else ""
        table.add_row(row["method"], row["split"], row["state"], str(row["n"]), *shares, note)
    return table


def _clusters_table(found: dict[str, Any]) -> Table:
    table = Table(title="clusters of validation maps", title_justify="left")
    interval = f"{found['confidence']:.4g} interval"
    for name in ("method", "cluster", "n", "TP", "TN", "FP", "FN", "error share", interval, "reliability", ""):
        table.add_column(name, justify="left" if name in ("method", "") else "right")
    for row in found["clusters"]:
        counts = ["" if row[name] is None else str(row[name]) for name in ("tp", "tn", "fp", "fn")]
        interval = f"{row['error_share_lower']:.2f} .. {row['error_share_upper']:.2f}"
        is_swapped = row["tp"] is not None and row["error_share"] > found["threshold"]
        table.add_row(
            row["method"],
            str(row["cluster"]),
            str(row["n"]),
            *counts,
            f"{row['error_share']:.2f}",
            interval,
            f"{row['reliability']:.2f}",
            "swapped" if is_swapped else "",
        )
    return table
