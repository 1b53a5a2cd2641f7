"""State what people found at plants beside what was promised, from rows of the table `found`. Pure functions."""

from collections.abc import Iterable, Sequence
from typing import Any

from storage.tables.names import ALL_ANSWERS
from storage.tables.rows import Row
from tasks.decide.decisions import CHECK

NAMED_BY = ("method", "acquired", "answers")  # columns that name a promise on a date


def broken_sentences(rows: Iterable[Row]) -> dict[tuple[Any, ...], str]:
    """Return a sentence for each promise that is broken beyond chance, by method, date and answers."""
    return {tuple(row[name] for name in NAMED_BY): broken_sentence(row) for row in rows if row["is_broken"]}


def broken_sentence(row: Row) -> str:
    """State that a promise is broken: what was found against what was promised."""
    which = answers_words(row["answers"])
    share, limit = 100 * row["error_share_lower"], 100 * row["tolerated_error"]
    return (
        f"A promise is broken {when_words(row)}: at least {share:.3g} of 100 answers{which} acted on are wrong by what "
        f"people found at the plants, and at most {limit:.3g} were promised ({row['method']})."
    )


def checked_sentence(rows: Sequence[Row], day: str) -> str:
    """State for people in the field what was found on a date; empty if nobody looked at a plant to act on.

    Parameters
    ----------
    rows : rows of the table `found` of one saliency method.
    day : date as YYYY-MM-DD.
    """
    of_day = [row for row in rows if str(row["acquired"]) == day and row["answers"] == ALL_ANSWERS]
    if not of_day or not of_day[0]["n_drawn_checked"]:
        return ""
    row = of_day[0]
    n, n_right = row["n_drawn_checked"], row["n_drawn_checked"] - row["n_drawn_wrong"]
    drawn = "the plant" if row["n_drawn"] == 1 else f"the {row['n_drawn']} plants"
    missing = row["n_drawn"] - n
    return (
        f"Checked: {n_right} of {n} answers are right, of {drawn} to act on that were drawn at random"
        + (f" ({missing} not looked at)" if missing else "")
        + "."
    )


def when_words(row: Row) -> str:
    """Return the date of a row in words."""
    return "over all dates with checks" if row["acquired"] is None else f"on {row['acquired']}"


def answers_words(answers: str) -> str:
    """Return which answers a row is about, as part of a sentence; empty for all that are acted on."""
    if answers in {ALL_ANSWERS, CHECK}:
        return ""
    return f" “{answers.replace('_', ' ')}”"
