"""Re-read a whole store against its manifests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zarr

from storage.arrays.shards import reading_store
from storage.artifacts import MANIFEST, ArtifactRef, Manifest, Store, read_manifest
from storage.artifacts.drafts import place_of
from storage.errors import ArtifactError, InputError
from storage.places.files import Place, damages, list_files, strangers
from storage.published.exports import EXPORTS, KIND
from storage.published.parts import PART, PublishedManifest, part_file, part_manifest, read_part, read_parts
from storage.records.acquisitions import list_acquisitions, read_acquisition
from storage.records.campaigns import read_record
from storage.records.reviews import list_reviews, read_review
from storage.tables import TABLES
from storage.tables.parquet import load_table


@dataclass(frozen=True)
class Verification:
    """What was read and what is wrong.

    Attributes
    ----------
    n_artifacts, n_published, n_files : how much was read.
    problems : one sentence each, naming the folder and the file.
    unfinished : folders that a killed run left; nothing reads them.
    """

    n_artifacts: int
    n_published: int
    n_files: int
    problems: list[str]
    unfinished: list[str]


def verify_store(store: Store) -> Verification:
    """Re-read every artefact, published table, export, report, review, and record of a campaign or a scored date.

    Raises
    ------
    InputError : the folder is not a store.
    """
    store.check()
    if not (store.root / "artifacts").is_dir():
        raise InputError(f"none in {store.root}", "A store has a folder `artifacts`", "give the folder of a store")
    artifacts = [p for p in sorted((store.root / "artifacts").glob("*/*")) if not _is_unfinished(p)]
    partitions, reports = _published(store.root / "tables"), sorted((store.root / "reports").glob("*"))
    exports = sorted((store.root / EXPORTS).glob("*/*"))
    published = [*reports, *partitions, *exports]
    problems = [p for folder in artifacts for p in _artifact_problems(store, folder)]
    problems += [p for folder in reports for p in _report_problems(store, folder)]
    problems += [p for folder in partitions for p in _partition_problems(store, folder)]
    problems += [p for folder in exports for p in _parts_problems(store, folder)]
    problems += _record_problems(store) + _acquisition_problems(store) + _review_problems(store)
    n_files = sum(len(list_files(folder)) for folder in (*artifacts, *published))
    return Verification(len(artifacts), len(published), n_files, problems, _unfinished(store))


def _is_unfinished(artifact: Place) -> bool:
    """Whether what lies there was never an artefact: drafts of a folder, attempts in a bucket without a manifest."""
    if isinstance(artifact, Path):
        return artifact.name.startswith(".tmp-")
    return not (artifact / MANIFEST).is_file()


def _published(tables: Place) -> list[Place]:
    """Folders that hold, or should hold, a published partition: those without partition folders below them."""
    found: list[Place] = []
    for folder in sorted(tables.glob("*/*=*")):  # campaign=field2, backfill=all-fields
        found += sorted(folder.glob("date=*")) or [folder]
    return found


def _artifact_problems(store: Store, folder: Place) -> list[str]:
    name = store.name_of(folder)
    try:
        manifest = read_manifest(folder, Manifest)
    except ArtifactError as error:
        return [str(error)]
    ref = ArtifactRef(kind=folder.parent.name, digest=folder.name)
    files = folder / manifest.place
    problems = damages(files, manifest.files) + strangers(files, {*manifest.files, MANIFEST})
    if (manifest.kind, manifest.digest) != (ref.kind, ref.digest):
        problems.append(f"the manifest is that of {manifest.kind}/{manifest.digest}")
    problems += [] if ref.kind == KIND else _table_problems(files)  # GeoParquet is no table of ours
    problems += _array_problems(files)
    return [f"{name}: {problem}" for problem in problems]


def _report_problems(store: Store, folder: Place) -> list[str]:
    try:
        manifest = read_part(folder, PART)
    except ArtifactError as error:
        return [str(error)]
    problems = damages(folder, manifest.files) + strangers(folder, {*manifest.files, MANIFEST})
    return [f"{store.name_of(folder)}: {problem}" for problem in problems]


def _partition_problems(store: Store, folder: Place) -> list[str]:
    """What is wrong with a table's partition: its parts, and the tables in it."""
    tables = _table_problems(folder, table=store.name_of(folder).split("/")[1])
    return [*_parts_problems(store, folder), *(f"{store.name_of(folder)}: {problem}" for problem in tables)]


def _parts_problems(store: Store, folder: Place) -> list[str]:
    """What is wrong with the parts of a published folder: every file belongs to exactly one of them."""
    parts, unreadable = read_parts(folder)
    if not parts and not unreadable:
        unreadable = {PART: f"{folder} has no {MANIFEST}: never finished, or deleted"}
    files = {name: record for manifest in parts.values() for name, record in manifest.files.items()}
    # The table of a part whose manifest cannot be read belongs to nobody, which is said once.
    besides = {*map(part_manifest, (*parts, *unreadable)), *map(part_file, unreadable)}
    problems = (
        damages(folder, files)
        + strangers(folder, {*files, *besides})
        + _claimed_twice(parts)
        + _rows_twice(folder, parts)
    )
    return [*unreadable.values(), *(f"{store.name_of(folder)}: {problem}" for problem in problems)]


def _claimed_twice(parts: Mapping[str, PublishedManifest]) -> list[str]:
    claims = [(name, part_manifest(part)) for part, manifest in parts.items() for name in manifest.files]
    owners = {name: [manifest for claimed, manifest in claims if claimed == name] for name, _ in claims}
    return [f"file {name} is in {' and '.join(those)}" for name, those in owners.items() if len(those) > 1]


def _rows_twice(folder: Place, parts: Mapping[str, PublishedManifest]) -> list[str]:
    """Parts with the rows of an earlier one, as a kill leaves them: publishing either again removes the later."""
    first: dict[frozenset[ArtifactRef], str] = {}  # a file of the first part with these sources
    problems: list[str] = []
    for manifest in parts.values():
        there = [name for name in manifest.files if (folder / name).is_file()]
        if there:
            kept = first.setdefault(frozenset(manifest.sources), there[0])
            problems += [f"file {there[0]} has the same rows as {kept}"] if kept != there[0] else []
    return problems


def _record_problems(store: Store) -> list[str]:
    """Records that cannot be read, and artefacts that a record names but the store has not."""
    problems: list[str] = []
    for path in sorted((store.root / "campaigns").glob("*.json")):
        try:
            named = read_record(store, path.stem).artifacts
        except ArtifactError as error:
            problems.append(str(error))
            continue
        problems += _absent(store, path, named)
    return problems


def _acquisition_problems(store: Store) -> list[str]:
    """The same of the records of scored dates."""
    problems: list[str] = []
    for path in list_acquisitions(store):
        try:
            problems += _absent(store, path, read_acquisition(path).artifacts)
        except ArtifactError as error:
            problems.append(str(error))
    return problems


def _review_problems(store: Store) -> list[str]:
    """Reviews that cannot be read; the scores of one may be gone with a fit that nobody needs any more."""
    problems: list[str] = []
    for path in list_reviews(store):
        try:
            read_review(path)
        except ArtifactError as error:
            problems.append(str(error))
    return problems


def _absent(store: Store, record: Place, named: Mapping[str, ArtifactRef]) -> list[str]:
    place = store.name_of(record)
    return [
        f"{place}: the artefact {role}, {ref}, is missing"
        for role, ref in named.items()
        if not store.folder(ref).is_dir() or _is_unfinished(store.folder(ref))
    ]


def _table_problems(folder: Place, table: str | None = None) -> list[str]:
    """Schema and content of the Parquet files of a folder; files named after their table unless one is given."""
    problems: list[str] = []
    for path in sorted(folder.glob("*.parquet")):
        spec = TABLES.get(table or path.stem)
        if spec is None:
            problems.append(f"file {path.name} is no table of this program: {table or path.stem}")
            continue
        try:
            load_table(path, spec)
        except ArtifactError as error:
            problems.append(str(error).replace(f"{path}", path.name))
    return problems


def _array_problems(folder: Place) -> list[str]:
    problems: list[str] = []
    for path in sorted(folder.glob("*.zarr")):
        try:
            zarr.open_array(store=reading_store(path), mode="r", zarr_format=3)
        except (OSError, ValueError, KeyError) as error:
            problems.append(f"array {path.name} cannot be opened: {error!r}")
    return problems


def _unfinished(store: Store) -> list[str]:
    """What killed runs left: drafts and temporary files of a folder, attempts in a bucket that are no artefact."""
    if isinstance(store.root, Path):
        return sorted(store.name_of(path) for path in store.root.rglob(".tmp-*"))
    attempts = (store.root / "artifacts").glob("*/*/attempt-*")
    return sorted(store.name_of(one) for one in attempts if one.name != place_of(one.parent))
