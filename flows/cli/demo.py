"""Write synthetic seasons to disk, and define the campaign and the new date of `harvest demo`.

The demonstration is small enough for two processor cores without a GPU. A season with harvest dates is analysed. Then a
flight of the next year is scored, while plants still stand and nobody knows when they will be cut.
"""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from flows.parameters import CampaignParams
from tasks.classify.params import AugmentParams, TrainParams
from tasks.decide.params import DecideParams
from tasks.ingest.params import IngestParams
from tasks.sources.field.plants_file import PlantsFile
from tasks.sources.field.source import FieldSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.harvest_table import HarvestTable
from tasks.sources.synthetic.layout_files import Layout
from tasks.sources.synthetic.layouts import WrittenSeason, write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import SPACING, grow_season

if TYPE_CHECKING:
    from storage.artifacts import Store
    from storage.records.acquisitions import AcquisitionRecord
    from storage.records.campaigns import CampaignRecord

# Dates of another year than the paper's, so that nobody compares a synthetic season's counts with the paper's.
DATES = (date(2022, 8, 23), date(2022, 8, 25), date(2022, 8, 30), date(2022, 9, 3))
SEASON_END = date(2022, 10, 31)  # by then the season has harvested every plant that it harvests at all
FLIGHT = date(2023, 8, 25)  # scored date of the next year; as many standing plants are ready as on the fitted dates
CUT_UNTIL = FLIGHT - timedelta(days=1)  # last day of the harvest table that lies beside the scored date
NEXT_SEED = 2**30  # bit by which the seed of the next year's season differs, so that its plants are others
LOOK_AT = {
    "field": "which plants to harvest, leave and check, and where they stand",
    "analysis": "how good the answers are, and how they were made",
    "exports": "lists in walking order, maps and tours",
}
"""Places that show the scored date, in the order in which to look at them, and what they show."""
IMAGE_SIZE = 96  # width and height of the demonstration's images, pixels; ResNet18's last stage has 3 x 3 positions


def demo_season(shortcut: bool, seed: int = 0) -> SeasonParams:
    """Return the parameters of a season of 300 plants with a few damaged files.

    Parameters
    ----------
    shortcut : whether training plants carry the marker that means Ready.
    """
    return SeasonParams(
        seed=seed,
        dates=DATES,
        n_plots=3,
        image_size=IMAGE_SIZE,
        shortcut=shortcut,
        n_damaged=2,
        n_truncated=2,
        n_duplicates=1,
    )


def demo_campaign(name: str, root: Path) -> CampaignParams:
    """Return a default campaign with small images, fewer augmented copies and epochs, and a larger learning rate.

    It tolerates more wrong answers than the default. A hundred validation plants are few, and with 15 of 100 tolerated
    most seasons would have nothing to act on.
    """
    return CampaignParams(
        campaign=name,
        source=GrowliFlowerSource(root=str(root), harvest_table=HarvestTable(observed_until=SEASON_END)),
        dates=DATES,
        ingest=IngestParams(image_size=IMAGE_SIZE),
        augment=AugmentParams(copies=(1, 2)),
        train=TrainParams(epochs=6, learning_rate=1e-3, step_epochs=2),
        decide=DecideParams(tolerated_error=0.2),
    )


def flight_season(shortcut: bool, seed: int = 0) -> SeasonParams:
    """Return the parameters of the next year's season of 500 plants, of which over 300 stand on its one date.

    Nothing is trained on these plants. So with a shortcut, all of them carry the marker as validation plants do.
    """
    season = demo_season(shortcut, seed)
    return SeasonParams(
        seed=seed ^ NEXT_SEED,
        dates=(FLIGHT,),
        n_plots=5,
        image_size=IMAGE_SIZE,
        shortcut=shortcut,
        marker_train_ready=season.marker_other_ready,
        marker_train_not_ready=season.marker_other_not_ready,
    )


def flight_source(root: Path) -> FieldSource:
    """Return the source of the scored date: an orthophoto, plant positions, and what was cut before the flight."""
    return FieldSource(
        root=str(root),
        rasters="ortho_{date}.tif",
        plants=PlantsFile(path="plants.gpkg", id_column="plant_id"),
        crop_metres=SPACING,
        harvest_table=HarvestTable(path="harvest.xlsx", observed_until=CUT_UNTIL),
    )


def demo_results(store: "Store", record: "CampaignRecord", scored: "AcquisitionRecord") -> dict[str, Any]:
    """Return the results of the campaign, and those of the new date as `scored`, as JSON values.

    Of the new date there are also its decisions in a sentence, and the places named in `LOOK_AT`.
    """
    from flows.acquisition import decided
    from flows.cli.results import results
    from flows.cli.seasons import date_results
    from storage.published.exports import export_folder
    from tasks.report.report import ANALYSIS

    page = store.root / record.report
    places = {
        "field": f"{page}#{scored.date}",
        "analysis": str(page.parent / ANALYSIS),
        "exports": str(export_folder(store, record.campaign) / str(scored.date)),
    }
    said = {"decisions": decided(store, scored, record), "look_at": places}
    return {**results(store, record), "scored": {**date_results(store, scored), **said}}


def print_demo(found: dict[str, Any]) -> None:
    """Print the results of the campaign, then those of the new date, and where to look first."""
    from flows.cli.results import print_results
    from flows.cli.seasons import print_date

    print_results(found)
    scored = found["scored"]
    print("\nA flight of the next year, scored without labels:")
    print_date(scored)
    print(scored["decisions"], "look first at:", sep="\n")
    for name, meaning in LOOK_AT.items():
        print(f"  {meaning}: {scored['look_at'][name]}")
    print(f"open the page: harvest open {found['campaign']} --store {Path(found['tables']).parent}")


def write_demo_season(folder: Path, shortcut: bool, seed: int = 0) -> Path:
    """Write the season in the GrowliFlowerR folder layout, unless it is there already, and return its root folder."""
    root = folder / f"season-{'shortcut' if shortcut else 'plain'}-{seed}"
    write_synthetic_season(root, "growliflower", demo_season(shortcut, seed))
    return root


def write_flight(folder: Path, shortcut: bool, seed: int = 0) -> Path:
    """Write the scored date's orthophoto and tables, unless they are there already, and return their root folder."""
    root = folder / f"flight-{'shortcut' if shortcut else 'plain'}-{seed}"
    write_synthetic_season(root, "field", flight_season(shortcut, seed), CUT_UNTIL)
    return root


def write_synthetic_season(
    root: Path, layout: Layout, params: SeasonParams, recorded_until: date | None = None
) -> WrittenSeason:
    """Draw a season and write it in a layout, with a progress bar on the terminal.

    Parameters
    ----------
    recorded_until : last day of the harvest table; None for the whole season.
    """
    season = replace(grow_season(params), recorded_until=recorded_until)
    with tqdm(desc="draw season", unit="image", total=len(season.observations), disable=None, leave=False) as bar:

        def count() -> None:
            bar.update()

        return write_season(season, root, layout, on_image=count)
