"""Make the content of the field page for its scripts, as JSON; no files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from storage.tables.rows import Row
from tasks.decide.decisions import CHECK, LEAVE, decisions_of, is_about_harvest
from tasks.export.looks import markers_of
from tasks.report.field.head import day_head
from tasks.report.field.map import least_reliability
from tasks.report.field.pictures import Pictures
from tasks.report.field.selection import Selection
from tasks.report.field.summary import FieldDay, is_placed, summarise
from tasks.report.field.texts import TEXTS, class_name, decision_name, text
from tasks.report.field.tours import LOOK_METRES, check_order, extra_checks, listed_rows, rows_to_check

EXTRA = "extra"  # key of the list of random extra checks


def field_data(
    campaign: str, days: Sequence[FieldDay], classes: Sequence[str], selection: Selection, pictures: Pictures
) -> dict[str, Any]:
    """Return the content of the field page.

    Plants are listed once, in walking order, in metres from the south-west corner (None if unknown). A date lists the
    indices of its plants by decision, each decision in walking order, and for each the indices of decision, answer and
    reasons, `reliability` (of the answer) and `ready` (probability of being ready, None with more than two classes) to
    three decimals, whether the answer was corrected, whether it is a random extra check, and the index of its picture
    (-1 without). `checks` and `extra` are indices into these rows, in the order of their lists. `n`, `unplaced` and
    `counts` count all plants of the date, also those that the page does not show.
    """
    number = {plant["plant_id"]: i for i, plant in enumerate(selection.plants)}
    reasons = sorted({row["check_reason"] for day in days for row in day.rows})
    return {
        "campaign": campaign,
        "classes": list(classes),
        "is_harvest": is_about_harvest(classes),
        "least": least_reliability(classes),
        "texts": TEXTS,
        "decisions": [
            {"name": name, "label": decision_name(name), **asdict(marker)}
            for name, marker in markers_of(classes).items()
        ],
        "groups": [asdict(group) for group in groups_of(classes)],
        "answers": [class_name(name) for name in classes],
        "reasons": [[TEXTS.get(f"reason.{word}", word) for word in said.split()] for said in reasons],
        **_plants(selection.plants),
        "pictures": pictures.content(),
        "days": [_day(day, number, classes, reasons, pictures) for day in days],
    }


@dataclass(frozen=True)
class Group:
    """List of the page.

    Attributes
    ----------
    key : decision whose plants it has, or `extra` for random extra checks.
    title, how : heading, and how its plants are ordered.
    decision : index of the decision; -1 for extra checks.
    is_shown : whether the page shows it before a reader asks for it.
    """

    key: str
    title: str
    how: str
    decision: int
    is_shown: bool


def groups_of(classes: Sequence[str]) -> list[Group]:
    """Return the lists of the page: plants to act on by decision, to check, and random extra checks."""
    groups: list[Group] = []
    for i, name in enumerate(decisions_of(classes)):
        title = TEXTS.get(f"list.{name}", text("list.class", answer=class_name(name)))
        how = text("list.how.check", metres=int(LOOK_METRES)) if name == CHECK else text("list.how.walk")
        groups.append(Group(name, title, how, i, not (is_about_harvest(classes) and name == LEAVE)))
    return [*groups, Group(EXTRA, text("list.extra"), text("list.how.extra"), -1, True)]


def json_in_page(content: Mapping[str, Any]) -> str:
    """Return JSON that is safe inside a `script` element: `<` could end the element or open a comment in it."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _plants(plants: Sequence[Row]) -> dict[str, Any]:
    placed = np.asarray([(row["easting"], row["northing"]) for row in plants if is_placed(row)]).reshape(-1, 2)
    low = placed.min(axis=0, initial=np.inf).tolist()
    columns: dict[str, list[Any]] = {
        "id": [row["plant_id"] for row in plants],
        **{name: [row[name] for row in plants] for name in ("plot", "row", "number")},
    }
    for name, stated, corner in (("east", "easting", low[0]), ("north", "northing", low[1])):
        columns[name] = [round(row[stated] - corner, 2) if is_placed(row) else None for row in plants]
    return {"plants": columns, "spacing": _spacing(placed)}


def _spacing(metres: NDArray[np.float64]) -> float:
    """Return the median distance (m) of a plant from its nearest neighbour; 1 for one plant, or plants in one place."""
    if len(metres) < 2:
        return 1.0
    distances, _ = scipy.spatial.KDTree(metres).query(metres, k=2)
    return float(np.median(distances[:, 1]).round(3)) or 1.0


def _day(
    day: FieldDay, number: Mapping[str, int], classes: Sequence[str], reasons: Sequence[str], pictures: Pictures
) -> dict[str, Any]:
    decisions, summary = decisions_of(classes), summarise(day, classes)
    pictured = pictures.numbers if pictures.date == day.date else {}
    shown = [row for row in day.rows if row["plant_id"] in number]
    rows = listed_rows(shown, decisions)
    place = {row["plant_id"]: i for i, row in enumerate(rows)}
    return {
        "date": day.date,
        "label": summary.label,
        "n": len(day.rows),
        "unplaced": summary.n_unplaced,
        "counts": list(summary.counts.values()),
        "head": asdict(day_head(summary)),
        "plant": [number[row["plant_id"]] for row in rows],
        "decision": [decisions.index(row["decision"]) for row in rows],
        "reliability": [round(row["answer_reliability"], 3) for row in rows],
        "ready": [None if row["ready_probability"] is None else round(row["ready_probability"], 3) for row in rows],
        "answer": [classes.index(row["answer"]) for row in rows],
        "reason": [reasons.index(row["check_reason"]) for row in rows],
        "corrected": [int(row["is_corrected"]) for row in rows],
        "audit": [int(row.get("is_audit", False)) for row in rows],
        "picture": [pictured.get(row["plant_id"], -1) for row in rows],
        "checks": [place[row["plant_id"]] for row in check_order(rows_to_check(shown))],
        "extra": [place[row["plant_id"]] for row in extra_checks(shown)],
    }
