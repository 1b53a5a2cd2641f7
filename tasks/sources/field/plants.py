"""Make the plants of a field from the rows of its file: ids, positions in metres, places in plots, and splits."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.checks import SPLIT_WORDS, describe_numbers, describe_varieties, text_table
from tasks.sources.contract import Place
from tasks.sources.crs import WGS_84, utm_zone
from tasks.sources.field.plants_file import PlantRow, PlantRows, PlantsFile, read_rows
from tasks.sources.field.slips import Places, find_slip
from tasks.sources.field.splits import Blocks, describe_splits, draw_blocks, keep_apart, square_blocks
from tasks.sources.projections import SCALE_TOLERANCE, metres_on_ground, read_crs, transform

NO_SPLIT = (
    "no split is stated, so all plants count as new; set source.plants.split_column, source.plants.plot_column or "
    "source.block_metres"
)


@dataclass(frozen=True, slots=True)
class FieldPlant:
    """One plant of a field.

    Attributes
    ----------
    split_source : where the split was read: `plants`, `blocks` or `none`.
    easting, northing : position in metres, to the millimetre.
    place : plot, row, number and variety; None if the file states none of them.
    """

    plant_id: str
    split: Split
    split_source: str
    easting: float
    northing: float
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class FieldPlants:
    """Plants of a field.

    Attributes
    ----------
    plants : plants in the order of the file.
    places : positions in the file's own CRS.
    crs : CRS of `places`, as an EPSG code or WKT.
    notes : remarks on splits and places.
    """

    plants: tuple[FieldPlant, ...]
    places: Places
    crs: str
    notes: tuple[str, ...]


def read_plants(root: Path, options: PlantsFile, crs: str, crop_metres: float, blocks: Blocks) -> FieldPlants:
    """Read the plants of a field.

    Parameters
    ----------
    crs : projected CRS in metres of easting and northing.
    crop_metres : side of a crop, metres.
    blocks : how splits are drawn.

    Raises
    ------
    InputError : the file cannot be read, a row has no position, ids are missing or not unique, a split is unknown, or
        the plants lie where `crs` does not measure metres.
    """
    found, given, places = locate_rows(root, options, crs)
    ids = make_ids(found, options, places)
    refuse_same_ids(options.path, found.rows, ids)
    splits, where = find_splits(found, options, places, blocks)
    stated = [read_place(row, options) for row in found.rows]
    notes = [NO_SPLIT] if where == "none" else describe_splits(*places, splits, crop_metres)
    plants = [
        FieldPlant(plant_id, split, source_of(split, where), round(easting, 3), round(northing, 3), place)
        for plant_id, split, easting, northing, place in zip(
            ids, splits, *(axis.tolist() for axis in places), stated, strict=True
        )
    ]
    if n_aside := sum(one.split == "new" and one.split_source == "blocks" for one in plants):
        notes.append(
            f"{n_aside} of {len(plants)} plants lie less than {blocks.margin:g} m (source.block_margin) from plants of "
            "another split; they count as new and without a label, so they are only scored"
        )
    notes += describe_varieties(zip(splits, stated, strict=True))
    if column := options.number_column:
        notes += describe_numbers(zip((row.cells[column] for row in found.rows), stated, strict=True))
    return FieldPlants(tuple(plants), given, found.crs, tuple(notes))


def source_of(split: Split, where: str) -> str:
    """Return where a plant's split was read; `none` if it is in none, unless the margin of blocks set it aside."""
    return "none" if split == "new" and where != "blocks" else where


def locate_rows(root: Path, options: PlantsFile, crs: str) -> tuple[PlantRows, Places, Places]:
    """Read the rows of a file of plants, with their positions in its own CRS and in a projected one (m).

    Raises
    ------
    InputError : the file cannot be read, a row has no position, or the plants lie where `crs` does not measure metres.
    """
    found = read_rows(root, options)
    given = np.array([row.x for row in found.rows]), np.array([row.y for row in found.rows])
    places = transform(*given, found.crs, crs)
    refuse_wrong_crs(options.path, given, found.crs, places, crs)
    return found, given, places


def read_place(row: PlantRow, options: PlantsFile) -> Place | None:
    """Return the place of a plant in its field, as the columns of its row state it."""
    return Place.read(*("" if column is None else row.cells[column] for column in options.place_columns))


def refuse_wrong_crs(name: str, given: Places, given_crs: str, places: Places, crs: str) -> None:
    """Refuse positions that their CRS cannot mean, and a CRS that does not measure metres where the plants lie.

    Raises
    ------
    InputError : PROJ cannot transform a position, or a metre of `crs` is not a metre on the ground there.
    """
    lon, lat = transform(*given, given_crs, WGS_84)
    wrong = np.flatnonzero(~((np.abs(lon) <= 360) & (np.abs(lat) <= 90)))  # also infinite ones
    slip = find_slip(given, lambda places: measures_metres(transform(*places, given_crs, crs), crs))
    if len(wrong):
        first = f"x = {given[0][wrong[0]]:.10g}, y = {given[1][wrong[0]]:.10g}"
        raise InputError(
            f"{len(wrong)} of {len(lon)} positions of {name} lie nowhere in {read_crs(given_crs).name}: {first}",
            "Positions must lie where their coordinate reference system is defined",
            slip or "correct these positions or source.plants.crs",
        )
    if not measures_metres(places, crs):
        place = float(np.median(lon)), float(np.median(lat))
        zone = utm_zone(*place) or "a projected system of the region"
        raise InputError(
            f"The plants of {name} lie at longitude {place[0]:.5f} and latitude {place[1]:.5f}, where {crs} measures "
            "no metres",
            "source.crs must be a projected system of the field's region",
            slip or f"set source.crs to {zone}, or correct source.plants.crs if the place is wrong",
        )


def measures_metres(places: Places, crs: str) -> bool:
    """Return whether a unit of a CRS is a metre on the ground in the middle of some places."""
    centre = float(np.median(places[0])), float(np.median(places[1]))
    return all(abs(one - 1) <= SCALE_TOLERANCE for one in metres_on_ground(read_crs(crs), *centre))


def make_ids(found: PlantRows, options: PlantsFile, places: Places) -> list[str]:
    """Return the id of every row: its id column, else plot, row and number, else its position in centimetres.

    Raises
    ------
    InputError : a cell that an id needs is empty.
    """
    parts = (options.plot_column, options.row_column, options.number_column)
    needed = [options.id_column] if options.id_column else [part for part in parts if part and options.number_column]
    refuse_empty_cells(found.rows, needed, options.path, "Every plant must have an id")
    if options.id_column:
        return [row.cells[options.id_column] for row in found.rows]
    if needed:
        return ["_".join(plot_name(row.cells[one], one == options.plot_column) for one in needed) for row in found.rows]
    return [f"E{east:.2f}_N{north:.2f}" for east, north in zip(*places, strict=True)]


def refuse_empty_cells(rows: Sequence[PlantRow], columns: Sequence[str], name: str, rule: str) -> None:
    """Raise InputError if a row has an empty cell in one of these columns."""
    empty = [row.where for row in rows if not all(row.cells[column] for column in columns)]
    if empty:
        raise InputError(
            f"{' or '.join(columns)} is empty in {name}: {', '.join(empty[:20])}",
            rule,
            "fill in these rows, or leave out the key that names the column",
        )


def plot_name(cell: str, is_plot: bool) -> str:
    """Return a part of an id that is made; numbers of plots begin with `Plot`, by which tables know the plot."""
    return f"Plot{cell}" if is_plot and cell.isdigit() else cell


def refuse_same_ids(name: str, rows: Sequence[PlantRow], ids: Sequence[str]) -> None:
    """Raise InputError if plants have the same id, and list them."""
    of_id: dict[str, list[str]] = defaultdict(list)
    for row, plant_id in zip(rows, ids, strict=True):
        of_id[plant_id].append(row.where)
    twice = [(plant_id, ", ".join(where)) for plant_id, where in sorted(of_id.items()) if len(where) > 1]
    if twice:
        raise InputError(
            f"Plants of {name} with the same id: {len(twice)}{text_table(('plant', 'rows'), twice)}",
            "Every plant must have an id of its own",
            "remove rows that are there twice, or name the columns that tell the plants apart: "
            "source.plants.plot_column, row_column and number_column",
        )


def find_splits(found: PlantRows, options: PlantsFile, places: Places, blocks: Blocks) -> tuple[list[Split], str]:
    """Return the split of every row and where it was read: `plants` (a column), `blocks` or `none`.

    Raises
    ------
    InputError : a split is unknown, there are fewer than three blocks, or their margin leaves a split without plants.
    """
    if options.split_column:
        return read_splits(found.rows, options.split_column, options.path), "plants"
    if blocks.side is not None:
        names = square_blocks(*places, blocks.side)
    elif options.plot_column:
        refuse_empty_cells(found.rows, [options.plot_column], options.path, "Every plant must have a plot")
        names = [row.cells[options.plot_column] for row in found.rows]
    else:
        return ["new"] * len(found.rows), "none"
    split_of = draw_blocks(names, blocks.seed)
    drawn: list[Split] = [split_of[name] for name in names]
    return drawn if blocks.side is None else keep_apart(*places, drawn, blocks.margin), "blocks"


def read_splits(rows: Sequence[PlantRow], column: str, name: str) -> list[Split]:
    """Return the split of every row's cell; an empty cell means new."""
    words = Counter(row.cells[column] for row in rows)
    unknown = sorted(word for word in words if word and word.lower() not in SPLIT_WORDS)
    if unknown:
        raise InputError(
            f"Unknown splits in {name}, column {column}: {', '.join(map(repr, unknown[:20]))}",
            "The split of a plant must be train, val, test or new",
            "correct these rows, or leave out source.plants.split_column to draw blocks",
        )
    return [SPLIT_WORDS[row.cells[column].lower()] if row.cells[column] else "new" for row in rows]
