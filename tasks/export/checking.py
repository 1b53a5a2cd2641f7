"""Compare what people found with the answers about a date's plants, and refuse what cannot be right. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from storage.errors import InputError
from storage.published.forms import Form
from storage.records.checks import Check
from storage.tables.rows import Row
from tasks.export.entries import Entry

TIME_FORMATS = ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y")  # times that are read besides ISO 8601
# Clocks are ahead of UTC by at most this, and QGIS writes local times that some programs take for UTC.
AHEAD = timedelta(hours=14)
N_NAMED = 10  # rows that a message names at most


@dataclass(frozen=True)
class Answers:
    """Answers about the plants of a date by one saliency method, with which checks are compared.

    Attributes
    ----------
    form : what people fill in.
    decisions : decisions in reading order.
    rows : exported decisions by plant id.
    known : ids of all accepted plants of the date, also of those without an answer.
    """

    campaign: str
    day: date
    form: Form
    decisions: Sequence[str]
    rows: Mapping[str, Row]
    known: frozenset[str]


@dataclass(frozen=True)
class Whose:
    """What holds for entries that do not say it themselves.

    Attributes
    ----------
    by : name of the person who looked; empty if unknown.
    at : when, with a time zone.
    """

    by: str
    at: datetime


def checks_of(name: str, entries: Iterable[Entry], answers: Answers, whose: Whose, now: datetime) -> list[Check]:
    """Return what was found as checks, in the order of the entries; entries that say the same are one check.

    Parameters
    ----------
    name : name of the file, for messages.
    now : present time, with a time zone.

    Raises
    ------
    InputError : an entry is about an unknown plant or one without an answer, has an unknown word or time, or no name.
    """
    taken = [_taken(entry, answers, whose, now) for entry in entries]
    problems = [one for one in taken if isinstance(one, str)]
    if problems:
        more = [f"and {len(problems) - N_NAMED} more"] if len(problems) > N_NAMED else []
        n_rows = f"{len(problems)} row{'s' * (len(problems) > 1)}"
        raise InputError(
            "\n    ".join([f"{name} has {n_rows} that cannot be taken:", *problems[:N_NAMED], *more]),
            "Every entry must be about a plant with an answer on the date, with a known word, a name and a time",
            "correct these rows; --by names who looked where the file does not. Nothing was recorded",
        )
    return list(dict.fromkeys(one for one in taken if isinstance(one, Check)))


def _taken(entry: Entry, answers: Answers, whose: Whose, now: datetime) -> Check | str:
    """Return an entry as a check, or what is wrong with it."""
    row, found, by = answers.rows.get(entry.plant_id), class_of(entry.found, answers.form), entry.checked_by or whose.by
    words = ", ".join(answers.form.words)
    at = read_time(entry.checked_at) if entry.checked_at else whose.at
    if row is None:
        wrong = "has no answer on" if entry.plant_id in answers.known else "is none of"
        return f"{entry.where}: plant {entry.plant_id!r} {wrong} {answers.day}"
    if found is None:
        return f"{entry.where}: {answers.form.column} is {entry.found!r}; it must be one of {words}"
    if not by:
        return f"{entry.where}: checked_by is empty, and --by is not given"
    if at is None:
        return f"{entry.where}: checked_at is {entry.checked_at!r}; write it as 2021-09-03 14:30"
    if at > now + AHEAD:
        return f"{entry.where}: checked_at is {at.isoformat(' ')}, which is in the future"
    if at.date() < answers.day:
        return f"{entry.where}: checked_at is {at.isoformat(' ')}, before the images of {answers.day} were taken"
    return Check(
        campaign=answers.campaign,
        date=answers.day,
        plant_id=entry.plant_id,
        found=found,
        checked_by=by,
        checked_at=at.astimezone(UTC),
        remark=entry.remark,
        **{name: row[name] for name in ("method", "answer", "answer_reliability", "decision", "is_audit")},
    )


def class_of(word: str, form: Form) -> str | None:
    """Return the class that a person's word means: a word of the form or the name of a class; None if it is neither."""
    meant = {_plain(name): name for name in form.words.values()}
    meant |= {_plain(one): name for one, name in form.words.items()}
    return meant.get(_plain(word))


def read_time(text: str) -> datetime | None:
    """Read a time or a day; one without a zone is in the zone of this machine. Return None if the text is no time."""
    for read in (datetime.fromisoformat, *(_reader(form) for form in TIME_FORMATS)):
        with suppress(ValueError):
            found = read(text)
            return found if found.tzinfo else found.astimezone()
    return None


def start_of(day: date) -> datetime:
    """Return the first moment of a day in the zone of this machine."""
    return datetime.combine(day, time()).astimezone()


def _reader(form: str) -> Any:
    return lambda text: datetime.strptime(text, form)


def _plain(word: str) -> str:
    return " ".join(word.casefold().replace("_", " ").split())


def tally(checks: Iterable[Check], decisions: Sequence[str]) -> list[dict[str, Any]]:
    """Count checks by decision: how many plants were looked at, and how many answers were right and wrong.

    Parameters
    ----------
    checks : one check of each plant (see `standing_checks`).
    decisions : decisions in reading order.

    Returns
    -------
    For every decision `n`, `n_right`, `n_wrong` and, of plants drawn for a look, `n_audit` and `n_audit_wrong`.
    """
    rows: list[dict[str, Any]] = []
    seen = list(checks)
    for decision in decisions:
        of_it = [check for check in seen if check.decision == decision]
        wrong = [check for check in of_it if check.found != check.answer]
        rows.append(
            {
                "decision": decision,
                "n": len(of_it),
                "n_right": len(of_it) - len(wrong),
                "n_wrong": len(wrong),
                "n_audit": sum(check.is_audit for check in of_it),
                "n_audit_wrong": sum(check.is_audit for check in wrong),
            }
        )
    return rows


def open_audit(answers: Answers, checked: Iterable[str]) -> list[str]:
    """Return the plants that were drawn for a look and have no check yet, in the order of the answers."""
    done = set(checked)
    return [plant for plant, row in answers.rows.items() if row["is_audit"] and plant not in done]
