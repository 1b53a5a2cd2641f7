"""Say on the field page what people found at a date's plants, from rows of the table `found`; no files."""

from collections.abc import Sequence

from storage.tables.names import ALL_ANSWERS
from storage.tables.rows import Row
from tasks.decide.found_words import found_share
from tasks.report.field.texts import class_name, text


def of_date(found: Sequence[Row], day: str) -> list[Row]:
    """Select the rows of a date (YYYY-MM-DD), and those of all dates together in which a promise is broken."""
    return [row for row in found if str(row["acquired"]) == day or (row["acquired"] is None and row["is_broken"])]


def checked_sentence(found: Sequence[Row]) -> str:
    """State how many of the plants drawn at random are as answered; empty if nobody looked at one.

    Parameters
    ----------
    found : rows of the table `found` of one date and saliency method.
    """
    looked_at = [row for row in found if row["acquired"] and row["answers"] == ALL_ANSWERS and row["n_drawn_checked"]]
    if not looked_at:
        return ""
    row = looked_at[0]
    n, missing = row["n_drawn_checked"], row["n_drawn"] - row["n_drawn_checked"]
    said = [text("checked", n=n, right=n - row["n_drawn_wrong"])]
    said += [text("checked.missing", n=missing)] if missing else []
    if row["error_share"] is not None:
        low, high = (f"{100 * row[f'error_share_{end}']:.0f}" for end in ("lower", "upper"))
        said += [text("checked.known" if low == high else "checked.estimate", low=low, high=high)]
    return " ".join(said)


def broken_sentences(found: Sequence[Row]) -> list[str]:
    """Warn of each promise that is broken beyond chance, on the date or on all dates together."""
    return [
        text(
            "checked.broken" if row["acquired"] else "checked.broken.all",
            which="" if row["answers"] == ALL_ANSWERS else text("promise.which", answer=class_name(row["answers"])),
            share=f"{100 * found_share(row):.3g}",
            most=f"{100 * row['tolerated_error']:.3g}",
        )
        for row in found
        if row["is_broken"]
    ]
