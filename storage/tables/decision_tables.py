"""Define the tables about decisions: what is promised, what to do about every plant, and how many plants are ready."""

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
FOUND = TableSpec(
    "found",
    "promised against found: how many answers that were acted on are wrong, by what people found at the plants",
    (
        METHOD,
        Column(
            "acquired", DAY, "acquisition date; null: all dates together on which plants were looked at", nullable=True
        ),
        Column(
            "answers",
            TEXT,
            "answers that are counted: all that are acted on, those of a class, or check: those of plants to check",
        ),
        Column("n", WHOLE, "plants with such an answer"),
        Column("n_drawn", WHOLE, "plants of these that were drawn at random for a look (`field.audit_share`)"),
        Column("n_drawn_checked", WHOLE, "plants drawn at random that somebody looked at; the others do not count"),
        Column("n_drawn_wrong", WHOLE, "wrong answers among plants drawn at random that somebody looked at"),
        Column("n_other_checked", WHOLE, "other plants that somebody looked at; they stand for themselves only"),
        Column("n_other_wrong", WHOLE, "wrong answers among the other plants that somebody looked at"),
        Column(
            "error_share",
            SHARE,
            "estimated share of wrong answers, by plants drawn at random; null: none of some decision was checked",
            "0..1",
            nullable=True,
        ),
        Column("error_share_lower", SHARE, "lower end of the 0.95 interval of error_share", "0..1"),
        Column("error_share_upper", SHARE, "upper end of the 0.95 interval of error_share", "0..1"),
        Column(
            "tolerated_error",
            SHARE,
            "share of wrong answers that the campaign's promise tolerates; null: nothing is promised about them",
            "0..1",
            nullable=True,
        ),
        Column(
            "p_broken",
            SHARE,
            "chance of as many wrong answers in the draw if the promise is kept; null: no promise or no estimate",
            "0..1",
            nullable=True,
        ),
        Column(
            "is_broken",
            pa.bool_(),
            "whether the promise is broken beyond chance (Holm, level 0.05, over a method's rows)",
        ),
        *FITTED_COLUMNS,
    ),
    per_date=False,
)
