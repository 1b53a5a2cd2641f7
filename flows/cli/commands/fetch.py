"""Define the command `harvest fetch`, which downloads a public release and writes a campaign file for it."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.options import JsonOption, check_folder, print_found

app = typer.Typer()


@app.command()
def fetch(
    release: Annotated[
        Literal["growliflower"], typer.Argument(help="Release to download: the FiftyOne export of GrowliFlower")
    ],
    folder: Annotated[
        Path, typer.Argument(help="Folder that the release and the campaign file `campaign.toml` are written to")
    ],
    field: Annotated[str, typer.Option(help="Field whose images are downloaded, as samples.json names it")] = "Field2",
    dates: Annotated[
        list[datetime] | None,
        typer.Option(
            "--date",
            formats=["%Y-%m-%d"],
            help="Acquisition date to download; can be repeated. Default: the paper's four dates of Field2, and all "
            "dates of another field",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Download the images of a public release that a campaign needs, and write the campaign file.

    Sizes and terms are told before the download begins. Every file is checked by size and digest. A second run fetches
    only what is missing or damaged. `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` are respected.
    """
    del release  # there is one so far
    check_folder(
        folder,
        f"The release cannot be fetched into {folder}",
        "A release is fetched into a folder",
        "give another folder",
    )
    from flows.cli.preparing.fetch import fetch_growliflower, print_fetched

    found = fetch_growliflower(folder, field, [day.date() for day in dates or ()])
    print_found(found, as_json, print_fetched)
