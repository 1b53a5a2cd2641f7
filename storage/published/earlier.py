"""Read and replace what earlier versions published: several sets of files in a folder, with manifests beside them.

Those versions kept `manifest.json` and `part-0.parquet` in a table's partition, and `fit-<digest>.json` and
`fit-<digest>.parquet` for every fit that scored a date. Readers of whole folders stumbled over the manifests, and
counted a plant once for every set. Exports had a set of files for every fit, with its name in theirs.
"""

import re
from collections.abc import Collection

from storage.artifacts import MANIFEST, Store
from storage.errors import ArtifactError
from storage.places.files import Place, damages
from storage.published.manifests import PublishedManifest, publish_files, read_published

TABLE_FILE = "part-0.parquet"  # name of a table's file in its partition
NAME = re.compile(r"(part|fit)-[0-9a-z]+\.(json|parquet)")  # files that earlier versions named after their part


def earlier_manifests(folder: Place, manifest: Place) -> list[Place]:
    """List the manifests in a published folder besides its present one: `manifest.json` first, then by name."""
    there = [path for path in folder.glob("*.json") if path.name == MANIFEST or NAME.fullmatch(path.name)]
    return sorted((path for path in there if path != manifest), key=lambda path: (path.name != MANIFEST, path.name))


def table_of(manifest: str) -> str:
    """Return the name of the table's file that belongs to a manifest of this name."""
    return manifest.replace(".json", ".parquet") if NAME.fullmatch(manifest) else TABLE_FILE


def read_earlier(manifests: list[Place]) -> tuple[dict[str, PublishedManifest], dict[str, str]]:
    """Read manifests: their content by name, and the problems of unreadable ones by name."""
    read: dict[str, PublishedManifest] = {}
    unreadable: dict[str, str] = {}
    for path in manifests:
        try:
            read[path.name] = read_published(path)
        except ArtifactError as error:
            unreadable[path.name] = str(error)
    return read, unreadable


def keep_latest(store: Store, folder: Place, manifest: Place) -> None:
    """Replace the sets of a folder by the latest of them, if an earlier version of the program published them.

    A set that this version published is the latest. Otherwise it is the set whose artefacts were made last. Nothing
    is changed where no set is undamaged: `harvest verify` names the damage.
    """
    earlier = earlier_manifests(folder, manifest)
    if not earlier:
        return
    present = [manifest] if manifest.is_file() else []
    read, _ = read_earlier([*present, *earlier])
    whole = {name: said for name, said in read.items() if not damages(folder, said.files)}
    if present and manifest.parent != folder and manifest.name in whole:
        latest = manifest.name
    elif whole:
        latest = max(whole, key=lambda name: (_made(store, whole[name]), name))
    else:
        return
    said = whole[latest]
    contents = {_plain(name, latest): (folder / name).read_bytes() for name in said.files}
    remove_earlier(folder, manifest, publish_files(folder, manifest, said.sources, lambda: contents))


def remove_earlier(folder: Place, manifest: Place, kept: Collection[str]) -> None:
    """Remove the sets that earlier versions published, their manifests last, except files to be kept."""
    earlier = earlier_manifests(folder, manifest)
    named = {name for said in read_earlier(earlier)[0].values() for name in said.files}
    # Tables whose manifest a killed run had not yet written, or had removed.
    named |= {path.name for path in folder.glob("*.parquet") if NAME.fullmatch(path.name)}
    for name in named.difference(kept):
        (folder / name).unlink(missing_ok=True)
    for path in earlier:
        path.unlink(missing_ok=True)


def _plain(name: str, manifest: str) -> str:
    """Return the present name of a file of a set: without the name of the fit that the set's manifest has."""
    part = manifest.removesuffix(".json")
    return TABLE_FILE if name == table_of(manifest) else name.replace(f"_{part}.", ".")


def _made(store: Store, said: PublishedManifest) -> str:
    """Return when the last artefact of a set was made (ISO 8601, UTC); empty if the store has none of them."""
    times = [""]
    for ref in said.sources:
        try:
            times.append(store.open(ref).manifest.created)
        except ArtifactError:
            continue
    return max(times)
