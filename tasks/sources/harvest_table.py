"""Read when plants were harvested, from a table of harvest dates or of flags at visits.

A flag at a visit only says that the plant was harvested between the previous visit and this one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from storage.errors import InputError
from tasks.parameters import Params
from tasks.sources.checks import counts_table, text_table
from tasks.sources.contract import Harvest, LeftOut, SourceImage
from tasks.sources.files import TextTable, parse_date, read_table

Visits = Mapping[str, Mapping[date, bool]]
"""Plant id to visit date to whether the plant was flagged as harvested."""


class FlagWords(Params):
    """Words that state a harvest flag."""

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


class HarvestTable(Params):
    """Location of the harvest table and the names of its columns.

    With `flag_column` the table has one row per plant and visit, otherwise one row per plant.
    """

    path: str = Field(default="harvest.csv", description="Path of the harvest table, relative to the source's root")
    plant_column: str = Field(default="plant_id", description="Column of the plant id")
    harvest_column: str = Field(
        default="harvest_date",
        description="Column of the harvest date; an empty cell means never harvested. Unused with flag_column",
    )
    flag_column: str | None = Field(
        default=None,
        description="Column of the harvest flag at a visit; an empty cell means not visited. null reads harvest dates",
    )
    visit_column: str = Field(default="visit_date", description="Column of the visit's date, used with flag_column")
    date_format: str | None = Field(
        default=None, description="Format of the dates, as for strptime; null reads ISO dates"
    )
    words: FlagWords = FlagWords()


@dataclass(frozen=True, slots=True)
class HarvestRecords:
    """Harvest records of the plants of a source.

    Attributes
    ----------
    harvests : harvest interval by plant id; plants without a record are absent.
    faults : reason and detail by plant id, for plants whose records contradict each other.
    """

    harvests: dict[str, Harvest] = field(default_factory=dict[str, Harvest])
    faults: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])


def read_harvest_table(root: Path, options: HarvestTable) -> HarvestRecords:
    """Read a harvest table.

    Raises
    ------
    InputError : the file or a column is missing, a row has no plant id, a date is malformed, a flag word is unknown
        (the message lists all words found), or a plant has two flags at one visit.
    """
    table = read_table(root / options.path)
    if options.flag_column is None:
        table.require(options.plant_column, options.harvest_column)
        refuse_empty(table, options.plant_column)
        return harvests_from_dates(read_dates(table, options))
    table.require(options.plant_column, options.flag_column, options.visit_column)
    refuse_empty(table, options.plant_column)
    visits = read_visits(table, options, options.flag_column)
    last_visit = max((day for flags in visits.values() for day in flags), default=date.min)
    return harvests_from_visits(visits, last_visit)


def refuse_empty(table: TextTable, column: str) -> None:
    """Raise InputError if a row has an empty cell in this column."""
    empty = [str(line) for line, row in table.rows if not row[column]]
    if empty:
        raise InputError(
            f"{column} is empty in {table.path.name}, lines {', '.join(empty[:20])}",
            f"Every row of {table.path.name} must have a {column}",
            "fill in these cells",
        )


def read_dates(table: TextTable, options: HarvestTable) -> list[tuple[str, date | None]]:
    """Read the plant and the harvest date of each row; the date of an empty cell is None."""
    dates: list[tuple[str, date | None]] = []
    wrong: list[tuple[int, str, str]] = []
    for line, row in table.rows:
        text = row[options.harvest_column]
        day = parse_date(text, options.date_format) if text else None
        if text and day is None:
            wrong.append((line, row[options.plant_column], text))
        dates.append((row[options.plant_column], day))
    refuse_malformed_dates(table.path, wrong, options.date_format)
    return dates


def refuse_malformed_dates(path: Path, wrong: list[tuple[int, str, str]], date_format: str | None) -> None:
    """Raise InputError if there are malformed dates, and list their line, plant and text."""
    if wrong:
        raise InputError(
            f"Malformed dates in {path.name}: {len(wrong)}" + text_table(("line", "plant", "text"), wrong),
            f"Dates in {path.name} must be written as {date_format or 'ISO, e.g. 2021-08-23'}",
            "correct the dates, or set date_format",
        )


def harvests_from_dates(dates: Iterable[tuple[str, date | None]]) -> HarvestRecords:
    """Make harvest records from pairs of plant id and date, where None means never harvested."""
    of_plant: dict[str, set[date | None]] = defaultdict(set)
    for plant_id, day in dates:
        of_plant[plant_id].add(day)
    records = HarvestRecords()
    for plant_id, days in of_plant.items():
        if len(days) > 1:
            found = ", ".join(sorted(str(day or "never") for day in days))
            records.faults[plant_id] = ("two_harvest_dates", found)
        else:
            (day,) = days
            records.harvests[plant_id] = Harvest.on(day) if day else Harvest.never()
    return records


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


def refuse_unknown_words(values: Iterable[str], words: FlagWords, where: str) -> None:
    """Refuse harvest words that are not in `words`; an empty word is allowed.

    Raises
    ------
    InputError : a word is unknown; the message lists all words found, with their counts.
    """
    counts = Counter(value if value else "(empty)" for value in values)
    unknown = sorted(value for value in counts if value != "(empty)" and words.flag(value) is None)
    if unknown:
        raise InputError(
            f"Unknown harvest flags in {where}: {', '.join(map(repr, unknown[:20]))}; all values:"
            + counts_table("value", counts),
            f"Every harvest flag must be one of {', '.join((*words.true_words, *words.false_words))}",
            "add the words to true_words or false_words",
        )


def harvests_from_visits(visits: Visits, last_visit: date) -> HarvestRecords:
    """Turn flags at visits into harvest intervals.

    Parameters
    ----------
    visits : flags of every plant at its visits.
    last_visit : last visit of the source; a plant that is unflagged on it was never harvested.
    """
    records = HarvestRecords()
    for plant_id, flags in visits.items():
        flagged = [day for day, flag in flags.items() if flag]
        unflagged = [day for day, flag in flags.items() if not flag]
        first_flagged = min(flagged, default=None)
        last_unflagged = max(unflagged, default=date.min)
        if first_flagged is not None and last_unflagged > first_flagged:
            detail = f"flagged on {first_flagged}, not flagged on {last_unflagged}"
            records.faults[plant_id] = ("flag_turns_off", detail)
        elif first_flagged is not None:
            records.harvests[plant_id] = Harvest(last_unflagged, first_flagged)
        elif unflagged:
            seen_to_end = last_unflagged >= last_visit
            records.harvests[plant_id] = Harvest.never() if seen_to_end else Harvest(last_unflagged, date.max)
    return records


def attach_harvests(
    images: Iterable[SourceImage], records: HarvestRecords
) -> tuple[list[SourceImage], list[LeftOut], list[str]]:
    """Give each image the harvest of its plant.

    Returns
    -------
    images : images of the other plants, with `harvest` if it is known.
    left_out : images of plants whose records contradict each other.
    notes : number of images that have neither a harvest record nor a stated label.
    """
    known: list[SourceImage] = []
    left_out: list[LeftOut] = []
    for image in images:
        if image.plant_id in records.faults:
            reason, detail = records.faults[image.plant_id]
            left_out.append(LeftOut(image.plant_id, image.acquired, image.path, reason, detail))
        else:
            known.append(replace(image, harvest=records.harvests.get(image.plant_id)))
    unknown = sum(image.harvest is None and image.label is None for image in known)
    notes = [f"{unknown} of {len(known)} images have neither a harvest record nor a label"] if unknown else []
    return known, left_out, notes
