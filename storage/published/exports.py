"""Exports: decisions about the plants of a date as files for other tools, published as `exports/<campaign>/<date>/`.

The files carry campaign, date and saliency method in their names and in every row, because they are sent about. A date
scored with another fit has its files beside, with the fit in their names.
"""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from storage.artifacts import ArtifactRef, Store
from storage.places.files import Place
from storage.published.parts import PART, publish_part

EXPORTS = "exports"
KIND = "decisions"  # of the artefacts that hold the files


def export_folder(store: Store, campaign: str) -> Place:
    """Where a campaign's files for other tools lie, a folder a date."""
    return store.root / EXPORTS / campaign


def publish_decisions(
    store: Store, sources: Mapping[str, ArtifactRef], campaign: str, day: date, part: str = PART
) -> Place:
    """Publish the decisions of a date by every saliency method as one part of the date's folder, which is returned.

    As with tables other parts are left alone, but the same files are published once.

    Parameters
    ----------
    sources : artefacts of this kind by saliency method.
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
