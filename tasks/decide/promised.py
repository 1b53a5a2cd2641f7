"""State what is promised about the answers that are acted on, from rows of the table `promises`. Pure functions."""

from collections.abc import Sequence

from storage.tables.names import ALL_ANSWERS
from storage.tables.rows import Row


def used_promises(promises: Sequence[Row]) -> list[Row]:
    """Return the rows that the campaign's decisions follow: one for all answers, or one for each class."""
    return [row for row in promises if row["is_used"]]


def guarantee_sentences(promises: Sequence[Row]) -> list[str]:
    """Return one sentence for each promise that the decisions follow."""
    return [guarantee_sentence(row) for row in used_promises(promises)]


def guarantee_sentence(row: Row) -> str:
    """State one promise: how many of 100 answers are right, and by how many validation plants; or what is lacking."""
    which = "" if row["answers"] == ALL_ANSWERS else f" “{row['answers'].replace('_', ' ')}”"
    if row["threshold"] is None:
        return _lacking(row, which)
    return (
        f"At least {100 * (1 - row['tolerated_error']):.3g} of 100 answers{which} acted on are right, by "
        f"{row['n_plants']} validation plants ({row['n_wrong']} of their {row['n_answered']} answers wrong; "
        f"confidence {100 * row['confidence']:.3g} %)."
    )


def _lacking(row: Row, which: str) -> str:
    found = (
        f"No answer{which} can be acted on yet: {row['n_validation']} validation answers do not show that at most "
        f"{100 * row['tolerated_error']:.3g} of 100 would be wrong"
    )
    if row["n_more_plants"] is None:
        return f"{found}. More checked plants alone would not change that: tolerate more errors, or check by hand."
    plants = f"{row['n_more_plants']} more checked validation plant{'' if row['n_more_plants'] == 1 else 's'}"
    return f"{found}. About {plants} would, if errors stay as frequent."
