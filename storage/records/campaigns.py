"""Write and read campaign records: which artefacts a campaign's last complete run consists of."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from storage.artifacts import ArtifactRef, Role, Store
from storage.errors import ArtifactError, AwayError, InputError
from storage.places.faults import is_away
from storage.places.files import Place, read_file, reason, write_atomically
from storage.places.names import FileName, PartName, is_part


def _with_dates(params: dict[str, Any]) -> dict[str, Any]:
    dates = params.get("dates", [])
    if not isinstance(dates, list) or not all(isinstance(day, str) for day in dates):
        raise ValueError("`dates` must be a list of texts")
    return params


class CampaignRecord(BaseModel):
    """Record of a campaign's last complete run: its parameters and every artefact by role.

    Attributes
    ----------
    params : the campaign's parameters as JSON.
    artifacts : references by role (`train`, `predict 2021-08-23`, ...).
    report : path of the report, relative to the store.
    """

    model_config = ConfigDict(extra="forbid")

    campaign: PartName
    params: Annotated[dict[str, Any], AfterValidator(_with_dates)]
    artifacts: dict[Role, ArtifactRef]
    report: FileName

    @property
    def dates(self) -> list[str]:
        """Return the campaign's own dates."""
        return self.params.get("dates", [])


def write_record(store: Store, record: CampaignRecord) -> Place:
    """Write a campaign's record as the last step of a run; return its path."""
    path = _path(store, record.campaign)
    write_atomically(path, record.model_dump_json(indent=1).encode())
    return path


def find_record(store: Store, campaign: str) -> CampaignRecord | None:
    """Return a campaign's record; None where the store has no complete run of it.

    Raises
    ------
    ArtifactError : the record is damaged.
    """
    return read_record(store, campaign) if _is_known(store, campaign) else None


def read_record(store: Store, campaign: str) -> CampaignRecord:
    """Read a campaign's record.

    Raises
    ------
    InputError : the store has no complete run of this campaign.
    AwayError : the store's folder is missing or empty.
    ArtifactError : the record is damaged, or is that of another campaign.
    """
    if not _is_known(store, campaign):
        if isinstance(store.root, Path) and is_away(store.root):
            raise AwayError(
                f"There is no store in {store.root}: the folder is missing or empty",
                "The store must hold a complete run of the campaign",
                "mount the share that it lies on, run the campaign first, or give another --store",
            )
        known = ", ".join(sorted(p.stem for p in (store.root / "campaigns").glob("*.json"))) or "none"
        raise InputError(
            f"There is no record of {campaign!r} in {store.root}; campaigns there: {known}",
            "The store must hold a complete run of the campaign",
            "run the campaign first, or give another --store",
        )
    path = _path(store, campaign)
    try:
        record = CampaignRecord.model_validate_json(read_file(path))
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be read as a campaign's record: {reason(error)}") from None
    if record.campaign != campaign:
        raise ArtifactError(f"{path} is the record of {record.campaign}")
    return record


def _is_known(store: Store, campaign: str) -> bool:
    return is_part(campaign) and _path(store, campaign).is_file()


def _path(store: Store, campaign: str) -> Place:
    return store.own(store.root / "campaigns" / f"{campaign}.json")
