"""Name the image files of each layout and compose its text tables, without touching the disk."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from tasks.sources.synthetic.drawing import curd_radius
from tasks.sources.synthetic.season import SPACING, Observation, Plant, Season

Layout = Literal["growliflower", "growliflower-prepared", "growliflower-orthophoto", "fiftyone", "folder", "field"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
ORTHOPHOTOS: tuple[Layout, ...] = ("growliflower-orthophoto", "field")  # layouts without a file for each plant
HarvestWords = Literal["dates", "visits"]
TABLES_REVISION = 2  # revision of the text tables, to be raised when an equal season would get others

_AUGMENTATIONS = ("flip", "orig", "rot90")
_CLASS_FOLDERS = {"not ready": "not_ready", "ready": "ready"}


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """One image file: path below the root, observation, and augmentation (`orig` for an image that is not turned)."""

    path: str
    observation: Observation
    augmentation: str = "orig"


def plan_images(season: Season, layout: Layout) -> tuple[WrittenImage, ...]:
    """Name every image file of a layout; orthophotos have no separate file for a plant."""
    standing = [seen for seen in season.observations if seen.state != "harvested"]
    match layout:
        case "growliflower":
            images = [_patch(season, seen) for seen in season.observations]
        case "growliflower-prepared":
            images = [image for seen in standing for image in _prepared(season, seen)]
        case "growliflower-orthophoto" | "field":
            images = []
        case "fiftyone":
            images = [_numbered(season, seen, index) for index, seen in enumerate(season.observations)]
        case "folder":
            images = [_sorted_by_class(seen) for seen in standing]
    return tuple(images)


def day_folder(season: Season, day: date) -> str:
    """Return the folder of one acquisition date in the original release."""
    return f"GrowliFlowerR/{season.params.field}/{day:%Y_%m_%d}"


def _patch(season: Season, seen: Observation) -> WrittenImage:
    return WrittenImage(f"{day_folder(season, seen.acquired)}/{seen.plant.plant_id}.png", seen)


def _prepared(season: Season, seen: Observation) -> list[WrittenImage]:
    plant, label = seen.plant, int(seen.state == "ready")
    name = f"{seen.acquired:%Y_%m_%d}_Ref_Plot{plant.plot}_{plant.row}{plant.number}"
    start = f"{day_folder(season, seen.acquired)}/{name}"
    if plant.split != "train":
        return [WrittenImage(f"{start}_{label}.tif", seen)]
    return [WrittenImage(f"{start}_{turn}_{label}.tif", seen, turn) for turn in _AUGMENTATIONS]


def _numbered(season: Season, seen: Observation, index: int) -> WrittenImage:
    return WrittenImage(f"data/data_{season.params.year % 100:02}/{seen.plant.plant_id}-{index}.png", seen)


def _sorted_by_class(seen: Observation) -> WrittenImage:
    folder = f"{seen.plant.split}/{_CLASS_FOLDERS[seen.state]}"
    return WrittenImage(f"{folder}/{seen.plant.plant_id}_{seen.acquired}.png", seen)


def text_tables(
    season: Season, layout: Layout, images: Sequence[WrittenImage], harvested: HarvestWords
) -> dict[str, str]:
    """Return the text files of a layout by path, without pixel coordinates; the layout `field` has none."""
    if layout == "field":
        return {}
    if layout == "fiftyone":
        records = [_record(season, image, harvested) for image in images]
        return {"samples.json": json.dumps({"samples": [*records, *_other_records(records)]}, indent=1)}
    if layout == "folder":
        return {"manifest.csv": _lines(["file,split,label,plant_id,date", *map(_manifest_row, images)])}
    tables = {
        f"{season.params.year}_Ref_Plot{plot}_UTM_Coordinates.txt": _lines(
            [_utm_row(plant) for plant in season.plants if plant.plot == plot]
        )
        for plot in range(1, season.params.n_plots + 1)
    }
    if layout != "growliflower-prepared":
        rows = [f"{plant.plant_id},{season.recorded(plant) or ''}" for plant in season.plants]
        tables["harvest.csv"] = _lines(["plant_id,harvest_date", *rows])
    return tables


def _lines(rows: list[str]) -> str:
    return "\n".join(rows) + "\n"


def _manifest_row(image: WrittenImage) -> str:
    seen, plant = image.observation, image.observation.plant
    return f"{image.path},{plant.split},{_CLASS_FOLDERS[seen.state]},{plant.plant_id},{seen.acquired}"


def _utm_row(plant: Plant) -> str:
    return f"{plant.plant_id},{plant.easting:.3f},{plant.northing:.3f},{plant.height:.3f},{plant.split}"


def _record(season: Season, image: WrittenImage, harvested: HarvestWords) -> dict[str, Any]:
    """Return one sample of the FiftyOne export; some measurements are odd strings, as in the real export."""
    seen, plant = image.observation, image.observation.plant
    # Diameter in centimetres: one image side on the ground is the plant spacing.
    head = round(200 * SPACING * curd_radius(seen.view.days_to_ripe))
    oddities = {1: "?", 2: f"{58 + plant.plot} (7)"}
    return {
        "task": "reference",
        "plant_id": plant.plant_id,
        "field": season.params.field,
        "plot": plant.plot,
        "acquisition_date": str(seen.acquired),
        "planting_date": str(season.params.planted),
        "day_after_planting": (seen.acquired - season.params.planted).days,
        "filepath": image.path,
        "tags": [plant.split],
        "in_situ_height": str(40 + plant.number % 7),
        "in_situ_diameter": oddities.get(plant.number, str(50 + plant.number)),
        "in_situ_head_diameter": None if seen.state == "harvested" else str(head),
        "in_situ_bbch_stage": "49" if seen.state == "ready" else "45",
        "in_situ_harvested": _harvest_word(season, seen, harvested),
        "in_situ_comment": "2P" if plant.number == 2 and plant.row == "A" else None,
    }


def _harvest_word(season: Season, seen: Observation, harvested: HarvestWords) -> str | None:
    cut = season.recorded(seen.plant)
    if harvested == "dates":
        return None if cut is None else str(cut)
    return "yes" if isinstance(cut, date) and cut <= seen.acquired else "no"


def _other_records(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return records that a reader of the field's reference plants must skip: another task, another field."""
    other_field = "Field1" if records[0]["field"] == "Field2" else "Field2"
    weeds = [{**record, "task": "maturity_stages", "in_situ_harvested": None} for record in records[:3]]
    return weeds + [{**record, "field": other_field, "in_situ_harvested": "?"} for record in records[:3]]
