"""Define the command `harvest checked`, which takes back what people found in the field."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import DEFAULT_STORE, CampaignArgument, JsonOption, StoreOption, configure_prefect, print_found
from storage.errors import InputError

if TYPE_CHECKING:
    from storage.artifacts import Store
    from storage.records.checks import Check, Contradiction
    from tasks.export.checking import Answers, Whose

app = typer.Typer()
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]  # how --at may be written
N_NAMED = 10  # plants that a line names at most


@app.command()
def checked(
    campaign: CampaignArgument,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Filled files of one date: work sheet (.xlsx, .csv), GeoPackage (.gpkg), or form of the page (.csv)"
        ),
    ],
    acquired: Annotated[
        datetime, typer.Option("--date", formats=["%Y-%m-%d"], help="Acquisition date of the answers that were checked")
    ],
    by: Annotated[str, typer.Option("--by", help="Who looked at the plants, for rows without checked_by")] = "",
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at",
            formats=TIMES,
            help="When the plants were looked at, for rows without checked_at. Default: start of the acquisition date",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Take back what people found when they looked at plants, and compare it with the answers.

    Nothing is recorded if any of the files is refused. A record never changes: of several checks of a plant the latest
    counts. The table `checks` and the report are then written again.
    """
    from flows.parameters import check_campaign_name
    from storage.artifacts import Store

    check_campaign_name(campaign)
    check_files(files)
    opened, day = Store(store), acquired.date()
    from flows.report.answers import answers_of

    answers = answers_of(opened, campaign, day)
    configure_prefect(logs=False)
    from tasks.export.checking import Whose, start_of

    whose = Whose(by, start_of(day) if at is None else at.astimezone())
    print_found(take_back(opened, answers, files, whose), as_json, print_checked)


def take_back(store: "Store", answers: "Answers", files: Sequence[Path], whose: "Whose") -> dict[str, Any]:
    """Record what files say that people found, write table and report again, and return what it says as JSON values.

    Raises
    ------
    InputError : a file is refused; nothing is recorded then.
    """
    from flows.checks import checks_of_date, import_files, publish_checks, renew_after_checks
    from storage.records.campaigns import find_record
    from tasks.export.checking import open_audit, tally

    campaign, day = answers.campaign, answers.day
    imported = import_files(store, answers, files, whose, datetime.now(UTC))
    table = publish_checks(store, campaign, day)
    record = find_record(store, campaign)
    if record is not None:  # a season scored with another campaign's fit has no report
        renew_after_checks(store, campaign)
    standing, contradictions = checks_of_date(store, campaign, day)
    return {
        "campaign": campaign,
        "date": day.isoformat(),
        "untimed": whose.at.isoformat(),
        "files": [vars(one) for one in imported],
        "decisions": tally(standing, answers.decisions),
        "contradictions": [_contradiction(one) for one in contradictions],
        "open_audit": open_audit(answers, [one.plant_id for one in standing]),
        "table": str(table),
        "report": None if record is None else str(store.root / record.report),
    }


def check_files(files: list[Path]) -> None:
    """Refuse paths that are no files.

    Raises
    ------
    InputError : there is no such file.
    """
    for path in files:
        if not path.is_file():
            raise InputError(
                f"There is no file {path}",
                "What people found comes back as a file",
                "give the path of the work sheet, the map or the form that was filled in",
            )


def _contradiction(found: "Contradiction") -> dict[str, Any]:
    said = {"stands": _said(found.stands), "others": [_said(one) for one in found.others]}
    return {"plant_id": found.stands.plant_id, **said}


def _said(check: "Check") -> dict[str, str]:
    at = check.checked_at.isoformat(timespec="minutes")
    return {"found": check.found, "checked_by": check.checked_by, "checked_at": at}


def print_checked(found: dict[str, Any]) -> None:
    """Print what came back, what it says about the answers, and what is still to be looked at."""
    print(f"{found['campaign']} {found['date']}")
    for one in found["files"]:
        print(_file_line(one, found["untimed"]))
    for row in found["decisions"]:
        drawn = f"; of {row['n_audit']} drawn at random, {row['n_audit_wrong']} wrong" if row["n_audit"] else ""
        print(f"{row['decision']}: {row['n']} checked, {row['n_right']} right, {row['n_wrong']} wrong{drawn}")
    for one in found["contradictions"]:
        others = "; ".join(_who(other) for other in one["others"])
        print(f"contradiction at {one['plant_id']}: {_who(one['stands'])}, which counts; {others}")
    if still := found["open_audit"]:
        more = f" and {len(still) - N_NAMED} more" if len(still) > N_NAMED else ""
        print(f"drawn at random and not yet checked, {len(still)}: {', '.join(still[:N_NAMED])}{more}")
    print(f"table:  {found['table']}")
    if found["report"]:
        print(f"report: {found['report']}")


def _file_line(one: dict[str, Any], untimed: str) -> str:
    parts = [f"{one['n_new']} new checks" if one["n_new"] else "nothing new"]
    parts += [f"{one['n_known']} recorded before"] if one["n_known"] else []
    parts += [f"{one['n_untimed']} without a time, taken as {untimed}"] if one["n_untimed"] else []
    parts += [f"{one['n_blank']} rows without an entry"] if one["n_blank"] else []
    parts += [f"{one['n_remarks']} of them with a remark, which is not kept"] if one["n_remarks"] else []
    return f"{one['file']}: {', '.join(parts)}"


def _who(said: dict[str, str]) -> str:
    return f"{said['checked_by']} found {said['found']} at {said['checked_at']}"
