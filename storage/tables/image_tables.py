"""Define the tables about plants and images: survey, training, predictions and clusters."""

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
    "every plant on the campaign's dates, one row per plant",
    (
        PLANT,
        SPLIT,
        Column(
            "split_source",
            TEXT,
            "where the split was read: utm, samples, folder, manifest, plants, blocks, own, or none",
        ),
        Column("easting", SHARE, "easting in the projection of the source", "m", nullable=True),
        Column("northing", SHARE, "northing in the projection of the source", "m", nullable=True),
        Column("harvest_after", DAY, "last day known to be before the harvest; null: none known", nullable=True),
        Column("harvest_by", DAY, "first day known to be on or after the harvest; null: none known", nullable=True),
        Column("n_observations", WHOLE, "accepted images, over all dates"),
    ),
    per_date=False,
)
OBSERVATIONS = TableSpec(
    "observations",
    "every accepted image, one row per plant and date",
    (
        PLANT,
        SPLIT,
        LABEL,
        ROW,
        Column("path", TEXT, "path of the image file, relative to the source"),
        Column("sha256", TEXT, "SHA-256 checksum of the file's content"),
        Column("height", WHOLE, "height of the file's image, before resizing", "pixel"),
        Column("width", WHOLE, "width of the file's image, before resizing", "pixel"),
        Column("flags", TEXT, "remarks that do not exclude the image, separated by spaces"),
    ),
)
REJECTED = TableSpec(
    "rejected",
    "every plant and date that was rejected, and why",
    (
        PLANT,
        Column("path", TEXT, "path of the image file, relative to the source; empty without a file"),
        Column("reason", TEXT, "reason as one word: harvested, ambiguous, unreadable, duplicate, ..."),
        Column("detail", TEXT, "what was found, in words"),
    ),
)
AUGMENTATION = TableSpec(
    "augmentation",
    "the augmented training set, one row per sample",
    (
        Column("acquired", DAY, "acquisition date of the image"),
        PLANT,
        ROW,
        Column("label", CLASS, "true class", "class index"),
        Column("symmetry", CLASS, "symmetry of the square: number of quarter turns, plus 4 if flipped", "0..7"),
        Column(
            "photometric_seed", pa.int64(), "seed of the brightness and contrast change; null: no change", nullable=True
        ),
    ),
    per_date=False,
)
EPOCHS = TableSpec(
    "epochs",
    "course of the training, one row per epoch",
    (
        Column("epoch", WHOLE, "number of the epoch", "from 1"),
        Column("learning_rate", SHARE, "learning rate in this epoch"),
        Column("train_loss", SHARE, "mean cross-entropy over the augmented samples, during the epoch", "nat"),
        Column("train_accuracy", SHARE, "accuracy over the augmented samples, during the epoch", "0..1"),
        Column("val_loss", SHARE, "mean cross-entropy on validation images; null without labels", "nat", nullable=True),
        Column("val_accuracy", SHARE, "accuracy on validation images; null without labels", "0..1", nullable=True),
    ),
    per_date=False,
)
PREDICTIONS = TableSpec(
    "predictions",
    "the classifier's answer for every image, one row per image",
    (
        PLANT,
        SPLIT,
        LABEL,
        ROW,
        PREDICTED,
        Column("probabilities", pa.list_(pa.float32()), "softmax probability of every class, in class order", "0..1"),
        CLASSIFIER,
    ),
)
ASSIGNMENTS = TableSpec(
    "assignments",
    "the cluster of every explained image, one row per image",
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
            "the map has the same value everywhere (mostly zero), so it does not show where the evidence lies",
        ),
        Column(
            "seen",
            TEXT,
            "what the fit learned from this plant's images on its own dates: train (the classifier), val (its maps are "
            "validation maps), or null: nothing",
            nullable=True,
        ),
        *FITTED_COLUMNS,
    ),
    version=4,
)
