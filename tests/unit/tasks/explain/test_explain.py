"""Which class a map explains, maps divided by their peak, and what names maps and their shards."""

from typing import Any, get_args

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import ValidationError

from storage.arrays.zarr_files import check_tiling
from storage.artifacts import ArtifactRef, Recipe
from storage.errors import InputError
from tasks.explain.explain import (
    explain_rows,
    explained_classes,
    n_constant,
    saliency_recipe,
    scale_to_peak,
    shard_recipes,
)
from tasks.explain.gradcam import GradcamParams
from tasks.explain.methods import SHARD_MAPS, TASK_SHARDS, ExplainParams, Method, map_groups
from tasks.explain.occlusion import OcclusionParams
from tasks.parameters import Runtime

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


def test_constant_maps_are_counted_as_they_are_stored() -> None:
    maps = np.zeros((5, 2, 2), np.float32)
    maps[1], maps[2, 0, 1], maps[3], maps[4] = 3, 1, -2, [[1, 1], [1, 1.0001]]  # the last is 1 in half precision
    assert n_constant(scale_to_peak(maps)[0]) == 3
    assert n_constant(maps) == 2
    assert n_constant(np.zeros((0, 2, 2), np.float16)) == 0


IMAGES, CLASSIFIER, ANSWERS = (ArtifactRef(kind=kind, digest="0") for kind in ("images", "classifier", "predictions"))


def recipe(method: Method = "gradcam", params: ExplainParams | None = None, **runtime: Any) -> Recipe:
    return saliency_recipe(params or ExplainParams(), method, IMAGES, CLASSIFIER, ANSWERS, Runtime(**runtime))


def shards(method: Method, first: int, last: int) -> list[Recipe]:
    return shard_recipes(ExplainParams(), method, IMAGES, CLASSIFIER, ANSWERS, Runtime(), first, last)


def test_what_names_a_dates_maps() -> None:
    one = recipe()
    assert one.ref == recipe(params=ExplainParams(methods=("gradcam", "occlusion"))).ref
    assert one.ref == recipe(params=ExplainParams(occlusion=OcclusionParams(patch=5))).ref
    others = [
        recipe(params=ExplainParams(gradcam=GradcamParams(layer="layer3"))),
        recipe(params=ExplainParams(explained_class="label")),
        recipe("occlusion"),
        recipe("occlusion", ExplainParams(occlusion=OcclusionParams(patch=5))),
        recipe("occlusion_preview"),
        recipe("lime"),
    ]
    assert len({other.ref.digest for other in (one, *others)}) == 7
    assert [other.params["approximate"] for other in others] == [False, False, False, False, True, False]


def test_only_a_precision_beside_float32_names_maps() -> None:
    one = recipe()
    assert one.ref == recipe(device="cpu", batch_size=3, workers=1, saliency_precision="float32").ref
    assert "precision" not in one.params
    others = [recipe(saliency_precision=precision) for precision in ("tf32", "bfloat16")]
    assert [other.params["precision"] for other in others] == ["tf32", "bfloat16"]
    assert len({other.ref.digest for other in (one, *others)}) == 3


@pytest.mark.parametrize("method", get_args(Method))
@given(data=st.data())
def test_groups_of_shards_tile_the_maps_of_a_date(method: Method, data: st.DataObject) -> None:
    shard = SHARD_MAPS[method]
    n = data.draw(st.integers(0, 40 * shard))
    groups = map_groups(n, method)
    recipes = [shards(method, *group) for group in groups]
    parts = [range(one.params["first"], one.params["last"] + 1) for group in recipes for one in group]
    assert len(parts) == -(-n // shard) and all(len(part) <= shard for part in parts)
    check_tiling(parts, n, shard)
    for group, (first, last) in zip(recipes, groups, strict=True):
        assert len(group) <= TASK_SHARDS[method]
        assert (group[0].params["first"], group[-1].params["last"]) == (first, last)


def test_a_shard_is_named_by_the_dates_maps_and_its_place() -> None:
    whole = recipe("occlusion")
    one, two = shards("occlusion", 0, 20)
    assert (one.kind, one.inputs, one.revision) == ("saliency_shard", whole.inputs, whole.revision)
    assert one.params == {**whole.params, "first": 0, "last": 15}
    assert two.params == {**whole.params, "first": 16, "last": 20}
    (alone,) = shards("occlusion", 16, 20)
    assert alone.ref == two.ref  # whatever group a shard is in


@pytest.mark.parametrize("size", [1, 3, 100])
def test_images_are_read_and_explained_block_by_block(size: int) -> None:
    pixels = np.arange(10 * 2 * 2 * 3, dtype=np.uint8).reshape(10, 2, 2, 3)
    rows, classes = np.asarray([7, 1, 2, 9, 4]), np.asarray([0, 1, 0, 1, 1])
    seen, counted = list[int](), list[int]()

    def explain(images: NDArray[np.float32], explained: NDArray[np.integer]) -> NDArray[np.float32]:
        seen.append(len(images))
        return images.sum(axis=1) * (1 + explained[:, None, None]).astype(np.float32)

    array = zarr.create_array({}, data=pixels, chunks=(1, 2, 2, 3))
    maps, peaks = explain_rows(explain, array, rows, classes, size, counted.append)
    expected = pixels[rows].astype(np.float64).sum(axis=3) / 255 * (1 + classes[:, None, None])
    np.testing.assert_allclose(peaks, expected.max(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(maps, expected / expected.max(axis=(1, 2), keepdims=True), rtol=1e-3)
    assert seen == counted == [len(rows[i : i + size]) for i in range(0, 5, size)]
