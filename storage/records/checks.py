"""Keep what people found when they looked at plants: one record for every file that came back, never rewritten.

A record lies at `checks/<campaign>/<date>/<time>-<digest>.json`, by the time of the import and the file's content. A
plant may be checked several times. The latest check stands, and the others stay on record.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import AwareDatetime, BaseModel, ConfigDict

from storage.artifacts import Store
from storage.errors import ArtifactError
from storage.places.files import Place, read_model, write_atomically
from storage.places.names import PartName

FOLDER = "checks"  # folder of the store for what people found
TIME = "%Y%m%dT%H%M%S.%fZ"  # time of an import in the name of its record (UTC), which sorts records by time
DIGEST_DIGITS = 24  # hex digits of a file's digest in the name of its record

FoundClasses = Mapping[datetime.date, Mapping[str, str]]
"""Acquisition date to plant id to the name of the class that a person found there; of several, the one that stands."""


class Check(BaseModel):
    """What a person found at one plant, and what had been answered about it when the check came back.

    Attributes
    ----------
    date : acquisition date of the answer that was checked.
    found : name of the class that the person saw.
    checked_at : when the person looked at the plant (UTC).
    method : saliency method by which the plant had been decided.
    answer, answer_reliability, decision : answer (class name), its probability of being right, and the decision.
    is_audit : whether the plant had been drawn at random for a check, so that its check speaks for others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaign: str
    date: datetime.date
    plant_id: str
    found: str
    checked_by: str
    checked_at: AwareDatetime
    remark: str
    method: str
    answer: str
    answer_reliability: float
    decision: str
    is_audit: bool

    @property
    def said(self) -> tuple[str, str, str, datetime.datetime, str]:
        """Return what the person said: plant, class, name, time and remark."""
        return self.plant_id, self.found, self.checked_by, self.checked_at, self.remark


class CheckedFile(BaseModel):
    """Record of one imported file: its name and SHA-256 (hex), who imported it and when (UTC), and its new checks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaign: PartName
    date: datetime.date
    file: str
    sha256: str
    imported_by: str
    imported_at: AwareDatetime
    checks: list[Check]


@dataclass(frozen=True)
class Contradiction:
    """Checks of a plant that found different classes: the one that stands, and those that found another class."""

    stands: Check
    others: tuple[Check, ...]


def keep_checks(store: Store, record: CheckedFile) -> Place:
    """Write the record of an imported file; return its path."""
    time = record.imported_at.astimezone(datetime.UTC).strftime(TIME)
    folder = _folder(store, record.campaign) / record.date.isoformat()
    path = folder / f"{time}-{record.sha256[:DIGEST_DIGITS]}.json"
    write_atomically(path, record.model_dump_json(indent=1).encode())
    return path


def read_checked_files(store: Store, campaign: str, day: datetime.date | None = None) -> list[CheckedFile]:
    """Read the records of a campaign, or of one of its dates, in order of import.

    Raises
    ------
    ArtifactError : a record is damaged, or belongs to another campaign or date than its path.
    """
    paths = _folder(store, campaign).glob(f"{'*' if day is None else day.isoformat()}/*.json")
    return [read_checked_file(path) for path in sorted(paths, key=lambda path: (path.name, path.parent.name))]


def read_checks(store: Store, campaign: str, day: datetime.date | None = None) -> list[Check]:
    """Read all checks of a campaign, or of one of its dates, in order of import; see `read_checked_files`."""
    return [check for record in read_checked_files(store, campaign, day) for check in record.checks]


def standing_checks(
    checks: Iterable[Check],
) -> tuple[dict[tuple[datetime.date, str], Check], list[Contradiction]]:
    """Find the check that stands for every date and plant, and the checks that contradict it.

    Parameters
    ----------
    checks : checks in order of import. The latest `checked_at` stands, of equal ones the later import.

    Returns
    -------
    The standing checks by date and plant id, and a contradiction for every plant that was found in different classes,
    both in the order in which the plants were first checked.
    """
    of_plant: defaultdict[tuple[datetime.date, str], list[Check]] = defaultdict(list)
    for check in checks:
        of_plant[check.date, check.plant_id].append(check)
    standing = {key: sorted(several, key=lambda one: one.checked_at)[-1] for key, several in of_plant.items()}
    contradictions: list[Contradiction] = []
    for key, stands in standing.items():
        others = tuple(one for one in of_plant[key] if one.found != stands.found)
        contradictions += [Contradiction(stands, others)] if others else []
    return standing, contradictions


def found_classes(store: Store, campaign: str) -> dict[datetime.date, dict[str, str]]:
    """Read the classes that stand, by date and plant, both ascending (see `FoundClasses`).

    Raises
    ------
    ArtifactError : a record of checks is damaged.
    """
    standing, _ = standing_checks(read_checks(store, campaign))
    found: dict[datetime.date, dict[str, str]] = {}
    for (day, plant), check in sorted(standing.items()):
        found.setdefault(day, {})[plant] = check.found
    return found


def list_checked_files(store: Store) -> list[Place]:
    """List the records of all imported files, sorted by path."""
    return sorted((store.root / FOLDER).glob("*/*/*.json"))


def read_checked_file(path: Place) -> CheckedFile:
    """Read one record and check that it belongs to its path.

    Raises
    ------
    ArtifactError : the record cannot be read, or names another campaign, date or file than its path.
    """
    record = read_model(path, CheckedFile, "the record of checked plants")
    said = (record.campaign, record.date.isoformat(), record.sha256[:DIGEST_DIGITS])
    if said != (*path.parts[-3:-1], path.stem.rpartition("-")[2]):
        raise ArtifactError(f"{path} is the record of {' '.join(said)}")
    return record


def _folder(store: Store, campaign: str) -> Place:
    return store.own(store.root / FOLDER / campaign)
