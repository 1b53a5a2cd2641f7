"""Rating of images by hand-made evidence, and keys of earlier versions that are refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.score.params import ScoreParams
from tasks.score.rating import OF_ANSWERS, joined, of_clusters, ready_probability


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("undecided", (0.25, 0.6), "decide.tolerated_error"),
        ("widest", 0.4, "decide.tolerated_error"),
        ("least_novelty", 0.02, "decide.least_novelty"),
    ],
)
def test_keys_of_earlier_versions_are_refused_with_what_replaces_them(key: str, value: Any, remedy: str) -> None:
    with pytest.raises(ValidationError, match=f"score has the key {key}, which no longer exists") as refused:
        ScoreParams.model_validate({"confidence": 0.9, key: value})
    assert f"remove it and set {remedy}" in str(refused.value)


def test_several_earlier_keys_are_named_at_once() -> None:
    with pytest.raises(ValidationError, match=r"the keys undecided, widest, which no longer exist; ") as refused:
        ScoreParams.model_validate({"undecided": (0.25, 0.6), "widest": 0.4})
    assert str(refused.value).count("decide.tolerated_error") == 1


@pytest.mark.parametrize("confidence", [0.5, 1.0])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValidationError, match="confidence"):
        ScoreParams(confidence=confidence)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=20))
def test_the_probability_of_ready_is_that_of_the_answer_or_what_is_left(answers: list[tuple[float, bool]]) -> None:
    right = np.asarray([p for p, _ in answers])
    sign = np.asarray([1.0 if is_ready else -1.0 for _, is_ready in answers])
    assert ready_probability(right, sign, 2) == [p if is_ready else 1 - p for p, is_ready in answers]
    assert ready_probability(right, sign, 3) == [None] * len(answers)


def test_clusters_are_looked_up_by_their_number() -> None:
    clusters: dict[str, list[Any]] = {"cluster": [2, 1, 3], "n": [20, 10, 30]}
    assert of_clusters(clusters, "n", [1, 3, 3, 2]) == [10, 30, 30, 20]


def test_no_parts_are_no_images() -> None:
    found = joined([])
    assert found.inputs.shape == (0, 9) and found.answer.shape == (0,)
    assert {name: values.shape for name, values in found.scores.items()} == dict.fromkeys(OF_ANSWERS, (0,))
