"""Which class a map explains, and maps divided by their peak."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import ValidationError

from storage.artifacts import ArtifactRef
from storage.errors import InputError
from tasks.explain import ExplainParams, explained_classes, saliency_recipe, scale_to_peak

CLASSES = ["not_ready", "ready"]
PREDICTIONS: dict[str, list[Any]] = {
    "plant_id": ["a", "b", "c", "d"],
    "label": [0, 1, None, 1],
    "predicted": [1, 1, 0, 0],
}


@pytest.mark.parametrize(
    ("choice", "rows", "expected"),
    [
        ("predicted", [0, 1, 2, 3], [1, 1, 0, 0]),
        ("predicted", [3, 0], [0, 1]),
        ("ready", [0, 2, 3], [1, 1, 1]),
        ("not_ready", [1, 2], [0, 0]),
        ("label", [0, 1, 3], [0, 1, 1]),
        ("label", [], []),
    ],
)
def test_the_class_that_is_explained(choice: str, rows: list[int], expected: list[int]) -> None:
    found = explained_classes(choice, CLASSES, PREDICTIONS, rows)
    assert found.dtype == np.int64 and found.tolist() == expected


def test_labels_that_are_missing_are_refused_with_their_plants() -> None:
    with pytest.raises(InputError, match="explained_class = label") as caught:
        explained_classes("label", CLASSES, PREDICTIONS, [0, 2, 3])
    assert "1 of 3" in caught.value.found and "c" in caught.value.found
    assert "predicted" in caught.value.remedy


@pytest.mark.parametrize("choice", ["Ready", "1", "", "true"])
def test_an_unknown_class_is_refused(choice: str) -> None:
    with pytest.raises(InputError, match=r"explain\.explained_class") as caught:
        explained_classes(choice, CLASSES, PREDICTIONS, [0])
    assert repr(choice) in caught.value.found and "not_ready, ready" in caught.value.remedy


def test_the_default_uses_no_ground_truth() -> None:
    assert ExplainParams().explained_class == "predicted"


def test_at_least_one_method_is_asked_for() -> None:
    with pytest.raises(ValidationError, match="methods"):
        ExplainParams(methods=())


@given(arrays(np.float32, (3, 2, 4), elements=st.floats(0, 1e6, width=32, allow_subnormal=False)))
def test_scaled_maps_times_their_peak_are_the_maps_within_half_precision(maps: NDArray[np.float32]) -> None:
    scaled, peaks = scale_to_peak(maps)
    assert scaled.dtype == np.float16 and peaks.dtype == np.float32
    assert np.array_equal(peaks, maps.max(axis=(1, 2)))
    again = scaled.astype(np.float64) * peaks[:, None, None]
    # Half a unit in the last of float16's 11 bits, and of its smallest step below 2^-14.
    allowed = 2.0**-11 * maps + 2.0**-25 * peaks[:, None, None]
    assert (np.abs(again - maps) <= 1.001 * allowed).all()


def test_the_peak_survives_exactly() -> None:
    maps = np.asarray([[[0.3, 0.1]], [[7e5, 3.0]]], np.float32)
    scaled, peaks = scale_to_peak(maps)
    assert (scaled.max(axis=(1, 2)) == 1).all()
    assert peaks.tolist() == [np.float32(0.3), np.float32(7e5)]


@pytest.mark.parametrize("size", [1e-12, 1e-30, 1e-45, 3e38])
def test_values_that_half_precision_cannot_hold_survive(size: float) -> None:
    maps = (np.asarray([[[1.0, 0.5], [0.25, 0.0]]]) * size).astype(np.float32)
    scaled, peaks = scale_to_peak(maps)
    np.testing.assert_allclose(scaled.astype(np.float32) * peaks, maps, rtol=1e-3)
    assert scaled[0, 0, 0] == 1


def test_maps_that_say_against_a_class_are_scaled_by_their_largest_magnitude() -> None:
    scaled, peaks = scale_to_peak(np.asarray([[[-4.0, 2.0]]], np.float32))
    assert peaks.tolist() == [4.0] and scaled.tolist() == [[[-1.0, 0.5]]]


def test_zero_maps_stay_zero() -> None:
    maps = np.zeros((2, 3, 3), np.float32)
    maps[1, 0, 0] = 2
    scaled, peaks = scale_to_peak(maps)
    assert not scaled[0].any() and peaks.tolist() == [0, 2]


def test_no_maps_have_no_peaks() -> None:
    scaled, peaks = scale_to_peak(np.zeros((0, 2, 2), np.float32))
    assert scaled.shape == (0, 2, 2) and peaks.shape == (0,)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_maps_that_are_not_finite_are_refused_and_counted(value: float) -> None:
    maps = np.ones((3, 2, 2), np.float32)
    maps[[0, 2], 1, 1] = value
    with pytest.raises(InputError, match="finite numbers") as caught:
        scale_to_peak(maps)
    assert "2 of 3" in caught.value.found


def test_what_names_a_dates_maps() -> None:
    inputs = [ArtifactRef(kind=kind, digest="0") for kind in ("images", "classifier", "predictions")]
    one = saliency_recipe(ExplainParams(), "gradcam", *inputs).ref
    assert one == saliency_recipe(ExplainParams(methods=("gradcam", "gradcam")), "gradcam", *inputs).ref
    assert one != saliency_recipe(ExplainParams(layer="layer3"), "gradcam", *inputs).ref
    assert one != saliency_recipe(ExplainParams(explained_class="label"), "gradcam", *inputs).ref
