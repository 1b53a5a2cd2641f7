"""Test the parameters by which a date is scored with the fit of a campaign."""

from datetime import date
from pathlib import Path

import pytest

from flows.acquisition import scoring_params, sentence
from flows.parameters import CampaignParams
from storage.records.campaigns import CampaignRecord
from tasks.sources.field.source import FieldSource
from tests.support.small_field import DAY, LATER, make


@pytest.mark.parametrize(
    ("n_plants", "n_expected", "is_told"), [(21, 120, True), (119, 120, False), (21, None, False), (None, None, False)]
)
def test_the_sums_of_a_date_tell_that_plants_are_missing(
    n_plants: int | None, n_expected: int | None, is_told: bool
) -> None:
    counts = {"n_explained": 20, "n_images": 21, "n_rejected": 1, "n_check": 2, "n_corrected": 3}
    row = {"method": "gradcam", **counts, "mean_reliability": 0.9, "is_outside": False}
    told = sentence({**row, "n_plants": n_plants, "n_expected": n_expected})
    assert ("**Incomplete: 21 of 120 expected plants.**" in told) == is_told == ("ncomplete" in told)


@pytest.mark.parametrize(("stated", "used"), [(None, 0.85), (0.9, 0.9)])
def test_a_date_of_another_source_is_cropped_as_wide_as_the_fit_unless_it_says_otherwise(
    tmp_path: Path, stated: float | None, used: float
) -> None:
    fitted = CampaignParams(campaign="field7", source=make(tmp_path, crop_metres=0.85), dates=(DAY,))
    record = CampaignRecord(campaign="field7", params=fitted.model_dump(mode="json"), artifacts={}, report="")
    own = scoring_params(record, "field7", LATER, None)
    assert own.source == fitted.source and own.dates == (LATER,)
    other = scoring_params(record, "field8", date(2025, 5, 1), make(tmp_path, crop_metres=stated, split_seed=3))
    assert isinstance(other.source, FieldSource)
    assert (other.source.crop_metres, other.source.split_seed, other.campaign) == (used, 3, "field8")
