"""Compare what was promised about the answers that are acted on with what people found. Pure functions.

Plants are looked at for three reasons, and each kind of check speaks for others differently:

- Plants drawn at random (`tasks.decide.audit_plants`) speak for all plants of their decision and date. Only they
  estimate how many answers are wrong.
- Other plants that are acted on, which somebody chose to look at, speak for themselves. Whoever looks where something
  seems wrong finds more errors than there are elsewhere. They are known, so they bound the number of wrong ones.
- Plants to check are not acted on, so nothing is promised about them. They are counted in rows of their own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from typing import Any

import numpy as np

from storage.tables.names import ALL_ANSWERS
from storage.tables.rows import Row
from tasks.decide.decisions import CHECK
from tasks.statistics.finite import Stratum, estimate_share
from tasks.statistics.significance import holm

CONFIDENCE = 0.95  # level of the intervals, as in the table `calibration`
ALPHA = 0.05  # chance that any kept promise of a campaign is called broken


@dataclass(frozen=True)
class CheckedDay:
    """Decisions and checks of one date by one saliency method.

    Attributes
    ----------
    rows : `plant_id`, `answer` (class name), `decision` and `is_audit` of every plant with a decision.
    found : class that was found, by plant id; of several checks of a plant, the one that stands.
    """

    acquired: date
    rows: Sequence[Row]
    found: Mapping[str, str]


@dataclass(frozen=True)
class Counts:
    """Plants of one date and kind of answer, and how many of them were looked at.

    Attributes
    ----------
    n : all plants.
    n_drawn, n_drawn_checked, n_drawn_wrong : those drawn at random, those of them that were looked at, and those of
        these whose answer is wrong.
    n_other_checked, n_other_wrong : other plants that were looked at, and those whose answer is wrong.
    """

    n: int
    n_drawn: int
    n_drawn_checked: int
    n_drawn_wrong: int
    n_other_checked: int
    n_other_wrong: int

    @property
    def stratum(self) -> Stratum:
        """Return the counts that estimate the share of wrong answers."""
        return Stratum(self.n, self.n_drawn_checked, self.n_drawn_wrong, self.n_other_checked, self.n_other_wrong)


def count_checks(rows: Sequence[Row], found: Mapping[str, str]) -> Counts:
    """Count the plants of some decisions, and how many of them were looked at (see `CheckedDay`)."""
    drawn, others = ([row for row in rows if row["is_audit"] == is_drawn] for is_drawn in (True, False))
    (looked_at, n_wrong), (n_other, n_other_wrong) = (
        (len(checked), sum(row["answer"] != found[row["plant_id"]] for row in checked))
        for checked in ([row for row in some if row["plant_id"] in found] for some in (drawn, others))
    )
    return Counts(len(rows), len(drawn), looked_at, n_wrong, n_other, n_other_wrong)


def found_rows(
    days: Sequence[CheckedDay], classes: Sequence[str], tolerated: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the rows of the table `found` without the columns that name the fit.

    Rows about all dates together come first, if people looked at plants of several dates. They count the dates on which
    a plant of every decision that was drawn at random was looked at.

    Parameters
    ----------
    days : dates with checks, in order.
    classes : class names by index.
    tolerated : tolerated share of wrong answers by what the promise is about: all answers, or those of a class.
    """
    rows = [_row(*group, tolerated) for group in _groups(days, classes)]
    tested = [row for row in rows if row["p_broken"] is not None]
    corrected = holm(np.asarray([row["p_broken"] for row in tested], np.float64)).tolist()
    for row, p in zip(tested, corrected, strict=True):
        row["is_broken"] = p <= ALPHA
    return rows


def _groups(days: Sequence[CheckedDay], classes: Sequence[str]) -> Iterator[tuple[date | None, str, Sequence[Counts]]]:
    """Yield date, kind of answers and counts of every row: all dates together first, then date by date."""
    of_day = {day.acquired: _counts_of(day, classes) for day in days}
    kinds = {ALL_ANSWERS: classes, **{name: (name,) for name in classes}, CHECK: (CHECK,)}
    groups = [
        (acquired, kind, [counts[name] for name in names if name in counts])
        for acquired, counts in of_day.items()
        for kind, names in kinds.items()
    ]
    found = [group for group in groups if group[2]]
    if len(days) > 1:
        for kind in kinds:
            is_drawn = kind != CHECK  # nobody draws plants to check
            of_kind = [several for _, name, several in found if name == kind]
            together = [
                counts
                for several in of_kind
                if not is_drawn or all(one.n_drawn_checked for one in several)
                for counts in several
            ]
            if together:
                yield None, kind, together
    yield from found


def _counts_of(day: CheckedDay, classes: Sequence[str]) -> dict[str, Counts]:
    """Count the checks of a date by class of the answers acted on, and of the plants to check; none without a plant."""
    of_kind: dict[str, list[Row]] = {name: [] for name in (*classes, CHECK)}
    for row in day.rows:
        of_kind[CHECK if row["decision"] == CHECK else row["answer"]].append(row)
    return {name: count_checks(rows, day.found) for name, rows in of_kind.items() if rows}


def _row(acquired: date | None, kind: str, counts: Sequence[Counts], tolerated: Mapping[str, float]) -> dict[str, Any]:
    limit = tolerated.get(kind)
    share = estimate_share([one.stratum for one in counts], 1.0 if limit is None else limit, CONFIDENCE)
    is_told = limit is not None and (share.estimate is not None or share.lower > limit)
    sums = Counts(*(sum(numbers) for numbers in zip(*map(astuple, counts), strict=True)))
    return {
        "acquired": acquired,
        "answers": kind,
        **vars(sums),
        "error_share": share.estimate,
        "error_share_lower": share.lower,
        "error_share_upper": share.upper,
        "tolerated_error": limit,
        "p_broken": share.p_above if is_told else None,
        "is_broken": False,
    }
