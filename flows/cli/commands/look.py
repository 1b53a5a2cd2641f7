"""Define the command `harvest look`, which shows a campaign's images before anything is trained."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.campaigns import CampaignFile
from flows.cli.options import JsonOption, print_found

app = typer.Typer()


@app.command()
def look(
    campaign: CampaignFile,
    out: Annotated[Path, typer.Option(help="Folder that the page is written to, as <campaign>.html")] = Path(
        "harvest-look"
    ),
    as_json: JsonOption = False,
) -> None:
    """Show a campaign's images, plants and counts on one page, with everything suspicious, before training.

    The command lists the images as a run does, and reads up to a thousand of them. Each date has a contact sheet of up
    to sixty images, its counts by split and label, what is left out and why, and a map of its plants. Where there are
    orthophotos, the map lies over them. Neighbouring dates of a source `field` are compared: a date whose orthophoto
    lies beside the others is named with the shift to set. The store is neither read nor written.
    """
    from flows.cli.checks.early import check_campaign_early
    from flows.cli.run_file import load_run_file

    params, runtime = load_run_file(campaign)
    check_campaign_early(params, runtime, is_here=False)
    from flows.cli.preparing.look import print_look, write_look

    print_found(write_look(params, out), as_json, print_look)
