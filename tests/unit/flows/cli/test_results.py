"""Tests of the printed results of a campaign: every number comes from a table."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli.demo import print_demo
from flows.cli.results import export_lines, print_results, results
from flows.report.exports import Exports
from storage.artifacts import Recipe
from storage.errors import InputError
from storage.tables import CALIBRATION, EVALUATION, METRICS, PROMISES, SWAPS
from tests.support.report_campaign import DAYS, FakeCampaign, table_rows

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return FakeCampaign(tmp_path_factory.mktemp("store"), methods=("gradcam", "lime"), outside=(DAYS[0],), n_plants=36)


def printed(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> str:
    print_results(results(campaign.store, campaign.record()))
    return capsys.readouterr().out


def lines_with(text: str, *words: str) -> list[list[str]]:
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line]
    return [row for row in cells if all(word in row for word in words)]


def test_results_are_the_rows_of_the_tables_as_json(campaign: FakeCampaign) -> None:
    found = json.loads(json.dumps(results(campaign.store, campaign.record())))
    methods = ("gradcam", "lime")
    for name, spec in (("metrics", METRICS), ("evaluation", EVALUATION), ("swaps", SWAPS)):
        assert found[name] == [row for method in methods for row in table_rows(campaign, f"{name} {method}", spec)]
    assert [(row["method"], row["date"]) for row in found["drift"]] == [(m, day) for m in methods for day in DAYS]
    assert [row["is_outside"] for row in found["drift"]] == 2 * [True, False]
    assert [(row["method"], row["split"]) for row in found["decisions"]] == [(m, s) for m in methods for s in SPLITS]
    assert found["decisions"][1]["n"] == 24 and found["decisions"][1]["reasons"]["unsure"] > 0
    assert found["promises"] == [
        row for m in methods for row in table_rows(campaign, f"promises {m}", PROMISES) if row["is_used"]
    ]
    stated = [row for m in methods for row in table_rows(campaign, f"calibration {m}", CALIBRATION)]
    dates = [None if row["acquired"] is None else str(row["acquired"]) for row in stated]
    assert found["calibration"] == [{**row, "acquired": day} for row, day in zip(stated, dates, strict=True)]
    assert {None, *DAYS} == set(dates)
    assert found["notes"] == ["a note & more"]
    kept = {"campaign", "image_size", "kernel", "explained_class", "threshold", "confidence", "clusters", "rejected"}
    assert kept | {"warnings", "report", "tables"} <= set(found)
    assert found["kernel"] == "median = 0.5"


SPLITS = ("val", "test")


def test_notes_of_the_source_are_printed(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    assert "note: a note & more" in printed(campaign, capsys).splitlines()


def test_the_demo_ends_with_its_new_date_and_the_places_to_look_at(
    campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"method": "gradcam", "n_explained": 9, "n_images": 10, "n_rejected": 2, "mean_reliability": 0.8765}
    row |= {"n_plants": 10, "n_expected": None}
    row |= {"n_check": 3, "n_corrected": 1, "is_outside": False, "outside_reason": ""}
    places = {"field": "/x/index.html#2023-08-25", "analysis": "/x/analysis.html", "exports": "/y/2023-08-25"}
    scored = {"campaign": "toy", "date": "2023-08-25", "fit": "f17", "rows": [row], "exports": None}
    found = results(campaign.store, campaign.record())
    seen = {"decision": "leave", "n": 5, "n_right": 4, "n_wrong": 1, "n_audit": 2, "n_audit_wrong": 0}
    checked = {"campaign": "toy", "date": "2023-08-25", "files": [], "decisions": [seen], "contradictions": []}
    checked |= {"open_audit": [], "table": "/z", "report": None}
    scored |= {"decisions": "3 to check", "look_at": places}
    print_demo({**found, "scored": scored, "checked": checked})
    said = capsys.readouterr().out.splitlines()
    head, counts, decisions = said[(first := said.index("toy 2023-08-25, scored by the fit f17:")) : first + 3]
    assert head and counts.startswith("- gradcam: 9 of 10 images explained, 2 left out; mean reliability 0.88, 3 to ")
    assert decisions == "3 to check"
    assert "leave: 5 checked, 4 right, 1 wrong; of 2 drawn at random, 0 wrong" in said[first:]
    *_, look, field, analysis, exports, last = said
    assert look == "look first at:"
    assert [line.rpartition(": ")[2] for line in (field, analysis, exports)] == list(places.values())
    assert last.endswith(f"harvest open {campaign.record().campaign} --store {campaign.store.root}")


def test_cross_fitted_accuracy_is_printed(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(campaign, capsys)
    for method in ("gradcam", "lime"):
        ((_, split, _, n, accuracy, _, gain, note),) = lines_with(text, method, "cross-fitted")
        row = next(r for r in table_rows(campaign, f"metrics {method}", METRICS) if r["state"] == "cross-fitted")
        assert (split, n, note) == ("val", str(row["n"]), "plants left out")
        assert accuracy.startswith(f"{row['overall_accuracy']:.1%} ({100 * row['overall_accuracy_lower']:.0f}..")
        points = 100 * (row["n_corrected"] - row["n_spoiled"]) / row["n"]
        assert gain == f"{points:+.1f} (1..46)" and row["gain_lower"] == 0.0123
        assert {cells[6] for cells in lines_with(text, method, "before")} == {""}
        assert len(lines_with(text, method, "in-sample")) == 1


def test_decided_answers_have_their_own_row(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(campaign, capsys)
    for method in ("gradcam", "lime"):
        shown = {row[1]: row for row in lines_with(text, method, "decided")}
        assert list(shown) == ["val", "test"]
        for row in table_rows(campaign, f"metrics {method}", METRICS):
            if row["state"] == "decided":
                assert shown[row["split"]][3] == str(row["n"]) and shown[row["split"]][7] == "more probable class"


def test_promised_against_observed_is_printed(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(campaign, capsys)
    rows = {
        (row["split"], str(row["acquired"]), row["answers"], row["is_acted_on"]): row
        for row in table_rows(campaign, "calibration gradcam", CALIBRATION)
    }
    whole, acted = (rows["test", DAYS[1], "ready", is_acted_on] for is_acted_on in (False, True))
    shown = [row for row in lines_with(text, "gradcam", "test", DAYS[1]) if row[3] == "ready"]
    ((*_, n, promised, observed),) = shown
    assert n == f"{whole['n']} ({acted['n']})" and whole["n"] != acted["n"]
    assert promised == f"{whole['promised']:.2f} ({acted['promised']:.2f})"
    assert observed == f"{whole['observed']:.2f} ({acted['observed']:.2f})"


def test_the_promise_is_printed(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(printed(campaign, capsys).split())
    assert "gradcam: At least 85 of 100 answers acted on are right, by " in text


def test_swapped_clusters_are_those_of_the_table(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    swaps = [row for method in ("gradcam", "lime") for row in table_rows(campaign, f"swaps {method}", SWAPS)]
    marked = [(row[0], int(row[1])) for row in lines_with(printed(campaign, capsys), "swapped")]
    assert marked == [(row["method"], row["cluster"]) for row in swaps if row["is_swapped"]] != []


def test_warnings_of_swaps_are_printed(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(campaign, capsys)
    for method in ("gradcam", "lime"):
        assert f"note: {method}: cluster <3> is small" in text


def test_scores_are_compared_on_unseen_plants(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(campaign, capsys)
    rows: list[dict[str, Any]] = table_rows(campaign, "evaluation gradcam", EVALUATION)
    row = next(r for r in rows if (r["split"], r["score"]) == ("test", "combined_reliability"))
    assert f"how well each score tells errors (test, n = 24, {row['n_wrong']} wrong)" in text
    ((_, _, auroc, interval, augrc),) = lines_with(text, "gradcam", "all combined")
    assert (auroc, augrc) == (f"{row['auroc']:.3f}", f"{row['augrc']:.3f}")
    assert interval == f"{row['auroc_lower']:.2f} .. {row['auroc_upper']:.2f}"
    assert len(lines_with(text, "gradcam", "probability")) == 1


def test_doubts_are_printed(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(printed(campaign, capsys).split())
    for method in ("gradcam", "lime"):
        assert f"{method}: Answers to check: " in text
        assert f"{method}: Outside what was validated: {DAYS[0]}, test" in text
    assert f"{DAYS[1]}, test" not in text


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"has_test_labels": False}, "(cross-fitted val, n = "),
        ({"has_unseen": False}, "(cross-fitted val, n = "),
        ({"has_labels": False}, ""),
        ({"has_intervals": False}, "(test, n = "),
        ({"error_rates": (0.0, 0.0)}, "(test, n = "),
        ({"classes": ("small", "medium", "large")}, "(test, n = "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_results_hold_together_whatever_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], title: str
) -> None:
    given: dict[str, Any] = {"n_plants": 18, **options}
    text = printed(FakeCampaign(tmp_path, **given), capsys)
    assert ("how well each score" in text) == bool(title) and title in text
    assert "None" not in text and "nan" not in text


def test_exports_are_named_where_a_run_wrote_them(campaign: FakeCampaign, capsys: pytest.CaptureFixture[str]) -> None:
    """Print nothing about exports for a run of an earlier version, which wrote none."""
    assert results(campaign.store, campaign.record())["exports"] is None
    assert "exports" not in printed(campaign, capsys)
    record, recipes = campaign.record(), {day: Recipe("decisions", 1, {"day": day}) for day in DAYS}
    for day, recipe in recipes.items():
        with campaign.store.create(recipe) as draft:
            draft.summary = {"n_plants": 20, "n_without_position": 3}
            if day == DAYS[0]:
                draft.summary["n_without_workbook"] = 20
        record.artifacts[f"decisions gradcam {day}"] = recipe.ref
    found = results(campaign.store, record)
    folder = str(campaign.store.root / "exports" / record.campaign)
    counts = {"n_rows": 40, "n_without_position": 6, "n_without_workbook": 20}
    assert len(DAYS) == 2 and found["exports"] == {"folder": folder, **counts}
    print_results(found)
    said = capsys.readouterr().out
    assert f"exports: {folder}\nnote: 6 of 40 rows of the exports have no position" in said
    assert "note: 20 of 40 rows of the exports are in no workbook" in said


@pytest.mark.parametrize(
    ("n_without", "note"),
    [
        (0, None),
        (2, "note: 2 of 5 rows of the exports have no position"),
        (5, "note: no plant has a position: the exports are CSV and XLSX alone"),
    ],
)
def test_plants_without_a_position_are_told_of(n_without: int, note: str | None) -> None:
    found = Exports(folder="store/exports/field2", n_rows=5, n_without_position=n_without, n_without_workbook=0)
    place, *notes = export_lines(found)
    assert place == "exports: store/exports/field2"
    assert [line.startswith(note or "?") for line in notes] == ([True] if note else [])


def test_a_run_by_an_earlier_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    campaign = FakeCampaign(tmp_path)
    del campaign.roles["crossfit gradcam"], campaign.roles["swaps gradcam"]
    with pytest.raises(InputError, match=r"has no crossfit gradcam, swaps gradcam") as refused:
        campaign.page()
    assert "run the campaign again" in refused.value.remedy
