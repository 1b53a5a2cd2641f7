"""Name splits, methods, scores and groups of columns once, for every module that reads or writes tables."""

from typing import Literal, get_args

FITTED_BY = ("explained_class", "classifier", "clusters")  # columns that tell what a number about clusters rests on
MADE_BY = ("method", *FITTED_BY)

Split = Literal["train", "val", "test", "new"]
SPLITS: tuple[Split, ...] = get_args(Split)  # values of the column `split`, in reading order
JUDGED_SPLITS = SPLITS[1:]  # splits whose images are explained and scored
UNSEEN = ("test", "new")  # splits that no stage learns from
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test", "new": "new"}

METHOD_NAMES = {
    "gradcam": "Grad-CAM",
    "occlusion": "Occlusion sensitivity",
    "occlusion_preview": "Occlusion sensitivity (approximate preview)",
    "lime": "LIME",
}

# States of the table `metrics` in reading order, and what the last two are.
STATES = ("before", "after", "cross-fitted", "cross-fitted rule")

CLUSTER_SCORE, COMBINED_SCORE = "reliability", "combined_reliability"

# Scores of a right answer, by their column in the table `reliability`: name and meaning, in reading order.
SCORES = {
    CLUSTER_SCORE: ("cluster reliability", "the paper's: share of right answers in the cluster of the saliency map"),
    "nearest_map_reliability": ("nearest maps", "share of right answers among the 15 validation maps most like it"),
    "softmax": ("probability", "the classifier's own probability of its answer (softmax)"),
    "calibrated_softmax": ("calibrated probability", "the same, corrected for over-confidence on validation plants"),
    "feature_reliability": (
        "nearest features",
        "share of right answers among the 15 validation images most like it to the classifier's last layer",
    ),
    "trust_score": ("trust score", "how much nearer, to the last layer, the answered class lies than any other"),
    COMBINED_SCORE: ("all combined", "one probability of a right answer, learned from all of these together"),
}
