"""Call `harvest checked` in this process: what it refuses before anything is recorded, and what it prints."""

from datetime import date
from pathlib import Path

import pytest

from flows.cli.commands.checks import print_checked
from flows.report.answers import answers_of
from storage.errors import InputError
from storage.records.campaigns import CampaignRecord, write_record
from storage.records.checks import read_checks
from storage.tables import DECIDED
from tests.support.report_campaign import DAYS, FakeCampaign, table_rows
from tests.unit.flows.cli.test_main import is_one_message, main

NAME, DAY = "field2-2021", date.fromisoformat(DAYS[0])


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    made = FakeCampaign(tmp_path_factory.mktemp("store"))
    write_record(made.store, CampaignRecord(campaign=NAME, params=made.params, artifacts=made.roles, report=""))
    return made


@pytest.fixture
def sheet(campaign: FakeCampaign, tmp_path: Path) -> Path:
    """Return a filled file about the first plant with an answer."""
    plant = table_rows(campaign, f"decided gradcam {DAY}", DECIDED)[0]["plant_id"]
    path = tmp_path / "walk.csv"
    path.write_text(f"plant_id,checked_ready,checked_by\n{plant},yes,\n")
    return path


def test_answers_are_those_of_the_tables(campaign: FakeCampaign) -> None:
    answers, rows = answers_of(campaign.store, NAME, DAY), table_rows(campaign, f"decided gradcam {DAY}", DECIDED)
    assert {plant: row["decision"] for plant, row in answers.rows.items()} == {
        row["plant_id"]: row["decision"] for row in rows
    }
    assert answers.form.words == {"yes": "ready", "no": "not_ready"}
    assert set(answers.rows) < answers.known, "training plants have no answer"
    n_drawn = sum(row["is_audit"] for row in answers.rows.values())
    assert n_drawn == len({row["decision"] for row in rows} - {"check"}), "one of each decision of so few plants"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"campaign": "field9"}, "There is no record of 'field9'"),
        ({"campaign": "Field 2"}, "The campaign's name is 'Field 2'"),
        ({"day": "2021-08-24"}, f"{NAME} has no answers on 2021-08-24; its dates are {', '.join(DAYS)}"),
        ({"file": "nowhere.csv"}, "There is no file nowhere.csv"),
        ({}, "checked_by is empty, and --by is not given"),
    ],
)
def test_what_cannot_be_taken_is_one_message_and_no_record(
    campaign: FakeCampaign,
    sheet: Path,
    changes: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, day, file = changes.get("campaign", NAME), changes.get("day", DAYS[0]), changes.get("file", sheet)
    assert main(monkeypatch, "checked", name, "--date", day, file, "--store", campaign.root) == 2
    text = capsys.readouterr().err
    assert said in text and is_one_message(text)
    assert read_checks(campaign.store, NAME) == []


def test_a_season_that_no_present_fit_judged_has_no_answers(campaign: FakeCampaign) -> None:
    with pytest.raises(InputError, match="There is no record of 'season'"):
        answers_of(campaign.store, "season", DAY)


def test_what_is_printed_says_what_is_right_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    said = {"found": "ready", "checked_by": "Ada", "checked_at": "2021-09-04T08:00+00:00"}
    counts = {"n_new": 12, "n_known": 2, "n_untimed": 1, "n_blank": 40, "n_remarks": 3}
    row = {"decision": "harvest", "n": 9, "n_right": 8, "n_wrong": 1, "n_audit": 4, "n_audit_wrong": 1}
    print_checked(
        {
            "campaign": "field",
            "date": "2021-09-03",
            "untimed": "2021-09-03T00:00+00:00",
            "files": [{"file": "walk.csv", **counts}, {"file": "copy.csv", **dict.fromkeys(counts, 0), "n_known": 14}],
            "decisions": [row, {**dict.fromkeys(row, 0), "decision": "check", "n": 3, "n_right": 3}],
            "contradictions": [
                {"plant_id": "P1", "stands": said, "others": [{**said, "found": "not_ready", "checked_by": "Bo"}]}
            ],
            "open_audit": [f"P{i}" for i in range(12)],
            "table": "T",
            "report": None,
        }
    )
    assert capsys.readouterr().out.splitlines() == [
        "field 2021-09-03",
        "walk.csv: 12 new checks, 2 recorded before, 1 without a time, taken as 2021-09-03T00:00+00:00, "
        "40 rows without an entry, 3 of them with a remark, which is not kept",
        "copy.csv: nothing new, 14 recorded before",
        "harvest: 9 checked, 8 right, 1 wrong; of 4 drawn at random, 1 wrong",
        "check: 3 checked, 3 right, 0 wrong",
        "contradiction at P1: Ada found ready at 2021-09-04T08:00+00:00, which counts; "
        "Bo found not_ready at 2021-09-04T08:00+00:00",
        f"drawn at random and not yet checked, 12: {', '.join(f'P{i}' for i in range(10))} and 2 more",
        "table:  T",
    ]
