"""Columns that several tables share."""

import pyarrow as pa

from storage.tables.parquet import Column

TEXT, DAY, WHOLE, SHARE = pa.string(), pa.date32(), pa.int32(), pa.float64()
CLASS = pa.int16()

PLANT = Column("plant_id", TEXT, "the release's own id of the plant")
SPLIT = Column("split", TEXT, "train, val, test, or new for plants that no split knows")
ROW = Column("row", WHOLE, "position of the image in the date's images array", "from 0")
LABEL = Column("label", CLASS, "true class; null where nothing is known", "class index", nullable=True)
METHOD = Column("method", TEXT, "saliency method: gradcam, occlusion, occlusion_preview (approximate) or lime")
EXPLAINED = Column(
    "explained_class", TEXT, "class the maps explain; `label` uses ground truth: not valid for unseen data"
)
CLUSTER = Column("cluster", CLASS, "cluster of the saliency map, 1 is the largest")
ERROR_SHARE = Column("error_share", SHARE, "share of wrong classifications in the validation cluster", "0..1")
ERROR_LOWER = Column("error_share_lower", SHARE, "lower end of its Wilson interval", "0..1")
ERROR_UPPER = Column("error_share_upper", SHARE, "upper end of its Wilson interval", "0..1")
RELIABILITY = Column("reliability", SHARE, "1 - error_share: of the answer as predicted, before any swap", "0..1")
NEIGHBOURS = Column("neighbour_agreement", SHARE, "share of the k nearest validation maps in this cluster", "0..1")
NOVELTY = Column(
    "novelty",
    SHARE,
    "share of validation maps that lie at least as far from theirs (conformal p): near 0 is new",
    "0..1",
)
NEAREST = Column(
    "nearest_map_reliability", SHARE, "share of right answers among the 15 nearest validation maps", "0..1"
)
# What else tells right answers from wrong ones, fitted to the same validation images; higher is more likely right.
BASELINES = (
    NEAREST,
    Column("softmax", SHARE, "the classifier's own probability of its answer", "0..1"),
    Column("calibrated_softmax", SHARE, "the same after temperature scaling", "0..1"),
    Column("feature_reliability", SHARE, "share of right answers among the 15 nearest in feature space", "0..1"),
    Column(
        "trust_score", SHARE, "distance to another class's second nearest features over that to the answer's", "from 0"
    ),
)
COMBINED = Column("combined_reliability", SHARE, "probability of a right answer by all of these together", "0..1")
ABSTAIN = Column("abstain", pa.bool_(), "the answer should not be acted on, as predicted or swapped")
PREDICTED = Column("predicted", CLASS, "class the classifier answers", "class index")
CLASSIFIER = Column("classifier", TEXT, "digest of the classifier artefact")
CLUSTERS = Column("clusters", TEXT, "digest of the clusters artefact")
FITTED_COLUMNS = (EXPLAINED, CLASSIFIER, CLUSTERS)  # what a number about clusters rests on


def interval_columns(name: str) -> tuple[Column, Column]:
    """Ends of the interval of a plant-grouped bootstrap."""
    meaning = f"end of {name}'s interval, plants resampled; null where there are fewer than two plants"
    return (
        Column(f"{name}_lower", SHARE, f"lower {meaning}", "0..1", nullable=True),
        Column(f"{name}_upper", SHARE, f"upper {meaning}", "0..1", nullable=True),
    )


def difference_columns(name: str, difference: str, where_none: str) -> tuple[Column, Column]:
    """Ends of the interval of a difference over the same resamples, `where_none` without one."""
    meaning = (
        f"end of the interval of {difference}, of the same plants resampled: beyond chance where 0 is not in it; "
        f"null {where_none} and where there is no interval"
    )
    return (
        Column(f"{name}_lower", SHARE, f"lower {meaning}", "-1..1", nullable=True),
        Column(f"{name}_upper", SHARE, f"upper {meaning}", "-1..1", nullable=True),
    )
