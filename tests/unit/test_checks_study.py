"""Check by simulation that intervals from checks hold the truth, and that the naive share of all checks does not."""

import numpy as np
import pytest

from tests.benchmarks.checks_study import FIELDS, TOLERATED, Field, draw_fields, table_line


def test_random_looks_estimate_what_checks_of_doubtful_plants_hide() -> None:
    drawn = draw_fields(Field(300), 60)
    truth = np.mean([one.truth for one in drawn])
    estimates = [one.row["error_share"] for one in drawn if one.row["error_share"] is not None]
    assert abs(np.mean(estimates) - truth) < 0.04
    assert np.mean([one.of_all_checks for one in drawn]) > 3 * truth
    assert np.mean([one.is_covered for one in drawn]) > 0.9
    assert table_line("300 plants", drawn).count("|") == 11


@pytest.mark.nightly
@pytest.mark.parametrize("name", FIELDS)
def test_intervals_hold_the_truth_and_kept_promises_are_seldom_called_broken(name: str) -> None:
    """Over 600 fields a share of 0.93 is two standard errors under 0.95."""
    drawn = draw_fields(FIELDS[name], 600, seed=1)
    assert np.mean([one.is_covered for one in drawn]) > 0.93
    error = np.mean([one.row["error_share"] - one.truth for one in drawn if one.row["error_share"] is not None])
    assert abs(error) < 0.015
    kept = [one.row["is_broken"] for one in drawn if one.truth <= TOLERATED]
    assert sum(kept) <= 0.05 * len(kept) + 2 * (0.05 * len(kept)) ** 0.5
