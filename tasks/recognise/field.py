"""Recognise orthophotos and a file of plant positions as the source `field`, and derive its keys."""

from datetime import date
from typing import Any

import numpy as np

from tasks.recognise.columns import NUMBER, ROW, VARIETY, find_column
from tasks.recognise.field_pixels import pixel_keys
from tasks.recognise.folder_files import FolderFiles
from tasks.recognise.harvests import HarvestFound, find_harvest_table, harvest_keys
from tasks.recognise.keys import Key, NotThere, Recognised
from tasks.recognise.plant_keys import Ids, Splits, block_side, find_ids, find_splits
from tasks.recognise.plants import Candidate, Places, find_candidates, is_inside, positions
from tasks.recognise.rasters import NO_DATE, NO_TILES, Ortho, Orthos, find_orthos, pattern_of
from tasks.sources.crs import WGS_84, check_crs, utm_zone
from tasks.sources.field.plants import measures_metres
from tasks.sources.field.spacing import plant_spacing
from tasks.sources.projections import metres_on_ground, read_crs, transform

SOURCE, PLANTS = "source", "source.plants"
FALLBACK_PIXELS = 64  # side of the crop that is proposed where plants tell none, pixels of the orthophoto
PLACES = {"row_column": ROW, "number_column": NUMBER}
DRAWN = "About 60 % of the plants are drawn for training, and 20 % each for validation and test."


def recognise_field(files: FolderFiles) -> Recognised | NotThere:
    """Recognise a field: georeferenced rasters with dates, and positions of plants."""
    orthos = find_orthos(files)
    if not orthos.of_date:
        return NotThere(*without_orthos(orthos))
    first = orthos.all[0]
    system, why_system = field_system(first)
    if system is None:
        return NotThere(f"{first.path}, whose place on earth is unknown", "correct its coordinate reference system")
    candidates, reasons = find_candidates(files, orthos.all, system)
    reasons = {**reasons, **orthos.reasons}
    if not candidates:
        return NotThere(
            f"{len(orthos.all)} orthophotos, and no file of plant positions{said_of(reasons)}",
            "add the plants as points of a GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML file, or as a table with "
            "columns easting and northing, or longitude and latitude",
        )
    plants, *others = candidates
    places = transform(*positions(plants.rows), plants.crs, system)
    inside = is_inside(positions(plants.rows), plants.crs, orthos.all)
    ids, remarks = find_ids(files.root, plants, places)
    taken, harvests = choose_ids(files, plants, ids, tuple(orthos.paths))
    splits = find_splits(files.root, plants)
    spacing = plant_spacing(*((axis[inside] for axis in places) if inside.any() else places))
    blocks = split_keys(splits, places, spacing or pixel_metres(first) * FALLBACK_PIXELS)
    has_blocks = any(not key.is_open for key in blocks)
    keys = [
        Key("", "dates", [day.isoformat() for day in orthos.of_date], dates_why(orthos, files.day)),
        Key(SOURCE, "kind", "field", "Orthophotos, and a file of plant positions."),
        *pattern_keys(files, orthos),
        crop_key(first, spacing),
        Key(SOURCE, "crs", system, why_system),
        *pixel_keys(files.root, orthos.all),
        *blocks,
        *([] if pattern_of(files.root, orthos) else table_keys(orthos)),
        *plant_keys(plants, others, taken, splits, remarks, has_blocks),
        *harvest_keys(harvests),
    ]
    used = {one.path for one in orthos.all} | {plants.path, plants.name}
    used |= harvests.used if harvests else set()
    reasons |= {one.path: f"positions too, of which {one.n_inside:,} lie in the orthophotos" for one in others}
    said = [ortho_said(orthos), f"plants: {plants.said}"]
    said.append(f"harvests: {harvests.said}" if harvests else "harvests: no table")
    n_crops = len(plants.rows.rows) * len(orthos.of_date)
    return Recognised("field", tuple(keys), tuple(said), frozenset(used), reasons, n_crops)


def without_orthos(orthos: Orthos) -> tuple[str, str]:
    """Return what rasters there are and why they are no orthophotos, and the remedy; empty without rasters."""
    if not orthos.reasons:
        return "", ""
    path, why = next(iter(orthos.reasons.items()))
    undated = [path for path, why in orthos.reasons.items() if why in {NO_DATE, NO_TILES}]
    if undated:
        is_given = NO_TILES in orthos.reasons.values()
        several = ", which are no tiles of one orthophoto" if is_given else ""
        return (
            f"{len(undated)} orthophotos without a date in their paths, such as {undated[0]}{several}",
            "put the date into the name of the file or folder, as 2021-08-23"
            + ("" if is_given else "; for a single date give --date YYYY-MM-DD"),
        )
    return f"{len(orthos.reasons)} rasters that are no orthophotos, such as {path}: {why}", "export them georeferenced"


def said_of(reasons: dict[str, str]) -> str:
    """Return the first reason why a file holds no plants."""
    return next((f" ({path}: {why})" for path, why in reasons.items()), "")


def field_system(first: Ortho) -> tuple[str | None, str]:
    """Return the projected system of a field, and where it is from: that of an orthophoto, or the UTM zone."""
    middle = np.array([(first.bounds[0] + first.bounds[2]) / 2]), np.array([(first.bounds[1] + first.bounds[3]) / 2])
    name = f"EPSG:{first.epsg}"
    if first.epsg is not None and is_in_metres(name) and measures_metres(middle, name):
        return name, f"That of {first.path}: {read_crs(name).name}."
    lon, lat = transform(*middle, first.crs, WGS_84)
    place = float(lon[0]), float(lat[0])
    zone = utm_zone(*place) if np.isfinite(place).all() else None
    own = read_crs(first.crs).name
    return zone, (
        f"UTM zone of the field at longitude {place[0]:.4f} and latitude {place[1]:.4f}, because {own}, the system of "
        f"{first.path}, does not measure metres there or has no EPSG code."
    )


def is_in_metres(name: str) -> bool:
    """Return whether a system has easting and northing in metres."""
    try:
        check_crs(name)
    except ValueError:
        return False
    return True


def choose_ids(
    files: FolderFiles, plants: Candidate, ids: list[Ids], acquired: tuple[date, ...]
) -> tuple[Ids, HarvestFound | None]:
    """Return the ids by which a harvest table names most plants, and the table; the first ids if no table does."""
    found = [(one, find_harvest_table(files.tables, one.ids, acquired, plants.path)) for one in ids]
    return max(found, key=lambda pair: pair[1].n_matched if pair[1] else 0)


def dates_why(orthos: Orthos, day: date | None) -> str:
    """Say where the dates are from."""
    if all(one.day is None for one in orthos.all):
        return f"Given by --date, because the path of the orthophoto states none: {day}."
    alone = " One date alone shows no change of a field." if len(orthos.of_date) == 1 else ""
    return f"Dates in the paths of the orthophotos.{alone}"


def pattern_keys(files: FolderFiles, orthos: Orthos) -> list[Key]:
    """Return the key of the pattern of orthophotos; none if a table of dates must name them."""
    pattern = pattern_of(files.root, orthos)
    others = tuple((name, "shows the same places on these dates") for name in orthos.others)
    why = f"Fits exactly {count(len(orthos.all), 'orthophoto')} on {count(len(orthos.of_date), 'date')}."
    if others:
        why += " Taken before others, because it has more dates, finer pixels or the first name."
    return [Key(SOURCE, "rasters", pattern, why, others=others)] if pattern else []


def table_keys(orthos: Orthos) -> list[Key]:
    """Return a key for the orthophotos of each date."""
    why = "No pattern fits exactly the orthophotos, so their files are named."
    return [
        Key("source.rasters", day.isoformat(), list(paths), why if i == 0 else f"{count(len(paths), 'file')}.")
        for i, (day, paths) in enumerate(orthos.paths.items())
    ]


def crop_key(first: Ortho, spacing: float | None) -> Key:
    """Return the key of the side of a crop: the distance between plants, or a proposal."""
    if spacing is not None:
        return Key(SOURCE, "crop_metres", spacing, "Median distance from a plant to the nearest other one.")
    side = float(f"{FALLBACK_PIXELS * pixel_metres(first):.2g}")
    why = (
        "How large is a plant with its surroundings, in metres? There are too few plants to tell, or they stand too "
        f"irregularly. The proposal is {FALLBACK_PIXELS} pixels of {first.path}."
    )
    return Key(SOURCE, "crop_metres", side, why, is_question=True)


def pixel_metres(first: Ortho) -> float:
    """Return the width of an orthophoto's pixel on the ground, metres."""
    left, low, right, high = first.bounds
    return metres_on_ground(read_crs(first.crs), (left + right) / 2, (low + high) / 2)[0] * first.pixel[0]


def split_keys(splits: Splits, places: Places, crop: float) -> list[Key]:
    """Return the key of square blocks for the splits, where there are neither splits nor three plots.

    Parameters
    ----------
    crop : side of a crop, metres, which is the margin between blocks.
    """
    if splits.split or len(splits.plots) >= 3:
        return []
    said = "No column states a split, and there are no three plots"
    side = block_side(places, crop)
    if side is None:
        why = f"How are plants split? {said}, and blocks with a margin would leave too few plants. All count as new."
        return [Key(SOURCE, "block_metres", 1.0, why, is_open=True)]
    why = f"{said}, so square blocks of this side (m) are drawn. {DRAWN}"
    return [Key(SOURCE, "block_metres", side, why)]


def plant_keys(
    plants: Candidate,
    others: list[Candidate],
    ids: Ids,
    splits: Splits,
    remarks: list[str],
    has_blocks: bool,
) -> list[Key]:
    """Return the keys of the file of plants."""
    n = f"{plants.n_inside:,} of {len(plants.rows.rows):,} positions lie in the orthophotos"
    why = f"{n}." if not others else f"{n}, more than of other files."
    if plants.n_inside == 0:
        why = "Are these the plants of this field? None of the positions lies in an orthophoto."
    also = tuple((one.path, f"{one.said.removeprefix(one.path).lstrip(', ')}") for one in others)
    keys = [Key(PLANTS, "path", plants.path, why, is_question=plants.n_inside == 0, others=also)]
    whys: dict[str, str] = {
        "layer": "The file has several layers or sheets, and most of this one's positions lie in the orthophotos.",
        "crs": f"The file states no system. In {plants.keys.get('crs')} {n}.",
        "x_column": "Usual name of eastings or longitudes.",
        "y_column": "Usual name of northings or latitudes.",
    }
    keys += [Key(PLANTS, name, plants.keys[name], whys[name]) for name in whys if name in plants.keys]
    named: dict[str, Any] = dict(ids.keys)
    if splits.plot and (splits.split or has_blocks or len(splits.plots) >= 3):
        named.setdefault("plot_column", splits.plot)
    own = {"split_column": "All cells are train, val, test, new or empty."}
    if "id_column" in named:
        named |= {key: name for key, usual in PLACES.items() if (name := find_column(plants.columns, usual))}
        own |= dict.fromkeys(("plot_column", *PLACES), "Usual name; lists and tours follow it.")
    if (variety := find_column(plants.columns, VARIETY)) is not None:
        named["variety_column"] = variety
        own["variety_column"] = "Usual name of varieties."
    if splits.split:
        named["split_column"] = splits.split
    elif not has_blocks:
        own["plot_column"] = f"{len(splits.plots)} plots, which are drawn as a whole. {DRAWN}"
    keys += [Key(PLANTS, name, value, own.get(name, ids.why)) for name, value in named.items()]
    if not ids.keys:
        why = f"Which column names the plants? {ids.why}{''.join(f' {one}.' for one in remarks)}"
        keys.append(Key(PLANTS, "id_column", "plant", why, is_open=True))
    if splits.remark:
        keys.append(Key(PLANTS, "split_column", "split", f"{splits.remark}. Is it right?", is_open=True))
    return keys


def ortho_said(orthos: Orthos) -> str:
    """Say which orthophotos were recognised."""
    first = orthos.all[0]
    width = pixel_metres(first)
    return (
        f"orthophotos: {count(len(orthos.all), 'file')} on {count(len(orthos.of_date), 'date')}; {first.path} has "
        f"{first.types}, pixels of {width * 100:.3g} cm, {read_crs(first.crs).name}"
    )


def count(n: int, thing: str) -> str:
    """Write a number of things."""
    return f"{n} {thing}{'' if n == 1 else 's'}"
