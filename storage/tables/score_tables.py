"""Tables of how far answers can be relied on: clusters, scores, adjustment, and what judges them."""

import pyarrow as pa

from storage.tables.columns import (
    ABSTAIN,
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
    RELIABILITY,
    ROW,
    SHARE,
    SPLIT,
    TEXT,
    WHOLE,
    difference_columns,
    interval_columns,
)
from storage.tables.parquet import Column, TableSpec

# Of a cluster's validation images.
COUNTS = tuple(
    Column(name, WHOLE, meaning + " (class 1 positive); null with more than two classes", nullable=True)
    for name, meaning in (
        ("tp", "true positives"),
        ("tn", "true negatives"),
        ("fp", "false positives"),
        ("fn", "false negatives"),
    )
)
DECISION = Column("decision", TEXT, "swap, keep, or abstain: no answer of this cluster should be acted on")
CROSSFIT = TableSpec(
    "crossfit",
    "every labelled validation image, judged by clusters and scores that were fitted without its fold",
    (
        Column("acquired", DAY, "acquisition date of the image"),
        PLANT,
        ROW,
        METHOD,
        Column("label", CLASS, "true class", "class index"),
        PREDICTED,
        Column("fold", CLASS, "all images of a plant are in one fold", "from 1"),
        Column("cluster", CLASS, "among the clusters of the other folds; numbers of two folds have nothing in common"),
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
    "what other parameters of the clusters would give; accuracy is cross-fitted on validation images",
    (
        METHOD,
        Column("affinity", TEXT, "reading of the kernel scale"),
        Column("scale", SHARE, "kernel scale, in the reading's own unit"),
        Column("n_clusters", WHOLE, "clusters asked for"),
        Column("neighbours", WHOLE, "nearest validation maps that decide"),
        Column(
            "threshold", SHARE, "error share above which answers are swapped; null: other rule", "0..1", nullable=True
        ),
        Column("is_used", pa.bool_(), "the campaign's own parameters"),
        Column("largest", WHOLE, "validation maps in the largest cluster", nullable=True),
        Column("n_splinters", WHOLE, "clusters of fewer than 5 maps", nullable=True),
        Column("stability", SHARE, "mean adjusted Rand index between k-means seeds", "up to 1", nullable=True),
        Column("n_swapped", WHOLE, "clusters whose answers would be swapped", nullable=True),
        Column("accuracy", SHARE, "overall, after adjustment", "0..1", nullable=True),
        Column("auroc", SHARE, "of error detection by the cluster's error share", "0..1", nullable=True),
        Column("problem", TEXT, "why there are no clusters with these parameters; else empty"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
    version=2,
)
CLUSTER_MATCHES = TableSpec(
    "cluster_matches",
    "which cluster of the campaign's earlier fit each cluster continues, by its prototype",
    (
        METHOD,
        CLUSTER,
        Column("earlier_cluster", CLASS, "its number in the earlier fit; null: none left to match", nullable=True),
        Column("likeness", SHARE, "cosine between the two prototypes", "-1..1", nullable=True),
        Column("earlier", TEXT, "digest of the earlier clusters artefact"),
        CLUSTERS,
    ),
    per_date=False,
)
CLUSTER_SCORES = TableSpec(
    "clusters",
    "every cluster of validation maps and how often the classifier is wrong there",
    (
        METHOD,
        CLUSTER,
        Column("n", WHOLE, "validation images"),
        Column("n_wrong", WHOLE, "of them classified wrongly"),
        *COUNTS,
        ERROR_SHARE,
        ERROR_LOWER,
        ERROR_UPPER,
        RELIABILITY,
        *FITTED_COLUMNS,
    ),
    per_date=False,
)
RELIABILITIES = TableSpec(
    "reliability",
    "how far every explained image's answer can be relied on; of validation images all but the cluster's counts and "
    "shares and the neighbour agreement are cross-fitted",
    (
        PLANT,
        SPLIT,
        LABEL,
        ROW,
        METHOD,
        PREDICTED,
        CLUSTER,
        Column("n_validation", WHOLE, "validation images in the cluster"),
        *COUNTS,
        ERROR_SHARE,
        ERROR_LOWER,
        ERROR_UPPER,
        RELIABILITY,
        NEIGHBOURS,
        NOVELTY,
        *BASELINES,
        COMBINED,
        ABSTAIN,
        Column(
            "abstain_reason",
            TEXT,
            "wide (interval), novel (map), undecided (cluster), failing (cluster, not swapped), "
            "reviewed (by a person); separated by spaces",
        ),
        *FITTED_COLUMNS,
    ),
    version=3,
)
SWAPS = TableSpec(
    "swaps",
    "every cluster and whether its answers are swapped, and why",
    (
        METHOD,
        CLUSTER,
        Column("n", WHOLE, "validation images"),
        Column("n_wrong", WHOLE, "of them classified wrongly"),
        ERROR_SHARE,
        Column("p_value", SHARE, "of error share 1/2 or less (exact binomial test, one-sided)", "0..1"),
        Column("p_holm", SHARE, "the same, with Holm's correction over the clusters", "0..1"),
        Column("rule", TEXT, "paper: error share above the threshold; confident: see the README"),
        Column("is_proposed", pa.bool_(), "the rule would swap the answers in this cluster"),
        DECISION,
        Column("decided_by", TEXT, "rule; person: who reviewed it; timeout: the rule, as nobody reviewed it in time"),
        Column("reviewer", TEXT, "who; null where no person decided", nullable=True),
        Column("is_swapped", pa.bool_(), "answers in this cluster are swapped"),
        Column("reason", TEXT, "what decided, in the rule's words or the reviewer's"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
    version=2,
)
REVIEWS = TableSpec(
    "reviews",
    "what a person decided on each cluster, who, when and why; or that nobody did in time",
    (
        METHOD,
        CLUSTER,
        Column("n", WHOLE, "validation images"),
        Column("n_wrong", WHOLE, "of them classified wrongly"),
        ERROR_SHARE,
        Column("proposed", TEXT, "what the rule said when the person decided: swap or keep"),
        DECISION,
        Column("reviewer", TEXT, "who; null: nobody answered in time, and the rule decided", nullable=True),
        Column("decided", TEXT, "when; null where nobody did", "ISO 8601, UTC", nullable=True),
        Column("reason", TEXT, "the reviewer's, or how long was waited"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
)
ADJUSTED = TableSpec(
    "adjusted",
    "the answer after adjustment",
    (
        PLANT,
        SPLIT,
        LABEL,
        METHOD,
        CLUSTER,
        PREDICTED,
        Column("adjusted", CLASS, "class after swapping where the cluster is mostly wrong", "class index"),
        Column("is_swapped", pa.bool_(), "adjusted differs from predicted"),
        RELIABILITY,
        COMBINED,
        ABSTAIN,
        *FITTED_COLUMNS,
    ),
    version=2,
)


METRICS = TableSpec(
    "metrics",
    "accuracy before and after adjustment per split",
    (
        METHOD,
        SPLIT,
        Column(
            "state",
            TEXT,
            "before or after adjustment; cross-fitted: after, by clusters of other folds; cross-fitted rule: the same "
            "where a person decided, whom no fold can be hidden from: what the rule alone would give",
        ),
        Column("n", WHOLE, "labelled images"),
        Column("n_correct", WHOLE, "of them classified correctly"),
        Column("overall_accuracy", SHARE, "n_correct / n", "0..1"),
        *interval_columns("overall_accuracy"),
        Column("average_class_accuracy", SHARE, "mean recall of the classes present", "0..1"),
        *interval_columns("average_class_accuracy"),
        Column("confusion", pa.list_(pa.int64()), "counts by (true, predicted) class, true class first"),
        Column("is_in_sample", pa.bool_(), "the clusters were scored on these images: flatters the state `after`"),
        Column("n_corrected", WHOLE, "answers that adjustment made right"),
        Column("n_spoiled", WHOLE, "answers that adjustment made wrong"),
        Column("mcnemar_p", SHARE, "of a difference this large by chance (exact McNemar test)", "0..1"),
        *difference_columns("gain", "overall_accuracy minus that before", "before"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
    version=3,
)
EVALUATION = TableSpec(
    "evaluation",
    "how well each score tells right answers from wrong ones, before adjustment",
    (
        METHOD,
        SPLIT,
        Column("score", TEXT, "column of the table `reliability` (of `crossfit` for validation images)"),
        Column("n", WHOLE, "labelled images"),
        Column("n_wrong", WHOLE, "of them classified wrongly"),
        Column(
            "auroc", SHARE, "of error detection; null without errors or without right answers", "0..1", nullable=True
        ),
        *interval_columns("auroc"),
        *difference_columns("auroc_gain", "auroc minus the cluster score's", "for the cluster score"),
        Column("aurc", SHARE, "area under the risk-coverage curve: lower is better", "0..1"),
        *interval_columns("aurc"),
        Column("e_aurc", SHARE, "aurc beyond that of a perfect order", "0..1"),
        Column("augrc", SHARE, "area under the generalised risk-coverage curve: lower is better", "0..1"),
        *interval_columns("augrc"),
        Column("brier", SHARE, "mean squared error; null where the score is no probability", "0..1", nullable=True),
        Column(
            "calibration_error",
            SHARE,
            "mean |score - share right| over bins, of unseen images' `reliability` over its clusters; null as above",
            "0..1",
            nullable=True,
        ),
        *FITTED_COLUMNS,
    ),
    per_date=False,
    version=2,
)
DRIFT = TableSpec(
    "drift",
    "how far a date's plants lie from what was validated",
    (
        METHOD,
        SPLIT,
        Column("n", WHOLE, "explained images of the date and split"),
        Column("share_shift", SHARE, "total variation distance of cluster shares from validation's", "0..1"),
        Column("share_shift_p", SHARE, "of a shift this large by chance", "0..1"),
        Column("novel_share", SHARE, "images with novelty under 0.05; by chance 0.05 at most", "0..1"),
        Column(
            "novel_share_p",
            SHARE,
            "of a share this large by chance (beta-binomial: all share their validation maps)",
            "0..1",
        ),
        Column("is_outside", pa.bool_(), "the date is outside what was validated"),
        Column("reason", TEXT, "clusters, novelty, both words, or empty"),
        *FITTED_COLUMNS,
    ),
)
AUDIT = TableSpec(
    "audit",
    "what each choice of the explained class would claim, and what gives it away",
    (
        METHOD,
        SPLIT,
        Column("n", WHOLE, "labelled images"),
        Column("accuracy_before", SHARE, "overall", "0..1"),
        Column("accuracy_after", SHARE, "overall, after adjustment; in-sample for validation", "0..1"),
        Column("accuracy_crossfitted", SHARE, "the same, cross-fitted; null but for validation", "0..1", nullable=True),
        Column("auroc", SHARE, "of error detection by the cluster's error share", "0..1", nullable=True),
        Column(
            "label_probe",
            SHARE,
            "AUROC of error against minus the map's peak; over 0.9: maps carry the label",
            "0..1",
            nullable=True,
        ),
        Column("largest_error_share", SHARE, "among validation clusters of at least 5 images", "0..1", nullable=True),
        Column("largest_error_share_p", SHARE, "of one as large with errors permuted", "0..1", nullable=True),
        Column("heterogeneity_p", SHARE, "of error shares as different with errors permuted", "0..1", nullable=True),
        *FITTED_COLUMNS,
    ),
    per_date=False,
)
