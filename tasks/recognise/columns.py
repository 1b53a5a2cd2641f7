"""Find columns of tables and map layers by their usual names, and dates and flags by what their cells hold."""

import re
from collections.abc import Iterable, Sequence
from datetime import date

from tasks.sources.harvest_table import FlagWords
from tasks.sources.harvests import parse_harvest
from tasks.sources.text_tables import TextTable, parse_date

# Usual names in lower case without separators, the more telling ones first.
PLANT_ID = ("plantid", "plant", "plantname", "pflanze", "pflanzenid", "treeid", "id", "name", "label", "fid")
PLOT = ("plot", "plotid", "plotnumber", "parcel", "parzelle", "bed", "beet", "block")
ROW = ("row", "rowid", "rownumber", "reihe", "line")
NUMBER = ("number", "plantnumber", "plantno", "position", "pos", "no", "nr", "num")
SPLIT = ("split", "subset", "fold", "partition", "set")
VARIETY = ("variety", "cultivar", "sorte", "genotype", "hybrid")
METRES = (("easting", "northing"), ("east", "north"), ("utme", "utmn"), ("utmx", "utmy"), ("rechtswert", "hochwert"))
DEGREES = (("longitude", "latitude"), ("lon", "lat"), ("long", "lat"), ("lng", "lat"))
EITHER = (("x", "y"), ("xcoord", "ycoord"), ("coordx", "coordy"), ("pointx", "pointy"), ("e", "n"))
HARVEST = ("harvest", "cut", "ernte", "picked")  # words in names of columns of harvests
READY = ("ready", "reif", "ripe")  # words in names of columns of what a person observed, which is no harvest
# Words in names of columns of other dates than those of harvests.
OTHER_DAYS = ("plant", "sow", "sown", "gepflanzt", "aussaat", "acquired", "acquisition", "flight", "flug")
VISIT = ("visit", "date", "day", "datum", "tag", "begehung")
FILE = ("file", "filename", "filepath", "path", "image", "imagepath", "img", "photo")
LABEL = ("label", "class", "category", "target", "state", "klasse")
DATE = ("date", "acquired", "acquisitiondate", "day", "datum")

# Ways of writing dates that are tried in this order; None is ISO. Day and month may be told apart by none of them.
DATE_FORMATS = (None, "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d.%m.%y")


def plain(name: str) -> str:
    """Return a column's name in lower case without what stands in brackets, spaces and separators."""
    return re.sub(r"[\W_]+", "", re.sub(r"[\[(].*?[\])]", "", name.lower()))


def find_columns(columns: Iterable[str], usual: Sequence[str]) -> list[str]:
    """Return the columns that have one of the usual names, in the order of these names."""
    found = [(usual.index(plain(column)), column) for column in columns if plain(column) in usual]
    return [column for _, column in sorted(found, key=lambda one: one[0])]


def find_column(columns: Iterable[str], usual: Sequence[str]) -> str | None:
    """Return the column that has the first of the usual names; None if none has one."""
    return next(iter(find_columns(columns, usual)), None)


def find_pair(columns: Sequence[str], usual: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the columns x and y that have the first of the usual pairs of names; None if none have."""
    for x_name, y_name in usual:
        x, y = find_column(columns, (x_name,)), find_column(columns, (y_name,))
        if x is not None and y is not None:
            return x, y
    return None


def date_formats(cells: Sequence[str], has_never: bool = False) -> list[str | None]:
    """Return the formats in which all cells are dates, empty cells apart; none if all are empty.

    Parameters
    ----------
    has_never : whether the word `never` counts as a date, as in a column of harvests.
    """
    filled = [cell for cell in cells if cell and not (has_never and cell.lower() == "never")]
    if not filled:
        return []
    return [one for one in DATE_FORMATS if all(parse_date(cell, one) is not None for cell in filled)]


def dates_in(cells: Sequence[str], date_format: str | None) -> list[date]:
    """Return the dates of cells, without empty cells and the word `never`."""
    read = [parse_harvest(cell, date_format) for cell in cells if cell]
    return [day for day in read if isinstance(day, date)]


def cells_of(table: TextTable, column: str) -> list[str]:
    """Return the cells of a column."""
    return [row[column] for _, row in table.rows]


def columns_of_words(table: TextTable, words: FlagWords) -> list[str]:
    """Return the columns whose cells are all among some words, empty cells apart, and of which one is filled."""
    filled = {column: [cell for cell in cells_of(table, column) if cell] for column in table.columns}
    return [name for name, cells in filled.items() if cells and all(words.flag(cell) is not None for cell in cells)]
