"""Define every table: one schema each, with the meaning and unit of every column.

Campaign and acquisition date are not columns of the files. They are the folders under which a table is published
(`tables/<table>/campaign=<id>/date=<YYYY-MM-DD>/part-0.parquet`), and every Parquet reader turns them into columns. If
another fit scores a date, its rows replace the earlier ones. The columns `classifier` and `clusters` name the fit.
"""

from storage.tables.decision_tables import CALIBRATION, DECIDED, PROMISES, READY_COUNTS
from storage.tables.image_tables import ASSIGNMENTS, AUGMENTATION, EPOCHS, OBSERVATIONS, PLANTS, PREDICTIONS, REJECTED
from storage.tables.measure_tables import AUDIT, DRIFT, EVALUATION, METRICS
from storage.tables.parquet import TableSpec
from storage.tables.score_tables import (
    ADJUSTED,
    CLUSTER_MATCHES,
    CLUSTER_SCORES,
    CROSSFIT,
    RELIABILITIES,
    REVIEWS,
    SENSITIVITY,
    SWAPS,
)
from storage.tables.season_tables import ACQUISITIONS, BACKFILL

TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        PLANTS,
        OBSERVATIONS,
        REJECTED,
        AUGMENTATION,
        EPOCHS,
        PREDICTIONS,
        ASSIGNMENTS,
        CROSSFIT,
        SENSITIVITY,
        CLUSTER_MATCHES,
        CLUSTER_SCORES,
        RELIABILITIES,
        SWAPS,
        REVIEWS,
        ADJUSTED,
        PROMISES,
        DECIDED,
        READY_COUNTS,
        METRICS,
        EVALUATION,
        CALIBRATION,
        DRIFT,
        AUDIT,
        ACQUISITIONS,
        BACKFILL,
    )
}
