"""Define the command `harvest export`, which writes a campaign for a viewer of saliency maps."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.options import (
    DEFAULT_STORE,
    CampaignArgument,
    JsonOption,
    StoreOption,
    check_folder,
    configure_prefect,
    print_found,
)
from storage.errors import InputError

if TYPE_CHECKING:
    from flows.report.viewers import ViewerFiles

app = typer.Typer()
Viewer = Literal["virelay"]  # programs that a campaign can be written for


@app.command()
def export(
    campaign: CampaignArgument,
    viewer: Annotated[Viewer, typer.Option(help="Program that is to open the files")],
    out: Annotated[Path, typer.Option(help="New folder that the files are written to")] = Path("harvest-virelay"),
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write a campaign's images, saliency maps and clusters as a project of the viewer ViRelAy.

    Every explained image is written in full, also of dates that were scored later. The size is told before anything is
    written. Decisions for grower and field are no part of it: `harvest run` and `harvest score` write them.
    """
    check_new(out)
    from storage.artifacts import Store
    from storage.records.campaigns import read_record

    opened = Store(store)
    record = read_record(opened, campaign)
    configure_prefect(logs=False)
    from flows.report.viewers import write_virelay

    print_found(write_virelay(opened, record, out, lambda said: print(said, file=sys.stderr)), as_json, print_export)


def check_new(folder: Path) -> None:
    """Refuse a folder that exists, or cannot be made.

    Raises
    ------
    InputError : something stands at the folder's path, or a file above it.
    """
    rule, remedy = "The files are written to a new folder", "give another --out"
    if folder.is_dir():
        raise InputError(f"The folder {folder} exists already", rule, f"{remedy}, or remove the folder")
    check_folder(folder, f"The files cannot be written to {folder}", rule, remedy)


def print_export(found: "ViewerFiles") -> None:
    """Print what was written, and the command that opens it."""
    from storage.places.faults import size_text

    print(f"{found['n_images']:,} images ({found['n_without_label']:,} without a label), {size_text(found['n_bytes'])}")
    for project in found["projects"]:
        print(f"project: {project}")
    print(f"open:    {found['command']}")
