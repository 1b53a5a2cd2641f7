"""Define the tables of scored dates and backfilled seasons, a row for each date, and of what people found on a date."""

import pyarrow as pa

from storage.tables.columns import DAY, FITTED_COLUMNS, METHOD, PLANT, SHARE, TEXT, WHOLE
from storage.tables.parquet import Column, TableSpec

ACQUISITIONS = TableSpec(
    "acquisitions",
    "summary of a date scored with an earlier fit, one row per saliency method",
    (
        METHOD,
        Column("n_images", WHOLE, "accepted images of the date"),
        Column("n_rejected", WHOLE, "rejected plants of the date; the table `rejected` says why"),
        Column("n_explained", WHOLE, "images that have a saliency map and therefore a cluster"),
        Column("n_check", WHOLE, "explained images on whose answer nobody should act"),
        Column("n_swapped", WHOLE, "explained images whose answer was swapped with its cluster"),
        Column("n_corrected", WHOLE, "explained images whose answer differs from the predicted class"),
        Column(
            "mean_reliability",
            SHARE,
            "mean probability that the answers given are right; null: none explained",
            "0..1",
            nullable=True,
        ),
        Column("n_labelled", WHOLE, "explained images whose true class is known"),
        Column("accuracy_before", SHARE, "accuracy of the predicted classes; null: no labels", "0..1", nullable=True),
        Column("accuracy_after", SHARE, "accuracy after adjustment; null: no labels", "0..1", nullable=True),
        Column(
            "accuracy_decided", SHARE, "accuracy of the more probable classes; null: no labels", "0..1", nullable=True
        ),
        Column("is_outside", pa.bool_(), "whether the date differs from the validation data"),
        Column("outside_reason", TEXT, "what differs: words of `drift.reason`, and share (of ready plants); or empty"),
        *FITTED_COLUMNS,
        Column(
            "n_plants",
            WHOLE,
            "expected plants of which the date has a picture; null: scored by an earlier version",
            nullable=True,
            since=3,
        ),
        Column(
            "n_expected",
            WHOLE,
            "plants of the fitted campaign, or of the source's own list on a date of another campaign or source, "
            "that are not known to be harvested before the date; null: unknown",
            nullable=True,
            since=3,
        ),
    ),
    version=3,
)
BACKFILL = TableSpec(
    "backfill",
    "result of every season and date of the last backfill of this name; counts are sums over all saliency methods",
    (
        Column("season", TEXT, "campaign under which the date's tables are published"),
        Column("acquired", DAY, "acquisition date"),
        Column("fitted_by", TEXT, "campaign whose fit was used"),
        Column("state", TEXT, "scored, present (already scored with this fit), or failed"),
        Column("detail", TEXT, "why the date failed, or that it has far fewer plants than expected; else empty"),
        Column("fit", TEXT, "digest of the fit that makes the date's rows; null: no fit was found", nullable=True),
        Column("n_images", WHOLE, "accepted images of the date; null: failed", nullable=True),
        Column("n_check", WHOLE, "answers on which nobody should act; null: failed", nullable=True),
        Column("n_swapped", WHOLE, "answers that were swapped; null: failed", nullable=True),
        Column(
            "is_outside", pa.bool_(), "whether the date differs from the validation data; null: failed", nullable=True
        ),
        Column(
            "flow_run",
            TEXT,
            "id of the Prefect flow run that scored the date or failed; null: none began",
            nullable=True,
        ),
    ),
    per_date=False,
    version=2,
    partitioned_by="backfill",
)
CHECKS = TableSpec(
    "checks",
    "what people found when they looked at plants of a date, and the answer that they checked; rows are only added",
    (
        PLANT,
        Column("found", TEXT, "name of the class that the person found"),
        METHOD,
        Column("answer", TEXT, "name of the more probable class when the check came back"),
        Column("answer_reliability", SHARE, "probability that this answer was right", "0..1"),
        Column("decision", TEXT, "decision about the plant at that time"),
        Column("is_audit", pa.bool_(), "whether the plant had been drawn at random for a look (`field.audit_share`)"),
        Column("checked_by", TEXT, "name of the person who looked at the plant"),
        Column("checked_at", TEXT, "when the person looked at the plant", "ISO 8601, UTC"),
        Column("remark", TEXT, "the person's remark; empty without one"),
        Column("file", TEXT, "name of the file that the check came back in"),
        Column("imported_by", TEXT, "name of the person who imported the file"),
        Column("imported_at", TEXT, "when the file was imported", "ISO 8601, UTC"),
        Column("stands", pa.bool_(), "whether the check counts: a later one of the same plant replaces it"),
    ),
)
