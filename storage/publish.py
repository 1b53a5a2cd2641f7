"""Published results: tables in hive layout, reports and the campaign's record, each with a manifest written last.

Artefacts are named by content and never change; what is published under a campaign's name is replaced when the campaign
runs again with other parameters.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from storage.artifacts import MANIFEST, ArtifactRef, Store, read_manifest
from storage.errors import ArtifactError, InputError
from storage.files import FileRecord, describe_files, differences, write_atomically
from storage.parquet import TableSpec, load_table, table_bytes

PART = "part-0.parquet"


class PublishedManifest(BaseModel):
    """What a published folder holds and which artefacts it was taken from."""

    model_config = ConfigDict(extra="forbid")

    sources: list[ArtifactRef]
    files: dict[str, FileRecord]


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


def partition(store: Store, spec: TableSpec, campaign: str, day: date | None) -> Path:
    """Folder of a published table."""
    folder = store.root / "tables" / spec.name / f"campaign={campaign}"
    return folder if day is None else folder / f"date={day.isoformat()}"


def publish_table(
    store: Store, spec: TableSpec, sources: Sequence[ArtifactRef], campaign: str, day: date | None = None
) -> Path:
    """Publish one table's rows of one or several artefacts (say, one a saliency method) as one partition.

    Returns the Parquet file. An equal partition is left as it is.
    """
    folder = partition(store, spec, campaign, day)
    if not _is_current(folder, sources):
        parts = [load_table(store.open(ref).file(f"{spec.name}.parquet"), spec) for ref in sources]
        (folder / MANIFEST).unlink(missing_ok=True)
        write_atomically(folder / PART, table_bytes(spec, pa.concat_tables(parts)))
        _finish(folder, sources, [PART])
    return folder / PART


def publish_report(store: Store, ref: ArtifactRef, campaign: str) -> Path:
    """Publish a report artefact's files under `reports/<campaign>`; returns its page."""
    folder, artifact = store.root / "reports" / campaign, store.open(ref)
    names = list(artifact.manifest.files)
    if not _is_current(folder, [ref]):
        (folder / MANIFEST).unlink(missing_ok=True)
        for name in names:
            write_atomically(folder / name, artifact.read_bytes(name))
        _finish(folder, [ref], names)
    return folder / "index.html"


def _is_current(folder: Path, sources: Sequence[ArtifactRef]) -> bool:
    try:
        manifest = read_manifest(folder, PublishedManifest)
    except ArtifactError:
        return False
    return manifest.sources == list(sources) and not differences(folder, manifest.files, besides={MANIFEST})


def _finish(folder: Path, sources: Sequence[ArtifactRef], names: Sequence[str]) -> None:
    files = {name: record for name, record in describe_files(folder).items() if name in names}
    manifest = PublishedManifest(sources=list(sources), files=files)
    write_atomically(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())


def write_record(store: Store, record: CampaignRecord) -> Path:
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
