"""Write a campaign's images, maps and clusters for viewers of saliency maps, on demand."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from flows.report.gallery import campaign_artifacts
from storage.artifacts import Store
from storage.errors import InputError
from storage.places.faults import free_bytes, size_text
from storage.records.campaigns import CampaignRecord
from tasks.export.virelay.explained import read_explained
from tasks.export.virelay.project import largest_size, write_projects


class ViewerFiles(TypedDict):
    """What was written for a viewer: project files and the command that opens them."""

    folder: str
    projects: list[str]
    n_images: int
    n_without_label: int
    n_bytes: int
    command: str


def write_virelay(store: Store, record: CampaignRecord, folder: Path, tell: Callable[[str], None]) -> ViewerFiles:
    """Write a campaign as ViRelAy projects to a new folder, and return what was written.

    Parameters
    ----------
    tell : called with the number of images and the size, in words, before anything is written.

    Raises
    ------
    InputError : the disk has no room for the files.
    """
    artifacts, methods = campaign_artifacts(store, record), record.params["explain"]["methods"]
    explained = read_explained(artifacts, methods)
    size, n = largest_size(explained, artifacts, methods), len(explained.table)
    tell(f"{n:,} images and {n * len(methods):,} saliency maps, up to about {size_text(size)}")
    check_room(folder, size)
    projects = write_projects(folder, record.campaign, artifacts, methods, explained)
    return ViewerFiles(
        folder=str(folder),
        projects=[str(one) for one in projects],
        n_images=n,
        n_without_label=sum(row["label"] is None for row in explained.table),
        n_bytes=sum(one.stat().st_size for one in folder.iterdir()),
        command=shlex.join(["virelay", *map(str, projects)]),
    )


def check_room(folder: Path, n_bytes: int) -> None:
    """Refuse to write more to the disk of a folder than it has room for.

    Raises
    ------
    InputError : there is no room.
    """
    if (free := free_bytes(folder)) < n_bytes:
        raise InputError(
            f"The files take up to {size_text(n_bytes)}, and the disk of {folder} has {size_text(free)} free",
            "Images and maps are written in full, for all explained images",
            "make room, or give an --out on another disk",
        )
