"""Synthetic campaigns in feature space: shares, accuracies and correlations against closed formulas."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from tests.benchmarks.feature_space import FAILING, SCENARIOS, SHARPNESS, Images, Scenario, draw_campaign

N = 20_000


def unseen(scenario: Scenario) -> Images:
    """Many unseen images."""
    return draw_campaign(replace(scenario, n_plants=2, n_unseen=N), 5).unseen


@pytest.mark.parametrize("name", SCENARIOS)
def test_shapes_and_units(name: str) -> None:
    scenario = SCENARIOS[name]
    drawn = draw_campaign(scenario, 0)
    n = scenario.n_plants * len(scenario.ready)
    for images, size in ((drawn.validation, n), (drawn.unseen, 3000)):
        assert images.answers.logits.shape == (size, 2) and images.answers.features.shape == (size, 12)
        assert len(images.plants) == len(images.truth) == len(images.date) == size
        assert set(images.truth.tolist()) == {0, 1}
        np.testing.assert_allclose(np.linalg.norm(images.vectors, axis=1), 1)
    assert len(set(drawn.validation.plants)) == scenario.n_plants and len(set(drawn.unseen.plants)) == 3000
    assert not set(drawn.validation.plants) & set(drawn.unseen.plants)
    assert np.array_equal(drawn.validation.labelled.is_wrong, drawn.validation.is_wrong)


def test_a_seed_gives_the_same_campaign() -> None:
    first, again, other = (draw_campaign(SCENARIOS["shortcut"], seed) for seed in (3, 3, 4))
    assert np.array_equal(first.unseen.vectors, again.unseen.vectors)
    assert np.array_equal(first.validation.answers.logits, again.validation.answers.logits)
    assert not np.array_equal(first.validation.answers.logits, other.validation.answers.logits)


@pytest.mark.parametrize("name", ["growing", "few ready", "many ready", "nothing systematic"])
def test_shares_of_ready_plants_are_those_of_the_scenario(name: str) -> None:
    scenario, found = SCENARIOS[name], unseen(SCENARIOS[name])
    shares = [*scenario.ready, *scenario.unseen_ready]
    expected = {0: 0.45, 1: 0.55} if name == "nothing systematic" else dict(enumerate(shares))
    expected = {2: shares[2]} if scenario.unseen_ready else expected
    assert set(found.date.tolist()) == set(expected)
    for date, share in expected.items():
        assert found.truth[found.date == date].mean() == pytest.approx(share, abs=0.02)


def test_a_ready_plant_stays_ready() -> None:
    found = draw_campaign(SCENARIOS["growing"], 1).validation
    by_plant = found.truth.reshape(98, 4)
    assert (np.diff(by_plant, axis=1) >= 0).all() and np.array_equal(found.date.reshape(98, 4)[7], np.arange(4))


def accuracy(scenario: Scenario) -> float:
    """Accuracy by the normal distribution, averaged over the two dates."""
    shift = scenario.bias / (2 * scenario.clarity)
    ready, not_ready = norm.cdf(scenario.clarity + shift), norm.cdf(scenario.clarity - shift)
    clean = np.mean([share * ready + (1 - share) * not_ready for share in scenario.ready])
    cues = np.asarray(scenario.cue_shares)
    clean = clean * (1 - cues.sum()) + cues @ norm.cdf(scenario.cue_clarity)
    return float(clean * (1 - scenario.label_noise) + (1 - clean) * scenario.label_noise)


@pytest.mark.parametrize("name", ["shortcut", "label noise", "nothing systematic", "biased", "repeated plants"])
def test_accuracy_is_that_of_normal_evidence(name: str) -> None:
    assert 1 - unseen(SCENARIOS[name]).is_wrong.mean() == pytest.approx(accuracy(SCENARIOS[name]), abs=0.01)
    assert 0.7 < accuracy(SCENARIOS[name]) < 0.83


def test_the_classifier_is_as_over_confident_as_stated() -> None:
    found = unseen(SCENARIOS["nothing systematic"])
    log_odds = np.diff(found.answers.logits, axis=1)
    fit = LogisticRegression(C=np.inf).fit(log_odds, found.truth)
    assert 1 / np.ravel(fit.coef_)[0] == pytest.approx(SHARPNESS, rel=0.05)


def test_the_shortcut_fails_in_one_mode_of_maps() -> None:
    found = unseen(SCENARIOS["shortcut"])
    is_failing = found.mode == FAILING
    assert is_failing.mean() == pytest.approx(0.08, abs=0.01)
    assert found.is_wrong[is_failing].mean() > 0.9
    shares = [found.is_wrong[found.mode == mode].mean() for mode in range(6)]
    np.testing.assert_allclose(shares, norm.cdf(-0.83), atol=0.03)
    centre = found.vectors[is_failing].mean(axis=0)
    others = found.vectors[~is_failing] @ centre
    assert np.mean(others > np.quantile(found.vectors[is_failing] @ centre, 0.1)) < 0.02


@pytest.mark.parametrize(("name", "expected"), [("repeated plants", 0.6), ("growing", 0.0), ("shortcut", 0.0)])
def test_errors_of_a_plant_are_correlated_where_the_scenario_says_so(name: str, expected: float) -> None:
    scenario = replace(SCENARIOS[name], n_plants=5000, n_unseen=2, ready=(0.5, 0.5))
    wrong = draw_campaign(scenario, 2).validation.is_wrong.reshape(5000, 2)
    share, both = wrong.mean(), wrong.all(axis=1).mean()
    assert (both - share**2) / (share - share**2) == pytest.approx(expected, abs=0.05)


def test_ready_on_the_first_growing_date_is_mostly_false() -> None:
    found = unseen(SCENARIOS["growing"])
    says_ready, is_right = found.answers.predicted == 1, ~found.is_wrong
    assert 0.3 < is_right[(found.date == 0) & says_ready].mean() < 0.45
    assert is_right[(found.date == 3) & ~says_ready].mean() < 0.75
    assert 0.75 < is_right.mean() < 0.85
