"""Define the columns that several tables share."""

import pyarrow as pa

from storage.tables.parquet import Column

TEXT, DAY, WHOLE, SHARE = pa.string(), pa.date32(), pa.int32(), pa.float64()
CLASS = pa.int16()

PLANT = Column("plant_id", TEXT, "id of the plant in the data release")
SPLIT = Column("split", TEXT, "train, val, test, or new: the plant is in no split")
ROW = Column("row", WHOLE, "position of the image in the date's images array", "from 0")
LABEL = Column("label", CLASS, "true class; null where it is not known", "class index", nullable=True)
METHOD = Column("method", TEXT, "saliency method: gradcam, occlusion, occlusion_preview (approximate) or lime")
EXPLAINED = Column(
    "explained_class", TEXT, "class that the maps explain; `label` uses ground truth and is not valid for unseen data"
)
CLUSTER = Column("cluster", CLASS, "cluster of the saliency map; 1 is the largest cluster")
ERROR_SHARE = Column("error_share", SHARE, "share of wrong classifications in the validation cluster", "0..1")
ERROR_LOWER = Column("error_share_lower", SHARE, "lower end of the Wilson interval of error_share, by plants", "0..1")
ERROR_UPPER = Column("error_share_upper", SHARE, "upper end of the Wilson interval of error_share, by plants", "0..1")
RELIABILITY = Column("reliability", SHARE, "1 - error_share; it refers to the predicted class, before any swap", "0..1")
NEIGHBOURS = Column(
    "neighbour_agreement", SHARE, "share of the k nearest validation maps that are in this cluster", "0..1"
)
NOVELTY = Column(
    "novelty",
    SHARE,
    "cross-conformal p-value: share of validation maps at least as far from their nearest maps; near 0 means new",
    "0..1",
)
NEAREST = Column(
    "nearest_map_reliability", SHARE, "share of right answers among the 15 nearest validation maps", "0..1"
)
# Baseline scores for comparison, fitted on the same validation images. A higher score means more likely right.
BASELINES = (
    NEAREST,
    Column("softmax", SHARE, "the classifier's softmax probability of the predicted class", "0..1"),
    Column("calibrated_softmax", SHARE, "softmax probability after temperature scaling", "0..1"),
    Column(
        "feature_reliability",
        SHARE,
        "share of right answers among the 15 nearest validation images in feature space",
        "0..1",
    ),
    Column(
        "trust_score",
        SHARE,
        "feature distance to the nearest other class, divided by that to the answered class",
        "from 0",
    ),
)
COMBINED = Column(
    "combined_reliability",
    SHARE,
    "probability that the predicted class is right, from all scores, the answered class and the date's share of ready "
    "plants",
    "0..1",
)
READY_PROBABILITY = Column(
    "ready_probability",
    SHARE,
    "probability that the plant is ready; null with more than two classes",
    "0..1",
    nullable=True,
)
PREDICTED = Column("predicted", CLASS, "class that the classifier predicts", "class index")
CLASSIFIER = Column("classifier", TEXT, "digest of the classifier artefact")
CLUSTERS = Column("clusters", TEXT, "digest of the clusters artefact")
FITTED_COLUMNS = (EXPLAINED, CLASSIFIER, CLUSTERS)  # columns that name what a number about clusters depends on


def interval_columns(name: str) -> tuple[Column, Column]:
    """Return the columns for the two ends of a bootstrap interval that resamples plants."""
    meaning = f"end of the bootstrap interval of {name}, which resamples plants; null with fewer than two plants"
    return (
        Column(f"{name}_lower", SHARE, f"lower {meaning}", "0..1", nullable=True),
        Column(f"{name}_upper", SHARE, f"upper {meaning}", "0..1", nullable=True),
    )


def difference_columns(name: str, difference: str, where_none: str) -> tuple[Column, Column]:
    """Return the columns for the two ends of a difference's interval; `where_none` says where they are null."""
    meaning = (
        f"end of the bootstrap interval of {difference}, over the same resampled plants; the difference is beyond "
        f"chance if 0 lies outside; null {where_none} and where there is no interval"
    )
    return (
        Column(f"{name}_lower", SHARE, f"lower {meaning}", "-1..1", nullable=True),
        Column(f"{name}_upper", SHARE, f"upper {meaning}", "-1..1", nullable=True),
    )
