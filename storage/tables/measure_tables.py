"""Define the tables that judge a campaign: accuracy, detection of errors, drift and the audit."""

import pyarrow as pa

from storage.tables.columns import (
    FITTED_COLUMNS,
    METHOD,
    SHARE,
    SPLIT,
    TEXT,
    WHOLE,
    difference_columns,
    interval_columns,
)
from storage.tables.parquet import Column, TableSpec

METRICS = TableSpec(
    "metrics",
    "accuracy before and after adjustment, per split",
    (
        METHOD,
        SPLIT,
        Column(
            "state",
            TEXT,
            "before or after adjustment; decided: the more probable class; cross-fitted: after adjustment by clusters "
            "of the other folds; cross-fitted rule: the same by the rule alone, because a person has seen all folds",
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
        Column("mcnemar_p", SHARE, "p-value of so large a difference by chance (exact McNemar test by plants)", "0..1"),
        *difference_columns("gain", "overall_accuracy minus that before", "before"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
    version=4,
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
        Column("n", WHOLE, "number of explained images of the date and split that are compared, one of each plant"),
        Column("n_seen", WHOLE, "number of explained images left out, because the fit has seen their plants (`seen`)"),
        Column(
            "share_shift", SHARE, "total variation distance between the cluster shares and those of validation", "0..1"
        ),
        Column("share_shift_p", SHARE, "p-value of a share_shift this large by chance (permutation of plants)", "0..1"),
        Column(
            "answer_shift",
            SHARE,
            "total variation distance between the shares of the predicted classes and those of validation",
            "0..1",
        ),
        Column(
            "answer_shift_p", SHARE, "p-value of an answer_shift this large by chance (permutation of plants)", "0..1"
        ),
        Column("novel_share", SHARE, "share of images with novelty under 0.05; expected by chance: about 0.05", "0..1"),
        Column(
            "novel_share_p",
            SHARE,
            "p-value of a novel_share this large by chance (beta-binomial, as all images share the validation maps)",
            "0..1",
        ),
        Column("is_outside", pa.bool_(), "whether the date differs from the validation data"),
        Column("reason", TEXT, "what differs: clusters, novelty, answers, several words, or empty"),
        *FITTED_COLUMNS,
    ),
    version=2,
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
