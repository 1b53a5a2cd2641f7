"""Publish decisions about the plants of a date as files for other tools, in `exports/<campaign>/<date>/`.

The files name campaign, date and saliency method in their names and in every row, because they get sent to others. A
date that is scored or decided again replaces its files. The columns `classifier` and `clusters` name the fit.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date

from storage.artifacts import MANIFEST, ArtifactRef, Store
from storage.places.files import Place
from storage.published.earlier import keep_latest, remove_earlier
from storage.published.manifests import publish_files

EXPORTS = "exports"  # folder of the store for files of other tools
KIND = "decisions"  # kind of the artefacts that hold the files


def export_folder(store: Store, campaign: str) -> Place:
    """Return the folder of a campaign's files for other tools; it has one folder per date."""
    return store.root / EXPORTS / campaign


def publish_decisions(store: Store, sources: Mapping[str, ArtifactRef], campaign: str, day: date) -> Place:
    """Publish a date's decisions by every saliency method, in place of those published before; return the folder.

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

    kept = publish_files(folder, folder / MANIFEST, list(sources.values()), contents)
    remove_earlier(folder, folder / MANIFEST, kept)
    return folder


def published_name(stem: str, name: str) -> str:
    """Return the name under which a file of an artefact is published, from the stem that names whose it is."""
    return f"{stem}{name.removeprefix(KIND)}" if name.startswith(f"{KIND}.") else f"{stem}_{name}"


def renew_exports(store: Store) -> None:
    """Keep only the latest files of dates for which earlier versions published those of several fits."""
    with suppress(FileNotFoundError):  # another run does this; the next one does the rest
        for folder in {path.parent for path in (store.root / EXPORTS).glob("*/*/fit-*.json")}:
            keep_latest(store, folder, folder / MANIFEST)
