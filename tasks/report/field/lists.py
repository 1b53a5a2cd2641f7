"""Prepare the lists of the latest date for readers without scripts, from the content of the field page; no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report.field.data import EXTRA
from tasks.report.field.pictures import SIDE
from tasks.report.field.texts import likely_text, text
from tasks.report.sprites import ACROSS

N_STATIC = 100  # plants of each list that readers without scripts see


@dataclass(frozen=True)
class Card:
    """Plant of a list.

    Attributes
    ----------
    place : plot, row and number in words; empty if unknown.
    likely : answer and its probability in words.
    why : why it is to be checked.
    sheet : number of the sheet with its picture; -1 without.
    left, top : offset of its tile in the sheet, in pixels.
    """

    plant: str
    place: str
    likely: str
    why: str
    sheet: int
    left: int
    top: int


@dataclass(frozen=True)
class StaticList:
    """List of the latest date: its first cards, and the number of all its plants."""

    key: str
    title: str
    how: str
    cards: list[Card]
    n: int


def static_lists(data: Mapping[str, Any]) -> list[StaticList]:
    """Return the lists of the latest date, from the content of the page (see `field_data`)."""
    day = data["days"][-1]
    return [
        StaticList(
            group["key"], group["title"], group["how"], [_card(data, day, i) for i in rows[:N_STATIC]], len(rows)
        )
        for group in data["groups"]
        if group["is_shown"] and ((rows := rows_of_group(day, group)) or group["key"] != EXTRA)
    ]


def rows_of_group(day: Mapping[str, Any], group: Mapping[str, Any]) -> Sequence[int]:
    """Return the rows of a date that a list has, in its order."""
    if group["key"] == EXTRA:
        return day["extra"]
    if group["key"] == "check":
        return day["checks"]
    return [i for i, decision in enumerate(day["decision"]) if decision == group["decision"]]


def _card(data: Mapping[str, Any], day: Mapping[str, Any], i: int) -> Card:
    plants, plant = data["plants"], day["plant"][i]
    plot, row, number = (plants[name][plant] for name in ("plot", "row", "number"))
    named = [text("place.plot", plot=plot)] if plot is not None else []
    named += [text("place.row", row=row, number=number)] if row is not None and number is not None else []
    tile = day["picture"][i]
    sheet, place = divmod(tile, ACROSS * ACROSS) if tile >= 0 else (-1, 0)
    return Card(
        plant=plants["id"][plant],
        place=", ".join(named),
        likely=likely(data, day, i),
        why=" ".join(data["reasons"][day["reason"][i]]),
        sheet=sheet,
        left=place % ACROSS * SIDE,
        top=place // ACROSS * SIDE,
    )


def likely(data: Mapping[str, Any], day: Mapping[str, Any], i: int) -> str:
    """State the probability of a plant: of being ready, or with other classes that its answer is right."""
    if data["is_harvest"]:
        return text("likely", answer=text("ready.word"), percent=likely_text(day["ready"][i]))
    return text("likely", answer=data["answers"][day["answer"][i]], percent=likely_text(day["reliability"][i]))
