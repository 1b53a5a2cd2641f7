"""Publish decisions about the plants of a date as files for other tools, in `exports/<campaign>/<date>/`.

The files name campaign, date and saliency method in their names and in every row, because they get sent to others. If
another fit scores the date, its files lie beside these, with the fit in their names.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from storage.artifacts import ArtifactRef, Store
from storage.places.files import Place
from storage.published.parts import PART, publish_part

EXPORTS = "exports"  # folder of the store for files of other tools
KIND = "decisions"  # kind of the artefacts that hold the files


def export_folder(store: Store, campaign: str) -> Place:
    """Return the folder of a campaign's files for other tools; it has one folder per date."""
    return store.root / EXPORTS / campaign


def publish_decisions(
    store: Store, sources: Mapping[str, ArtifactRef], campaign: str, day: date, part: str = PART
) -> Place:
    """Publish a date's decisions by every saliency method as one part of the date's folder; return the folder.

    Other parts of the folder are left alone. Files of the same artefacts are published once (see `publish_part`).

    Parameters
    ----------
    sources : artefacts of kind `decisions`, by saliency method.
    part : name of the part; a part other than the first adds its name to the files' names.
    """
    folder = export_folder(store, campaign) / day.isoformat()
    fit = "" if part == PART else f"_{part}"

    def contents() -> dict[str, bytes]:
        return {
            f"{campaign}_{day}_{method}{fit}{Path(name).suffix}": artifact.read_bytes(name)
            for method, ref in sources.items()
            for artifact in [store.open(ref)]
            for name in artifact.manifest.files
        }

    publish_part(folder, part, list(sources.values()), contents)
    return folder
