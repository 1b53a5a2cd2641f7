"""Give every decision the colour, shape and meaning that the report and the exported maps show. Pure functions.

Each decision has its own colour and shape, so that it is recognised with any colour vision and in a print without
colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.published.styles import Look
from tasks.decide.decisions import CHECK, HARVEST, LEAVE, decisions_of, is_about_harvest

# Meaning of each decision. The name of a class explains itself, and only says besides that the answer can be used.
MEANINGS = {
    HARVEST: "ready, and certain enough to act on",
    LEAVE: "not ready, and certain enough to act on",
    CHECK: "nothing is promised: look at the plant",
}
OTHER_MEANING = "certain enough to act on"


@dataclass(frozen=True)
class Marker:
    """Look of a decision on the map.

    Attributes
    ----------
    symbol, shape : Plotly's and Matplotlib's name of the shape.
    path : SVG outline of the shape, in coordinates from -10 to 10.
    light, dark : colour on a light ground (Okabe & Ito's), and a lighter one of the same hue on a dark ground.
    """

    symbol: str
    shape: str
    path: str
    light: str
    dark: str


CHECK_MARKER = Marker("triangle-up", "^", "M0-9L9 8H-9Z", "#D55E00", "#FF9A55")
MARKERS = (
    Marker("circle", "o", "M0-8A8 8 0 1 1 0 8A8 8 0 1 1 0-8Z", "#00805E", "#3DD9AE"),
    Marker("square", "s", "M-7-7H7V7H-7Z", "#0072B2", "#6DC4F7"),
    Marker("diamond", "D", "M0-9L9 0L0 9L-9 0Z", "#A8487F", "#EBA6CD"),
    Marker("triangle-down", "v", "M0 9L9-8H-9Z", "#7A6A00", "#F0E442"),
    Marker("pentagon", "p", "M0-9L9-2L5 8H-5L-9-2Z", "#1C2420", "#E4EBE6"),
    Marker("hexagon", "h", "M-4-8H4L9 0L4 8H-4L-9 0Z", "#7D4B00", "#E69F00"),
)
# Looks of classes that are no decision about a harvest. Green would say that all is well, whatever the class means.
OTHER_MARKERS = (
    Marker("circle", "o", MARKERS[0].path, "#5B4FA8", "#B8AEF5"),
    *MARKERS[1:],
)


def markers_of(classes: Sequence[str]) -> dict[str, Marker]:
    """Return the look of every decision; with more classes than shapes, some look alike."""
    acted_on = [decision for decision in decisions_of(classes) if decision != CHECK]
    markers = MARKERS if is_about_harvest(classes) else OTHER_MARKERS
    found = {decision: markers[i % len(markers)] for i, decision in enumerate(acted_on)}
    return {**found, CHECK: CHECK_MARKER}


def looks_of(classes: Sequence[str]) -> dict[str, Look]:
    """Return colour, shape and legend of every decision for a map in QGIS."""
    return {
        decision: Look(marker.symbol, marker.light, f"{decision}: {MEANINGS.get(decision, OTHER_MEANING)}")
        for decision, marker in markers_of(classes).items()
    }


def colours_of(classes: Sequence[str]) -> dict[str, str]:
    """Return the colour of decisions in spreadsheets, as `#RRGGBB`.

    Names of classes other than not ready and ready have none. There, colour would look like advice.
    """
    told = (HARVEST, LEAVE, CHECK) if is_about_harvest(classes) else (CHECK,)
    return {word: marker.light for word, marker in markers_of(classes).items() if word in told}
