"""Test the parameters by which a date is scored with the fit of a campaign."""

from datetime import date
from pathlib import Path

import pytest

from flows.acquisition import scoring_params
from flows.parameters import CampaignParams
from storage.records.campaigns import CampaignRecord
from tasks.sources.field.source import FieldSource
from tests.support.small_field import DAY, LATER, make


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
