"""Dates that are refused, before anything is written."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema

from flows.acquisition import score_acquisition
from flows.discover import discover_acquisitions
from flows.running.names import CAMPAIGN_NAME
from storage.artifacts import Store
from storage.errors import ArtifactError, InputError
from storage.records.campaigns import CampaignRecord
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.campaigns import DATES
from tests.support.season_fields import AT_ONCE, LATE, NEW, TINY, YEAR_LATER, spoil, write_field
from tests.support.season_runs import Scored, copy_of


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"date": DATES[0]}, f"{DATES[0]} is one of the dates of small"),
        ({"campaign": "absent"}, "no record of 'absent'.*campaigns there: .*small"),
        ({"fitted_by": "absent"}, "no record of 'absent'"),
        ({"source": SyntheticSource(season=SeasonParams(dates=DATES, **TINY))}, f"The season has no images on {NEW}"),
    ],
)
def test_before_anything_is_written(scored: Scored, store: Path, changes: dict[str, Any], said: str) -> None:
    beside = sorted(store.parent.iterdir())
    before = contents_but_results(store)
    with pytest.raises(InputError, match=f"(?s){said}"):
        parameters: Any = {"campaign": "small", "date": NEW, "store": str(store), "arrival": AT_ONCE, **changes}
        score_acquisition(**parameters)
    assert contents_but_results(store) == before and sorted(store.parent.iterdir()) == beside


@pytest.mark.parametrize("name", ["../small", "a/b", "Small", "small\n", ""])
def test_names_that_are_none(fitted: CampaignRecord, store: Path, name: str) -> None:
    """They become parts of paths; Prefect refuses them as the run form does."""
    before = contents_but_results(store)
    for campaign, fitted_by in ((name, "small"), ("small", name)):
        with pytest.raises(ParameterTypeError, match="should match pattern"):
            score_acquisition(campaign, NEW, str(store), fitted_by, arrival=AT_ONCE)
    with pytest.raises(ParameterTypeError, match="should match pattern"):
        discover_acquisitions(name, str(store))
    assert contents_but_results(store) == before


def test_the_run_form_bounds_names() -> None:
    for wanted in (score_acquisition, discover_acquisitions):
        assert parameter_schema(wanted).properties["campaign"]["pattern"] == CAMPAIGN_NAME
    (named, _) = parameter_schema(score_acquisition).properties["fitted_by"]["anyOf"]
    assert named["pattern"] == CAMPAIGN_NAME


def test_a_campaign_s_own_date_by_another_s_fit(fitted: CampaignRecord, store: Path) -> None:
    """The tables that no fit makes would be replaced."""
    copy_of(fitted, store, "sister", dates=[str(LATE)])
    with pytest.raises(InputError, match=f"{LATE} is one of the dates of sister"):
        score_acquisition("sister", LATE, str(store), "small", arrival=AT_ONCE)


def test_maps_of_the_true_class(fitted: CampaignRecord, store: Path) -> None:
    copy_of(fitted, store, "labelled", explain={**fitted.params["explain"], "explained_class": "label"})
    with pytest.raises(InputError, match="New dates are scored by maps of the predicted class"):
        score_acquisition("labelled", NEW, str(store), arrival=AT_ONCE)


def test_too_many_bad_files(fitted: CampaignRecord, store: Path, tmp_path: Path) -> None:
    root = write_field(tmp_path / "bad", dates=YEAR_LATER[:1], **TINY)
    spoil(root, YEAR_LATER[0])
    with pytest.raises(InputError, match=r"(?s)image files are bad: \d+ unreadable.*may be bad"):
        score_acquisition("bad", YEAR_LATER[0], str(store), "small", GrowliFlowerSource(root=str(root)), AT_ONCE)
    assert not (store / "tables/observations/campaign=bad").exists()


def test_a_damaged_artefact_of_the_fit(scored: Scored, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    lost = Store(copy).folder(scored.record.artifacts["scores gradcam"])
    (lost / "clusters.parquet").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"scores gradcam of small: .*`harvest run` makes it again"):
        score_acquisition("small", NEW, str(copy), arrival=AT_ONCE)


def contents_but_results(store: Path) -> set[str]:
    """Names of a store's tables, records and looks."""
    folders = ("tables", "campaigns", "acquisitions", "reports")
    return {str(path) for folder in folders for path in (store / folder).rglob("*")}
