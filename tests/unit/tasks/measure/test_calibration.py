"""Promised against observed shares of right answers: by hand, and intervals by scipy and statsmodels."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

from storage.artifacts import Store
from storage.tables import CALIBRATION, CROSSFIT, DECIDED
from storage.tables.names import MADE_BY
from storage.tables.parquet import Rows, read_table
from tasks.measure.calibration import calibration_rows, measure_calibration
from tests.support.planted_campaign import DAYS, Judged, by_plant, judge, plant_season, season

CLASSES = ("not ready", "ready")
FIRST, SECOND = date(2021, 8, 23), date(2021, 9, 3)
MARKS = {"method": "gradcam", "explained_class": "predicted", "classifier": "c0", "clusters": "k0"}
Image = tuple[str, str, int, int, float, str]  # split, plant, label, answer, answer_reliability, check_reason


def decided(*images: Image) -> Rows:
    """Return columns of the table `decided`."""
    names = ("split", "plant_id", "label", "answer", "answer_reliability", "check_reason")
    columns: Rows = {name: [image[k] for image in images] for k, name in enumerate(names)}
    return columns | {name: [mark] * len(images) for name, mark in MARKS.items()}


def answers(is_right: list[bool], plants: list[str] | None = None) -> Rows:
    """Return validation images that are answered ready; by default one a plant."""
    plants = plants or [f"p{i}" for i in range(len(is_right))]
    return decided(*(("val", plant, int(right), 1, 0.8, "") for plant, right in zip(plants, is_right, strict=True)))


def interval(row: dict[str, Any]) -> tuple[float, float]:
    return row["observed_lower"], row["observed_upper"]


def test_every_date_and_answer_by_hand() -> None:
    """Right on average, and too sure on the first date; what is checked counts among all answers alone."""
    table = decided(
        ("val", "a", 1, 1, 0.9, ""),
        ("val", "b", 0, 1, 0.7, "unsure"),
        ("val", "a", 1, 1, 0.8, ""),
        ("val", "c", 0, 0, 0.6, "unsure novel"),
        ("test", "d", 1, 0, 0.95, ""),
    )
    found = calibration_rows(table, [FIRST, FIRST, SECOND, SECOND, FIRST], CLASSES)
    names = ("split", "acquired", "answers", "is_acted_on", "n", "promised", "observed")
    expected = [
        ("val", None, "all", False, 4, 0.75, 3 / 4),
        ("val", None, "all", True, 2, 0.85, 1),
        ("val", None, "not ready", False, 1, 0.6, 1),
        ("val", None, "ready", False, 3, 0.8, 2 / 3),
        ("val", None, "ready", True, 2, 0.85, 1),
        ("val", FIRST, "all", False, 2, 0.8, 1 / 2),
        ("val", FIRST, "all", True, 1, 0.9, 1),
        ("val", FIRST, "ready", False, 2, 0.8, 1 / 2),
        ("val", FIRST, "ready", True, 1, 0.9, 1),
        ("val", SECOND, "all", False, 2, 0.7, 1),
        ("val", SECOND, "all", True, 1, 0.8, 1),
        ("val", SECOND, "not ready", False, 1, 0.6, 1),
        ("val", SECOND, "ready", False, 1, 0.8, 1),
        ("val", SECOND, "ready", True, 1, 0.8, 1),
        *(
            ("test", day, name, acted, 1, 0.95, 0)
            for day in (None, FIRST)
            for name in ("all", "not ready")
            for acted in (False, True)
        ),
    ]
    assert [tuple(row[name] for name in names[:5]) for row in found] == [row[:5] for row in expected]
    for row, (*_, promised, observed) in zip(found, expected, strict=True):
        assert (row["promised"], row["observed"]) == (pytest.approx(promised), pytest.approx(observed))
        assert {name: row[name] for name in MADE_BY} == MARKS


def test_without_labels_there_is_nothing_to_compare() -> None:
    assert calibration_rows(decided(), [], CLASSES) == []


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_with_one_image_a_plant_the_interval_is_wilsons(is_right: list[bool]) -> None:
    rows = calibration_rows(answers(is_right), [FIRST] * len(is_right), CLASSES)
    expected = binomtest(sum(is_right), len(is_right)).proportion_ci(0.95, method="wilson")
    assert {row["answers"] for row in rows} == {"all", "ready"} and len(rows) == 8
    for row in rows:
        assert interval(row) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.lists(st.booleans(), min_size=2, max_size=30), st.integers(2, 4))
def test_repeating_every_image_tells_nothing_more(is_right: list[bool], times: int) -> None:
    plants = [f"p{i}" for i in range(len(is_right))] * times
    once, often = (
        calibration_rows(table, [FIRST] * len(table["label"]), CLASSES)[0]
        for table in (answers(is_right), answers(is_right * times, plants))
    )
    assert often["n"] == times * once["n"] and interval(often) == pytest.approx(interval(once))


def test_images_of_a_plant_count_as_their_correlation_says() -> None:
    """Four plants on two dates, right 2, 2, 0 and 1 times: mean squares 11/24 and 1/8, so a correlation of 4/7.

    Eight images are worth 8 / (1 + 4/7) then, and the four of one date, which are of four plants, are worth four.
    """
    is_right = [True, True, False, True, True, True, False, False]
    table = answers(is_right, ["a", "b", "c", "d"] * 2)
    both, _, *rows = calibration_rows(table, [FIRST] * 4 + [SECOND] * 4, CLASSES)
    worth = 8 / (1 + 4 / 7)
    ends: Any = proportion_confint(5 / 8 * worth, worth, 0.05, method="wilson")
    assert interval(both) == pytest.approx(ends)
    for day, n_right in ((FIRST, 3), (SECOND, 2)):
        expected = binomtest(n_right, 4).proportion_ci(0.95, method="wilson")
        of_day = [row for row in rows if row["acquired"] == day]
        assert len(of_day) == 4
        for row in of_day:
            assert interval(row) == pytest.approx((expected.low, expected.high))


# Through the store


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()))


@pytest.fixture(scope="module")
def measured(planted: Judged) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the rows of the planted season by split, date, answers and whether they are acted on."""
    days = tuple(date.fromisoformat(day) for day in DAYS)
    made = measure_calibration.fn(str(planted.store.root), "gradcam", days, CLASSES, planted.decided)
    table = read_table(planted.store.open(made), CALIBRATION)
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    return {(row["split"], row["acquired"], row["answers"], row["is_acted_on"]): row for row in rows}


def test_a_planted_season_is_counted_row_by_row(
    planted: Judged, measured: dict[tuple[Any, ...], dict[str, Any]]
) -> None:
    groups: dict[tuple[Any, ...], list[tuple[float, bool]]] = {}
    for day, name in enumerate(DAYS):
        table = planted.read(DECIDED, day)
        for split, label, answer, reliability, reason in zip(
            *(table[k] for k in ("split", "label", "answer", "answer_reliability", "check_reason")), strict=True
        ):
            if label is None:
                continue
            for on in (None, date.fromisoformat(name)):
                for answered in ("all", CLASSES[answer]):
                    for acted in (False, True) if not reason else (False,):
                        groups.setdefault((split, on, answered, acted), []).append((reliability, label == answer))
    assert measured.keys() == groups.keys() and {key[0] for key in groups} == {"val", "test"}
    for key, found in groups.items():
        promised, observed = np.mean(found, axis=0)
        assert measured[key]["n"] == len(found)
        assert (measured[key]["promised"], measured[key]["observed"]) == (
            pytest.approx(promised),
            pytest.approx(observed),
        )
        assert measured[key]["observed_lower"] <= observed <= measured[key]["observed_upper"]


def test_validation_plants_are_promised_what_was_fitted_without_them(
    planted: Judged, measured: dict[tuple[Any, ...], dict[str, Any]]
) -> None:
    right = [row["combined_reliability"] for row in by_plant(planted.read(CROSSFIT)).values()]
    expected = np.maximum(right, 1 - np.asarray(right)).mean()
    assert measured["val", None, "all", False]["promised"] == pytest.approx(expected)


def test_dates_without_labels_make_an_empty_table(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = measure_calibration.fn(str(store.root), "gradcam", (), CLASSES, [])
    assert set(map(len, read_table(store.open(made), CALIBRATION).values())) == {0}
