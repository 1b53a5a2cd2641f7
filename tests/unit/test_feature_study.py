"""The study in feature space: its figures by hand, and a small campaign from drawing to decisions."""

from dataclasses import replace

import numpy as np
import pytest

from storage.tables.names import PRODUCT_SCORE, SCORES
from tests.benchmarks.feature_outcome import calibration_gaps, outcome, possible_share, promises
from tests.benchmarks.feature_space import SCENARIOS


def test_possible_share_by_hand() -> None:
    """From the surest on: right, wrong, right, right, wrong. Of four answers a quarter is wrong."""
    confidence, is_wrong = np.asarray([0.6, 0.9, 0.8, 0.7, 0.5]), np.asarray([False, False, True, False, True])
    assert possible_share(confidence, is_wrong, 0.25) == pytest.approx(0.8)
    assert possible_share(confidence, is_wrong, 0.2) == pytest.approx(0.2)
    assert possible_share(confidence, is_wrong, 0.4) == pytest.approx(1)


def test_gaps_are_those_of_dates_and_answers_with_enough_images() -> None:
    date, answer = np.repeat([0, 1, 1], [40, 40, 29]), np.repeat([1, 0, 1], [40, 40, 29])
    promised, is_right = np.full(109, 0.8), np.arange(109) % 2 == 0
    assert calibration_gaps(date, answer, promised, is_right) == pytest.approx([0.3, 0.3])


def test_a_promise_about_answers_that_are_always_right_covers_all_but_vetoed_plants() -> None:
    n = 100
    claims = {PRODUCT_SCORE: (np.linspace(0.9, 1, n), np.zeros(n, np.bool_))}
    unseen = {PRODUCT_SCORE: (np.linspace(0.91, 1, n), np.arange(n) < 30)}
    plants, none, some = [f"p{i}" for i in range(n)], np.zeros(n, np.bool_), np.arange(n) < 20
    answered, kept = promises(claims, none, plants, unseen, some)
    assert answered == {PRODUCT_SCORE: [0.8, 0.8, 0.8]} and kept == {PRODUCT_SCORE: [False, True, True]}


def test_a_small_campaign_from_drawing_to_decisions() -> None:
    found = outcome("growing", replace(SCENARIOS["growing"], n_plants=30, n_unseen=400), 0)
    assert list(found.answered) == list(found.kept) == [PRODUCT_SCORE, *SCORES]
    assert len(found.is_covered) == 4 and found.outside == 0
    assert found.answered[PRODUCT_SCORE] == sorted(found.answered[PRODUCT_SCORE])
    assert 0.7 < found.before < 0.9 and 0.7 < found.decided < 0.95
    assert 0 <= found.gap <= found.worst_gap <= 1 and 0 < found.brier < 0.25


def test_a_date_with_few_ready_plants_is_outside_and_not_counted() -> None:
    found = outcome("few ready", replace(SCENARIOS["few ready"], n_unseen=400), 0)
    assert (found.outside, found.is_covered, found.answered[PRODUCT_SCORE]) == (1, [], [0, 0, 0])
