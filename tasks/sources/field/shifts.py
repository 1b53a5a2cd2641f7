"""Move the places at which plants are looked for, on dates whose orthophoto lies beside the plants' positions."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from storage.errors import InputError
from tasks.sources.checks import join_dates
from tasks.sources.projections import transform

if TYPE_CHECKING:  # importing numpy takes a fifth of the time of an early error
    from tasks.sources.field.plants import FieldPlants

Shift = tuple[float, float]
"""Metres to the east and to the north by which an orthophoto lies beside the plants' positions."""

NO_SHIFT: Shift = (0.0, 0.0)


def refuse_shifts_without_raster(shifts: Mapping[date, Shift], dates: Iterable[date]) -> None:
    """Raise InputError if a shift is stated for a date that has no orthophoto."""
    known = tuple(dates)
    if lost := sorted(set(shifts) - set(known)):
        raise InputError(
            f"[source.shift] names {join_dates(lost)}, and there are orthophotos of {join_dates(known)}",
            "Every date of [source.shift] must have an orthophoto",
            "correct the dates, or remove these lines",
        )


def move_places(found: "FieldPlants", shift: Shift, crs: str) -> "FieldPlants":
    """Return plants that are looked for so many metres further east and north; their own positions stay.

    Parameters
    ----------
    crs : CRS in whose metres the shift is.
    """
    if shift == NO_SHIFT:
        return found
    east, north = transform(*found.places, found.crs, crs)
    return replace(found, places=(east + shift[0], north + shift[1]), crs=crs)


def describe_shift(day: date, shift: Shift) -> list[str]:
    """Return a note on the shift of a date, if it has one."""
    said = f"{day}: crops are cut {say_shift(shift)} of the plants' positions, as [source.shift] says"
    return [] if shift == NO_SHIFT else [said]


def say_shift(shift: Shift) -> str:
    """Write a shift in words, to the centimetre."""
    words = (("east", "west"), ("north", "south"))
    parts = [
        f"{abs(metres):.2f} m {names[metres < 0]}"
        for metres, names in zip(shift, words, strict=True)
        if abs(metres) >= 0.005
    ]
    return " and ".join(parts) or "less than 0.01 m"
