"""Write and read the records of scored dates (acquisitions), one for every fit that scored a date.

The record is written last, so a date with a record has all its tables. Scoring a date again with a newer fit adds a
record beside the old one. Scoring it again with the same fit, because its files have changed, replaces the record.
"""

import datetime
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict

from storage.artifacts import ArtifactRef, Role, Store, content_digest
from storage.errors import ArtifactError
from storage.places.files import Place, read_model, write_atomically
from storage.places.names import PartName

FOLDER = "acquisitions"  # folder of the store for records of scored dates
FITTED = (
    "clusters",
    "crossfit",
    "scores",
    "swaps",
    "promises",
)  # kinds that hold what a campaign has learned, per saliency method
# Kinds made from a campaign's own dates. Their digests depend on the parameters by which any date is judged.
JUDGED = ("reliability", "drift", "decided")
# Kinds of a scored date that a report shows: results about its plants, and the picture behind their map.
TELLING = ("images", "saliency", "assignments", "adjusted", "drift", "decided", "acquisition", "background")


class DateFiles(BaseModel):
    """Summary of the files that are a date's own: number, size, and a digest of their names, sizes and times."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_files: int
    n_bytes: int
    digest: str


class AcquisitionRecord(BaseModel):
    """Record of a date that was scored without refitting: its fit, its parameters and every artefact by role.

    Attributes
    ----------
    campaign : name that the date's tables are published under.
    date : acquisition date.
    fitted_by : campaign whose fit was used; normally the same campaign.
    fit : digest of that fit, from `fit_digest`.
    params : the campaign's parameters as JSON.
    artifacts : references by role (`images 2021-08-23`, `clusters gradcam`, ...).
    files : files of the date just before they were read; None if they are unknown, as in records of earlier versions.
    """

    model_config = ConfigDict(extra="forbid")

    campaign: PartName
    date: datetime.date
    fitted_by: PartName
    fit: PartName
    params: dict[str, Any]
    artifacts: dict[Role, ArtifactRef]
    files: DateFiles | None = None


def learned_artifacts(artifacts: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """Select the artefacts that hold what a campaign has learned, or a person has decided, by role."""
    return {role: ref for role, ref in artifacts.items() if role.split()[0] in ("classifier", *FITTED, "review")}


def fit_digest(artifacts: Mapping[str, ArtifactRef]) -> str:
    """Return the digest of a campaign's fit: what it has learned, and the parameters by which it judges dates.

    Two fits with the same digest make equal rows for a date. Thresholds act only when a date is judged, so no learned
    artefact depends on them. The campaign's own reliability and drift artefacts do, and are therefore included.
    """
    judged = {role: ref for role, ref in artifacts.items() if role.split()[0] in JUDGED}
    return content_digest({role: ref.digest for role, ref in {**learned_artifacts(artifacts), **judged}.items()})


def write_acquisition(store: Store, record: AcquisitionRecord) -> Place:
    """Write the record of a scored date as the last step of a run; return its path."""
    path = _path(store, record.campaign, record.date, record.fit)
    unknown = {"files"} if record.files is None else None  # left out, as by earlier versions
    write_atomically(path, record.model_dump_json(indent=1, exclude=unknown).encode())
    return path


def find_acquisition(store: Store, campaign: str, day: datetime.date, fit: str) -> AcquisitionRecord | None:
    """Return the record of a date scored with a fit; None where no run was completed.

    Raises
    ------
    ArtifactError : the record is damaged, or belongs to another date, campaign or fit.
    """
    path = _path(store, campaign, day, fit)
    return read_acquisition(path) if path.is_file() else None


def acquisition_dates(store: Store, campaign: str, fit: str) -> list[datetime.date]:
    """List the dates of a campaign that have a record of a fit, ascending; the records are not read."""
    found: list[datetime.date] = []
    for path in (store.root / FOLDER / campaign).glob(f"*/{fit}.json"):
        with suppress(ValueError):  # the folder is not a date; `harvest verify` reports its files
            found.append(datetime.date.fromisoformat(path.parent.name))
    return sorted(found)


def scored_artifacts(
    store: Store, campaign: str, params: Mapping[str, Any], artifacts: Mapping[str, ArtifactRef]
) -> tuple[dict[str, ArtifactRef], list[str]]:
    """Find the artefacts about plants on dates that a campaign's present fit scored beyond the campaign's own dates.

    Parameters
    ----------
    params, artifacts : parameters and artefacts of the campaign's record.

    Returns
    -------
    References by role (`images 2021-08-23`, `adjusted gradcam 2021-08-23`, ...), and the dates whose record cannot be
    read, or of whose artefacts files are missing or have another size.
    """
    found: dict[str, ArtifactRef] = {}
    lost: list[str] = []
    fit = fit_digest(artifacts)
    for day in acquisition_dates(store, campaign, fit):
        if day.isoformat() in params["dates"]:
            continue
        try:
            record = read_acquisition(_path(store, campaign, day, fit))
            told = {role: ref for role, ref in record.artifacts.items() if role.split()[0] in TELLING}
        except ArtifactError:
            lost.append(day.isoformat())
            continue
        if any(store.wrong_sizes(ref) for ref in told.values()):
            lost.append(day.isoformat())
        else:
            found |= told
    return found, lost


def list_acquisitions(store: Store) -> list[Place]:
    """List the records of all scored dates, sorted by path."""
    return sorted((store.root / FOLDER).glob("*/*/*.json"))


def read_acquisition(path: Place) -> AcquisitionRecord:
    """Read one record and check that it belongs to its path.

    Raises
    ------
    ArtifactError : the record cannot be read, or names another campaign, date or fit than its path.
    """
    record = read_model(path, AcquisitionRecord, "the record of a scored date")
    said, place = (record.campaign, record.date.isoformat(), record.fit), (*path.parts[-3:-1], path.stem)
    if said != place:
        raise ArtifactError(f"{path} is the record of {' '.join(said)}")
    return record


def _path(store: Store, campaign: str, day: datetime.date, fit: str) -> Place:
    return store.own(store.root / FOLDER / campaign) / day.isoformat() / f"{fit}.json"
