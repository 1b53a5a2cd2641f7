"""Write and read campaign records: which artefacts a campaign's last complete run consists of."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from storage.artifacts import ArtifactRef, Store
from storage.errors import ArtifactError, AwayError, InputError
from storage.places.faults import is_away
from storage.places.files import Place, write_atomically


class CampaignRecord(BaseModel):
    """Record of a campaign's last complete run: its parameters and every artefact by role.

    Attributes
    ----------
    params : the campaign's parameters as JSON.
    artifacts : references by role (`train`, `predict 2021-08-23`, ...).
    report : path of the report, relative to the store.
    """

    model_config = ConfigDict(extra="forbid")

    campaign: str
    params: dict[str, Any]
    artifacts: dict[str, ArtifactRef]
    report: str


def write_record(store: Store, record: CampaignRecord) -> Place:
    """Write a campaign's record as the last step of a run; return its path."""
    path = store.root / "campaigns" / f"{record.campaign}.json"
    write_atomically(path, record.model_dump_json(indent=1).encode())
    return path


def find_record(store: Store, campaign: str) -> CampaignRecord | None:
    """Return a campaign's record; None where the store has no complete run of it.

    Raises
    ------
    ArtifactError : the record is damaged.
    """
    is_known = (store.root / "campaigns" / f"{campaign}.json").is_file()
    return read_record(store, campaign) if is_known else None


def read_record(store: Store, campaign: str) -> CampaignRecord:
    """Read a campaign's record.

    Raises
    ------
    InputError : the store has no complete run of this campaign.
    AwayError : the store's folder is missing or empty.
    ArtifactError : the record is damaged.
    """
    folder = store.root / "campaigns"
    path = folder / f"{campaign}.json"
    if not path.is_file():
        if isinstance(store.root, Path) and is_away(store.root):
            raise AwayError(
                f"There is no store in {store.root}: the folder is missing or empty",
                "The store must hold a complete run of the campaign",
                "mount the share that it lies on, run the campaign first, or give another --store",
            )
        known = ", ".join(sorted(p.stem for p in folder.glob("*.json"))) or "none"
        raise InputError(
            f"There is no record of {campaign!r} in {store.root}; campaigns there: {known}",
            "The store must hold a complete run of the campaign",
            "run the campaign first, or give another --store",
        )
    try:
        return CampaignRecord.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be read as a campaign's record: {error}") from None
