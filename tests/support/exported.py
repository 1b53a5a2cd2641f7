"""Export a date of a small invented campaign as a run does, for tests that open the files with other programs."""

from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from rasterio.warp import transform

from storage.artifacts import Artifact
from storage.tables import DECIDED
from storage.tables.rows import rows_of
from tasks.export.export import export_decisions
from tasks.export.params import ExportParams, FieldParams
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, FakeCampaign

CRS = "EPSG:25832"
HOSTILE_ID = "=plot_x1234_7"  # a formula to spreadsheets, with what an XLSX file takes for an escaped character
LICENCE = "CC BY 4.0, Röschen & Co"


class Exported(NamedTuple):
    """A date's files for other tools, and what they must hold.

    Attributes
    ----------
    decided : rows of the table `decided`.
    places : easting and northing (m) by plant id, of plants with a position.
    """

    artifact: Artifact
    decided: list[dict[str, Any]]
    places: dict[str, tuple[float, float]]

    def file(self, name: str) -> Path:
        """Return the path of a file."""
        return local(self.artifact.file(name))

    def ids(self, *decisions: str) -> set[str]:
        """Return the plants that have a position and one of these decisions; with none, all with a position."""
        named = {row["plant_id"] for row in self.decided if not decisions or row["decision"] in decisions}
        return named & self.places.keys()

    def metres(self, *decisions: str) -> tuple[float, float, float, float]:
        """Return the smallest and largest easting and northing of plants: west, south, east, north."""
        x, y = zip(*(self.places[one] for one in self.ids(*decisions)), strict=True)
        return min(x), min(y), max(x), max(y)

    def degrees(self, *decisions: str) -> tuple[float, float, float, float]:
        """Return the bounds of plants in degrees (WGS 84), transformed by the GDAL of rasterio."""
        x, y = zip(*(self.places[one] for one in self.ids(*decisions)), strict=True)
        found: Any = transform(CRS, "OGC:CRS84", x, y)
        return min(found[0]), min(found[1]), max(found[0]), max(found[1])


def exported(folder: Path) -> Exported:
    """Write an invented campaign with a plant of the id `HOSTILE_ID`, and export its first date."""
    campaign, day = FakeCampaign(folder, first_plant=HOSTILE_ID, n_plants=60, has_places=True), DAYS[0]
    ref = export_decisions.fn(
        str(folder),
        campaign=campaign.campaign,
        date=date.fromisoformat(day),
        method="gradcam",
        params=ExportParams(licence=LICENCE),
        field=FieldParams(),
        images=campaign.roles[f"images {day}"],
        decided=campaign.roles[f"decided gradcam {day}"],
        promises=campaign.roles["promises gradcam"],
    )
    listed = campaign.store.open(campaign.roles[f"images {day}"]).read_json("listing.json")["images"]
    places = {one["plant_id"]: (one["easting"], one["northing"]) for one in listed if one["easting"] is not None}
    decided = rows_of(campaign.store.open(campaign.roles[f"decided gradcam {day}"]), DECIDED)
    return Exported(campaign.store.open(ref), decided, places)
