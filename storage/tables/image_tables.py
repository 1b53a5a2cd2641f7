"""Tables of what is known of plants and images: data, answers, maps."""

import pyarrow as pa

from storage.tables.columns import (
    CLASS,
    CLASSIFIER,
    CLUSTER,
    DAY,
    FITTED_COLUMNS,
    LABEL,
    METHOD,
    NEAREST,
    NEIGHBOURS,
    NOVELTY,
    PLANT,
    PREDICTED,
    ROW,
    SHARE,
    SPLIT,
    TEXT,
    WHOLE,
)
from storage.tables.parquet import Column, TableSpec

PLANTS = TableSpec(
    "plants",
    "every plant of the campaign's dates",
    (
        PLANT,
        SPLIT,
        Column("split_source", TEXT, "where the split was read"),
        Column("easting", SHARE, "position in the source's own projection", "m", nullable=True),
        Column("northing", SHARE, "position in the source's own projection", "m", nullable=True),
        Column("harvest_after", DAY, "last day known to be before the harvest", nullable=True),
        Column("harvest_by", DAY, "first day known to be on or after the harvest; null: none known", nullable=True),
        Column("n_observations", WHOLE, "images that went on, over all dates"),
    ),
    per_date=False,
)
OBSERVATIONS = TableSpec(
    "observations",
    "every image that went on, one a plant and date",
    (
        PLANT,
        SPLIT,
        LABEL,
        ROW,
        Column("path", TEXT, "file, relative to the source"),
        Column("sha256", TEXT, "checksum of the file's content"),
        Column("height", WHOLE, "of the file, before resizing", "pixel"),
        Column("width", WHOLE, "of the file, before resizing", "pixel"),
        Column("flags", TEXT, "remarks that do not exclude, separated by spaces"),
    ),
)
REJECTED = TableSpec(
    "rejected",
    "every plant-date that was left out, and why",
    (
        PLANT,
        Column("path", TEXT, "file, relative to the source; empty where there is none"),
        Column("reason", TEXT, "one word: harvested, ambiguous, unreadable, duplicate, ..."),
        Column("detail", TEXT, "what was found"),
    ),
)
AUGMENTATION = TableSpec(
    "augmentation",
    "one row per training sample",
    (
        Column("acquired", DAY, "acquisition date of the image"),
        PLANT,
        ROW,
        Column("label", CLASS, "true class", "class index"),
        Column("symmetry", CLASS, "element of the square's symmetry group: quarter turns + 4 x flip", "0..7"),
        Column("photometric_seed", pa.int64(), "seed of the brightness and contrast change; null: none", nullable=True),
    ),
    per_date=False,
)
EPOCHS = TableSpec(
    "epochs",
    "training, one row an epoch",
    (
        Column("epoch", WHOLE, "from 1"),
        Column("learning_rate", SHARE, "of this epoch"),
        Column("train_loss", SHARE, "mean cross-entropy over the augmented samples, while training", "nat"),
        Column("train_accuracy", SHARE, "over the augmented samples, while training", "0..1"),
        Column("val_loss", SHARE, "mean cross-entropy on validation; null without labels", "nat", nullable=True),
        Column("val_accuracy", SHARE, "on validation; null without labels", "0..1", nullable=True),
    ),
    per_date=False,
)
PREDICTIONS = TableSpec(
    "predictions",
    "the classifier's answer for every image",
    (
        PLANT,
        SPLIT,
        LABEL,
        ROW,
        PREDICTED,
        Column("probabilities", pa.list_(pa.float32()), "softmax of every class, in class order", "0..1"),
        CLASSIFIER,
    ),
)
ASSIGNMENTS = TableSpec(
    "assignments",
    "the cluster of every explained image",
    (
        PLANT,
        SPLIT,
        ROW,
        METHOD,
        CLUSTER,
        NEIGHBOURS,
        NEAREST,
        NOVELTY,
        Column(
            "is_flat_map",
            pa.bool_(),
            "the map is the same everywhere, mostly zero: it says nothing about where the evidence lies",
        ),
        *FITTED_COLUMNS,
    ),
    version=3,
)
