"""Define every table: one schema each, with the meaning and unit of every column.

Campaign and acquisition date are not columns of the files. They are the folders under which a table is published
(`tables/<table>/campaign=<id>/date=<YYYY-MM-DD>/part-0.parquet`), and every Parquet reader turns them into columns. If
another fit scores a date, its rows replace the earlier ones. The columns `classifier` and `clusters` name the fit.

A schema is imported when it is first asked for. The names of splits and scores in `storage.tables.names` are thus there
without Arrow, which takes longer to import than a mistake in a campaign's file takes to find.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storage.tables.schemas import (
        ACQUISITIONS,
        ADJUSTED,
        ASSIGNMENTS,
        AUDIT,
        AUGMENTATION,
        BACKFILL,
        CALIBRATION,
        CHECKS,
        CLUSTER_MATCHES,
        CLUSTER_SCORES,
        CROSSFIT,
        DECIDED,
        DRIFT,
        EPOCHS,
        EVALUATION,
        METRICS,
        OBSERVATIONS,
        PLANTS,
        PREDICTIONS,
        PROMISES,
        READY_COUNTS,
        REJECTED,
        RELIABILITIES,
        REVIEWS,
        SENSITIVITY,
        SWAPS,
        TABLES,
    )

__all__ = [
    "ACQUISITIONS",
    "ADJUSTED",
    "ASSIGNMENTS",
    "AUDIT",
    "AUGMENTATION",
    "BACKFILL",
    "CALIBRATION",
    "CHECKS",
    "CLUSTER_MATCHES",
    "CLUSTER_SCORES",
    "CROSSFIT",
    "DECIDED",
    "DRIFT",
    "EPOCHS",
    "EVALUATION",
    "METRICS",
    "OBSERVATIONS",
    "PLANTS",
    "PREDICTIONS",
    "PROMISES",
    "READY_COUNTS",
    "REJECTED",
    "RELIABILITIES",
    "REVIEWS",
    "SENSITIVITY",
    "SWAPS",
    "TABLES",
]


def __getattr__(name: str) -> Any:
    """Import a table's schema."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from storage.tables import schemas

    return getattr(schemas, name)
