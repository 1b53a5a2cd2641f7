"""Publish artefacts under a campaign's name: tables in hive layout and reports, with a manifest written last.

A table's partition holds one Parquet file and nothing else, so that any reader takes the whole folder. Its manifest
lies apart, in `manifests/`. A date that is scored or decided again replaces its rows, so every plant is there once.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from storage.artifacts import MANIFEST, Artifact, ArtifactRef, Store
from storage.errors import OutdatedError
from storage.places.files import Place, list_files, remove_if_empty
from storage.published.earlier import TABLE_FILE, keep_latest, remove_earlier
from storage.published.manifests import publish_files, remove_published
from storage.tables.parquet import TableSpec, load_table, table_bytes

PARTS = "parts"  # key of a report's summary: artefacts that its files are made or linked from, which stay with it
TABLES_FOLDER, MANIFESTS_FOLDER = "tables", "manifests"  # folders of the store for tables and for their manifests


def partition(store: Store, spec: TableSpec, campaign: str, day: date | None) -> Place:
    """Return the folder of a published table; `campaign` is the value of the column `spec.partitioned_by`."""
    folder = store.root / TABLES_FOLDER / spec.name / f"{spec.partitioned_by}={campaign}"
    return store.own(folder if day is None else folder / f"date={day.isoformat()}")


def table_manifest(store: Store, folder: Place) -> Place:
    """Return the place of a partition's manifest: `manifests/tables/<table>/campaign=<name>/date=<date>.json`."""
    return store.own(store.root / MANIFESTS_FOLDER / f"{store.name_of(folder)}.json")


def list_partitions(store: Store) -> list[Place]:
    """List the partitions that hold a file or have a manifest, sorted by path."""
    files = [path for path in list_files(store.root / TABLES_FOLDER).values() if not path.name.startswith(".")]
    names = {store.name_of(path.parent) for path in files if "=" in path.parent.name} | set(_with_manifest(store))
    return [store.root / name for name in sorted(names)]


def _with_manifest(store: Store) -> Iterator[str]:
    for name in list_files(store.root / MANIFESTS_FOLDER):
        if name.startswith(f"{TABLES_FOLDER}/") and not PurePosixPath(name).name.startswith("."):
            yield name.removesuffix(".json")


def publish_table(
    store: Store, spec: TableSpec, sources: Sequence[ArtifactRef], campaign: str, day: date | None = None
) -> Place:
    """Publish a table's rows from one or several artefacts as a partition, and return its Parquet file.

    Several artefacts are, for example, one per saliency method. Rows published before, such as those of another fit
    that scored the date, are replaced.

    Raises
    ------
    ArtifactError : a table cannot be read, or has another schema or version.
    """
    folder = partition(store, spec, campaign, day)
    manifest = table_manifest(store, folder)
    kept = publish_files(folder, manifest, sources, lambda: {TABLE_FILE: _table_content(store, spec, sources)})
    remove_earlier(folder, manifest, kept)
    return folder / TABLE_FILE


def published_rows(store: Store, spec: TableSpec, campaign: str, day: date | None = None) -> list[dict[str, Any]]:
    """Read the rows of a published table; none where it was not published, or by an earlier version only.

    Raises
    ------
    ArtifactError : the table is damaged.
    """
    path = partition(store, spec, campaign, day) / TABLE_FILE
    try:
        return load_table(path, spec).to_pylist() if path.is_file() else []
    except OutdatedError:
        return []


def unpublish_table(store: Store, spec: TableSpec, campaign: str, day: date | None = None) -> None:
    """Remove a published table that the campaign's runs no longer make."""
    folder = partition(store, spec, campaign, day)
    manifest = table_manifest(store, folder)
    remove_published(folder, manifest)
    remove_earlier(folder, manifest, ())
    remove_if_empty(folder)


def renew_partitions(store: Store) -> None:
    """Move the manifests that earlier versions left in partitions, and keep only the latest rows of each."""
    with suppress(FileNotFoundError):  # another run does this, or removes a table; the next run does the rest
        names = list_files(store.root / TABLES_FOLDER)
        for name in sorted({str(PurePosixPath(one).parent) for one in names if one.endswith(".json")}):
            folder = store.root / TABLES_FOLDER / name
            keep_latest(store, folder, table_manifest(store, folder))


def _table_content(store: Store, spec: TableSpec, sources: Sequence[ArtifactRef]) -> bytes:
    tables = [load_table(store.open(ref).file(f"{spec.name}.parquet"), spec) for ref in sources]
    return table_bytes(spec, pa.concat_tables(tables))


class ReadLater(Mapping[str, bytes]):
    """Content of an artefact's files by name, of which only what is asked for is in memory."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    def __getitem__(self, name: str) -> bytes:
        if name not in self.artifact.manifest.files:
            raise KeyError(name)
        return self.artifact.read_bytes(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.artifact.manifest.files)

    def __len__(self) -> int:
        return len(self.artifact.manifest.files)


def publish_report(store: Store, ref: ArtifactRef, campaign: str) -> Place:
    """Publish a report artefact's files under `reports/<campaign>`, remove all others, and return the page."""
    folder, artifact = store.own(store.root / "reports" / campaign), store.open(ref)
    files, sources = artifact.manifest.files, [ref, *map(ArtifactRef.of, artifact.summary.get(PARTS, ()))]
    publish_files(folder, folder / MANIFEST, sources, lambda: ReadLater(artifact))
    for name, path in list_files(folder).items():
        if name not in (*files, MANIFEST) and not path.name.startswith(".tmp-"):
            path.unlink(missing_ok=True)  # figure of an earlier report; `.tmp-` files belong to other writers
    return folder / "index.html"
