"""Fixed sentences of the report: what words of the tables mean, and when not to trust a number."""

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test", "new": "new"}
UNSEEN = ("test", "new")  # splits that no stage learns from

METHOD_NAMES = {
    "gradcam": "Grad-CAM",
    "occlusion": "Occlusion sensitivity",
    "occlusion_preview": "Occlusion sensitivity (approximate preview)",
    "lime": "LIME",
}

# How a method's maps come about, by its word in the tables.
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

IN_SAMPLE = "the clusters were scored on these images; flatters"

# Why a plant-date was left out, by the word in the table `rejected`.
REASONS = {
    "harvested": "The plant had already been harvested on that day; the image shows no cauliflower to judge.",
    "same_day": "The plant was harvested on the day of the image, and such images are excluded here.",
    "ambiguous": "The harvest is known only to an interval of days, some of which mean Ready and others Not ready.",
    "duplicate": "Several plants or dates have byte-identical files; which is right cannot be known: all are left out.",
    "unreadable": "The image file is damaged or truncated.",
    "blank": "The image shows one flat colour: a placeholder, not a plant.",
    "missing_file": "The source lists the image, but the file is not there.",
    "missing_raster": "There is no orthophoto of the plant's plot on that day.",
    "unreadable_raster": "The orthophoto of the plant's plot is damaged.",
    "outside_raster": "The plant's position lies outside the orthophoto.",
    "flag_turns_off": "The record says harvested on an earlier visit and not harvested on a later one.",
    "flag_contradicts_date": "The harvest flag and the harvest date of the plant contradict each other.",
    "not_in_manifest": "The file is in the folder, but the source's own list does not name it.",
    "no_split_folder": "The file lies in no folder that says training, validation or test.",
    "no_class_folder": "The file lies in no folder that names a class.",
}

DIAGNOSTICS = {
    "clustered": "validation images with a label",
    "stability": """how alike the clusters are when k-means starts elsewhere (mean adjusted Rand index): 1 is always
        alike, below 0.6 their borders are arbitrary""",
    "eigengap": "how clearly the maps ask for this number of clusters: near 0, another number would do as well",
    "PCA": "how much of the differences between maps the clusters could see",
    "isolated": "maps that no other map is near at this kernel scale",
    "zero maps": "maps that are zero everywhere: nothing spoke for the explained class",
    "constant maps": "maps that hold one other value everywhere: they do not say where the evidence lies",
}

HOW_TO_READ = {
    "A reliability belongs to a cluster, not to a plant": """
        It is the share of validation images with a similar saliency map that the classifier got right. A plant inherits
        it because its map resembles theirs; nothing about this one plant was measured.""",
    "Small clusters say little": """
        Intervals are wide where n is small: with 15 of 20 wrong the true share may be anything between about a half and
        nine in ten. Do not act on a cluster of fewer than about 20 validation images.""",
    "Validation figures after adjustment flatter": """
        The clusters to swap were chosen on the very images they are counted on. Judge adjustment by unseen plants.""",
    "Another field or season is outside what was validated": """
        Another variety, soil, camera or light can move images to other clusters and change how often the classifier is
        wrong in them. Label some plants there and run a campaign before relying on these reliabilities.""",
    "Images are not independent": """
        The same plant appears on several dates and neighbours look alike, so the counts hold less than n suggests:
        true intervals are wider and true p-values larger than those given here.""",
    "A saliency map is no explanation of the plant": """
        It shows which parts of the image the classifier's answer rests on, not why the plant is or is not ready. Look
        at the example images: a cluster whose maps light up on soil, a marker or a neighbour is itself a warning.""",
}


def percent(share: float) -> str:
    """A share as text, `78.5 %`, held together by a no-break space."""
    return f"{100 * share:.1f}\u00a0%"


def method_name(method: str) -> str:
    """A saliency method in words."""
    return METHOD_NAMES.get(method, method)
