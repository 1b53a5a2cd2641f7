"""What is refused before maps are clustered, and what a reader of the clusters is warned of."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.arrays.specs import LABELS
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from tasks.cluster.axes import PrincipalAxes
from tasks.cluster.checks import check_methods, diagnose
from tasks.cluster.cluster import clusters_recipe
from tasks.cluster.params import ClusterParams
from tasks.cluster.spectral import Clustering
from tasks.explain.methods import flat_maps
from tests.support.local_stores import local
from tests.support.planted_campaign import DAYS, PARAMS, SIZE, fit, plant, plant_season, season

# Flat maps


@pytest.mark.parametrize(
    ("values", "is_flat"),
    [
        ([0, 0, 0, 0], True),
        ([-0.5, -0.5, -0.5, -0.5], True),
        ([3, 3, 3, 3], True),
        ([0, 0, 0, 1e-8], False),
        ([-1, 1, -1, 1], False),
    ],
)
def test_flat_maps_hold_one_value(values: list[float], is_flat: bool) -> None:
    peaked = np.asarray([[1.0, 0.0], [0.0, 0.0]])
    assert flat_maps(np.stack([peaked, np.reshape(values, (2, 2))])).tolist() == [False, is_flat]


def test_a_map_of_one_window_is_flat() -> None:
    assert flat_maps(np.asarray([[[0.3]], [[0.0]]])).all()


# Approximate maps


def test_approximate_maps_are_refused_before_they_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    exact, approximate = season()
    dates = [plant(store, DAYS[0], exact), plant(store, DAYS[1], approximate, approximate=True)]  # one date is enough
    shutil.rmtree(local(store.open(dates[0].saliency).folder / "saliency"))
    with pytest.raises(InputError, match=r"cluster\.allow_preview") as caught:
        fit(store, dates, method="occlusion_preview")
    assert "occlusion_preview" in caught.value.found and "cluster.allow_preview = true" in caught.value.remedy
    assert not list(local(store.root / "artifacts" / "clusters").iterdir())


def test_approximate_maps_are_clustered_where_allowed_and_warned_of(tmp_path: Path) -> None:
    store, others = Store(tmp_path / "approximate"), Store(tmp_path / "exact")
    exact = others.open(fit(others, plant_season(others, season())))
    dates = plant_season(store, season(), approximate=True)
    allowed = PARAMS.model_copy(update={"allow_preview": True})
    found = store.open(fit(store, dates, allowed, "occlusion_preview"))
    assert found.summary["approximate"] is True
    first, *rest = found.summary["warnings"]
    assert "rest on approximate maps" in first and rest == exact.summary["warnings"]
    assert np.array_equal(read_array(found, LABELS), read_array(exact, LABELS))


def test_maps_that_say_that_they_are_exact_are_clustered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = store.open(fit(store, plant_season(store, season(), approximate=False)))
    assert found.summary["approximate"] is False


@pytest.mark.parametrize("methods", [("occlusion_preview",), ("gradcam", "occlusion_preview", "lime")])
def test_a_preview_is_refused_before_anything_runs(methods: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"cluster\.allow_preview") as caught:
        check_methods(methods, ClusterParams())
    assert "occlusion_preview" in caught.value.found and "gradcam" not in caught.value.found
    check_methods(methods, ClusterParams(allow_preview=True))


def test_exact_methods_need_no_permission() -> None:
    check_methods(("gradcam", "occlusion", "lime"), ClusterParams())


def test_a_permission_does_not_rename_clusters() -> None:
    saliency, predictions = (ArtifactRef(kind=kind, digest="0" * 24) for kind in ("saliency", "predictions"))
    first, second, other = (
        clusters_recipe(params, SIZE, [saliency], [predictions]).ref
        for params in (ClusterParams(), ClusterParams(allow_preview=True), ClusterParams(n_clusters=9))
    )
    assert first == second != other


# What a reader is warned of


def axes_of(n_components: int) -> PrincipalAxes:
    return PrincipalAxes(np.zeros(60), np.eye(60)[:n_components], np.zeros(n_components))


def clustering(sizes: tuple[int, ...], n_moved: int = 0, **changes: Any) -> Clustering:
    """Clusters of these sizes by two seeds, of which the other deals some maps out in turn."""
    labels = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    other = labels.copy()
    other[:n_moved] = np.arange(n_moved) % len(sizes) + 1
    fields: dict[str, Any] = {"n_isolated": 0, "n_components": 1} | changes
    return Clustering(labels, np.ones(len(sizes) + 1), np.stack([labels, other]), **fields)


GOOD = clustering((20, 15, 10, 5))
FOUR = ClusterParams(n_clusters=4)


def said_of(n_components: int, found: Clustering, n_zero: int = 0, n_constant: int = 0) -> list[str]:
    return diagnose(FOUR, axes_of(n_components), found, n_zero, n_constant, is_approximate=False)


def test_nothing_is_said_where_nothing_stands_out() -> None:
    assert said_of(50, GOOD) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param(said_of(9, GOOD), "PCA has 9 dimensions, not 50", id="few dimensions"),
        pytest.param(said_of(50, GOOD, n_zero=3), "3 of 50 maps are zero everywhere", id="zero maps"),
        pytest.param(said_of(50, GOOD, n_constant=4), "4 of 50 maps have the same value", id="constant maps"),
        pytest.param(
            said_of(50, clustering((20, 15, 10, 5), n_isolated=2)), "2 of 50 maps have no neighbour", id="isolated"
        ),
        pytest.param(
            said_of(50, clustering((20, 15, 10, 5), n_components=5)), "falls into 5 parts, more than 4", id="parts"
        ),
        pytest.param(
            said_of(50, clustering((41, 4, 3, 2))),
            "one cluster holds 41 of 50 maps and 3 are splinters",
            id="splinters",
        ),
        pytest.param(
            said_of(50, clustering((20, 15, 10, 5), is_exact=False)), "more than 12000 maps", id="nearest alone"
        ),
        pytest.param(said_of(50, clustering((20, 15, 10, 5), n_moved=12)), "Rand index of 0.55", id="unstable"),
    ],
)
def test_each_fault_is_said_in_one_sentence(said: list[str], words: str) -> None:
    (sentence,) = said
    assert words in sentence


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(clustering((20, 15, 10, 5), n_components=4), id="as many parts as clusters"),
        pytest.param(clustering((25, 21, 2, 2)), id="half of the maps is not most"),
        pytest.param(clustering((35, 5, 5, 5)), id="five members are no splinter"),
        pytest.param(clustering((20, 15, 10, 5), n_moved=10), id="stable enough"),
    ],
)
def test_the_borders_of_the_warnings(found: Clustering) -> None:
    assert said_of(50, found) == []


def test_every_fault_is_said() -> None:
    worst = clustering((45, 3, 1, 1), n_moved=40, n_isolated=1, n_components=9, is_exact=False)
    said = diagnose(FOUR, axes_of(2), worst, n_zero=1, n_constant=1, is_approximate=True)
    assert len(said) == 9 and "approximate" in said[0]
