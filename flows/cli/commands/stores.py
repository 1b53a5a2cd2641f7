"""Define the commands about a store: `harvest list`, `status` and `open`, `verify`, and `gc`, which makes room."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import DEFAULT_STORE, CampaignArgument, JsonOption, StoreOption

if TYPE_CHECKING:
    from storage.places.objects import ObjectPath

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


@app.command("gc")
def collect_garbage(
    store: StoreOption = DEFAULT_STORE,
    older_than: Annotated[
        int, typer.Option(min=1, help="Least age in days of what is removed; a run must not take longer")
    ] = 90,
    keep_fits: Annotated[
        int, typer.Option(min=0, help="Earlier fits of each scored date whose results are kept, beside the present one")
    ] = 1,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what is listed; without it nothing is removed")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List what nothing in a store rests on any more, and remove it if asked to.

    What a campaign's record, a published table, a report, an export or a review names is kept, with everything that it
    was made from. So are artefacts younger than `--older-than`.
    """
    from datetime import UTC, datetime

    from storage.artifacts import Store
    from storage.garbage import find_garbage, remove_garbage
    from storage.places.faults import size_text

    opened = Store(store)
    found = find_garbage(opened, datetime.now(UTC), older_than, keep_fits)
    if remove:
        remove_garbage(opened, found)
    kinds = sorted({ref.kind for ref in found.artifacts})
    sizes = {kind: [n for ref, n in found.artifacts.items() if ref.kind == kind] for kind in kinds}
    if as_json:
        said = {
            "artifacts": {kind: {"n": len(each), "bytes": sum(each)} for kind, each in sizes.items()},
            "records": [opened.name_of(path) for path in found.records],
            "n_results": len(found.results),
            "leftovers": [opened.name_of(path) for path in found.leftovers],
            "bytes": found.n_bytes,
            "is_removed": remove,
        }
        print(json.dumps(said, indent=1))
        return
    for kind, each in sizes.items():
        print(f"  {kind:16} {len(each):6} artefacts  {size_text(sum(each))}")
    print(f"{len(found.records)} records of dates scored by earlier fits, {len(found.results)} cached results")
    print(f"{len(found.leftovers)} drafts and work folders that killed runs left")
    said = "removed" if remove else "would be removed; repeat with --remove"
    print(f"{size_text(found.n_bytes)} in all {said}" if found.n_bytes or found.records else "nothing to remove")


@app.command("list")
def list_campaigns(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List a store's campaigns with their dates and fits, what is outside or incomplete, and what needs a person.

    A date is `fitted` if its campaign learned from it, and `scored` if a fit was applied to it. It is outside if its
    images differ from those that the fit was validated on. It is incomplete if far fewer plants have a picture than
    should stand.
    """
    from flows.cli.listing import list_store
    from storage.artifacts import Store
    from storage.records.notices import BROKEN, DAMAGED

    found = list_store(Store(store))
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print(f"store: {found['store']}")
    campaign = ""
    for row in found["dates"]:
        if row["campaign"] != campaign:
            campaign = row["campaign"]
            print(campaign)
            for sentence in found["broken"].get(campaign, ()):
                print(f"  BROKEN {sentence}")
        outside = f"  outside by {', '.join(row['outside'])}" if row["outside"] else ""
        earlier = "" if row["is_current"] else "  (an earlier fit)"
        incomplete = f"  incomplete: {row['incomplete']}" if row["incomplete"] else ""
        print(f"  {row['date']}  {row['made_by']:6}  fit {row['fit'][:8]}{earlier}{outside}{incomplete}")
    for one in found["waiting"]:
        why = one["why"].replace("\n", "\n    ")
        print(f"WAITING FOR A PERSON {one['campaign']} {one['date']} since {one['since']}: {why}")
    for problem in found["problems"]:
        print(f"DAMAGED {problem}")
    for one in found["failures"]:
        state = one.get("state", "")
        what = state.lower() if state in (BROKEN, DAMAGED) else "failed"
        print(f"{what}: {one.get('time', '')} {one.get('flow_run', '')}: {one.get('message', '')}".rstrip())


@app.command()
def status(
    campaign: Annotated[
        str, typer.Argument(help="Name of a campaign that was run on this store, or its TOML file to compare with")
    ],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Tell what of a campaign's last run is cached, and what a new run would compute.

    With a TOML file, its keys are compared with those of the last run. Sizes of files are compared; `harvest verify`
    reads their content. Images that changed in the source are not looked at.
    """
    from flows.cli.listing import differences, status_of
    from storage.artifacts import Store
    from storage.records.campaigns import read_record

    opened, changed = Store(store), None
    if campaign.endswith(".toml"):
        from flows.cli.run_file import load_run_file

        params, _ = load_run_file(Path(campaign))
        record = read_record(opened, params.campaign)
        changed = differences(record.params, params.model_dump(mode="json"))
    else:
        record = read_record(opened, campaign)
    found = status_of(opened, record, changed)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['campaign']}: last run of the store {opened.root}")
    for sentence in found["broken"]:
        print(f"  BROKEN {sentence}")
    for row in found["artifacts"]:
        print(f"  {row['kind']:14} {row['n_cached']} of {row['n']} cached")
    if found["changed"]:
        print(f"changed since: {', '.join(found['changed'])}")
    print(f"a run would compute: {', '.join(found['would_compute']) or 'nothing'}")
    if others := [one for one in found["made_by"] if one != found["version"]]:
        print(
            f"made by version {', '.join(others)}, this is version {found['version']}: a stage whose numbers have "
            "changed since then is computed again too"
        )


@app.command("open")
def open_report(campaign: CampaignArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Open a campaign's report in the browser, and print its path.

    A report in a bucket is copied to a folder for temporary files first.
    """
    import webbrowser

    from storage.artifacts import Store
    from storage.errors import ArtifactError
    from storage.records.campaigns import read_record

    opened = Store(store)
    record = read_record(opened, campaign)
    page = opened.root / record.report
    if not page.is_file():
        raise ArtifactError(f"{page} is missing; make it again: harvest report {campaign} --store {store}")
    local = page if isinstance(page, Path) else _copied(page)
    is_shown = webbrowser.open(local.as_uri())
    print(json.dumps({"report": str(page), "is_shown": is_shown}) if as_json else page)


def _copied(page: "ObjectPath") -> Path:
    """Copy a report and its pictures out of a bucket, and return the page's path."""
    import tempfile

    from storage.places.files import list_files

    folder = Path(tempfile.mkdtemp(prefix="harvest-report-"))
    for name, place in list_files(page.parent).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(place.read_bytes())
    return folder / page.name
