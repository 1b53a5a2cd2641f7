"""Test the limits of the parameters by which answers are swapped."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.adjust.rules import AdjustParams, decide


@pytest.mark.parametrize(
    ("key", "value"),
    [("threshold", 0.49), ("threshold", 1.01), ("alpha", 0.0), ("alpha", 1.0), ("least", 0)],
)
def test_values_outside_the_limits_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        AdjustParams.model_validate({key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [("threshold", 0.5), ("threshold", 1.0), ("alpha", 0.001), ("alpha", 0.999), ("least", 1)],
)
def test_values_at_the_limits_are_taken(key: str, value: Any) -> None:
    assert getattr(AdjustParams.model_validate({key: value}), key) == value


@pytest.mark.parametrize("rule", ["paper", "confident"])
@pytest.mark.parametrize(("n_classes", "is_swapped"), [(1, False), (2, True), (3, False)])
def test_answers_are_swapped_between_two_classes_alone(rule: str, n_classes: int, is_swapped: bool) -> None:
    found = decide(
        np.asarray([50]),
        np.asarray([50]),
        np.asarray([0.5**50]),
        AdjustParams.model_validate({"rule": rule}),
        n_classes,
    )
    assert found.is_swapped.tolist() == [is_swapped]
