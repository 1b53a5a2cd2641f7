"""Verify a store: read every file again and compare it with its manifest, schema and record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import zarr

from storage.arrays.shards import reading_store
from storage.arrays.stored import DAMAGED
from storage.artifacts import MANIFEST, ArtifactRef, Manifest, Store, read_manifest
from storage.artifacts.drafts import place_of
from storage.errors import ArtifactError, InputError, OutdatedError
from storage.places.files import Place, damages, list_files, strangers
from storage.published.earlier import earlier_manifests, read_earlier, table_of
from storage.published.exports import EDITED, EXPORTS, KIND
from storage.published.manifests import read_published
from storage.published.publish import MANIFESTS_FOLDER, list_partitions, table_manifest
from storage.records import acquisitions, reviews
from storage.records.acquisitions import list_acquisitions, read_acquisition
from storage.records.campaigns import read_record
from storage.records.checks import list_checked_files, read_checked_file
from storage.records.results import refused_records
from storage.records.reviews import list_reviews, read_review
from storage.tables import TABLES
from storage.tables.parquet import load_table


@dataclass(frozen=True)
class Verification:
    """Result of reading a whole store again.

    Attributes
    ----------
    n_artifacts, n_published, n_files : number of artefacts, published folders and files that were read.
    problems : one sentence per problem, naming the folder and the file.
    unfinished : names of drafts that killed runs left; nothing reads them.
    outdated : names of whole tables that earlier versions of the program wrote; this one does not read them.
    """

    n_artifacts: int
    n_published: int
    n_files: int
    problems: list[str]
    unfinished: list[str]
    outdated: list[str]


def verify_store(store: Store) -> Verification:
    """Read every artefact, published table, export, report, review and record again, and list all damage.

    Records of cached results are among them: those that could run code are refused.

    Raises
    ------
    InputError : the folder is not a store.
    """
    store.check()
    if not (store.root / "artifacts").is_dir():
        raise InputError(
            f"{store.root} has no folder `artifacts`",
            "A store must have a folder `artifacts`",
            "give the folder of a store",
        )
    folders, outdated = list_folders(store), list[str]()
    problems = [problem for name in folders for problem in folder_problems(store, name, outdated)]
    problems += [problem for found in record_problems(store).values() for problem in found]
    n_files = sum(len(list_files(store.root / name)) for name in (*folders, MANIFESTS_FOLDER))
    n_artifacts = sum(name.startswith("artifacts/") for name in folders)
    return Verification(n_artifacts, len(folders) - n_artifacts, n_files, problems, _unfinished(store), outdated)


def list_folders(store: Store) -> list[str]:
    """List the finished artefacts and the published folders of a store by their names relative to it, sorted."""
    artifacts = [path for path in (store.root / "artifacts").glob("*/*") if not _is_unfinished(path)]
    published = [*list_partitions(store), *(store.root / "reports").glob("*"), *(store.root / EXPORTS).glob("*/*")]
    return sorted(store.name_of(path) for path in (*artifacts, *published))


def folder_problems(store: Store, name: str, outdated: list[str]) -> list[str]:
    """Read a folder of `list_folders` again; list what is wrong, one sentence per problem.

    Parameters
    ----------
    outdated : list to which names of tables that earlier versions of the program wrote are added.
    """
    folder = store.root / name
    match name.split("/")[0]:
        case "artifacts":
            return _artifact_problems(store, folder, outdated)
        case "reports":
            return _report_problems(store, folder)
        case "exports":
            return _files_problems(store, folder, folder / MANIFEST)
        case _:
            return _partition_problems(store, folder, outdated)


def folder_size(store: Store, name: str) -> int:
    """Return the bytes of a folder of `list_folders` by its manifest; 0 if that cannot be read."""
    folder = store.root / name
    try:
        if name.startswith("artifacts/"):
            files = read_manifest(folder, Manifest).files
        else:
            manifest = table_manifest(store, folder) if name.startswith("tables/") else folder / MANIFEST
            files = read_published(manifest).files
    except ArtifactError:
        return 0
    return sum(one.size for one in files.values())


def record_problems(store: Store) -> dict[str, list[str]]:
    """Read the records of campaigns, dates, reviews, checks and cached results; list what is wrong by record.

    Records of cached results are together, under the name of their folder.
    """
    campaigns = sorted((store.root / "campaigns").glob("*.json"))
    paths = [*campaigns, *list_acquisitions(store), *list_reviews(store), *list_checked_files(store)]
    found = {store.name_of(path): _record_problems(store, path) for path in paths}
    found[store.name_of(store.results_folder)] = refused_records(store)
    return {name: problems for name, problems in found.items() if problems}


def _is_unfinished(artifact: Place) -> bool:
    """Return whether a folder is an unfinished draft: `.tmp-` in a local store, no manifest in a bucket."""
    if isinstance(artifact, Path):
        return artifact.name.startswith(".tmp-")
    return not (artifact / MANIFEST).is_file()


def _artifact_problems(store: Store, folder: Place, outdated: list[str]) -> list[str]:
    """List what is wrong with an artefact; the names of its outdated tables are added to `outdated`."""
    name = store.name_of(folder)
    try:
        manifest = read_manifest(folder, Manifest)
    except ArtifactError as error:
        return [str(error)]
    ref = ArtifactRef(kind=folder.parent.name, digest=folder.name)
    files = folder / manifest.place
    problems = damages(files, manifest.files) + strangers(files, {*manifest.files, MANIFEST})
    if (manifest.kind, manifest.digest) != (ref.kind, ref.digest):
        problems.append(f"the manifest belongs to {manifest.kind}/{manifest.digest}")
    # GeoParquet files have no schema in `TABLES`.
    problems += [] if ref.kind == KIND else _table_problems(store, files, outdated)
    problems += _array_problems(files)
    return [f"{name}: {problem}" for problem in problems]


def _report_problems(store: Store, folder: Place) -> list[str]:
    try:
        manifest = read_published(folder / MANIFEST)
    except ArtifactError as error:
        return [str(error)]
    problems = damages(folder, manifest.files) + strangers(folder, {*manifest.files, MANIFEST})
    return [f"{store.name_of(folder)}: {problem}" for problem in problems]


def _partition_problems(store: Store, folder: Place, outdated: list[str]) -> list[str]:
    """List what is wrong with a table's partition: its file and manifest, and the table in it."""
    tables = _table_problems(store, folder, outdated, table=store.name_of(folder).split("/")[1])
    files = _files_problems(store, folder, table_manifest(store, folder))
    return [*files, *(f"{store.name_of(folder)}: {problem}" for problem in tables)]


def _files_problems(store: Store, folder: Place, manifest: Place) -> list[str]:
    """List what is wrong with published files: those of the manifest, and sets that an earlier version published."""
    earlier = earlier_manifests(folder, manifest)
    read, unreadable = read_earlier([*([manifest] if manifest.is_file() else []), *earlier])
    if not read and not unreadable:
        place = store.name_of(manifest)
        unreadable = {manifest.name: f"{store.name_of(folder)} has no manifest {place}: never finished, or deleted"}
    files = {name: record for said in read.values() for name, record in said.files.items()}
    besides = {path.name for path in (*earlier, manifest) if path.parent == folder}
    # Files whose manifest cannot be read are reported once, so their table is not reported as an unknown file.
    besides |= {table_of(name) for name in unreadable}
    besides |= {name for name in list_files(folder) if EDITED.search(name)}  # what people changed and a run kept
    problems = damages(folder, files) + strangers(folder, {*files, *besides})
    return [*unreadable.values(), *(f"{store.name_of(folder)}: {problem}" for problem in problems)]


def _record_problems(store: Store, path: Place) -> list[str]:
    """List why a record cannot be read, or which artefacts that it names are absent.

    Scores that a review names may be absent: an old fit may have been deleted.
    """
    try:
        match store.name_of(path).split("/")[0]:
            case "campaigns":
                return _absent(store, path, read_record(store, path.stem).artifacts)
            case acquisitions.FOLDER:
                return _absent(store, path, read_acquisition(path).artifacts)
            case reviews.FOLDER:
                read_review(path)
            case _:
                read_checked_file(path)
    except ArtifactError as error:
        return [str(error)]
    return []


def _absent(store: Store, record: Place, named: Mapping[str, ArtifactRef]) -> list[str]:
    place = store.name_of(record)
    return [
        f"{place}: the artefact {role}, {ref}, is missing"
        for role, ref in named.items()
        if not store.folder(ref).is_dir() or _is_unfinished(store.folder(ref))
    ]


def _table_problems(store: Store, folder: Place, outdated: list[str], table: str | None = None) -> list[str]:
    """List what is wrong with schema and content of a folder's Parquet files, named after their table or in `table`."""
    problems: list[str] = []
    for path in sorted(folder.glob("*.parquet")):
        spec = TABLES.get(table or path.stem)
        if spec is None:
            problems.append(f"file {path.name} has no schema: this program has no table {table or path.stem}")
            continue
        try:
            load_table(path, spec)
        except OutdatedError:
            outdated.append(store.name_of(path))
        except ArtifactError as error:
            problems.append(str(error).replace(f"{path}", path.name))
    return problems


def _array_problems(folder: Place) -> list[str]:
    problems: list[str] = []
    for path in sorted(one.parent for one in folder.glob("*/zarr.json")):
        try:
            zarr.open_array(store=reading_store(path), mode="r", zarr_format=3)
        except (OSError, *DAMAGED) as error:
            problems.append(f"array {path.name} cannot be opened: {error!r}")
    return problems


def _unfinished(store: Store) -> list[str]:
    """List what killed runs left: drafts and temporary files in a local store, unused attempts in a bucket."""
    if isinstance(store.root, Path):
        return sorted(store.name_of(path) for path in store.root.rglob(".tmp-*"))
    attempts = (store.root / "artifacts").glob("*/*/attempt-*")
    return sorted(store.name_of(one) for one in attempts if one.name != place_of(one.parent))
