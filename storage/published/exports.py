"""Publish decisions about the plants of a date as files for other tools, in `exports/<campaign>/<date>/`.

The files name campaign, date and saliency method in their names and in every row, because they get sent to others. A
date that is scored or decided again replaces its files. The columns `classifier` and `clusters` name the fit. A file
that people changed, because they filled it in, is kept beside the new one under a name of its own.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import NamedTuple

from storage.artifacts import MANIFEST, ArtifactRef, Store
from storage.errors import ArtifactError
from storage.places.files import Place, describe_file, write_atomically
from storage.published.earlier import keep_latest, remove_earlier
from storage.published.manifests import publish_files, read_published

EXPORTS = "exports"  # folder of the store for files of other tools
KIND = "decisions"  # kind of the artefacts that hold the files
EDITED = re.compile(r"\.edited-[0-9a-f]{8}\.")  # part of the name of a file that people changed


class Published(NamedTuple):
    """Folder of a date's files, and the new places of files that people had changed, by the names that they had."""

    folder: Place
    kept: dict[str, Place]


def export_folder(store: Store, campaign: str) -> Place:
    """Return the folder of a campaign's files for other tools; it has one folder per date."""
    return store.own(store.root / EXPORTS / campaign)


def publish_decisions(store: Store, sources: Mapping[str, ArtifactRef], campaign: str, day: date) -> Published:
    """Publish a date's decisions by every saliency method, in place of those published before.

    Files that were changed since they were published are kept beside the new ones (see `keep_edited`).

    Parameters
    ----------
    sources : artefacts of kind `decisions`, by saliency method.
    """
    folder = export_folder(store, campaign) / day.isoformat()

    def contents() -> dict[str, bytes]:
        return {
            published_name(f"{campaign}_{day}_{method}", name): artifact.read_bytes(name)
            for method, ref in sources.items()
            for artifact in [store.open(ref)]
            for name in artifact.manifest.files
        }

    edited = keep_edited(folder)
    names = publish_files(folder, folder / MANIFEST, list(sources.values()), contents)
    remove_earlier(folder, folder / MANIFEST, names)
    return Published(folder, edited)


def keep_edited(folder: Place) -> dict[str, Place]:
    """Give files that are not as they were published another name, which holds the digest of their content.

    Returns
    -------
    New places by the names that the files had.
    """
    try:
        files = read_published(folder / MANIFEST).files
    except ArtifactError:  # nothing is published there, or nobody knows how it was
        return {}
    kept: dict[str, Place] = {}
    for name, record in files.items():
        path = folder / name
        with suppress(FileNotFoundError):  # deleted files are only written again
            found = describe_file(path)
            if (found.size, found.sha256) != (record.size, record.sha256):
                kept[name] = _moved(path, folder / edited_name(name, found.sha256))
    return kept


def edited_name(name: str, sha256: str) -> str:
    """Return the name under which a changed file is kept, with the first digits of its digest before the suffix."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.edited-{sha256[:8]}.{suffix}"


def _moved(path: Place, to: Place) -> Place:
    if isinstance(path, Path) and isinstance(to, Path):
        return path.replace(to)
    write_atomically(to, path.read_bytes())  # a bucket cannot rename; the old object is written anew
    return to


def published_name(stem: str, name: str) -> str:
    """Return the name under which a file of an artefact is published, from the stem that names whose it is."""
    return f"{stem}{name.removeprefix(KIND)}" if name.startswith(f"{KIND}.") else f"{stem}_{name}"


def renew_exports(store: Store) -> None:
    """Keep only the latest files of dates for which earlier versions published those of several fits."""
    with suppress(FileNotFoundError):  # another run does this; the next one does the rest
        for folder in {path.parent for path in (store.root / EXPORTS).glob("*/*/fit-*.json")}:
            keep_latest(store, folder, folder / MANIFEST)
