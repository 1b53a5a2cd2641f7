"""Define the commands that show what a store holds: `harvest list`, `status`, `open` and `verify`."""

import json
from typing import Annotated

import typer

from flows.cli.options import DEFAULT_STORE, JsonOption

app = typer.Typer()


@app.command()
def verify(
    store: Annotated[
        str,
        typer.Argument(
            envvar="HARVEST_STORE", help="Folder of the store, or its address in a bucket: s3://bucket/prefix"
        ),
    ] = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Read every file of a store, and compare it with its manifest.

    Artefacts, tables, reports and exports are read. The exit code is 1 if a file is missing or damaged, or is not the
    one that was written.
    """
    from storage.artifacts import Store
    from storage.verify import verify_store

    found = verify_store(Store(store))
    if as_json:
        print(json.dumps(vars(found), indent=1))
    else:
        print(f"{found.n_artifacts} artefacts and {found.n_published} published folders, {found.n_files} files read")
        for name in found.unfinished:
            print(f"left by a killed run, safe to delete: {name}")
        if found.outdated:
            print(f"{len(found.outdated)} tables of earlier versions of the program, which this one does not read")
        for problem in found.problems:
            print(f"DAMAGED {problem}")
        print(f"{len(found.problems)} problems" if found.problems else "no problem found")
    raise typer.Exit(1 if found.problems else 0)
