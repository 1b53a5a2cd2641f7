"""List every table's schema by name."""

from storage.tables.decision_tables import CALIBRATION, CHECKS, DECIDED, PROMISES, READY_COUNTS
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
        CHECKS,
        METRICS,
        EVALUATION,
        CALIBRATION,
        DRIFT,
        AUDIT,
        ACQUISITIONS,
        BACKFILL,
    )
}
