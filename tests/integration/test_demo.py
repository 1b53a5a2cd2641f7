"""`harvest demo` as a stranger runs it: its results, its new date, its second run, and the season without a shortcut.

A smaller season with a shortcut is analysed in test_shortcut.py.
"""

import csv
import json
import math
import os
import re
import subprocess
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.cli.demo import FLIGHT, flight_season
from storage.tables import TABLES
from storage.tables.parquet import load_table
from tasks.sources.synthetic.season import grow_season
from tests.support.campaigns import HARVEST

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]  # two campaigns of some minutes each


@contextmanager
def started_demo(folder: Path, home: str, *options: str) -> Generator[subprocess.Popen[str]]:
    """`harvest demo --json` in a Prefect home, on one core; it ends with the block."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with subprocess.Popen(
        [HARVEST, "demo", "--folder", str(folder / "demo"), "--json", "--logs", *options],
        env={**outside, "PREFECT_HOME": str(folder / home), "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            yield demo
        finally:
            demo.kill()


def outcome(demo: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """Results and logs of a demo."""
    out, logs = demo.communicate()
    assert demo.returncode == 0, logs
    return json.loads(out), logs


def accuracy(found: dict[str, Any], split: str, state: str) -> float:
    """Overall accuracy of a split."""
    (row,) = [row for row in found["metrics"] if (row["split"], row["state"]) == (split, state)]
    return row["overall_accuracy"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def both(folder: Path) -> dict[str, dict[str, Any]]:
    """The season with the marker and without, side by side on two cores."""
    with (
        started_demo(folder, "home") as shortcut,
        started_demo(folder / "plain", "home", "--no-shortcut") as plain,
        ThreadPoolExecutor(1) as other,  # neither may wait until somebody reads what it prints
    ):
        there = other.submit(outcome, plain)
        return {"shortcut": outcome(shortcut)[0], "plain": there.result()[0]}


@pytest.fixture(scope="module")
def shortcut(both: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return both["shortcut"]


def test_adjustment_repairs_the_planted_shortcut_on_unseen_plants(shortcut: dict[str, Any]) -> None:
    assert shortcut["explained_class"] == "predicted"
    assert accuracy(shortcut, "test", "after") - accuracy(shortcut, "test", "before") >= 0.10


def test_adjustment_helps_validation_plants_that_are_left_out(shortcut: dict[str, Any]) -> None:
    assert accuracy(shortcut, "val", "cross-fitted") - accuracy(shortcut, "val", "before") >= 0.10


def test_with_the_shortcut_maps_know_the_errors_better_than_the_classifier(shortcut: dict[str, Any]) -> None:
    auroc = {row["score"]: row["auroc"] for row in shortcut["evaluation"] if row["split"] == "test"}
    assert auroc["softmax"] < 0.5 < 0.8 < min(auroc["reliability"], auroc["combined_reliability"])


def test_clusters_and_places_are_reported(shortcut: dict[str, Any]) -> None:
    n_validation = next(row["n"] for row in shortcut["metrics"] if row["split"] == "val")
    assert sum(row["n"] for row in shortcut["clusters"]) == n_validation
    for row in shortcut["clusters"]:
        assert row["error_share_lower"] <= row["error_share"] <= row["error_share_upper"]
        assert row["fp"] + row["fn"] == row["n_wrong"]
    assert shortcut["rejected"]["unreadable"] == 4 and shortcut["rejected"]["duplicate"] == 2
    assert Path(shortcut["report"]).is_file() and Path(shortcut["tables"]).is_dir()
    assert {path.suffix for path in Path(shortcut["exports"]["folder"]).rglob("demo-*")} == {
        ".csv",
        ".geojson",
        ".gpkg",
        ".gpx",
        ".kml",
        ".parquet",
        ".xlsx",
    }


@pytest.fixture(scope="module")
def truth() -> dict[str, str]:
    """State of every plant on the new date, which the season alone knows."""
    season = grow_season(flight_season(shortcut=True))
    return {one.plant.plant_id: one.state for one in season.observations}


@pytest.fixture(scope="module")
def decided(shortcut: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table `decided` of the new date."""
    folder = Path(shortcut["tables"]) / f"decided/campaign=demo-shortcut-0/date={FLIGHT}"
    return [row for file in folder.glob("*.parquet") for row in load_table(file, TABLES["decided"]).to_pylist()]


def test_every_plant_that_stands_on_the_new_date_is_scored_without_a_label(
    shortcut: dict[str, Any], decided: list[dict[str, Any]], truth: dict[str, str]
) -> None:
    (row,) = shortcut["scored"]["rows"]
    states = Counter(truth.values())
    standing = {name for name, state in truth.items() if state != "harvested"}
    assert row["n_images"] == row["n_explained"] == len(standing) == 324
    assert row["n_plants"] == row["n_expected"] == 324  # by this year's plants, not by those of the fit's year
    assert row["n_rejected"] == states["harvested"] and row["n_labelled"] == 0 and not row["is_outside"]
    assert {one["plant_id"] for one in decided} == standing and {one["label"] for one in decided} == {None}


def test_pages_and_exports_of_the_new_date_have_the_counts_of_its_table(
    shortcut: dict[str, Any], decided: list[dict[str, Any]]
) -> None:
    counts = Counter(row["decision"] for row in decided)
    assert min(counts["harvest"], counts["leave"], counts["check"]) > 0 and counts.total() == len(decided)
    look_at = shortcut["scored"]["look_at"]
    page, day = look_at["field"].split("#")
    html = Path(page).read_text(encoding="utf-8")
    (content,) = re.findall(r'<script type="application/json" id="field-data">(.*?)</script>', html, re.DOTALL)
    shown = json.loads(content)["days"][-1]
    assert shown["date"] == day == str(FLIGHT) and shown["n"] == len(decided) and shown["unplaced"] == 0
    assert shown["counts"] == [counts[name] for name in ("harvest", "leave", "check")]
    (lead,) = re.findall(r'id="lead">(\d+) ', html)  # the date that the page shows first
    assert int(lead) == counts["harvest"]
    assert Path(look_at["analysis"]).is_file()
    (exported,) = Path(look_at["exports"]).glob("*_gradcam.csv")
    with exported.open(encoding="utf-8-sig", newline="") as file:
        assert Counter(row["decision"] for row in csv.DictReader(file)) == counts
    said = ", ".join(f"{counts[name]} to {name}" for name in ("harvest", "leave", "check"))
    assert f"{len(decided)} plants, {said}." in shortcut["scored"]["decisions"]


def test_what_is_promised_holds_on_the_new_date(decided: list[dict[str, Any]], truth: dict[str, str]) -> None:
    """Whatever a plant's label will be: at most 20 of 100 answers acted on are wrong."""
    acted = [row for row in decided if row["decision"] != "check"]
    answers = ("not ready", "ready")
    assert len(acted) > 100
    assert sum(answers[row["answer"]] == truth[row["plant_id"]] for row in acted) / len(acted) >= 0.8


def test_what_somebody_finds_comes_back_as_it_is(
    shortcut: dict[str, Any], decided: list[dict[str, Any]], truth: dict[str, str]
) -> None:
    """The table `checks` has the true state of all plants that were drawn for a look, and of some to check."""
    folder = Path(shortcut["tables"]) / f"checks/campaign=demo-shortcut-0/date={FLIGHT}"
    checks = [row for file in folder.glob("*.parquet") for row in load_table(file, TABLES["checks"]).to_pylist()]
    assert {row["plant_id"]: row["found"] for row in checks}.items() <= truth.items() and len(checks) > 20
    decision = {row["plant_id"]: row["decision"] for row in decided}
    audit = Counter(decision[row["plant_id"]] for row in checks if row["is_audit"])
    assert audit == {name: math.ceil(0.05 * Counter(decision.values())[name]) for name in ("harvest", "leave")}
    others = {decision[row["plant_id"]] for row in checks if not row["is_audit"]}
    assert others == {"check"} and shortcut["checked"]["open_audit"] == []
    wrong = Counter(row["decision"] for row in checks if row["found"] != row["answer"])
    said = {row["decision"]: (row["n"], row["n_wrong"]) for row in shortcut["checked"]["decisions"]}
    assert said == {name: (n, wrong[name]) for name, n in Counter(row["decision"] for row in checks).items()}


def test_second_demo_in_another_prefect_home_is_cached(shortcut: dict[str, Any], folder: Path) -> None:
    with started_demo(folder, "another-home") as demo:
        again, logs = outcome(demo)
    (before,), (file,) = (found["checked"].pop("files") for found in (shortcut, again))
    assert again == shortcut
    assert file == {**before, "n_new": 0, "n_known": before["n_new"]}  # checks are recorded once
    finished = [line for line in logs.splitlines() if "Finished in state" in line and "Task run" in line]
    ran = {line.split("'")[1].split()[0] for line in finished if "Cached" not in line}
    assert ran == {"survey", "rehearse", "publish", "await", "check", "reuse"}


def test_no_split_loses_without_the_shortcut(both: dict[str, dict[str, Any]]) -> None:
    """Adjust a season without the marker: where nothing is systematic, adjustment must do no harm."""
    for split in ("val", "test"):
        assert accuracy(both["plain"], split, "after") - accuracy(both["plain"], split, "before") >= -0.02
