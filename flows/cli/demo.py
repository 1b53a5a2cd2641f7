"""Write synthetic seasons to disk, and define the campaign, new date and checks of `harvest demo`.

The demonstration is small enough for two processor cores without a GPU. A season with harvest dates is analysed. Then a
flight of the next year is scored, while plants still stand and nobody knows when they will be cut. At last somebody
looks at some of these plants, and what was promised is compared with what was found.
"""

import csv
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from flows.parameters import CampaignParams
from storage.published.forms import AT, BY, REMARK
from storage.tables.rows import Row
from tasks.classify.params import AugmentParams, TrainParams
from tasks.decide.decisions import CHECK
from tasks.decide.params import DecideParams
from tasks.ingest.params import IngestParams
from tasks.sources.field.plants_file import PlantsFile
from tasks.sources.field.source import FieldSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.harvest_table import HarvestTable
from tasks.sources.synthetic.layout_files import Layout
from tasks.sources.synthetic.layouts import WrittenSeason, write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import SPACING, Season, grow_season

if TYPE_CHECKING:
    from storage.artifacts import Store
    from storage.records.acquisitions import AcquisitionRecord
    from storage.records.campaigns import CampaignRecord
    from tasks.export.checking import Answers

# Dates of another year than the paper's, so that nobody compares a synthetic season's counts with the paper's.
DATES = (date(2022, 8, 23), date(2022, 8, 25), date(2022, 8, 30), date(2022, 9, 3))
SEASON_END = date(2022, 10, 31)  # by then the season has harvested every plant that it harvests at all
FLIGHT = date(2023, 8, 25)  # scored date of the next year; as many standing plants are ready as on the fitted dates
CUT_UNTIL = FLIGHT - timedelta(days=1)  # last day of the harvest table that lies beside the scored date
NEXT_SEED = 2**30  # bit by which the seed of the next year's season differs, so that its plants are others
LOOKED_AT = f"{FLIGHT}T14:00+02:00"  # time at which somebody looks at plants of the scored date
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


def look_at_plants(store: "Store", campaign: str, folder: Path, shortcut: bool, seed: int = 0) -> dict[str, Any]:
    """Take back what somebody finds at plants of the scored date, as `harvest checked` does, and return what it says.

    What is found is the true state, which the season alone knows. The file lies beside the drawn seasons.
    """
    from flows.cli.commands.checks import take_back
    from flows.report.answers import answers_of
    from tasks.export.checking import Whose, start_of

    answers = answers_of(store, campaign, FLIGHT)
    path = folder / f"checked-{'shortcut' if shortcut else 'plain'}-{seed}.csv"
    write_work_sheet(
        path, answers, plants_to_look_at(answers.rows.values()), grow_season(flight_season(shortcut, seed))
    )
    return take_back(store, answers, [path], Whose("", start_of(FLIGHT)))


def plants_to_look_at(rows: Iterable[Row]) -> list[Row]:
    """Return the plants that were drawn at random for a look, and the plants to check in the first plot."""
    return [row for row in rows if row["is_audit"] or (row["decision"] == CHECK and row["plot"] == "1")]


def write_work_sheet(path: Path, answers: "Answers", rows: Iterable[Row], season: Season) -> None:
    """Write the form of the field page as somebody fills it in who sees the true state of these plants."""
    form = answers.form
    word = {name: word for word, name in form.words.items()}
    with path.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.writer(file)
        sheet.writerow(("campaign", "date", "plant_id", "decision", form.column, BY, AT, REMARK))
        for row in rows:
            found = word[season.observation(row["plant_id"], answers.day).state]
            about = (answers.campaign, answers.day, row["plant_id"], row["decision"])
            sheet.writerow((*about, found, "Demo", LOOKED_AT, "true state of the drawing"))


def demo_results(
    store: "Store", record: "CampaignRecord", scored: "AcquisitionRecord", checked: dict[str, Any]
) -> dict[str, Any]:
    """Return the results of the campaign, those of the new date as `scored` and of checks as `checked`, as JSON values.

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
    return {**results(store, record), "scored": {**date_results(store, scored), **said}, "checked": checked}


def print_demo(found: dict[str, Any]) -> None:
    """Print the results of the campaign, then those of the new date and of checks, and where to look first."""
    from flows.cli.commands.checks import print_checked
    from flows.cli.results import print_results
    from flows.cli.seasons import print_date

    print_results(found)
    scored = found["scored"]
    print("\nA flight of the next year, scored without labels:")
    print_date(scored)
    print(scored["decisions"])
    print("\nWhat somebody finds who looks at some of these plants:")
    print_checked(found["checked"])
    print("\nlook first at:")
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
