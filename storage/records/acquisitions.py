"""Acquisitions: the record of a date that was scored with a campaign's fit, one for every fit that scored it.

It is written last, so a date with a record of a fit has all its tables. Scoring a date again with a newer fit adds a
record beside the old, as it adds parts to the published tables.
"""

import datetime
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict

from storage.artifacts import ArtifactRef, Store, content_digest
from storage.errors import ArtifactError
from storage.places.files import Place, write_atomically

FOLDER = "acquisitions"
FITTED = ("clusters", "crossfit", "scores", "swaps")  # what every campaign has learned, by saliency method
# Made of a campaign's own dates: their names tell by which parameters any date is judged.
JUDGED = ("reliability", "drift")
TELLING = ("images", "reliability", "adjusted", "drift")  # kinds of a scored date that tell of its plants


class AcquisitionRecord(BaseModel):
    """A date that was scored without refitting: with whose fit, by which parameters, and every artefact by role.

    Attributes
    ----------
    campaign : name that the date's tables are published under.
    fitted_by : campaign whose fit was used; normally the same.
    fit : digest of that fit, as `fit_digest` tells it.
    params : the parameters as JSON.
    artifacts : references by role (`images 2021-08-23`, `clusters gradcam`, ...).
    """

    model_config = ConfigDict(extra="forbid")

    campaign: str
    date: datetime.date
    fitted_by: str
    fit: str
    params: dict[str, Any]
    artifacts: dict[str, ArtifactRef]


def learned_artifacts(artifacts: Mapping[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """What a campaign has learned, or a person decided, of its artefacts by role."""
    return {role: ref for role, ref in artifacts.items() if role.split()[0] in ("classifier", *FITTED, "review")}


def fit_digest(artifacts: Mapping[str, ArtifactRef]) -> str:
    """Digest of a campaign's fit: all that it has learned, and the parameters by which it judges dates.

    Two fits with one digest make equal rows of a date. Thresholds act only when a date is judged, so that nothing
    learned depends on them; how the campaign's own dates were judged does.
    """
    judged = {role: ref for role, ref in artifacts.items() if role.split()[0] in JUDGED}
    return content_digest({role: ref.digest for role, ref in {**learned_artifacts(artifacts), **judged}.items()})


def write_acquisition(store: Store, record: AcquisitionRecord) -> Place:
    """Write the record of a scored date: the last thing a run does."""
    path = _path(store, record.campaign, record.date, record.fit)
    write_atomically(path, record.model_dump_json(indent=1).encode())
    return path


def find_acquisition(store: Store, campaign: str, day: datetime.date, fit: str) -> AcquisitionRecord | None:
    """The record of a date scored with a fit; None where no run of it was complete.

    Raises
    ------
    ArtifactError : the record is damaged, or that of another date, campaign or fit.
    """
    path = _path(store, campaign, day, fit)
    return read_acquisition(path) if path.is_file() else None


def acquisition_dates(store: Store, campaign: str, fit: str) -> list[datetime.date]:
    """Dates of a campaign that have a record of a fit, in order; the records are not read."""
    found: list[datetime.date] = []
    for path in (store.root / FOLDER / campaign).glob(f"*/{fit}.json"):
        with suppress(ValueError):  # no date: nothing of ours, as `harvest verify` tells
            found.append(datetime.date.fromisoformat(path.parent.name))
    return sorted(found)


def scored_artifacts(
    store: Store, campaign: str, params: Mapping[str, Any], artifacts: Mapping[str, ArtifactRef]
) -> tuple[dict[str, ArtifactRef], list[str]]:
    """What a campaign's present fit made of dates beyond the campaign's own, as far as it tells of plants.

    Parameters
    ----------
    params, artifacts : of the campaign's record.

    Returns
    -------
    References by role (`images 2021-08-23`, `adjusted gradcam 2021-08-23`, ...), and the dates of which some are no
    longer in the store, or whose record cannot be read.
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
            for ref in told.values():
                store.open(ref)
        except ArtifactError:
            lost.append(day.isoformat())
        else:
            found |= told
    return found, lost


def list_acquisitions(store: Store) -> list[Place]:
    """Every record of a scored date."""
    return sorted((store.root / FOLDER).glob("*/*/*.json"))


def read_acquisition(path: Place) -> AcquisitionRecord:
    """Read one record, which must be that of the place it lies in.

    Raises
    ------
    ArtifactError : it cannot be read, or is another's.
    """
    try:
        record = AcquisitionRecord.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read as the record of a scored date: {error}") from None
    said, place = (record.campaign, record.date.isoformat(), record.fit), (*path.parts[-3:-1], path.stem)
    if said != place:
        raise ArtifactError(f"{path} is the record of {' '.join(said)}")
    return record


def _path(store: Store, campaign: str, day: datetime.date, fit: str) -> Place:
    return store.root / FOLDER / campaign / day.isoformat() / f"{fit}.json"
