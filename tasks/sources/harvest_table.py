"""Read when plants were harvested or ready, from a table of harvest dates, of flags at visits, or of observations."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from storage.errors import InputError
from tasks.parameters import Params
from tasks.sources.checks import counts_table, text_table
from tasks.sources.harvests import (
    HarvestRecords,
    HarvestRow,
    Observations,
    Visits,
    harvests_from_dates,
    harvests_from_visits,
    last_harvest,
    parse_harvest,
    refuse_other_seasons,
    refuse_wrong_harvests,
)
from tasks.sources.text_tables import TextTable, parse_date, read_table

DEFAULT_TABLES = ("harvest.csv", "harvest.xlsx")  # harvest tables that a source reads unasked, the first that exists


class FlagWords(Params):
    """Words that state a harvest flag."""

    key: ClassVar[str] = "words"
    said: ClassVar[str] = "harvest flag"
    true_words: tuple[str, ...] = Field(
        default=("yes", "true", "1", "y", "harvested"),
        min_length=1,
        description="Words that say a plant is harvested, compared without regard to case",
    )
    false_words: tuple[str, ...] = Field(
        default=("no", "false", "0", "n"),
        min_length=1,
        description="Words that say a plant is not harvested, compared without regard to case",
    )

    @model_validator(mode="after")
    def words_mean_one_thing(self) -> Self:
        """Refuse a word that is both in `true_words` and in `false_words`."""
        both = {word.lower() for word in self.true_words} & {word.lower() for word in self.false_words}
        if both:
            raise ValueError(
                f"true_words and false_words both have {', '.join(sorted(both))}; a word must be in one list only; "
                "remove it from the other"
            )
        return self

    def flag(self, word: str) -> bool | None:
        """Return whether a word means harvested, or None if it is in neither list."""
        lower = word.strip().lower()
        if lower in {known.lower() for known in self.true_words}:
            return True
        return False if lower in {known.lower() for known in self.false_words} else None


class ReadyWords(FlagWords):
    """Words that state what a person observed."""

    key: ClassVar[str] = "ready_words"
    said: ClassVar[str] = "observation"
    true_words: tuple[str, ...] = Field(
        default=("ready", "yes", "true", "1", "y"),
        min_length=1,
        description="Words that say a plant is ready, compared without regard to case",
    )
    false_words: tuple[str, ...] = Field(
        default=("not ready", "not_ready", "no", "false", "0", "n"),
        min_length=1,
        description="Words that say a plant is not ready, compared without regard to case",
    )


class HarvestTable(Params):
    """Location of the harvest table and the names of its columns.

    With `flag_column` the table has one row per plant and visit, with `ready_column` one per plant and observation,
    otherwise one row per plant.
    """

    path: str = Field(
        default="harvest.csv",
        description="Path of the harvest table, relative to the source's root: a text table or an Excel workbook",
    )
    sheet: str | None = Field(
        default=None, description="Name of the sheet of a workbook; needed where several sheets hold something"
    )
    plant_column: str = Field(default="plant_id", description="Column of the plant id")
    harvest_column: str = Field(
        default="harvest_date",
        description="Column of the harvest date; an empty cell means not harvested by observed_until, the word never "
        "that the plant was never harvested. Unused with flag_column",
    )
    observed_until: date | None = Field(
        default=None,
        description="Last day on which harvests were recorded in harvest_column; images whose readiness window ends "
        "later get no label. null takes the table's last date and says how many images that costs",
    )
    flag_column: str | None = Field(
        default=None,
        description="Column of the harvest flag at a visit; an empty cell means not visited. null reads harvest dates",
    )
    visit_column: str = Field(
        default="visit_date",
        description="Column of the date of a visit or observation, used with flag_column and ready_column",
    )
    ready_column: str | None = Field(
        default=None,
        description="Column of what a person observed on a date: whether the plant is ready. It labels the image of "
        "the plant on this date and no other; an empty cell means not observed. null reads no observations",
    )
    date_format: str | None = Field(
        default=None, description="Format of the dates, as for strptime; null reads ISO dates"
    )
    words: FlagWords = FlagWords()
    ready_words: ReadyWords = ReadyWords()

    @model_validator(mode="after")
    def dates_are_observed(self) -> Self:
        """Refuse `observed_until` for a table of flags at visits."""
        if self.flag_column is not None and self.observed_until is not None:
            raise ValueError(
                f"observed_until is {self.observed_until} and flag_column is {self.flag_column}; a table of visits "
                "shows by itself how long each plant was watched; remove observed_until"
            )
        return self

    @model_validator(mode="after")
    def has_one_form(self) -> Self:
        """Refuse keys of harvest dates or visits for a table of observations."""
        if self.ready_column is not None and (self.flag_column is not None or self.observed_until is not None):
            other = "observed_until" if self.flag_column is None else "flag_column"
            raise ValueError(
                f"ready_column is {self.ready_column} and {other} is given too; a table holds harvest dates, flags at "
                f"visits, or observations; remove one"
            )
        return self


def find_harvests(root: Path, options: HarvestTable | None, acquired: Sequence[date]) -> HarvestRecords:
    """Read a source's harvest table; without options `harvest.csv` or else `harvest.xlsx`, which may be missing.

    Raises
    ------
    InputError : the table cannot be read (see `read_harvest_table`).
    """
    if options is not None:
        return read_harvest_table(root, options, acquired)
    there = [name for name in DEFAULT_TABLES if (root / name).exists()]
    return read_harvest_table(root, HarvestTable(path=there[0]), acquired) if there else HarvestRecords()


def read_harvest_table(root: Path, options: HarvestTable, acquired: Sequence[date]) -> HarvestRecords:
    """Read a harvest table.

    Parameters
    ----------
    acquired : all acquisition dates of the source.

    Raises
    ------
    InputError : the file or a column is missing, a row has no plant id, a date is malformed, outside the season or
        after `observed_until`, a word is unknown (the message lists all words found), or a plant has two flags at one
        visit.
    """
    table = read_table(root / options.path, options.sheet)
    if options.ready_column is not None:
        table.require(options.plant_column, options.ready_column, options.visit_column)
        refuse_empty(table, options.plant_column)
        observed = read_observations(table, options, options.ready_column)
        refuse_other_seasons([(one, day) for one, days in observed.items() for day in days], acquired, table.path.name)
        records = HarvestRecords(observed=observed)
    elif options.flag_column is None:
        table.require(options.plant_column, options.harvest_column)
        refuse_empty(table, options.plant_column)
        records = read_date_records(table, options, acquired)
    else:
        table.require(options.plant_column, options.flag_column, options.visit_column)
        refuse_empty(table, options.plant_column)
        visits = read_visits(table, options, options.flag_column)
        days = [(plant_id, day) for plant_id, flags in visits.items() for day in flags]
        refuse_other_seasons(days, acquired, table.path.name)
        last_visit = max((day for flags in visits.values() for day in flags), default=date.min)
        records = harvests_from_visits(visits, last_visit)
    plants = frozenset(row[options.plant_column] for _, row in table.rows)
    return replace(records, table=table.path.name, plants=plants)


def read_date_records(table: TextTable, options: HarvestTable, acquired: Sequence[date]) -> HarvestRecords:
    """Read the records of a table of harvest dates, which ends on `observed_until` or else on its last date."""
    rows = read_dates(table, options)
    refuse_wrong_harvests(rows, acquired, options.observed_until, table.path.name)
    if options.observed_until is not None:
        return harvests_from_dates(rows, options.observed_until)
    last = last_harvest(rows)
    return replace(harvests_from_dates(rows, last), assumed_until=last)


def refuse_empty(table: TextTable, column: str) -> None:
    """Raise InputError if a row has an empty cell in this column."""
    empty = [str(line) for line, row in table.rows if not row[column]]
    if empty:
        raise InputError(
            f"{column} is empty in {table.path.name}, lines {', '.join(empty[:20])}",
            f"Every row of {table.path.name} must have a {column}",
            "fill in these rows",
        )


def read_dates(table: TextTable, options: HarvestTable) -> list[HarvestRow]:
    """Read the plant and the harvest of each row, which is None for an empty cell."""
    rows: list[HarvestRow] = []
    wrong: list[tuple[int, str, str]] = []
    for line, row in table.rows:
        text = row[options.harvest_column]
        day = parse_harvest(text, options.date_format) if text else None
        if text and day is None:
            wrong.append((line, row[options.plant_column], text))
        rows.append((row[options.plant_column], day))
    refuse_malformed_dates(table.path, wrong, options.date_format)
    return rows


def refuse_malformed_dates(path: Path, wrong: list[tuple[int, str, str]], date_format: str | None) -> None:
    """Raise InputError if there are malformed dates, and list their line, plant and text."""
    if wrong:
        raise InputError(
            f"Malformed dates in {path.name}: {len(wrong)}" + text_table(("line", "plant", "text"), wrong),
            f"Dates in {path.name} must be written as {date_format or 'ISO, e.g. 2021-08-23'}",
            "correct the dates, or set date_format",
        )


def read_visits(table: TextTable, options: HarvestTable, flag_column: str) -> Visits:
    """Read the flag of every plant at every visit, and ignore rows with an empty flag."""
    refuse_unknown_words((row[flag_column] for _, row in table.rows), options.words, table.path.name)
    visits: dict[str, dict[date, bool]] = defaultdict(dict)
    wrong: list[tuple[int, str, str]] = []
    for line, row in table.rows:
        plant_id, flag = row[options.plant_column], options.words.flag(row[flag_column])
        day = parse_date(row[options.visit_column], options.date_format)
        if day is None:
            wrong.append((line, plant_id, row[options.visit_column]))
        elif flag is not None and visits[plant_id].setdefault(day, flag) != flag:
            raise InputError(
                f"{plant_id} has two different harvest flags on {day} in {table.path.name}, line {line}",
                "A plant must have one harvest flag at a visit",
                "remove the wrong row",
            )
    refuse_malformed_dates(table.path, wrong, options.date_format)
    return visits


def read_observations(table: TextTable, options: HarvestTable, ready_column: str) -> Observations:
    """Read what was observed of every plant on every date, and ignore rows with an empty cell."""
    refuse_unknown_words((row[ready_column] for _, row in table.rows), options.ready_words, table.path.name)
    observed: dict[str, dict[date, frozenset[bool]]] = defaultdict(dict)
    wrong: list[tuple[int, str, str]] = []
    for line, row in table.rows:
        plant_id, is_ready = row[options.plant_column], options.ready_words.flag(row[ready_column])
        day = parse_date(row[options.visit_column], options.date_format)
        if day is None:
            wrong.append((line, plant_id, row[options.visit_column]))
        elif is_ready is not None:
            observed[plant_id][day] = observed[plant_id].get(day, frozenset()) | {is_ready}
    refuse_malformed_dates(table.path, wrong, options.date_format)
    return observed


def refuse_unknown_words(values: Iterable[str], words: FlagWords, where: str) -> None:
    """Refuse words of a table that are not in `words`; an empty word is allowed.

    Raises
    ------
    InputError : a word is unknown; the message lists all words found, with their counts.
    """
    counts = Counter(value if value else "(empty)" for value in values)
    unknown = sorted(value for value in counts if value != "(empty)" and words.flag(value) is None)
    if unknown:
        raise InputError(
            f"Unknown {words.said}s in {where}: {', '.join(map(repr, unknown[:20]))}; all values:"
            + counts_table("value", counts),
            f"Every {words.said} must be one of {', '.join((*words.true_words, *words.false_words))}",
            f"add the words to {words.key}.true_words or {words.key}.false_words",
        )
