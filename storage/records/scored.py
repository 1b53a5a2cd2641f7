"""Look at what a scored date consists of, artefacts and published files, without reading it.

A record alone says what there was when it was written. Files that are gone since, or that a full disk or a loss of
power cut off, are found by their sizes. `harvest verify` reads the content.
"""

import datetime

from storage.artifacts import Artifact, Store
from storage.errors import ArtifactError
from storage.places.files import wrong_sizes
from storage.published.exports import KIND, export_folder
from storage.published.manifests import read_published
from storage.published.publish import MANIFEST, partition, table_manifest
from storage.records.acquisitions import AcquisitionRecord, find_acquisition
from storage.tables import TABLES


def find_whole_acquisition(store: Store, campaign: str, day: datetime.date, fit: str) -> AcquisitionRecord | None:
    """Return the record of a date scored with a fit; None without one, or where files of the date are missing.

    Raises
    ------
    ArtifactError : the record is damaged, or belongs to another date, campaign or fit.
    """
    record = find_acquisition(store, campaign, day, fit)
    return None if record is None or missing_parts(store, record) else record


def missing_parts(store: Store, record: AcquisitionRecord) -> list[str]:
    """List the files of a scored date that are missing or have another size, one sentence each."""
    problems: list[str] = []
    artifacts: dict[str, Artifact] = {}
    for role, ref in record.artifacts.items():
        problems += store.wrong_sizes(ref)
        if not problems:
            artifacts[role] = store.open(ref)
    return problems or _published_problems(store, record, artifacts)


def _published_problems(store: Store, record: AcquisitionRecord, artifacts: dict[str, Artifact]) -> list[str]:
    day = record.date.isoformat()
    of_day = {role: one for role, one in artifacts.items() if role.split()[-1] == day}
    names = {name.removesuffix(".parquet") for one in of_day.values() for name in one.manifest.files if "/" not in name}
    tables = [TABLES[name] for name in sorted(names & TABLES.keys()) if TABLES[name].per_date]
    folders = [partition(store, spec, record.campaign, record.date) for spec in tables]
    manifests = [table_manifest(store, folder) for folder in folders]
    if any(role.split()[0] == KIND for role in of_day):
        folders.append(export_folder(store, record.campaign) / day)
        manifests.append(folders[-1] / MANIFEST)
    problems: list[str] = []
    for folder, manifest in zip(folders, manifests, strict=True):
        try:
            problems += wrong_sizes(folder, read_published(manifest).files)
        except ArtifactError as error:
            problems.append(str(error))
    return problems
