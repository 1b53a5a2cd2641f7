"""Publish artefacts under a campaign's name: tables in hive layout and reports, with a manifest written last.

Artefacts have names made from their content and never change. Published files are replaced when the campaign runs again
with other parameters.
"""

from collections.abc import Sequence
from datetime import date

import pyarrow as pa

from storage.artifacts import MANIFEST, ArtifactRef, Store
from storage.places.files import Place, list_files, remove_if_empty
from storage.published.parts import PART, is_current, part_file, publish_part, remove_part, write_part
from storage.tables.parquet import TableSpec, load_table, table_bytes


def partition(store: Store, spec: TableSpec, campaign: str, day: date | None) -> Place:
    """Return the folder of a published table; `campaign` is the value of the column `spec.partitioned_by`."""
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
    """Publish a table's rows from one or several artefacts as one part of a partition; return its Parquet file.

    Several artefacts are, for example, one per saliency method. `publish_part` says what happens to other parts.

    Raises
    ------
    ArtifactError : a table cannot be read, or has another schema or version.
    """
    folder = partition(store, spec, campaign, day)
    kept = publish_part(folder, part, sources, lambda: {part_file(part): _table_content(store, spec, sources)})
    return folder / part_file(kept)


def unpublish_table(store: Store, spec: TableSpec, campaign: str) -> None:
    """Remove a published table that the campaign's runs no longer make."""
    folder = partition(store, spec, campaign, None)
    remove_part(folder, PART)
    remove_if_empty(folder)


def _table_content(store: Store, spec: TableSpec, sources: Sequence[ArtifactRef]) -> bytes:
    tables = [load_table(store.open(ref).file(f"{spec.name}.parquet"), spec) for ref in sources]
    return table_bytes(spec, pa.concat_tables(tables))


def publish_report(store: Store, ref: ArtifactRef, campaign: str) -> Place:
    """Publish a report artefact's files under `reports/<campaign>`, remove all others, and return the page."""
    folder, artifact = store.root / "reports" / campaign, store.open(ref)
    if not is_current(folder, PART, [ref]):
        write_part(folder, PART, [ref], {name: artifact.read_bytes(name) for name in artifact.manifest.files})
    for name, path in list_files(folder).items():
        if name not in (*artifact.manifest.files, MANIFEST) and not path.name.startswith(".tmp-"):
            path.unlink(missing_ok=True)  # figure of an earlier report; `.tmp-` files belong to other writers
    return folder / "index.html"
