"""State what people found at plants beside what was promised, from rows of the table `found`. Pure functions."""

from collections.abc import Iterable
from typing import Any

from storage.tables.names import ALL_ANSWERS
from storage.tables.rows import Row

NAMED_BY = ("method", "acquired", "answers")  # columns that name a promise on a date


def broken_sentences(rows: Iterable[Row]) -> dict[tuple[Any, ...], str]:
    """Return a sentence for each promise that is broken beyond chance, by method, date and answers."""
    return {tuple(row[name] for name in NAMED_BY): broken_sentence(row) for row in rows if row["is_broken"]}


def broken_sentence(row: Row) -> str:
    """State that a promise is broken: what was found against what was promised."""
    when = "over all dates with checks" if row["acquired"] is None else f"on {row['acquired']}"
    which = "" if row["answers"] == ALL_ANSWERS else f" “{row['answers'].replace('_', ' ')}”"
    return (
        f"A promise is broken {when}: by what people found, about {100 * found_share(row):.3g} of 100 answers{which} "
        f"acted on are wrong, and at most {100 * row['tolerated_error']:.3g} were promised ({row['method']})"
    )


def found_share(row: Row) -> float:
    """Return the estimated share of wrong answers, 0..1; without an estimate, the share known to be wrong."""
    return row["error_share_lower"] if row["error_share"] is None else row["error_share"]
