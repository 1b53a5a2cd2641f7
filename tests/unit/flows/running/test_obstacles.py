"""What one look after another finds to hold up dates, and what a person is told of, once."""

import errno
from datetime import UTC, datetime, timedelta

from flows.running.obstacles import AGAIN, PERSON, WAITING, HeldUp, ToldError
from flows.running.restarts import PATIENCE
from storage.errors import AwayError, InputError
from storage.records.obstacles import SOURCE, Obstacle

DAY, NOON = "2026-08-30", datetime(2026, 8, 30, 12, tzinfo=UTC)
AWAY, BAD = AwayError("no folder", "b", "c"), InputError("bad files", "b", "c")


class Looks:
    """Looks at one date, each with what the look before found."""

    def __init__(self, name: str = DAY) -> None:
        self.name, self.before = name, dict[str, Obstacle]()

    def look(self, hours: float, error: Exception | None) -> tuple[str, int]:
        """State of the date at so many hours after noon, and the number of rows that a person is told of."""
        held = HeldUp(self.before, NOON + timedelta(hours=hours))
        state = held.add(self.name, error)["state"] if error else "scored"
        self.before = held.found
        return state, len(held.news)


def test_a_fault_that_may_pass_needs_a_person_after_the_patience_and_is_told_once() -> None:
    looks, hours = Looks(), PATIENCE / timedelta(hours=1)
    assert round(hours) == 17
    assert [looks.look(at, AWAY) for at in (0, hours)] == [(WAITING, 0)] * 2
    other = OSError(errno.EIO, "I/O", "another file")  # of the same share
    assert [looks.look(hours + at, error) for at, error in ((1, other), (2, AWAY))] == [(PERSON, 1), (PERSON, 0)]
    assert looks.look(hours + 3, None) == ("scored", 0) and looks.before == {}
    assert looks.look(hours + 4, AWAY) == (WAITING, 0)


def test_what_needs_a_person_is_told_at_once_and_again_only_for_another_reason() -> None:
    looks = Looks()
    assert [looks.look(at, BAD) for at in (0, 1, 100)] == [(PERSON, 1), (PERSON, 0), (PERSON, 0)]
    assert looks.before[DAY].since == NOON and looks.before[DAY].why == f"{BAD}\n{AGAIN}"
    assert looks.look(101, AWAY) == (WAITING, 0)  # its patience begins now
    assert looks.look(102, ValueError()) == (PERSON, 1) and looks.before[DAY].why.startswith("ValueError\n")


def test_what_its_own_run_has_told_is_not_told_again() -> None:
    assert Looks().look(0, ToldError("bad files")) == (PERSON, 0)


def test_a_source_has_no_date_that_could_be_announced() -> None:
    looks = Looks(SOURCE)
    assert looks.look(0, BAD) == (PERSON, 1) and looks.before[SOURCE].why == str(BAD)
