"""Define the `harvest` command line.

Each command has `--help`, shows progress, and prints JSON with `--json`. Its exit code is 0 (done), 1 (failed), 2
(wrong use or bad input), 130 or 143 (stopped). Each command imports Prefect and torch itself, so that `--help` and
early errors are quick.
"""

import sys
from typing import Annotated

import typer

from flows.cli.commands.campaigns import app as campaigns_app
from flows.cli.commands.checks import app as checks_app
from flows.cli.commands.dates import app as dates_app
from flows.cli.commands.exports import app as exports_app
from flows.cli.commands.fetch import app as fetch_app
from flows.cli.commands.init import app as init_app
from flows.cli.commands.look import app as look_app
from flows.cli.commands.reviews import app as reviews_app
from flows.cli.commands.stores import app as stores_app
from flows.cli.failures import run_program

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich takes a third of the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find out which harvest-readiness predictions of a classifier can be relied on.",
)
for commands in (
    *(init_app, campaigns_app, fetch_app, look_app, reviews_app),
    *(exports_app, dates_app, checks_app, stores_app),
):
    app.add_typer(commands)


def main() -> None:
    """Run the command line, and print every error as one message without a traceback."""
    sys.exit(run_program(app, debug_first(sys.argv[1:])))


def debug_first(arguments: list[str]) -> list[str]:
    """Move `--debug`, which may stand anywhere, before the command, to which it belongs as little as `--version`."""
    others = [one for one in arguments if one != "--debug"]
    return ["--debug", *others] if len(others) < len(arguments) else others


def print_version(is_asked: bool) -> None:
    """Print the version of the program and end."""
    if is_asked:
        from importlib.metadata import version

        print(f"harvest {version('harvest-reliability')}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an error; may stand after the command too")
    ] = False,
) -> None:
    """Find out which harvest-readiness predictions of a classifier can be relied on."""
