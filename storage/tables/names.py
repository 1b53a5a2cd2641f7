"""Name splits, methods, scores and groups of columns once, for every module that reads or writes tables."""

from typing import Literal, get_args

FITTED_BY = ("explained_class", "classifier", "clusters")  # columns that say from what cluster numbers were computed
MADE_BY = ("method", *FITTED_BY)  # columns that say from what a method's numbers were computed

Split = Literal["train", "val", "test", "new"]
SPLITS: tuple[Split, ...] = get_args(Split)  # values of the column `split`, in reading order
JUDGED_SPLITS = SPLITS[1:]  # splits whose images are explained and scored
UNSEEN = ("test", "new")  # splits that no stage learns from
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test", "new": "new"}  # words for readers

METHOD_NAMES = {  # words for readers, by the value of the column `method`
    "gradcam": "Grad-CAM",
    "occlusion": "Occlusion sensitivity",
    "occlusion_preview": "Occlusion sensitivity (approximate preview)",
    "lime": "LIME",
}

# Values of the column `state` of the table `metrics`, in reading order.
STATES = ("before", "after", "cross-fitted", "cross-fitted rule", "decided")

ALL_ANSWERS = "all"  # value of the column `answers`, which else names a class
PRODUCT_SCORE = "answer_reliability"  # score by which answers are acted on, in the tables `promises` and `decided`
CLUSTER_SCORE, COMBINED_SCORE = "reliability", "combined_reliability"

# Scores of a right answer by their column in the table `reliability`: name and meaning for readers, in reading order.
SCORES = {
    CLUSTER_SCORE: (
        "cluster reliability",
        "share of right answers among the validation images in the cluster of the saliency map (the paper's score)",
    ),
    "nearest_map_reliability": (
        "nearest maps",
        "share of right answers among the validation images with the 15 most similar saliency maps",
    ),
    "softmax": ("probability", "the classifier's own probability of its answer (softmax)"),
    "calibrated_softmax": (
        "calibrated probability",
        "the classifier's probability of its answer, corrected for over-confidence on validation plants",
    ),
    "feature_reliability": (
        "nearest features",
        "share of right answers among the 15 validation images with the most similar features in the classifier",
    ),
    "trust_score": (
        "trust score",
        "distance to the nearest other class divided by the distance to the answered class, in the features",
    ),
    COMBINED_SCORE: (
        "all combined",
        "probability that the classifier's answer is right, learned from all other scores, the answered class and the "
        "date's share of ready plants",
    ),
}
