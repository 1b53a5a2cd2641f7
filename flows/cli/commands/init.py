"""Define the command `harvest init`, which writes the campaign file of a folder of images."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.options import JsonOption, print_found

app = typer.Typer()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the images, plants and tables of a season")],
    out: Annotated[
        Path | None, typer.Option(help="Campaign file to write; by default campaign.toml in the folder")
    ] = None,
    source: Annotated[
        Literal["fiftyone", "growliflower", "field", "folder"] | None,
        typer.Option(help="Kind of source to take where the folder holds several; by default the first in this order"),
    ] = None,
    date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Acquisition date of images whose names and tables state none"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a folder, say what was recognised, and write a commented campaign file.

    Orthophotos with a file of plant positions, a GrowliFlower release, samples.json, and photographs in folders of
    splits or with a manifest are recognised. Every value in the file has a comment that says where it is from. What
    could not be decided is a question, a line that begins with `# ?`. No file is overwritten. The file is then loaded
    and its images are listed, as `harvest run` does.
    """
    from flows.cli.preparing.init import check_places, print_init, write_init

    path = out or folder / "campaign.toml"
    check_places(folder, path)
    print_found(write_init(folder, path, source, date.date() if date else None), as_json, print_init)
