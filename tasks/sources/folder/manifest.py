"""Read the manifest of a plain folder: one row an image, with split, class, plant, date, place in the field."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.checks import SPLIT_WORDS, describe_numbers, describe_varieties
from tasks.sources.contract import PLOT_WORD, Place
from tasks.sources.files import relative_path
from tasks.sources.folder.entries import (
    Entry,
    find_named_file,
    read_place,
    refuse_contradictions,
    refuse_repeated_files,
    without_suffix,
)
from tasks.sources.folder.positions import PositionColumns, read_position
from tasks.sources.images import PatchFiles
from tasks.sources.matching import name_some
from tasks.sources.text_tables import TextTable, parse_date, read_table


class ManifestFiles(PatchFiles):
    """Base class of a source whose images are named by a manifest; its keys are the names of the columns."""

    manifest: str = Field(
        default="manifest.csv",
        description="Path of the manifest, a text table or an Excel workbook, relative to root; used if it exists",
    )
    manifest_sheet: str | None = Field(
        default=None,
        description="Name of the sheet of a manifest that is a workbook; needed where several sheets hold something",
    )
    file_column: str = Field(default="file", description="Manifest column of the image's path, relative to root")
    split_column: str = Field(
        default="split", description="Manifest column of the split; an empty cell takes the split of the folder"
    )
    label_column: str = Field(
        default="label",
        description="Manifest column of the class name; an empty cell means unlabelled. With harvest_table it may be "
        "missing",
    )
    plant_column: str = Field(
        default="plant_id",
        description="Manifest column of the plant id; without it, the id is made of plot, row and number, or else the "
        "path without suffix is the id",
    )
    plot_column: str = Field(
        default="plot",
        description="Manifest column of the plant's plot, by which reports count and lists are sorted; also for ids "
        "where plant_column has none",
    )
    row_column: str = Field(
        default="row",
        description="Manifest column of the plant's row in its plot, for walking order; also for ids where "
        "plant_column has none",
    )
    number_column: str = Field(
        default="number",
        description="Manifest column of the plant's number in its row, for walking order; also for ids where "
        "plant_column has none",
    )
    variety_column: str = Field(default="variety", description="Manifest column of the plant's variety")
    date_column: str = Field(
        default="date",
        description="Manifest column of the acquisition date; without it, all images belong to the requested date",
    )
    date_format: str | None = Field(
        default=None, description="Format of the dates, as for strptime; null reads ISO dates"
    )
    easting_column: str = Field(
        default="easting", description="Manifest column of the plant's easting in metres, in the system of crs"
    )
    northing_column: str = Field(
        default="northing", description="Manifest column of the plant's northing in metres, in the system of crs"
    )
    latitude_column: str = Field(
        default="latitude",
        description="Manifest column of the plant's latitude in degrees, WGS 84; used where there is no easting",
    )
    longitude_column: str = Field(
        default="longitude",
        description="Manifest column of the plant's longitude in degrees, WGS 84; used where there is no easting",
    )

    @property
    def positions(self) -> PositionColumns:
        """Return the names of the columns of positions."""
        return PositionColumns(self.easting_column, self.northing_column, self.longitude_column, self.latitude_column)

    @property
    def places(self) -> tuple[str, str, str]:
        """Return the names of the columns of plot, row and number."""
        return self.plot_column, self.row_column, self.number_column


def read_manifest(root: Path, columns: ManifestFiles, needs_label: bool) -> tuple[list[Entry], list[str]]:
    """Read the entries of a manifest, and notes on the places and varieties of plants.

    Parameters
    ----------
    needs_label : whether the column of the class must be there.

    Raises
    ------
    InputError : a column is missing, a row is malformed, a file is named twice or lies outside the root, or a row
        contradicts the folders of its file.
    """
    table = read_table(root / columns.manifest, columns.manifest_sheet)
    table.require(columns.file_column, columns.split_column, *([columns.label_column] if needs_label else []))
    entries = [read_row(root, table, line, row, columns) for line, row in table.rows]
    refuse_repeated_files(entries, table)
    refuse_contradictions(entries, table)
    numbers = [row.get(columns.number_column, "") for _, row in table.rows]
    stated = zip(numbers, [one.place for one in entries], strict=True)
    plants: dict[str, tuple[Split, Place | None]] = {one.plant_id: (one.split, one.place) for one in entries}
    return entries, [*describe_numbers(stated), *describe_places(entries), *describe_varieties(plants.values())]


def read_row(root: Path, table: TextTable, line: int, row: dict[str, str], columns: ManifestFiles) -> Entry:
    """Read one row of a manifest, or raise InputError."""
    where = f"{table.path.name}, line {line}"
    if not row[columns.file_column]:
        raise InputError(
            f"{where}, names no file", "Every row of a manifest must name a file", f"fill in {columns.file_column}"
        )
    path = relative_path(find_named_file(root, row[columns.file_column], table.path.name), root)
    word = row[columns.split_column].lower()
    folder_split, _ = read_place(path)
    split = SPLIT_WORDS.get(word) if word else folder_split
    if split is None:
        raise InputError(
            f"{where}, has {f'the split {word}' if word else 'no split'}",
            "The split of an image must be train, val, test or new",
            "correct the row",
        )
    acquired = None
    if columns.date_column in table.columns:
        acquired = parse_date(row[columns.date_column], columns.date_format)
        if acquired is None:
            raise InputError(
                f"{where}, has the date {row[columns.date_column]!r}",
                f"Dates must be written as {columns.date_format or 'ISO, e.g. 2021-08-23'}",
                "correct the row, or set date_format",
            )
    position_columns = columns.positions.find(table)
    position = read_position(table.path.name, line, row, position_columns) if position_columns else None
    plant_id = row.get(columns.plant_column) or name_by_place(where, row, columns.places) or without_suffix(path)
    source, label = "manifest" if word else "folder", row.get(columns.label_column, "")
    place = Place.read(*(row.get(name, "") for name in (*columns.places, columns.variety_column)))
    return Entry(path, split, source, label, plant_id, acquired, position, place)


def name_by_place(where: str, row: dict[str, str], columns: tuple[str, str, str]) -> str:
    """Return a plant id made of plot, row and number, such as `Plot2_E18` or `Plot2_3_18`.

    It is empty if all cells are empty, or if the table has no number, or neither plot nor row.

    Parameters
    ----------
    columns : names of the columns of plot, row and number.

    Raises
    ------
    InputError : some of the cells are empty.
    """
    cells = {name: row[name] for name in columns if name in row}
    if columns[2] not in cells or len(cells) < 2 or not any(cells.values()):
        return ""
    if empty := [name for name, cell in cells.items() if not cell]:
        raise InputError(
            f"{where}, has {', '.join(f'{name} {cell}' for name, cell in cells.items() if cell)} and no {empty[0]}",
            f"A plant without an id needs {', '.join(cells)}, of which its id is made",
            f"fill in {empty[0]}, or give the plant an id",
        )
    plot, line, number = (cells.get(name, "") for name in columns)
    parts = [f"Plot{PLOT_WORD.sub('', plot)}"] if plot else []
    return "_".join([*parts, f"{line}{number}" if not line or line.isalpha() else f"{line}_{number}"])


def describe_places(entries: Sequence[Entry]) -> list[str]:
    """Return a note on plants whose images state different plots, rows, numbers or varieties."""
    places: dict[str, set[Place]] = defaultdict(set)
    for one in entries:
        if one.place is not None:
            places[one.plant_id].add(one.place)
    several = sorted(plant_id for plant_id, found in places.items() if len(found) > 1)
    said = f"{len(several)} plants have several plots, rows, numbers or varieties: {name_some(several)}"
    return [said] if several else []
