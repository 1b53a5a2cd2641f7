"""Tests of a renewal's parameters: other decisions replace the recorded ones, and earlier versions are refused."""

from datetime import date

import pytest

from flows.parameters import CampaignParams, recorded_params
from flows.renew import unaffected, with_decisions
from storage.artifacts import ArtifactRef
from storage.errors import InputError
from tasks.decide.params import DecideParams
from tasks.sources.folder.source import FolderSource

PARAMS = CampaignParams(
    campaign="field2",
    source=FolderSource(root="/data"),
    dates=(date(2021, 8, 23),),
    decide=DecideParams(promise="each", max_share_shift=0.1),
)


def test_other_decisions_replace_only_the_decisions() -> None:
    other = PARAMS.decide.with_tolerated_error(0.1)
    found = with_decisions(PARAMS, other)
    assert found.decide == DecideParams(promise="each", max_share_shift=0.1, tolerated_error=0.1)
    assert found.model_dump(exclude={"decide"}) == PARAMS.model_dump(exclude={"decide"})
    assert with_decisions(PARAMS, None) == PARAMS


def test_a_tolerated_error_that_changes_no_decision_is_refused() -> None:
    half = DecideParams(promise="each", tolerated_wrong_harvest=0.1)
    assert half.with_tolerated_error(0.2).tolerated(0) == 0.2
    both = DecideParams(promise="each", tolerated_wrong_harvest=0.1, tolerated_wrong_leave=0.2)
    with pytest.raises(InputError, match=r"tolerates 0\.1 wrong answers among plants to harvest, and 0\.2"):
        both.with_tolerated_error(0.05)
    assert both.model_copy(update={"promise": "together"}).with_tolerated_error(0.05).tolerated_error == 0.05


def test_a_record_of_this_version_gives_its_parameters() -> None:
    assert recorded_params(PARAMS.model_dump(mode="json")) == PARAMS


def test_a_record_of_an_earlier_version_is_refused_with_what_to_do() -> None:
    earlier = PARAMS.model_dump(mode="json") | {"score": {"confidence": 0.95, "undecided": 0.1, "widest": 0.5}}
    with pytest.raises(InputError, match=r"field2 was made by an earlier version") as refused:
        recorded_params(earlier)
    assert "run the campaign again" in refused.value.remedy


def test_what_decisions_change_is_made_again_and_nothing_else() -> None:
    kinds = ("images", "saliency gradcam", "clusters gradcam", "crossfit gradcam", "assignments gradcam 2021-08-23")
    again = ("promises gradcam", "reliability gradcam 2021-08-23", "decided gradcam 2021-08-23", "calibration gradcam")
    artifacts = {role: ArtifactRef(kind=role.split()[0], digest=f"{i:024x}") for i, role in enumerate((*kinds, *again))}
    assert tuple(unaffected(artifacts)) == kinds
