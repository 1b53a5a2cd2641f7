"""Judge what holds up the dates of a campaign: what may pass is tried again, all else waits for a person."""

from dataclasses import dataclass, field
from datetime import datetime

from flows.running.restarts import PATIENCE
from storage.places.faults import is_passing
from storage.records.obstacles import SOURCE, Obstacle

WAITING = "waiting"  # state of a date that every look tries again
PERSON = "waiting for a person"  # state of a date that no look tries again until its files change or it is announced
AGAIN = "then announce the date (`harvest announce`); changed files of the date have it scored again too"
Row = dict[str, str]


class ToldError(RuntimeError):
    """Report a scoring that failed in a flow run of its own, which has told it."""


@dataclass
class HeldUp:
    """What one look at a campaign's dates finds to hold them up.

    Attributes
    ----------
    before : what the look before found, by date or `SOURCE`.
    now : time of this look.
    found : what this look has found.
    news : rows that a person is to be told of, because they have begun to wait for a person, or for another reason.
    """

    before: dict[str, Obstacle]
    now: datetime
    found: dict[str, Obstacle] = field(default_factory=dict[str, Obstacle])
    news: list[Row] = field(default_factory=list[Row])

    def add(self, name: str, error: Exception) -> Row:
        """Add the error that a date or the source met, and return its row."""
        self.found[name] = one = judge_error(name, error, self.before.get(name), self.now)
        row = {
            "date": "" if name == SOURCE else name,
            "state": PERSON if one.needs_person else WAITING,
            "detail": one.why,
        }
        if one.needs_person and not isinstance(error, ToldError) and not is_known(one, self.before.get(name)):
            self.news.append(row)
        return row


def judge_error(name: str, error: Exception, before: Obstacle | None, now: datetime) -> Obstacle:
    """Return the obstacle that an error is: it needs a person unless it may pass, and has not lasted too long.

    Parameters
    ----------
    before : obstacle of the look before; faults that may pass count as one for as long as each look meets one.
    """
    may_pass = is_passing(error)
    since = before.since if before is not None and before.is_passing == may_pass else now
    needs_person = not may_pass or now - since > PATIENCE
    why = str(error).strip() or type(error).__name__
    if needs_person and name != SOURCE:
        why = f"{why}\n{AGAIN}"
    return Obstacle(since=since, why=why, is_passing=may_pass, needs_person=needs_person)


def is_known(one: Obstacle, before: Obstacle | None) -> bool:
    """Return whether a person was told of an obstacle before, however a fault that may pass is worded."""
    if before is None or not before.needs_person or one.is_passing != before.is_passing:
        return False
    return one.is_passing or one.why == before.why
