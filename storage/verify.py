"""Re-read a whole store against its manifests."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zarr

from storage.artifacts import MANIFEST, ArtifactRef, Manifest, Store, read_manifest
from storage.errors import ArtifactError, InputError
from storage.files import differences
from storage.parquet import load_table
from storage.publish import PublishedManifest, read_record
from storage.tables import TABLES


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
    """Re-read every artefact, published table, report and campaign's record.

    Raises
    ------
    InputError : the folder is not a store.
    """
    if not (store.root / "artifacts").is_dir():
        raise InputError("A store has a folder `artifacts`", f"none in {store.root}", "give the folder of a store")
    artifacts = [p for p in sorted((store.root / "artifacts").glob("*/*")) if not p.name.startswith(".tmp-")]
    published = sorted({*_published(store.root / "tables"), *(store.root / "reports").glob("*")})
    problems = [p for folder in artifacts for p in _artifact_problems(store, folder)]
    problems += [p for folder in published for p in _published_problems(store, folder)]
    problems += _record_problems(store)
    unfinished = sorted(str(p.relative_to(store.root)) for p in store.root.rglob(".tmp-*"))
    n_files = sum(1 for folder in (*artifacts, *published) for p in folder.rglob("*") if p.is_file())
    return Verification(len(artifacts), len(published), n_files, problems, unfinished)


def _published(tables: Path) -> Iterator[Path]:
    """Folders that hold, or should hold, a published partition: those without partition folders below them."""
    for folder in tables.glob("*/campaign=*"):
        dated = sorted(folder.glob("date=*"))
        yield from dated or [folder]


def _artifact_problems(store: Store, folder: Path) -> list[str]:
    name = str(folder.relative_to(store.root))
    try:
        manifest = read_manifest(folder, Manifest)
    except ArtifactError as error:
        return [str(error)]
    ref = ArtifactRef(kind=folder.parent.name, digest=folder.name)
    problems = differences(folder, manifest.files, besides={MANIFEST})
    if (manifest.kind, manifest.digest) != (ref.kind, ref.digest):
        problems.append(f"the manifest is that of {manifest.kind}/{manifest.digest}")
    problems += _table_problems(folder) + _array_problems(folder)
    return [f"{name}: {problem}" for problem in problems]


def _published_problems(store: Store, folder: Path) -> list[str]:
    try:
        manifest = read_manifest(folder, PublishedManifest)
    except ArtifactError as error:
        return [str(error)]
    problems = differences(folder, manifest.files, besides={MANIFEST})
    if folder.relative_to(store.root).parts[0] == "tables":
        problems += _table_problems(folder, table=folder.relative_to(store.root / "tables").parts[0])
    return [f"{folder.relative_to(store.root)}: {problem}" for problem in problems]


def _record_problems(store: Store) -> list[str]:
    """Records that cannot be read, and artefacts that a record names but the store has not."""
    problems: list[str] = []
    for path in sorted((store.root / "campaigns").glob("*.json")):
        try:
            named = read_record(store, path.stem).artifacts
        except ArtifactError as error:
            problems.append(str(error))
            continue
        absent = [f"{role}, {ref}," for role, ref in named.items() if not store.folder(ref).is_dir()]
        problems += [f"campaigns/{path.name}: the artefact {name} is missing" for name in absent]
    return problems


def _table_problems(folder: Path, table: str | None = None) -> list[str]:
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


def _array_problems(folder: Path) -> list[str]:
    problems: list[str] = []
    for path in sorted(folder.glob("*.zarr")):
        try:
            zarr.open_array(store=str(path), mode="r")
        except (OSError, ValueError, KeyError) as error:
            problems.append(f"array {path.name} cannot be opened: {error!r}")
    return problems
