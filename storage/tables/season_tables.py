"""Tables of scored dates and of backfilled seasons: one row tells what became of a whole date."""

import pyarrow as pa

from storage.tables.columns import DAY, FITTED_COLUMNS, METHOD, SHARE, TEXT, WHOLE
from storage.tables.parquet import Column, TableSpec

ACQUISITIONS = TableSpec(
    "acquisitions",
    "what a date scored with an earlier fit comes to, one row a saliency method",
    (
        METHOD,
        Column("n_images", WHOLE, "images of the date that went on"),
        Column("n_rejected", WHOLE, "plants of the date that were left out; the table `rejected` says why"),
        Column("n_explained", WHOLE, "images that have a saliency map and so a cluster"),
        Column("n_abstain", WHOLE, "of them those whose answer should not be acted on"),
        Column("n_swapped", WHOLE, "of them those whose answer was swapped"),
        Column("mean_reliability", SHARE, "mean over explained images; null: none explained", "0..1", nullable=True),
        Column("n_labelled", WHOLE, "explained images whose true class is known"),
        Column(
            "accuracy_before", SHARE, "of labelled images, as predicted; null: none labelled", "0..1", nullable=True
        ),
        Column(
            "accuracy_after", SHARE, "of labelled images, after adjustment; null: none labelled", "0..1", nullable=True
        ),
        Column("is_outside", pa.bool_(), "the table `drift` says that the date is outside what was validated"),
        Column("outside_reason", TEXT, "clusters, novelty, both words, or empty"),
        *FITTED_COLUMNS,
    ),
)
BACKFILL = TableSpec(
    "backfill",
    "what became of every season and date of the last backfill of this name; counts are over all saliency methods",
    (
        Column("season", TEXT, "campaign that the date's tables are published under"),
        Column("acquired", DAY, "acquisition date"),
        Column("fitted_by", TEXT, "campaign whose fit was used"),
        Column("state", TEXT, "scored, present (scored with this fit before), or failed"),
        Column("detail", TEXT, "why it failed; else empty"),
        Column("fit", TEXT, "digest of the fit: all that makes a date's rows; null: none was found", nullable=True),
        Column("n_images", WHOLE, "images of the date that went on; null: failed", nullable=True),
        Column("n_abstain", WHOLE, "answers that should not be acted on; null: failed", nullable=True),
        Column("n_swapped", WHOLE, "answers that were swapped; null: failed", nullable=True),
        Column("is_outside", pa.bool_(), "the date is outside what was validated; null: failed", nullable=True),
        Column(
            "flow_run", TEXT, "id of the Prefect flow run that scored it, or failed to; null: none began", nullable=True
        ),
    ),
    per_date=False,
    partitioned_by="backfill",
)
