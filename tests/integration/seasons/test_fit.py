"""What the run on the GPU makes is known before, so the run that needs it can tell whether to send for it."""

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError

from flows.fit import GPU_LIMIT, expected, fit_and_explain, needed
from storage.artifacts import ArtifactRef, Store
from storage.records.acquisitions import AcquisitionRecord
from storage.records.campaigns import CampaignRecord
from tasks.classify.params import GivenClassifier
from tasks.parameters import Runtime
from tasks.sources.folder.source import FolderSource
from tests.support.campaigns import DATES, task_runs
from tests.support.season_fields import NEW
from tests.support.season_runs import Scored, artifacts_of, flow_runs, one_slot_of, params_of

FIT = ("classifier", "predictions", "saliency")


def test_what_is_expected_is_what_a_run_made(scored: Scored, fitted: CampaignRecord) -> None:
    """Compare for a campaign, which trains, and for a date, which takes the classifier of its campaign."""
    for record in (fitted, scored.record):
        made = {str(ref) for role, ref in record.artifacts.items() if role.split()[0] in FIT}
        found = [str(ref) for ref in expected(params_of(record), Runtime(), given_to_fit(record))]
        assert sorted(found) == sorted(made)
    assert set(given_to_fit(scored.record)) == {"classifier", f"images {NEW}"}
    assert set(given_to_fit(fitted)) == {"augmentation", *(f"images {day}" for day in DATES)}


def test_maps_are_expected_by_every_method(fitted: CampaignRecord) -> None:
    params, given = params_of(fitted), given_to_fit(fitted)
    both = params.explain.model_copy(update={"methods": ("gradcam", "occlusion")})
    one = expected(params, Runtime(), given)
    two = expected(params.model_copy(update={"explain": both}), Runtime(), given)
    assert set(one) < set(two) and len(two) == len(one) + len(DATES)


@pytest.fixture
def gpu_slot() -> Generator[None]:
    """One training or explaining at a time."""
    with one_slot_of(GPU_LIMIT):
        yield


@pytest.mark.usefixtures("gpu_slot")
def test_the_flow_of_the_gpu_makes_just_that(fitted: CampaignRecord, store: Path) -> None:
    """Everything is there already, so each of its tasks is cached."""
    params, given = params_of(fitted), given_to_fit(fitted)
    fit_and_explain(params, str(store), given)
    *_, last = flow_runs("small 2022-08-25..2022-09-03")
    runs = task_runs(last.id, len(given) + 1 + len(DATES) * 3)
    assert {run.name for run in runs if run.state_name != "Cached"} == {f"reuse small {role}" for role in given}
    assert {"small--fit", "small--epochs"} <= set(artifacts_of(last.id))


@pytest.mark.usefixtures("gpu_slot")
def test_the_flow_of_the_gpu_reads_the_store_alone(scored: Scored, store: Path, tmp_path: Path) -> None:
    """It needs no right to a source or a given classifier, and opens neither: both are missing here."""
    copy = shutil.copytree(store, tmp_path / "store")
    made = {
        role: ref for role, ref in scored.record.artifacts.items() if role.split()[0] in ("predictions", "saliency")
    }
    for ref in made.values():
        shutil.rmtree(copy / "artifacts" / str(ref))
    elsewhere = {
        "source": FolderSource(root=str(tmp_path / "gone")),
        "classifier": GivenClassifier(path=str(tmp_path / "gone/weights.pt")),
    }
    params = params_of(scored.record).model_copy(update=elsewhere)
    fit_and_explain(params, str(copy), given_to_fit(scored.record))
    assert len(made) == 2 and all(Store(copy).holds(ref) for ref in made.values())


def test_without_a_slot_it_does_not_begin(fitted: CampaignRecord, store: Path) -> None:
    with pytest.raises(ConcurrencySlotAcquisitionError, match=GPU_LIMIT):
        fit_and_explain(params_of(fitted), str(store), given_to_fit(fitted))


def given_to_fit(record: CampaignRecord | AcquisitionRecord) -> dict[str, ArtifactRef]:
    """What the fit takes: of a campaign that trains, the plan of training samples and not the classifier."""
    is_trained = "augmentation" in record.artifacts
    there = {role: ref for role, ref in record.artifacts.items() if not (is_trained and role == "classifier")}
    return {role: there[role] for role in needed(params_of(record), there)}
