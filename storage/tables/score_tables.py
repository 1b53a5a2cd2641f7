"""Define the tables about reliability: clusters, scores, swaps, reviews and adjusted answers."""

from dataclasses import replace

import pyarrow as pa

from storage.tables.columns import (
    BASELINES,
    CLASS,
    CLUSTER,
    CLUSTERS,
    COMBINED,
    DAY,
    ERROR_LOWER,
    ERROR_SHARE,
    ERROR_UPPER,
    FITTED_COLUMNS,
    LABEL,
    METHOD,
    NEIGHBOURS,
    NOVELTY,
    PLANT,
    PREDICTED,
    READY_PROBABILITY,
    RELIABILITY,
    ROW,
    SHARE,
    SPLIT,
    TEXT,
    WHOLE,
)
from storage.tables.parquet import Column, TableSpec

# Columns with the confusion counts of a cluster's validation images.
COUNTS = tuple(
    Column(name, WHOLE, meaning + " (class 1 positive); null with more than two classes", nullable=True)
    for name, meaning in (
        ("tp", "true positives"),
        ("tn", "true negatives"),
        ("fp", "false positives"),
        ("fn", "false negatives"),
    )
)
FAILING = Column(
    "p_value", SHARE, "p-value of an error share of 1/2 or less (exact sign-flip test by plants, one-sided)", "0..1"
)
DECISION = Column("decision", TEXT, "swap, keep, or abstain (do not act on any answer of this cluster)")
CROSSFIT = TableSpec(
    "crossfit",
    "every labelled validation image, cross-fitted: judged by clusters and scores fitted without its fold",
    (
        Column("acquired", DAY, "acquisition date of the image"),
        PLANT,
        ROW,
        METHOD,
        Column("label", CLASS, "true class", "class index"),
        PREDICTED,
        Column("fold", CLASS, "number of the fold; all images of a plant are in one fold", "from 1"),
        Column("cluster", CLASS, "cluster fitted without the image's fold; each fold has its own numbering"),
        ERROR_SHARE,
        NEIGHBOURS,
        NOVELTY,
        *BASELINES,
        COMBINED,
        *FITTED_COLUMNS,
    ),
    per_date=False,
)
SENSITIVITY = TableSpec(
    "sensitivity",
    "results of other clustering parameters; accuracy is cross-fitted on validation images",
    (
        METHOD,
        Column("affinity", TEXT, "reading of the kernel scale, as in the key `cluster.affinity`"),
        Column("scale", SHARE, "kernel scale, in the unit that the reading gives it"),
        Column("n_clusters", WHOLE, "number of clusters requested"),
        Column("neighbours", WHOLE, "number of nearest validation maps that decide on a cluster"),
        Column(
            "threshold", SHARE, "error share above which answers are swapped; null: another rule", "0..1", nullable=True
        ),
        Column("is_used", pa.bool_(), "whether these are the campaign's own parameters"),
        Column("largest", WHOLE, "number of validation maps in the largest cluster", nullable=True),
        Column("n_splinters", WHOLE, "number of clusters with fewer than 5 maps", nullable=True),
        Column("stability", SHARE, "mean adjusted Rand index between k-means seeds", "up to 1", nullable=True),
        Column("n_swapped", WHOLE, "number of clusters whose answers would be swapped", nullable=True),
        Column("accuracy", SHARE, "overall accuracy after adjustment", "0..1", nullable=True),
        Column("auroc", SHARE, "AUROC of error detection by the cluster's error share", "0..1", nullable=True),
        Column("problem", TEXT, "why these parameters give no clusters; else empty"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
    version=2,
)
CLUSTER_MATCHES = TableSpec(
    "cluster_matches",
    "which cluster of the campaign's earlier fit each cluster matches, by its prototype",
    (
        METHOD,
        CLUSTER,
        Column(
            "earlier_cluster", CLASS, "number of the matched cluster in the earlier fit; null: none left", nullable=True
        ),
        Column("likeness", SHARE, "cosine similarity of the two prototypes", "-1..1", nullable=True),
        Column("earlier", TEXT, "digest of the earlier clusters artefact"),
        CLUSTERS,
    ),
    per_date=False,
)
CLUSTER_SCORES = TableSpec(
    "clusters",
    "every cluster of validation maps, and how often the classifier is wrong in it",
    (
        METHOD,
        CLUSTER,
        Column("n", WHOLE, "number of validation images"),
        Column("n_plants", WHOLE, "number of plants that they show"),
        Column(
            "n_effective",
            SHARE,
            "number of images of different plants that would tell as much: n divided by the design effect of plants "
            "with several images",
            "above 0",
        ),
        Column("n_wrong", WHOLE, "number of them classified wrongly"),
        *COUNTS,
        ERROR_SHARE,
        ERROR_LOWER,
        ERROR_UPPER,
        RELIABILITY,
        FAILING,
        *FITTED_COLUMNS,
    ),
    per_date=False,
    version=2,
)
RELIABILITIES = TableSpec(
    "reliability",
    "reliability of the answer for every explained image; scores of validation images are cross-fitted, except the "
    "cluster's counts and shares and the neighbour agreement",
    (
        PLANT,
        SPLIT,
        LABEL,
        ROW,
        METHOD,
        PREDICTED,
        CLUSTER,
        Column("n_validation", WHOLE, "number of validation images in the cluster"),
        *COUNTS,
        ERROR_SHARE,
        ERROR_LOWER,
        ERROR_UPPER,
        RELIABILITY,
        NEIGHBOURS,
        NOVELTY,
        *BASELINES,
        COMBINED,
        replace(
            READY_PROBABILITY,
            meaning="probability that the plant is ready, by combined_reliability; null with more than two classes. "
            "Decisions use that of decided, which differs on dates whose share of ready plants is outside",
        ),
        *FITTED_COLUMNS,
    ),
    version=4,
)
SWAPS = TableSpec(
    "swaps",
    "every cluster, whether its answers are swapped, and why",
    (
        METHOD,
        CLUSTER,
        Column("n", WHOLE, "number of validation images"),
        Column("n_wrong", WHOLE, "number of them classified wrongly"),
        ERROR_SHARE,
        FAILING,
        Column(
            "p_holm",
            SHARE,
            "p_value with Holm's correction over the clusters of at least `adjust.least` images; 1 for smaller ones",
            "0..1",
        ),
        Column(
            "rule",
            TEXT,
            "paper: error share above the threshold; confident: p_holm at most `adjust.alpha`, enough images",
        ),
        Column("is_proposed", pa.bool_(), "whether the rule would swap the answers in this cluster"),
        DECISION,
        Column("decided_by", TEXT, "rule, person (a reviewer), or timeout (the rule, as nobody reviewed it in time)"),
        Column("reviewer", TEXT, "name of the reviewer; null where no person decided", nullable=True),
        Column("is_swapped", pa.bool_(), "whether answers in this cluster are swapped"),
        Column("reason", TEXT, "reason for the decision, in words of the rule or of the reviewer"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
    version=3,
)
REVIEWS = TableSpec(
    "reviews",
    "a person's decision on each cluster, with name, time and reason; or that nobody decided in time",
    (
        METHOD,
        CLUSTER,
        Column("n", WHOLE, "number of validation images"),
        Column("n_wrong", WHOLE, "number of them classified wrongly"),
        ERROR_SHARE,
        Column("proposed", TEXT, "the rule's proposal when the person decided: swap or keep"),
        DECISION,
        Column(
            "reviewer", TEXT, "name of the reviewer; null: nobody answered in time, and the rule decided", nullable=True
        ),
        Column("decided", TEXT, "time of the decision; null where nobody decided", "ISO 8601, UTC", nullable=True),
        Column("reason", TEXT, "the reviewer's reason, or how long the run waited"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
)
ADJUSTED = TableSpec(
    "adjusted",
    "every explained image's answer before and after adjustment",
    (
        PLANT,
        SPLIT,
        LABEL,
        METHOD,
        CLUSTER,
        PREDICTED,
        Column("adjusted", CLASS, "class after adjustment: swapped where the cluster is swapped", "class index"),
        Column("is_swapped", pa.bool_(), "whether adjusted differs from predicted"),
        RELIABILITY,
        COMBINED,
        *FITTED_COLUMNS,
    ),
    version=3,
)
