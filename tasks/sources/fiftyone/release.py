"""Describe the public FiftyOne release of GrowliFlower: where it is, its terms, and its splits."""

import re

REPOSITORY = "Voxel51/GrowliFlower"  # data set on the Hugging Face hub
CARD = "README.md"  # description of the data set, beside samples.json
PAPER_FIELD = "Field2"
ARTICLE = "Kierdorf et al. (2022), https://doi.org/10.1002/rob.22122"
NOT_STATED = frozenset({"", "unknown"})  # licences of a card's metadata that are none
LICENCE = re.compile(r"licen[cs]e|terms of use|copyright", re.IGNORECASE)
SHOWN_LINES = 8  # most lines that are quoted from a card
SHOWN_CHARACTERS = 200  # most characters of each


def describe_terms(licence: str) -> str:
    """Say which licence the release states, and what follows where it states none.

    Parameters
    ----------
    licence : licence in the metadata of the release's card; empty if there is none.
    """
    licence = printable(licence)
    if licence not in NOT_STATED:
        return f"licence: {licence}, as the release's card states; cite {ARTICLE}"
    stated = f"the release's card says: {licence}" if licence else "the release's card names none"
    return (
        f"licence: none is stated ({stated}). All rights stay with the authors: do not pass the images on, and ask the "
        f"authors where you need a permission. Cite {ARTICLE}"
    )


def quote_licence(card: str) -> list[str]:
    """Return the first lines of a card that speak of a licence."""
    lines = [line.strip() for line in card.splitlines() if LICENCE.search(line)]
    return [printable(line) for line in lines[:SHOWN_LINES]]


def printable(text: str) -> str:
    """Return the beginning of a text of the release without line ends and what else could steer a terminal."""
    return "".join(one for one in text[:SHOWN_CHARACTERS] if one.isprintable())


def describe_drawn_splits(root: str) -> str:
    """Say where splits come from if the samples state none."""
    return (
        "The samples state no splits, so plants are drawn for training, validation and test (60 / 20 / 20). The "
        "paper's own splits are in the files 2021_Ref_Plot*_UTM_Coordinates.txt of phenoroam.phenorob.de: put them "
        f"into {root}"
    )
