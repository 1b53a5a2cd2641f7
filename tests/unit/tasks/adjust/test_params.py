"""Test the limits of the parameters by which answers are swapped."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.adjust.rules import AdjustParams


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
