"""Take back what people found at the plants of a date: record it for good, publish it as a table, renew the report."""

import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from flows.report.renewal import renew_report
from storage.artifacts import ArtifactRef, Recipe, Store, content_digest
from storage.places.files import Place
from storage.published.publish import publish_report, publish_table
from storage.records.checks import (
    Check,
    CheckedFile,
    Contradiction,
    keep_checks,
    read_checked_files,
    read_checks,
    standing_checks,
)
from storage.tables import CHECKS
from storage.tables.parquet import rows_to_columns, write_table
from tasks.export.checking import Answers, Whose, checks_of
from tasks.export.entries import Entries, read_entries
from tasks.report.report import write_report
from tasks.stage import versions

REVISION = 1  # of the table `checks`


@dataclass(frozen=True)
class Imported:
    """What the import of a file did.

    Attributes
    ----------
    n_new : checks that were recorded.
    n_known : entries that were recorded before.
    n_untimed : entries without a time of their own.
    n_blank, n_remarks : rows without an entry, and those among them with a remark.
    """

    file: str
    n_new: int
    n_known: int
    n_untimed: int
    n_blank: int
    n_remarks: int


def import_files(store: Store, answers: Answers, files: Sequence[Path], whose: Whose, now: datetime) -> list[Imported]:
    """Record what files say that people found; nothing is recorded if one of them is refused.

    What was recorded before, from this file or another, is not recorded twice.

    Raises
    ------
    InputError : a file cannot be read, or says what cannot be right (see `read_entries` and `checks_of`).
    """
    read = [(path, read_entries(path, answers.form, answers.campaign, answers.day)) for path in files]
    found = [checks_of(path.name, entries.rows, answers, whose, now) for path, entries in read]
    known = {
        check.said for record in read_checked_files(store, answers.campaign, answers.day) for check in record.checks
    }
    done: list[Imported] = []
    for (path, entries), checks in zip(read, found, strict=True):
        new = [check for check in checks if check.said not in known]
        if new:
            record = CheckedFile(
                campaign=answers.campaign,
                date=answers.day,
                file=path.name,
                sha256=sha256(path.read_bytes()).hexdigest(),
                imported_by=whose.by or _user(),
                imported_at=max(now, datetime.now(UTC)),  # files of one command keep their order
                checks=new,
            )
            keep_checks(store, record)
            known |= {check.said for check in new}
        done.append(_counted(path.name, entries, len(new)))
    return done


def _counted(name: str, entries: Entries, n_new: int) -> Imported:
    n_untimed = sum(not entry.checked_at for entry in entries.rows)
    return Imported(name, n_new, len(entries.rows) - n_new, n_untimed, entries.n_blank, entries.n_remarks)


def _user() -> str:
    """Return the name under which this process runs; empty where the machine has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def publish_checks(store: Store, campaign: str, day: date) -> Place:
    """Publish everything that people found on a date as the table `checks`, in order of import; return its file."""
    files = read_checked_files(store, campaign, day)
    standing, _ = standing_checks(check for record in files for check in record.checks)
    rows = [
        {
            **check.model_dump(include={column.name for column in CHECKS.columns}),
            "checked_at": check.checked_at.isoformat(),
            "file": record.file,
            "imported_by": record.imported_by,
            "imported_at": record.imported_at.isoformat(),
            "stands": standing[check.date, check.plant_id] is check,
        }
        for record in files
        for check in record.checks
    ]
    made_from = {"campaign": campaign, "date": day.isoformat(), "rows": content_digest(rows)}
    recipe = Recipe(CHECKS.name, REVISION, made_from)
    if not store.holds(recipe.ref):
        with store.create(recipe, versions()) as draft:
            write_table(draft, CHECKS, rows_to_columns(CHECKS, rows))
    return publish_table(store, CHECKS, [recipe.ref], campaign, day)


def checks_of_date(store: Store, campaign: str, day: date) -> tuple[list[Check], list[Contradiction]]:
    """Return the checks of a date that stand, and the contradictions among all checks of it."""
    standing, contradictions = standing_checks(read_checks(store, campaign, day))
    return list(standing.values()), contradictions


def renew_after_checks(store: Store, campaign: str) -> None:
    """Write a campaign's report again, with what people found."""

    def write(**shown: Any) -> ArtifactRef:
        return write_report.fn(store.address, campaign, **shown)

    renew_report(store, campaign, write, lambda report: publish_report(store, report, campaign))
