"""Find the table of harvests in a folder: the one whose column of plants names most plants of the images."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from tasks.recognise.columns import (
    HARVEST,
    OTHER_DAYS,
    READY,
    VISIT,
    cells_of,
    columns_of_words,
    date_formats,
    dates_in,
    plain,
)
from tasks.recognise.folder_files import Sheet
from tasks.recognise.keys import Key, date_format_keys
from tasks.sources.harvest_table import FlagWords, ReadyWords
from tasks.sources.harvests import SEASON_DAYS
from tasks.sources.matching import near_matches
from tasks.sources.text_tables import TextTable

TABLE = "source.harvest_table"
NOT_NAMED = "Are these the days of harvest? All cells are dates, and the name of the column does not say so."
NO_FLAG_NAME = "Does yes mean that a plant is cut? All cells say yes or no, and the name of the column does not say so."
WHAT = {"flag_column": "flags at visits", "ready_column": "observations of ready plants"}
WHY = {
    "flag_column": "All its cells say yes or no.",
    "ready_column": "What a person observed: all its cells say whether the plant is ready.",
}
N_PAIRS = 5  # pairs of names written differently that are told
NO_TABLE = (
    "Which plants were cut when? No table names plants of the images and days of their harvest. Without one, `harvest "
    "look` works, and `harvest run` has no labels to train with."
)


@dataclass(frozen=True, slots=True)
class HarvestFound:
    """A table of harvests.

    Attributes
    ----------
    keys : keys of `[source.harvest_table]`.
    n_matched : number of its plants that the images show, or that are written differently.
    said : what was recognised.
    others : other tables that name the plants.
    """

    table: Sheet
    keys: tuple[Key, ...]
    n_matched: int
    said: str
    others: tuple[Sheet, ...] = ()

    @property
    def used(self) -> set[str]:
        """Return the path of the table, and its name."""
        return {self.table.path, str(self.table)}


@dataclass(frozen=True, slots=True)
class Dated:
    """Columns of a table that say when plants were harvested, or ready.

    Attributes
    ----------
    flag : column of flags at visits, or of observations; None for a table of harvest dates.
    day : column of the harvest date, or of the visit or observation.
    key : key of the column `flag`.
    formats : ways in which its dates can be read; None is ISO.
    others : other columns that might be meant.
    """

    flag: str | None
    day: str
    formats: tuple[str | None, ...]
    others: tuple[str, ...]
    key: Literal["flag_column", "ready_column"] = "flag_column"


def find_harvest_table(
    tables: Mapping[Sheet, TextTable], plants: Collection[str], acquired: Sequence[date], own: str = ""
) -> HarvestFound | None:
    """Return the table of harvests that names most of the plants; None if no table has plants and harvests.

    Parameters
    ----------
    plants : ids of the plants of the images.
    acquired : acquisition dates.
    own : file of the images or plants, in which only a column with a usual name is one of harvests.
    """
    found = [
        one
        for sheet, table in tables.items()
        if (one := read_candidate(sheet, table, plants, acquired, sheet.path == own))
    ]
    if not found:
        return None
    best, *others = sorted(found, key=lambda one: (-one.n_matched, str(one.table)))
    return HarvestFound(best.table, best.keys, best.n_matched, best.said, tuple(one.table for one in others))


def read_candidate(
    sheet: Sheet, table: TextTable, plants: Collection[str], acquired: Sequence[date], is_own: bool
) -> HarvestFound | None:
    """Return a table as one of harvests; None if it names no plant of the images, or no day."""
    column, n_equal, pairs = plant_column(table, plants)
    dated = None if column is None else find_dates(table, column, acquired)
    if column is None or dated is None or (is_own and not is_of(dated.flag or dated.day, (*HARVEST, *READY))):
        return None
    named = set(cells_of(table, column))
    keys = [
        Key(TABLE, "path", sheet.path, f"Column {column} names {n_equal} of the {len(plants)} plants of the images."),
        *([Key(TABLE, "sheet", sheet.name, "The workbook has several sheets.")] if sheet.name else []),
        plant_key(column, n_equal, len(named), pairs),
        *date_keys(table, dated),
    ]
    what = "harvest dates" if not dated.flag else WHAT[dated.key]
    said = (
        f"{sheet}: {what} in column {dated.flag or dated.day}; {n_equal} of its {len(named)} plants are in the images"
    )
    if pairs:
        said += f", and {len(pairs)} are written differently ({write_pairs(pairs)})"
    return HarvestFound(sheet, tuple(keys), n_equal + len(pairs), said)


def plant_column(table: TextTable, plants: Collection[str]) -> tuple[str | None, int, list[tuple[str, str]]]:
    """Return the column that names most plants, how many, and the pairs (table, images) written differently."""
    known = set(plants)
    best: tuple[str | None, int, list[tuple[str, str]]] = (None, 0, [])
    for column in table.columns:
        named = set(cells_of(table, column)) - {""}
        equal = named & known
        pairs = near_matches(named - equal, known - equal)
        if len(equal) + len(pairs) > best[1] + len(best[2]):
            best = column, len(equal), pairs
    return best


def plant_key(column: str, n_equal: int, n_named: int, pairs: Sequence[tuple[str, str]]) -> Key:
    """Return the key of the column of plants, which is a question where ids are written differently."""
    if not pairs:
        return Key(TABLE, "plant_column", column, f"{n_equal} of its {n_named} plants have the id of a plant.")
    why = (
        f"{len(pairs)} plants are written differently in the table and in the images: {write_pairs(pairs)}. Are they "
        "the same? Only equal names get a label: correct the table."
    )
    return Key(TABLE, "plant_column", column, why, is_question=True)


def write_pairs(pairs: Sequence[tuple[str, str]]) -> str:
    """Write the first pairs of names in the table and in the images."""
    return ", ".join(f"{one} for {other}" for one, other in pairs[:N_PAIRS]) + (", ..." if pairs[N_PAIRS:] else "")


def find_dates(table: TextTable, plant: str, acquired: Sequence[date]) -> Dated | None:
    """Return the columns that say when plants were harvested; None if there are none.

    Visits and observations have a flag and a date in every row. Visits have plants in several rows, unless there are no
    dates of harvests. Other tables have harvest dates.
    """
    others = [column for column in table.columns if column != plant and not is_of(column, OTHER_DAYS)]
    days = [column for column in others if date_formats(cells_of(table, column), has_never=True)]
    flags = [column for column in columns_of_words(table, FlagWords()) if column in others and not is_of(column, READY)]
    names = cells_of(table, plant)
    by_name = sorted(days, key=lambda column: not is_of(column, HARVEST))
    visits = sorted((one for one in days if all(cells_of(table, one))), key=lambda one: not is_of(one, VISIT))
    seen = [one for one in columns_of_words(table, ReadyWords()) if one in others and is_of(one, READY)]
    if seen and visits:
        return Dated(seen[0], visits[0], formats_of(table, visits[0], acquired), tuple(seen[1:]), "ready_column")
    if flags and visits and len(set(names)) < len(names):
        flags.sort(key=lambda column: not is_of(column, HARVEST))
        return Dated(flags[0], visits[0], formats_of(table, visits[0], acquired), tuple(flags[1:]))
    if not days:
        return None
    return Dated(None, by_name[0], formats_of(table, by_name[0], acquired), tuple(by_name[1:]))


def is_of(column: str, beginnings: Sequence[str]) -> bool:
    """Return whether a column's name holds one of these words."""
    return any(word in plain(column) for word in beginnings)


def formats_of(table: TextTable, column: str, acquired: Sequence[date]) -> tuple[str | None, ...]:
    """Return the ways in which a column's dates can be read, those in the season of the images first."""
    cells = cells_of(table, column)
    season = timedelta(SEASON_DAYS)

    def is_of_season(date_format: str | None) -> bool:
        found = dates_in(cells, date_format)
        return all(min(acquired) - season <= day <= max(acquired) + season for day in found)

    formats = date_formats(cells, has_never=True)
    in_season = [one for one in formats if is_of_season(one)]
    return tuple(in_season or formats)


def date_keys(table: TextTable, dated: Dated) -> list[Key]:
    """Return the keys of the columns of harvests, of the form of dates, and of the end of the records."""
    cells = cells_of(table, dated.day)
    keys: list[Key] = []
    others = tuple((column, "also a column of this kind") for column in dated.others)
    if dated.flag:
        is_named = is_of(dated.flag, (*HARVEST, *READY))
        why = WHY[dated.key] if is_named else NO_FLAG_NAME
        keys.append(Key(TABLE, dated.key, dated.flag, why, is_question=not is_named, others=others))
        keys.append(Key(TABLE, "visit_column", dated.day, "Every row has a date in it."))
    else:
        is_named = is_of(dated.day, HARVEST)
        why = "All its cells are dates, never or empty." if is_named else NOT_NAMED
        keys.append(Key(TABLE, "harvest_column", dated.day, why, is_question=not is_named, others=others))
    keys += date_format_keys(TABLE, dated.formats, "All cells fit.")
    return keys if dated.flag else [*keys, until_key(dates_in(cells, dated.formats[0]))]


def until_key(days: Sequence[date]) -> Key:
    """Return the open key of the last day on which harvests were recorded."""
    last = max(days)
    why = (
        "On which day were harvests recorded last? Until it is stated, the table's last date, "
        f"{last}, is taken, and images whose three days end later get no label."
    )
    return Key(TABLE, "observed_until", last.isoformat(), why, is_open=True)


def harvest_keys(found: HarvestFound | None) -> list[Key]:
    """Return the keys of `[source.harvest_table]`, which are open if there is no table."""
    if found is None:
        return [
            Key(TABLE, "path", "harvest.csv", NO_TABLE, is_open=True),
            Key(TABLE, "plant_column", "plant_id", "Column of the ids of the plants.", is_open=True),
            Key(TABLE, "harvest_column", "harvest_date", "Column of the harvest date, or never.", is_open=True),
        ]
    first, *rest = found.keys
    other = tuple((one.path, f"{one} names plants and days too") for one in found.others)
    return [Key(first.table, first.name, first.value, first.why, others=other), *rest]
