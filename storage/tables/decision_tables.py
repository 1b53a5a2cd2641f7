"""Define the tables about decisions: what is promised, what to do, how many plants are ready, what people found."""

import pyarrow as pa

from storage.tables.columns import (
    CLASS,
    CLUSTER,
    DAY,
    FITTED_COLUMNS,
    LABEL,
    METHOD,
    PLANT,
    PREDICTED,
    READY_PROBABILITY,
    SHARE,
    SPLIT,
    TEXT,
    WHOLE,
)
from storage.tables.parquet import Column, TableSpec

PROMISES = TableSpec(
    "promises",
    "from which score on answers may be acted on, by the share of wrong answers that is tolerated",
    (
        METHOD,
        Column("score", TEXT, "score by which answers are chosen: answer_reliability, or a column of `reliability`"),
        Column("answers", TEXT, "answers that the promise is about: all, or the name of a class"),
        Column("tolerated_error", SHARE, "tolerated share of wrong answers among those acted on", "0..1"),
        Column("confidence", SHARE, "probability with which the promise holds, over the choice of plants", "0..1"),
        Column(
            "threshold",
            SHARE,
            "least score of an answer that is acted on; null: nothing can be certified",
            nullable=True,
        ),
        Column("n_validation", WHOLE, "cross-fitted validation answers that could be acted on"),
        Column("n_answered", WHOLE, "number of them from the threshold on"),
        Column("n_plants", WHOLE, "number of plants of these"),
        Column("n_wrong", WHOLE, "number of wrong answers among these"),
        Column("share_answered", SHARE, "n_answered / n_validation", "0..1"),
        Column(
            "n_more_plants",
            WHOLE,
            "further checked validation plants that would certify some answers, if errors stay as frequent; 0: "
            "certified; null: more plants alone do not help",
            nullable=True,
        ),
        Column("is_used", pa.bool_(), "whether the campaign's decisions follow this row"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
)
DECIDED = TableSpec(
    "decided",
    "what to do about every explained image, and the probability behind it",
    (
        PLANT,
        SPLIT,
        LABEL,
        METHOD,
        CLUSTER,
        PREDICTED,
        Column("answer", CLASS, "more probable class; with more than two classes, the predicted one", "class index"),
        Column("is_corrected", pa.bool_(), "whether the answer differs from the predicted class"),
        READY_PROBABILITY,
        Column("answer_reliability", SHARE, "probability that the answer is right", "0..1"),
        Column(
            "decision",
            TEXT,
            "harvest, leave, or check (do not act on the answer); with classes other than not ready and ready, the "
            "answer replaces harvest and leave",
        ),
        Column(
            "check_reason",
            TEXT,
            "reasons to check, separated by spaces: unsure (below the threshold), unpromised (nothing can be "
            "certified), novel (map), reviewed (a person doubts it), outside (date); empty without any",
        ),
        Column("is_outside", pa.bool_(), "whether the date differs from the validation data"),
        *FITTED_COLUMNS,
    ),
)
READY_COUNTS = TableSpec(
    "ready_counts",
    "how many of a date's explained plants are ready, with an interval; only with two classes",
    (
        METHOD,
        Column("plot", TEXT, "plot of the plants; null: all plots together", nullable=True),
        Column("n", WHOLE, "explained plants"),
        Column("n_ready", SHARE, "expected number of ready plants: the sum of their ready_probability", "plants"),
        Column(
            "n_ready_lower", SHARE, "lower end of its 0.9 interval (bootstrap of plants and of the model)", "plants"
        ),
        Column(
            "n_ready_upper", SHARE, "upper end of its 0.9 interval (bootstrap of plants and of the model)", "plants"
        ),
        Column("ready_share", SHARE, "share of ready plants on the date that the probabilities know", "0..1"),
        Column(
            "share_source", TEXT, "validation (labelled plants of the date), estimated (from its answers), or overall"
        ),
        Column(
            "share_shift",
            SHARE,
            "distance of the date's estimated share of ready plants from the shares on validation dates",
            "0..1",
        ),
        *FITTED_COLUMNS,
    ),
)
CALIBRATION = TableSpec(
    "calibration",
    "promised against observed: how often answers of a date are right, and how often they were said to be",
    (
        METHOD,
        SPLIT,
        Column("acquired", DAY, "acquisition date; null: all dates together", nullable=True),
        Column("answers", TEXT, "answers that are counted: all, or the name of a class"),
        Column("is_acted_on", pa.bool_(), "whether only answers that are acted on are counted; else all answers"),
        Column("n", WHOLE, "labelled images"),
        Column("promised", SHARE, "mean answer_reliability", "0..1"),
        Column("observed", SHARE, "share of right answers", "0..1"),
        Column("observed_lower", SHARE, "lower end of the 0.95 Wilson interval of observed, by plants", "0..1"),
        Column("observed_upper", SHARE, "upper end of the 0.95 Wilson interval of observed, by plants", "0..1"),
        *FITTED_COLUMNS,
    ),
    per_date=False,
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
