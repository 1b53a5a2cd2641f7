"""Define the tables about reliability: clusters, scores, swaps, adjusted answers and their evaluation."""

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
        Column("n_wrong", WHOLE, "number of them classified wrongly"),
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
        ABSTAIN,
        Column(
            "abstain_reason",
            TEXT,
            "reasons to abstain, separated by spaces: wide (interval), novel (map), undecided (cluster), failing "
            "(cluster, not swapped), reviewed (by a person)",
        ),
        *FITTED_COLUMNS,
    ),
    version=3,
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
        Column("p_value", SHARE, "p-value of an error share of 1/2 or less (exact binomial test, one-sided)", "0..1"),
        Column("p_holm", SHARE, "p_value with Holm's correction over the clusters", "0..1"),
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
    version=2,
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
        ABSTAIN,
        *FITTED_COLUMNS,
    ),
    version=2,
)


METRICS = TableSpec(
    "metrics",
    "accuracy before and after adjustment, per split",
    (
        METHOD,
        SPLIT,
        Column(
            "state",
            TEXT,
            "before or after adjustment; cross-fitted: after adjustment by clusters of the other folds; cross-fitted "
            "rule: cross-fitted by the rule alone, ignoring a person's decisions, which have seen all folds",
        ),
        Column("n", WHOLE, "number of labelled images"),
        Column("n_correct", WHOLE, "number of them classified correctly"),
        Column("overall_accuracy", SHARE, "n_correct / n", "0..1"),
        *interval_columns("overall_accuracy"),
        Column("average_class_accuracy", SHARE, "mean recall of the classes that occur", "0..1"),
        *interval_columns("average_class_accuracy"),
        Column("confusion", pa.list_(pa.int64()), "counts by (true, predicted) class, true class first"),
        Column(
            "is_in_sample",
            pa.bool_(),
            "whether the clusters were scored on these images; the state `after` is then too optimistic",
        ),
        Column("n_corrected", WHOLE, "number of answers that adjustment made right"),
        Column("n_spoiled", WHOLE, "number of answers that adjustment made wrong"),
        Column("mcnemar_p", SHARE, "p-value of a difference this large by chance (exact McNemar test)", "0..1"),
        *difference_columns("gain", "overall_accuracy minus that before", "before"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
    version=3,
)
EVALUATION = TableSpec(
    "evaluation",
    "how well each score separates right answers from wrong ones, before adjustment",
    (
        METHOD,
        SPLIT,
        Column("score", TEXT, "column of the score in the table `reliability` (in `crossfit` for validation images)"),
        Column("n", WHOLE, "number of labelled images"),
        Column("n_wrong", WHOLE, "number of them classified wrongly"),
        Column(
            "auroc",
            SHARE,
            "AUROC of error detection; null if all answers are right or all are wrong",
            "0..1",
            nullable=True,
        ),
        *interval_columns("auroc"),
        *difference_columns("auroc_gain", "auroc minus the cluster score's", "for the cluster score"),
        Column("aurc", SHARE, "area under the risk-coverage curve: lower is better", "0..1"),
        *interval_columns("aurc"),
        Column("e_aurc", SHARE, "aurc minus that of a perfect order", "0..1"),
        Column("augrc", SHARE, "area under the generalised risk-coverage curve: lower is better", "0..1"),
        *interval_columns("augrc"),
        Column(
            "brier",
            SHARE,
            "mean squared error of the score; null where the score is no probability",
            "0..1",
            nullable=True,
        ),
        Column(
            "calibration_error",
            SHARE,
            "mean |score - share of right answers| over bins, or over clusters for `reliability` of unseen images; "
            "null where the score is no probability",
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
    "how far a date's plants differ from the validation data",
    (
        METHOD,
        SPLIT,
        Column("n", WHOLE, "number of explained images of the date and split"),
        Column(
            "share_shift", SHARE, "total variation distance between the cluster shares and those of validation", "0..1"
        ),
        Column("share_shift_p", SHARE, "p-value of a share_shift this large by chance", "0..1"),
        Column(
            "novel_share", SHARE, "share of images with novelty under 0.05; expected by chance: at most 0.05", "0..1"
        ),
        Column(
            "novel_share_p",
            SHARE,
            "p-value of a novel_share this large by chance (beta-binomial, as all images share the validation maps)",
            "0..1",
        ),
        Column("is_outside", pa.bool_(), "whether the date differs from the validation data"),
        Column("reason", TEXT, "what differs: clusters, novelty, both words, or empty"),
        *FITTED_COLUMNS,
    ),
)
AUDIT = TableSpec(
    "audit",
    "what each choice of the explained class would claim, and the evidence of label leakage in it",
    (
        METHOD,
        SPLIT,
        Column("n", WHOLE, "number of labelled images"),
        Column("accuracy_before", SHARE, "overall accuracy before adjustment", "0..1"),
        Column("accuracy_after", SHARE, "overall accuracy after adjustment; in-sample for validation", "0..1"),
        Column(
            "accuracy_crossfitted",
            SHARE,
            "cross-fitted accuracy after adjustment; null except for validation",
            "0..1",
            nullable=True,
        ),
        Column("auroc", SHARE, "AUROC of error detection by the cluster's error share", "0..1", nullable=True),
        Column(
            "label_probe",
            SHARE,
            "AUROC of error detection by the negative peak of the map; over 0.9: the maps contain the label",
            "0..1",
            nullable=True,
        ),
        Column(
            "largest_error_share",
            SHARE,
            "largest error share of validation clusters with at least 5 images",
            "0..1",
            nullable=True,
        ),
        Column("largest_error_share_p", SHARE, "p-value of one as large with permuted errors", "0..1", nullable=True),
        Column(
            "heterogeneity_p", SHARE, "p-value of error shares as different with permuted errors", "0..1", nullable=True
        ),
        *FITTED_COLUMNS,
    ),
    per_date=False,
)
