"""Choose the columns of a file of plants for ids and splits, by usual names and by what their cells hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import InputError
from tasks.recognise.columns import NUMBER, PLANT_ID, PLOT, ROW, SPLIT, find_column, find_columns
from tasks.recognise.plants import Candidate, Places
from tasks.sources.field.plants import make_ids, read_splits
from tasks.sources.field.plants_file import PlantRow, PlantsFile, read_rows
from tasks.sources.field.splits import draw_blocks, keep_apart, square_blocks

MOST_BLOCKS = 6  # square blocks along a side of the field
LEAST_CROPS = 2  # least side of a block, in sides of a crop: neighbours are never drawn one by one
MOST_ASIDE = 0.4  # share of the plants that lie too near to those of another split, above which blocks are larger


@dataclass(frozen=True, slots=True)
class Ids:
    """A way to name the plants.

    Attributes
    ----------
    keys : keys of `[source.plants]` that it needs; empty for ids made of positions.
    ids : id of every plant, in the order of the file.
    why : sentence on why the ids are right.
    """

    keys: dict[str, str]
    ids: tuple[str, ...]
    why: str


def find_ids(root: Path, plants: Candidate, places: Places) -> tuple[list[Ids], list[str]]:
    """Return the ways in which every plant has an id of its own, and remarks on columns that give none.

    Columns with usual names of ids come first, then plot, row and number, then positions.

    Parameters
    ----------
    places : easting and northing of the plants, metres.
    """
    columns = plants.columns
    ways: list[tuple[dict[str, str], str]] = [
        ({"id_column": name}, f"Column {name} has a usual name of ids, and a value of its own for every plant.")
        for name in find_columns(columns, PLANT_ID)
    ]
    plot, row, number = (find_column(columns, usual) for usual in (PLOT, ROW, NUMBER))
    if number and (plot or row):
        parts = {"plot_column": plot, "row_column": row, "number_column": number}
        why = "Columns of these names give every plant an id of its own."
        ways.append(({key: name for key, name in parts.items() if name}, why))
    ways.append(({}, "No column names the plants, so ids are made of positions, such as E365001.00_N5614999.00."))
    found: list[Ids] = []
    remarks: list[str] = []
    for keys, why in ways:
        try:
            options = PlantsFile(**{**plants.keys, **keys})
            ids = make_ids(read_rows(root, options), options, places)
        except InputError as error:
            remarks.append(error.found.splitlines()[0])
            continue
        if len(set(ids)) == len(ids) or not keys:  # the source tells which positions are there twice
            found.append(Ids(keys, tuple(ids), why))
        else:
            remarks.append(f"{', '.join(keys.values())}: {len(ids) - len(set(ids))} plants repeat the id of another")
    return found, remarks


@dataclass(frozen=True, slots=True)
class Splits:
    """How plants are split.

    Attributes
    ----------
    split : column of the split, if there is one.
    plot : column of plots, if every plant has one.
    plots : names of the plots.
    remark : why a column with a usual name is not taken; empty if there is none.
    """

    split: str | None
    plot: str | None
    plots: tuple[str, ...]
    remark: str


def find_splits(root: Path, plants: Candidate) -> Splits:
    """Find the columns that state splits or plots."""
    split, plot = find_column(plants.columns, SPLIT), find_column(plants.columns, PLOT)
    remark = ""
    if split:
        rows = cells(root, plants, {"split_column": split})
        try:
            read_splits(rows, split, plants.path)
        except InputError as error:
            split, remark = None, f"{error.found}, so the column is not taken for splits"
    plots = sorted({row.cells[plot] for row in cells(root, plants, {"plot_column": plot})}) if plot else []
    return Splits(split, plot if "" not in plots else None, tuple(plots), remark)


def cells(root: Path, plants: Candidate, keys: dict[str, Any]) -> Sequence[PlantRow]:
    """Return the rows of the plants, with the cells of these columns."""
    return read_rows(root, PlantsFile(**{**plants.keys, **keys})).rows


def block_side(places: Places, crop: float) -> float | None:
    """Return a side of square blocks (m) for a split, or None if no blocks leave enough plants.

    Blocks are as many as six by six. There are fewer where the margin between splits, which is the side of a crop,
    would set aside more than `MOST_ASIDE` of the plants. A block holds two by two crops or more.

    Parameters
    ----------
    places : easting and northing of the plants, metres.
    crop : side of a crop, metres.
    """
    extents = [float(axis.max() - axis.min()) for axis in places]
    side = max((extents[0] * extents[1]) ** 0.5, max(extents) / 6)
    for n in range(MOST_BLOCKS, 1, -1):
        tried = float(f"{side / n:.2g}")
        if tried < LEAST_CROPS * crop:
            continue
        try:
            names = square_blocks(*places, tried)
            split_of = draw_blocks(names, 0)
            kept = keep_apart(*places, [split_of[name] for name in names], crop)
        except (InputError, ZeroDivisionError):
            continue
        if kept.count("new") <= MOST_ASIDE * len(kept):
            return tried
    return None
