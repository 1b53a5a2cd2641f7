"""Keep the report's fixed sentences: what words of the tables mean, and when not to trust a number."""

from storage.tables.names import METHOD_NAMES, PRODUCT_SCORE, SCORES

# How a method makes its maps, by its word in the tables.
METHOD_MEANINGS = {
    "gradcam": """Its maps show where the last layers of the network see evidence for the explained class. They are
        coarse and never negative: what speaks against the class is not shown.""",
    "occlusion": """Its maps show how much less the classifier believes in the explained class when a square of the
        image is hidden. Below zero: hiding the place makes the class more likely, so it speaks against the class.""",
    "occlusion_preview": """Its maps show how much less the classifier believes in the explained class when a square of
        the image is hidden, measured only where a coarse look found something and guessed elsewhere. Below zero: hiding
        the place makes the class more likely, so it speaks against the class.""",
    "lime": """Its maps show the weight of each patch of similar colour in a simple model of the classifier, fitted to
        its answers on copies of the image with patches removed. Below zero: the patch speaks against the class.""",
}

GROUND_TRUTH = "uses ground truth; not valid for unseen data"

APPROXIMATE = "approximate maps: take no reliability as final"

IN_SAMPLE = "the clusters were scored on these images, so the figure is too good"
CROSSFITTED = "every plant is answered by clusters made without it; judge by this figure"
DECIDED = "the more probable class; on validation plants by a model fitted without the plant"
CROSSFITTED_RULE = "cross-fitted by the rule alone, without the review; it does not judge what a person decided"

# Which answers are swapped, by the word in the table `swaps`.
RULES = {
    "paper": """Adjustment swaps the answer of every image in a cluster where the classifier was wrong in more than
        {threshold}\u00a0% of the validation images.""",
    "confident": """Adjustment swaps the answer of every image in a cluster where the classifier was wrong in more than
        half of the validation images beyond chance. The test counts plants, not images.""",
}
NO_SWAP = {
    "paper": "no cluster was wrong in more than {threshold}\u00a0% of its validation images",
    "confident": "no cluster was wrong in more than half of its validation images beyond chance",
}

# Why a plant is to be checked, by the word in the table `decided`.
CHECK_REASONS = {
    "unsure": "The answer is not certain enough: its reliability is below the one from which answers may be acted on.",
    "unpromised": """No answer of its kind may be acted on: validation plants do not show that few enough would be
        wrong.""",
    "novel": "The image's saliency map is unlike every validation map, so validation says nothing about its answer.",
    "reviewed": "A person looked at its cluster, and what that person decided speaks against the answer.",
    "outside": "The date differs from the validation data, so nothing is promised about its answers.",
}
SHARE_OUTSIDE = "the share of ready plants is far from that on every validation date"  # why a date is outside

# Columns of the table `evaluation`: heading, meaning, and whether the largest is best.
QUALITIES = {
    "auroc": ("AUROC", "how often a right answer scores above a wrong one: 0.5 is guessing, 1 perfect", True),
    "aurc": ("AURC", "mean error rate among accepted answers, while more and more are accepted, surest first", False),
    "e_aurc": ("e-AURC", "the part of AURC that a perfect order of the answers would have avoided", False),
    "augrc": (
        "AUGRC",
        "mean share of all images that are accepted and wrong; the few surest answers weigh less than in AURC",
        False,
    ),
    "brier": ("Brier", "mean squared error of the score as a probability of a right answer", False),
    "calibration_error": (
        "calibration error",
        "mean gap between the score and the share of right answers, over clusters or other bins",
        False,
    ),
}

# Why a date is outside what was validated, by one word of the table `drift`.
DRIFT_WORDS = {
    "clusters": "plants fall into other clusters than in validation",
    "novelty": "too many saliency maps are unlike every validation map",
    "answers": "the classifier's answers have other shares than in validation",
}

# Why a plant-date was left out, by the word in the table `rejected`.
REASONS = {
    "harvested": "The plant had already been harvested on that day; the image shows no cauliflower to judge.",
    "same_day": "The plant was harvested on the day of the image, and such images are excluded here.",
    "ambiguous": "The harvest is known only to an interval of days, some of which mean Ready and others Not ready, or "
    "the plant was not watched to the end of the readiness window.",
    "duplicate": "Several plants or dates have identical files; nobody can know which is right, so all are left out.",
    "unreadable": "The image file cannot be read: damaged, truncated, or of a format that is not read.",
    "not_an_image": "The file lies among the images and is none.",
    "too_small": "The image has too few pixels to show a plant.",
    "too_large": "The image has more pixels than `ingest.max_pixels` allows.",
    "blank": "The image shows one flat colour: a placeholder, not a plant.",
    "missing_file": "The source lists the image, but the file is not there.",
    "missing_raster": "There is no orthophoto of the plant's plot on that day.",
    "unreadable_raster": "The orthophoto of the plant's plot is damaged.",
    "outside_raster": "The plant's position lies outside the orthophoto.",
    "flag_turns_off": "The record says harvested on an earlier visit and not harvested on a later one.",
    "two_harvest_dates": "The table has several harvest dates of the plant; nobody can know which is right.",
    "two_observations": "Somebody observed the plant as ready on that day, and somebody as not ready.",
    "flag_contradicts_date": "The harvest flag and the harvest date of the plant contradict each other.",
    "not_in_manifest": "The file is in the folder, but the source's own list does not name it.",
    "no_split_folder": "The file lies in no folder that says training, validation or test.",
    "no_class_folder": "The file lies in no folder that names a class.",
}

DIAGNOSTICS = {
    "clustered": "validation images with a label",
    "kernel": "how near two maps must be to count as alike: reading of the scale, and the scale",
    "stability": """agreement of the clusters between different starts of k-means (mean adjusted Rand index): 1 is full
        agreement, below 0.6 the borders are arbitrary""",
    "eigengap": "how clearly the maps form this number of clusters: near 0, another number would do as well",
    "PCA": "dimensions of the maps that the clusters use, and their share of the differences between maps",
    "isolated": "maps that no other map is near at this kernel scale",
    "zero maps": "maps that are zero everywhere: nothing spoke for the explained class",
    "constant maps": "maps that have one other value everywhere: they do not show where the evidence lies",
}

HOW_TO_READ = {
    "A reliability belongs to a cluster, not to a plant": """
        It is the share of validation images with a similar saliency map that the classifier got right. A plant inherits
        it because its map resembles theirs; nothing about this one plant was measured.""",
    "Small clusters say little": """
        Intervals are wide where n is small. With 15 of 20 wrong, the true share may be anything between about a half
        and nine in ten. Do not act on a cluster of fewer than about 20 validation images.""",
    "Validation figures after adjustment are too good": """
        The clusters to swap were chosen on the same images on which they are judged. Judge adjustment by unseen plants,
        or by the cross-fitted figures: there, each plant is answered by clusters that were made without it.""",
    "The promise is about answers together, not about one plant": """
        Of 100 answers that are acted on, at most the tolerated number is wrong, with the stated confidence. Which ones
        is not known; the probability beside a plant says how likely its answer is right.""",
    "Check means that nothing is promised": """
        The answer may still be right, and its probability says how likely that is. Look at the plant.""",
    "The cluster's reliability is one score among several": """
        Which score knows the classifier's errors best differs between fields. The report compares them on plants
        to which none of them was fitted. A gap smaller than the intervals may be chance.""",
    "Another field or season is outside what was validated": """
        Another variety, soil, camera or light can move images to other clusters and change how often the classifier is
        wrong in them. Label some plants there and run a campaign before relying on these reliabilities.""",
    "Images are not independent": """
        The same plant appears on several dates. Intervals and tests allow for that. Intervals of accuracies and of the
        scores' figures come from resampling whole plants (bootstrap). Intervals of a cluster's error share (Wilson)
        count as many images as tell something new. Tests of swaps (McNemar, Holm) compare plants. No figure allows for
        the likeness of neighbouring plants.""",
    "A saliency map is no explanation of the plant": """
        It shows which parts of the image the classifier's answer rests on, not why the plant is or is not ready. Look
        at the example images: a cluster whose maps light up on soil, a marker or a neighbour is itself a warning.""",
}


def percent(share: float) -> str:
    """Return a share as text, `78.5 %`, with a no-break space."""
    return f"{100 * share:.1f}\u00a0%"


def percent_interval(low: float | None, high: float | None) -> str:
    """Return an interval of shares as text; a dash if there is none, as for a single plant."""
    return "–" if low is None or high is None else f"{percent(low)}\u2009–\u2009{percent(high)}"


def figure_text(value: float | None, digits: int = 3) -> str:
    """Return a number of the tables as text; a dash if there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def p_text(p: float) -> str:
    """Return a p-value as text, `p = 0.012`."""
    return f"p\u00a0=\u00a0{p:.2g}" if p >= 0.001 else "p\u00a0<\u00a00.001"


def drift_reason(reason: str) -> str:
    """Return for readers why a date is outside, from the words of the column `reason` of the table `drift`."""
    return ", and ".join(DRIFT_WORDS.get(word, word) for word in reason.split())


def method_name(method: str) -> str:
    """Return a saliency method's name for readers."""
    return METHOD_NAMES.get(method, method)


def score_name(score: str) -> str:
    """Return a score's name for readers."""
    return "decided answers" if score == PRODUCT_SCORE else SCORES[score][0] if score in SCORES else score
