"""Check that both pages show what people found, and warn when a promise is broken, from the table alone."""

import json
import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from storage.artifacts import ArtifactRef, Recipe
from storage.tables import FOUND
from storage.tables.parquet import rows_to_columns, write_table
from tasks.report.field.checked import broken_sentences, checked_sentence, of_date
from tasks.report.report import report_summary, write_report
from tests.support.report_campaign import DAYS, FakeCampaign

FIRST, LAST = (date.fromisoformat(day) for day in DAYS)


def row(acquired: date | None, answers: str, **changes: Any) -> dict[str, Any]:
    found = {"n": 200, "n_drawn": 12, "n_drawn_checked": 10, "n_drawn_wrong": 1, "n_other_checked": 7}
    share = {"n_other_wrong": 5, "error_share": 0.1, "error_share_lower": 0.02, "error_share_upper": 0.4321}
    test = {"tolerated_error": 0.15, "p_broken": 0.6, "is_broken": False}
    return {"method": "gradcam", "acquired": acquired, "answers": answers, **found, **share, **test, **changes}


def is_broken(share: float | None = 0.345) -> dict[str, Any]:
    return {"error_share": share, "error_share_lower": 0.25, "p_broken": 0.001, "is_broken": True}


ROWS = [
    row(None, "all"),
    row(FIRST, "all", **is_broken()),
    row(LAST, "all"),
    row(LAST, "check", error_share=None, tolerated_error=None),
]


@dataclass(frozen=True)
class Shown:
    """Report of a campaign with checks: its pages, and what the field page says at the head of every date."""

    campaign: FakeCampaign
    report: ArtifactRef
    field: str
    analysis: str
    heads: dict[str, Any]


def report(fake: FakeCampaign, found: dict[str, ArtifactRef]) -> ArtifactRef:
    fixed = (fake.campaign, fake.params, fake.differing, fake.roles, fake.scored, list[str]())
    return write_report.fn(str(fake.root), *fixed, found=found)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    fake, recipe = FakeCampaign(tmp_path_factory.mktemp("store"), n_plants=18), Recipe("found", 1)
    with fake.store.create(recipe) as draft:
        write_table(draft, FOUND, rows_to_columns(FOUND, [{**one, **fake.marks} for one in ROWS]))
    ref = report(fake, {"found gradcam": recipe.ref})
    field, analysis = (fake.store.open(ref).read_bytes(name).decode() for name in ("index.html", "analysis.html"))
    content = re.search(r'<script type="application/json" id="field-data">(.*?)</script>', field, re.DOTALL)
    assert content is not None
    return Shown(fake, ref, field, analysis, {day["date"]: day["head"] for day in json.loads(content[1])["days"]})


def test_a_kept_promise_is_shown_on_its_date_without_a_warning(shown: Shown) -> None:
    head = shown.heads[DAYS[1]]
    assert head["checked"] == (
        "Checked: 9 of 10 plants drawn at random are as answered. 2 more were not looked at. So 2 to 43 of 100 answers "
        "to act on are wrong on this date."
    )
    assert head["checked"] in shown.field and head["broken"] == ""
    assert re.search(r'id="broken" role="alert" hidden>', shown.field)


def test_a_broken_promise_warns_on_its_date_and_in_the_summary(shown: Shown) -> None:
    said = shown.heads[DAYS[0]]["broken"]
    assert said.startswith(
        "The promise is broken on this date: about 34.5 of 100 answers acted on are wrong. At most 15"
    )
    assert f"Warning:</strong> A promise is broken on {FIRST}" in shown.analysis
    record = shown.campaign.record()
    renewed = record.model_copy(update={"artifacts": {**record.artifacts, "report": shown.report}})
    assert f"A promise is broken on {FIRST}" in report_summary(shown.campaign.store, renewed)


def test_the_analysis_page_has_every_row(shown: Shown) -> None:
    (table,) = re.findall(r'<table class="found".*?</table>', shown.analysis, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", one, re.DOTALL) for one in re.findall(r"<tr.*?</tr>", table)[1:]]
    assert [one[:5] for one in cells] == [
        [day, kind, "200", "12", "1 of 10"]
        for day, kind in (
            ("all dates with checks", "all acted on"),
            (DAYS[0], "all acted on"),
            (DAYS[1], "all acted on"),
            (DAYS[1], "plants to check"),
        )
    ]
    assert cells[0][5].startswith("10.0\u00a0%<br>") and cells[3][5].startswith("–<br>")
    assert [one[6] for one in cells] == [*["15.0\u00a0%"] * 3, "–"]
    assert [one[8] for one in cells] == ["", "broken", "", ""]


def test_what_is_broken_over_all_dates_is_said_on_each() -> None:
    rows = [row(None, "not_ready", **is_broken(None)), row(None, "all"), row(LAST, "all")]
    for day in DAYS:
        (said,) = broken_sentences(of_date(rows, day))
        assert "over all dates with checks: about 25 of 100 answers “not ready” acted on are wrong" in said


def test_a_date_without_random_looks_says_nothing() -> None:
    assert checked_sentence([row(LAST, "all", n_drawn_checked=0, n_drawn_wrong=0, error_share=None)]) == ""
    assert checked_sentence([]) == ""


def test_a_field_that_was_looked_at_as_a_whole_has_no_interval() -> None:
    known = {"error_share": 0.6112, "error_share_lower": 0.6112, "error_share_upper": 0.6112}
    assert checked_sentence([row(LAST, "all", n_drawn=1, n_drawn_checked=1, n_drawn_wrong=1, **known)]) == (
        "Checked: 0 of 1 plant drawn at random is as answered. So 61 of 100 answers to act on are wrong on this date."
    )


def test_without_checks_a_report_is_the_same(shown: Shown) -> None:
    assert "Promised and found" in shown.analysis and "Promised and found" not in shown.campaign.page()
    assert report(shown.campaign, {}) == shown.campaign.report()
