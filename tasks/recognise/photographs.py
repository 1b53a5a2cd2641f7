"""Recognise a folder of photographs as the source `folder`: folders of splits, or a manifest."""

from collections import Counter
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from storage.errors import InputError
from tasks.recognise.columns import (
    DATE,
    DEGREES,
    FILE,
    LABEL,
    METRES,
    NUMBER,
    PLANT_ID,
    PLOT,
    ROW,
    SPLIT,
    VARIETY,
    cells_of,
    date_formats,
    dates_in,
    find_column,
    find_pair,
)
from tasks.recognise.folder_files import FolderFiles, Sheet
from tasks.recognise.harvests import HarvestFound, find_harvest_table, harvest_keys
from tasks.recognise.keys import Key, NotThere, Recognised, content_of, date_format_keys
from tasks.sources.crs import utm_zone
from tasks.sources.files import is_photograph
from tasks.sources.folder.entries import read_place
from tasks.sources.folder.manifest import read_manifest
from tasks.sources.folder.source import FolderSource
from tasks.sources.text_tables import TextTable, to_number

SOURCE = "source"
# Keys of columns that a manifest may have, with usual names.
COLUMNS = {
    "label_column": LABEL,
    "plant_column": PLANT_ID[:5],  # `label` and `name` are rather those of a class
    "plot_column": PLOT,
    "row_column": ROW,
    "number_column": NUMBER,
    "variety_column": VARIETY,
}
NO_DAY = "give the date on which they were taken: --date YYYY-MM-DD; it only names the images in tables"


def recognise_photographs(files: FolderFiles) -> Recognised | NotThere:
    """Recognise photographs in folders of splits and classes, or those that a manifest names."""
    images = [path for path in files.paths if is_photograph(path)]
    manifests = [sheet for sheet, table in files.tables.items() if is_manifest(files, table)]
    in_splits = [path for path in images if read_place(path)[0]]
    if not manifests and not in_splits:
        return NotThere(*without_splits(images))
    keys = [Key(SOURCE, "kind", "folder", "Photographs in folders of splits, or named by a manifest.")]
    used = set(images)
    said: list[str] = []
    days: list[date] = []
    if manifests:
        sheet = min(manifests, key=lambda one: (one.path != "manifest.csv", str(one)))
        others = tuple((one.path, f"{one} names images too") for one in manifests if one != sheet)
        keys.append(Key(SOURCE, "manifest", sheet.path, "Names images of this folder and their splits.", others=others))
        keys += [Key(SOURCE, "manifest_sheet", sheet.name, "The workbook has several sheets.")] if sheet.name else []
        of_columns, days = column_keys(files.tables[sheet])
        keys += of_columns
        used |= {sheet.path, str(sheet)}
        said.append(f"manifest: {sheet}, {len(files.tables[sheet].rows):,} images; {describe_days(days)}")
    else:
        counts = Counter(PurePosixPath(path).parts[0] for path in in_splits)
        shown = ", ".join(f"{n:,} in {name}/" for name, n in sorted(counts.items()))
        said.append(f"photographs: {len(in_splits):,} in folders of splits ({shown})")
    if not days and files.day is None:
        return NotThere(f"{len(in_splits or images):,} photographs without a date", NO_DAY)
    why = "Dates in the manifest." if days else "Given by --date, because photographs state no date."
    keys.insert(0, Key("", "dates", [day.isoformat() for day in days or [files.day] if day], why))
    of_harvests, harvests = find_harvests_of(files, keys, days or [day for day in (files.day,) if day])
    keys += of_harvests
    if harvests:
        used |= harvests.used
        said.append(f"harvests: {harvests.said}")
    return Recognised("folder", tuple(keys), tuple(said), frozenset(used), {})


def without_splits(images: list[str]) -> tuple[str, str]:
    """Return which photographs there are that no split is known of, and the remedy; empty without photographs."""
    if not images:
        return "", ""
    folders = sorted({PurePosixPath(path).parent.as_posix() for path in images})
    shown = ", ".join(folders[:5]) + (", ..." if folders[5:] else "")
    return (
        f"{len(images):,} photographs in {shown}, and neither folders of splits nor a manifest",
        "sort them into train/, val/ and test/ with a folder for each class, or write manifest.csv with the columns "
        "file, split and label",
    )


def is_manifest(files: FolderFiles, table: TextTable) -> bool:
    """Return whether a table has columns of files and splits, and names a file that is there."""
    file, split = find_column(table.columns, FILE), find_column(table.columns, SPLIT)
    if file is None or split is None:
        return False
    known = set(files.paths)
    root = files.root.name
    return any(cell in known or cell.removeprefix(f"{root}/") in known for cell in cells_of(table, file))


def column_keys(table: TextTable) -> tuple[list[Key], list[date]]:
    """Return the keys of the columns of a manifest, and the dates in it.

    Keys are left out where columns have the names that the source expects.
    """
    named = {
        "file_column": find_column(table.columns, FILE),
        "split_column": find_column(table.columns, SPLIT),
        **{key: find_column(table.columns, usual) for key, usual in COLUMNS.items()},
    }
    days: list[date] = []
    formats: list[str | None] = []
    column = find_column(table.columns, DATE)
    if column is not None and all(cells_of(table, column)):
        formats = date_formats(cells_of(table, column))
        if formats:
            named["date_column"] = column
            days = sorted(set(dates_in(cells_of(table, column), formats[0])))
    keys = [
        Key(SOURCE, key, name, "Column of the manifest with a usual name.")
        for key, name in named.items()
        if name is not None and FolderSource.model_fields[key].default != name
    ]
    return [*keys, *date_format_keys(SOURCE, formats, "All dates fit."), *place_keys(table)], days


def place_keys(table: TextTable) -> list[Key]:
    """Return the keys of positions in a manifest: columns, and the system in metres."""
    metres, degrees = find_pair(table.columns, METRES), find_pair(table.columns, DEGREES)
    pairs = ((metres, ("easting_column", "northing_column")), (degrees, ("longitude_column", "latitude_column")))
    keys = [
        Key(SOURCE, key, name, "Column of the manifest with a usual name.")
        for pair, names in pairs
        for key, name in zip(names, pair or (), strict=False)
        if FolderSource.model_fields[key].default != name
    ]
    if metres:
        why = "In which projected system are eastings and northings? The manifest does not say. Positions need it."
        return [*keys, Key(SOURCE, "crs", "EPSG:25832", why, is_open=True)]
    zone = zone_of(table, degrees) if degrees else None
    if zone:
        why = "UTM zone (WGS 84) of the middle of the longitudes and latitudes."
        return [*keys, Key(SOURCE, "crs", zone, why)]
    return keys


def zone_of(table: TextTable, columns: tuple[str, str]) -> str | None:
    """Return the UTM zone of the middle of a manifest's positions in degrees; None if there are none."""
    lon, lat = ([to_number(cell) for cell in cells_of(table, column)] for column in columns)
    placed = sorted((x, y) for x, y in zip(lon, lat, strict=True) if x is not None and y is not None)
    places = [(x, y) for x, y in placed if abs(x) <= 180 and abs(y) <= 90]
    return utm_zone(*places[len(places) // 2]) if places else None


def find_harvests_of(files: FolderFiles, keys: list[Key], days: list[date]) -> tuple[list[Key], HarvestFound | None]:
    """Return the keys of the table of harvests, which are open if a manifest without classes needs one, and the table.

    Photographs whose classes are stated need none.
    """
    stated: dict[str, Any] = content_of(keys)[SOURCE]
    source = FolderSource(root=str(files.root), **stated)
    table = files.tables.get(Sheet(source.manifest, source.manifest_sheet))
    if table is None or (source.label_column in table.columns and any(cells_of(table, source.label_column))):
        return [], None
    try:
        plants = {one.plant_id for one in read_manifest(files.root, source, needs_label=False)[0]}
    except InputError:  # the listing tells what is wrong with the manifest
        return [], None
    found = find_harvest_table(files.tables, plants, days, source.manifest)
    return harvest_keys(found), found


def describe_days(days: list[date]) -> str:
    """Say which dates a manifest has."""
    return f"dates {', '.join(day.isoformat() for day in days)}" if days else "no dates"
