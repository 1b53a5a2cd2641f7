"""Published results: tables in hive layout, reports and the campaign's record, each with a manifest written last.

Artefacts are named by content and never change; what is published under a campaign's name is replaced when the campaign
runs again with other parameters.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from storage.artifacts import MANIFEST, ArtifactRef, Store
from storage.errors import ArtifactError, InputError
from storage.files import Place, list_files, remove_if_empty, write_atomically
from storage.parquet import TableSpec, load_table, table_bytes
from storage.parts import PART, is_current, part_file, publish_part, remove_part, write_part


class CampaignRecord(BaseModel):
    """A campaign's last complete run: its parameters and every artefact by role.

    Attributes
    ----------
    params : the campaign's parameters as JSON.
    artifacts : references by role (`train`, `predict 2021-08-23`, ...).
    report : where the report lies, relative to the store.
    """

    model_config = ConfigDict(extra="forbid")

    campaign: str
    params: dict[str, Any]
    artifacts: dict[str, ArtifactRef]
    report: str


def partition(store: Store, spec: TableSpec, campaign: str, day: date | None) -> Place:
    """Folder of a published table; `campaign` is the value of whatever the table is partitioned by."""
    folder = store.root / "tables" / spec.name / f"{spec.partitioned_by}={campaign}"
    return folder if day is None else folder / f"date={day.isoformat()}"


def publish_table(
    store: Store,
    spec: TableSpec,
    sources: Sequence[ArtifactRef],
    campaign: str,
    day: date | None = None,
    part: str = PART,
) -> Place:
    """Publish one table's rows of one or several artefacts (say, one a saliency method) as one part of a partition.

    What becomes of other parts of the partition, `publish_part` tells. Returns the Parquet file with the rows.
    """
    folder = partition(store, spec, campaign, day)
    kept = publish_part(folder, part, sources, lambda: {part_file(part): _table_content(store, spec, sources)})
    return folder / part_file(kept)


def unpublish_table(store: Store, spec: TableSpec, campaign: str) -> None:
    """Take away a table of a campaign that a run no longer makes."""
    folder = partition(store, spec, campaign, None)
    remove_part(folder, PART)
    remove_if_empty(folder)


def _table_content(store: Store, spec: TableSpec, sources: Sequence[ArtifactRef]) -> bytes:
    tables = [load_table(store.open(ref).file(f"{spec.name}.parquet"), spec) for ref in sources]
    return table_bytes(spec, pa.concat_tables(tables))


def publish_report(store: Store, ref: ArtifactRef, campaign: str) -> Place:
    """Publish a report artefact's files, and no others, under `reports/<campaign>`; returns its page."""
    folder, artifact = store.root / "reports" / campaign, store.open(ref)
    if not is_current(folder, PART, [ref]):
        write_part(folder, PART, [ref], {name: artifact.read_bytes(name) for name in artifact.manifest.files})
    for name, path in list_files(folder).items():
        if name not in (*artifact.manifest.files, MANIFEST) and not path.name.startswith(".tmp-"):
            path.unlink(missing_ok=True)  # a figure of an earlier report; others write what is temporary
    return folder / "index.html"


def write_record(store: Store, record: CampaignRecord) -> Place:
    """Write a campaign's record: the last thing a run does."""
    path = store.root / "campaigns" / f"{record.campaign}.json"
    write_atomically(path, record.model_dump_json(indent=1).encode())
    return path


def find_record(store: Store, campaign: str) -> CampaignRecord | None:
    """A campaign's record; None where the store knows no complete run of it.

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
    InputError : the store knows no complete run of this campaign.
    ArtifactError : the record is damaged.
    """
    folder = store.root / "campaigns"
    path = folder / f"{campaign}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.json"))) or "none"
        raise InputError(
            "The store must hold a complete run of the campaign",
            f"no record of {campaign!r} in {store.root}; campaigns there: {known}",
            "run the campaign first, or give another --store",
        )
    try:
        return CampaignRecord.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be read as a campaign's record: {error}") from None
