"""Say inside a file for other tools whose decisions it holds."""

from datetime import date
from typing import NamedTuple

PROGRAM = "harvest-reliability"  # name under which files say what wrote them


class Origin(NamedTuple):
    """Where the decisions of a file come from.

    Attributes
    ----------
    day : acquisition date.
    method : saliency method.
    crs : coordinate reference system of the columns `easting` and `northing`, such as `EPSG:25832`.
    licence : licence of the images as the user states it; empty if none is known.
    promises : sentences about what is promised about the answers that are acted on.
    incomplete : how many of the expected plants the date has, if they are far fewer; else empty.
    """

    campaign: str
    day: date
    method: str
    crs: str
    licence: str = ""
    promises: tuple[str, ...] = ()
    incomplete: str = ""

    @property
    def title(self) -> str:
        """Return campaign, date and method as one text."""
        return f"{self.campaign} {self.day} {self.method}"

    @property
    def notes(self) -> dict[str, str]:
        """Return the metadata of a file by name. What is not known has no entry."""
        found = {
            "title": self.title,
            "description": f"Decisions about plants. The columns easting and northing are in {self.crs}.",
            "campaign": self.campaign,
            "date": self.day.isoformat(),
            "method": self.method,
            "crs": self.crs,
            "incomplete": self.incomplete,
            "promise": " ".join(self.promises),
            "licence": self.licence,
        }
        return {name: text for name, text in found.items() if text}
