"""Clusters of a small store: two dates, all splits, planted patterns; and what a reader is warned of."""

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from storage.arrays import (
    COORDINATES,
    EXPLAINED_CLASS,
    LABELS,
    PEAK,
    PROTOTYPES,
    ROWS,
    SALIENCY,
    read_array,
    write_array,
)
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from storage.tables import ASSIGNMENTS, PREDICTIONS, Rows, read_table, rows_to_columns, write_table
from tasks import cluster
from tasks.cluster import assign_images, clusters_recipe, fit_clusters, read_maps, validation_members
from tasks.cluster_checks import ClusterParams, check_methods, diagnose, flat_maps
from tasks.explain import scale_to_peak
from tasks.spectral import Clustering, PrincipalAxes, map_vectors

DAYS = ("2021-08-23", "2021-09-03")
PARAMS = ClusterParams(n_clusters=3, n_seeds=3, neighbours=3)

# Splits of each date's images in the order of the table, which is not that of the images array.
SPLITS = (
    ["val"] * 14 + ["test"] * 5 + ["train"] * 3 + ["val"] * 3,
    ["new", "train", "test"] + ["val"] * 11 + ["test"] * 4,
)
N_WITHOUT_LABEL = 2  # the last validation images of the first date
# Maps that hold one value everywhere, by their place in each date's maps: of a new plant, and of a test plant.
FLAT: tuple[dict[int, float], ...] = ({}, {0: 0.0, 1: 1.0})


@dataclass(frozen=True)
class Planted:
    """One date's artefacts and what was planted in it.

    Attributes
    ----------
    table : columns of the predictions.
    pattern : which pattern the map of an array row shows.
    """

    saliency: ArtifactRef
    predictions: ArtifactRef
    table: Rows
    pattern: dict[int, int]


def pattern_maps(patterns: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
    """Maps (n, 4, 4): a bright corner each, with a little noise and any strength."""
    generator = np.random.default_rng(seed)
    maps = 0.1 * generator.uniform(size=(len(patterns), 4, 4))
    corners = np.asarray([(0, 0), (0, 3), (3, 0)])[patterns]
    maps[np.arange(len(patterns)), corners[:, 0], corners[:, 1]] = 1
    return (maps * generator.uniform(0.01, 20, (len(patterns), 1, 1))).astype(np.float32)


def plant(store: Store, day: int, flat: dict[int, float] | None = None, approximate: bool | None = None) -> Planted:
    """A date's predictions and maps; `flat` maps as in FLAT, `approximate` as the maps' summary says it, or not."""
    flat = FLAT[day] if flat is None else flat
    splits = SPLITS[day]
    n = len(splits)
    array_row = np.random.default_rng(day).permutation(n)
    pattern = np.random.default_rng(10 + day).choice(3, n, p=(0.5, 0.3, 0.2))
    has_label = [not (day == 0 and i >= n - N_WITHOUT_LABEL) for i in range(n)]
    rows = [
        {
            "plant_id": f"p{day}-{i}",
            "split": splits[i],
            "label": i % 2 if has_label[i] else None,
            "row": int(array_row[i]),
            "predicted": 1,
            "probabilities": [0.25, 0.75],
            "classifier": "c0",
        }
        for i in range(n)
    ]
    columns = rows_to_columns(PREDICTIONS, rows)
    answered = Recipe("predictions", 1, {"day": day})
    with store.create(answered) as draft:
        write_table(draft, PREDICTIONS, columns)
        draft.summary = {"date": DAYS[day], "n_images": n}
    shown = [i for i in range(n) if splits[i] != "train"]
    made = {"explained_class": "predicted", "flat": sorted(flat.items()), "approximate": approximate}
    explained = Recipe("saliency", 1, made, {"predictions": answered.ref})
    scaled, peaks = scale_to_peak(pattern_maps(pattern[shown], seed=20 + day))
    for place, value in flat.items():
        scaled[place], peaks[place] = value, peaks[place] * value
    with store.create(explained) as draft:
        write_array(draft, SALIENCY, scaled)
        write_array(draft, PEAK, peaks)
        write_array(draft, ROWS, array_row[shown])
        write_array(draft, EXPLAINED_CLASS, np.ones(len(shown), np.int16))
        draft.summary = {} if approximate is None else {"approximate": approximate}
    named = {int(array_row[i]): int(pattern[i]) for i in range(n)}
    return Planted(explained.ref, answered.ref, columns, named)


@dataclass(frozen=True)
class Fitted:
    """A store with both dates, their clusters and assignments."""

    store: Store
    dates: list[Planted]
    clusters: ArtifactRef
    assignments: list[Rows]


def fit(store: Store, dates: list[Planted], params: ClusterParams = PARAMS, method: str = "gradcam") -> ArtifactRef:
    saliency, predictions = [d.saliency for d in dates], [d.predictions for d in dates]
    return fit_clusters.fn("field", str(store.root), method, params, 64, saliency, predictions)


def assign(store: Store, clusters: ArtifactRef, planted: Planted, day: int) -> Rows:
    ref = assign_images.fn(
        "field",
        date.fromisoformat(DAYS[day]),
        str(store.root),
        "gradcam",
        clusters,
        planted.saliency,
        planted.predictions,
    )
    return read_table(store.open(ref), ASSIGNMENTS)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    store = Store(tmp_path_factory.mktemp("store"))
    dates = [plant(store, day) for day in range(2)]
    clusters = fit(store, dates)
    return Fitted(store, dates, clusters, [assign(store, clusters, dates[day], day) for day in range(2)])


def members(planted: Planted) -> list[int]:
    """Array rows of the labelled validation images in the order of the table."""
    table = planted.table
    return [
        row
        for row, split, label in zip(table["row"], table["split"], table["label"], strict=True)
        if split == "val" and label is not None
    ]


def test_the_clusters_are_the_planted_patterns(fitted: Fitted) -> None:
    labels = read_array(fitted.store.open(fitted.clusters), LABELS)
    patterns = [planted.pattern[row] for planted in fitted.dates for row in members(planted)]
    assert len(labels) == len(patterns) == 15 + 11
    assert len(set(zip(labels.tolist(), patterns, strict=True))) == 3
    assert labels[0] == [k for k, _ in by_size(patterns)].index(patterns[0]) + 1


def by_size(patterns: list[int]) -> list[tuple[int, int]]:
    """Patterns and how often they occur, most frequent first, then by first occurrence."""
    counts = {k: patterns.count(k) for k in set(patterns)}
    return sorted(counts.items(), key=lambda item: (-item[1], patterns.index(item[0])))


def test_only_labelled_validation_images_are_members_date_after_date(fitted: Fitted) -> None:
    stored = fitted.store.open(fitted.clusters).read_json("members.json")
    assert stored == [[day, members(planted)] for day, planted in zip(DAYS, fitted.dates, strict=True)]


def test_the_summary_tells_what_was_found(fitted: Fitted) -> None:
    summary = fitted.store.open(fitted.clusters).summary
    patterns = [planted.pattern[row] for planted in fitted.dates for row in members(planted)]
    assert summary["sizes"] == [n for _, n in by_size(patterns)]
    assert (summary["method"], summary["approximate"], summary["n_isolated"]) == ("gradcam", False, 0)
    assert (summary["n_zero"], summary["n_constant"]) == (0, 0)
    assert summary["stability"] == 1 and summary["eigengap"] > 0.3
    assert summary["warnings"] == ["PCA has 16 dimensions, not 50: the maps have no more"]


def member_maps(fitted: Fitted) -> NDArray[np.float32]:
    """Maps of the members in their order, found by their array rows."""
    chosen: list[NDArray[np.float32]] = []
    for planted in fitted.dates:
        artifact = fitted.store.open(planted.saliency)
        maps, rows = read_maps(artifact), read_array(artifact, ROWS).tolist()
        chosen += [maps[rows.index(row)] for row in members(planted)]
    return np.stack(chosen)


def test_stored_coordinates_are_principal_components_of_unit_maps(fitted: Fitted) -> None:
    expected = PCA(16, svd_solver="full").fit_transform(map_vectors(member_maps(fitted), 64))
    found = read_array(fitted.store.open(fitted.clusters), COORDINATES)
    # Signs are free, inner products are not.
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-9)


def test_prototypes_are_means_of_maps_with_peak_one(fitted: Fitted) -> None:
    artifact, maps = fitted.store.open(fitted.clusters), member_maps(fitted)
    labels = read_array(artifact, LABELS)
    expected = [np.mean([m / m.max() for m in maps[labels == c]], axis=0) for c in (1, 2, 3)]
    np.testing.assert_allclose(read_array(artifact, PROTOTYPES), expected, rtol=1e-5)


@pytest.mark.parametrize("day", [0, 1])
def test_validation_images_keep_their_own_cluster(fitted: Fitted, day: int) -> None:
    labels = read_array(fitted.store.open(fitted.clusters), LABELS).tolist()
    start = 0 if day == 0 else len(members(fitted.dates[0]))
    table = fitted.assignments[day]
    cluster = dict(zip(table["row"], table["cluster"], strict=True))
    rows = members(fitted.dates[day])
    assert [cluster[row] for row in rows] == labels[start : start + len(rows)]


@pytest.mark.parametrize("day", [0, 1])
def test_other_images_get_the_cluster_of_their_pattern(fitted: Fitted, day: int) -> None:
    table, planted = fitted.assignments[day], fitted.dates[day]
    own = {
        planted.pattern[row]: cluster
        for row, cluster in zip(table["row"], table["cluster"], strict=True)
        if row in members(planted)
    }
    others = [i for i, row in enumerate(table["row"]) if row not in members(planted) and not table["is_flat_map"][i]]
    assert len(others) >= 4
    assert [table["cluster"][i] for i in others] == [own[planted.pattern[table["row"][i]]] for i in others]
    assert all(table["neighbour_agreement"][i] == 1 for i in others)


@pytest.mark.parametrize("day", [0, 1])
def test_assignments_name_their_plants_and_leave_training_images_out(fitted: Fitted, day: int) -> None:
    table, answers = fitted.assignments[day], fitted.dates[day].table
    plants = {
        row: (plant_id, split)
        for row, plant_id, split in zip(*(answers[n] for n in ("row", "plant_id", "split")), strict=True)
    }
    assert {row: (p, s) for row, p, s in zip(*(table[n] for n in ("row", "plant_id", "split")), strict=True)} == {
        row: named for row, named in plants.items() if named[1] != "train"
    }
    assert set(table["clusters"]) == {fitted.clusters.digest}
    assert set(table["method"]) == {"gradcam"} and set(table["explained_class"]) == {"predicted"}


def test_zero_and_constant_maps_are_marked(fitted: Fitted) -> None:
    assert sum(fitted.assignments[0]["is_flat_map"]) == 0
    marked = fitted.assignments[1]["is_flat_map"]
    assert [fitted.assignments[1]["split"][i] for i, is_flat in enumerate(marked) if is_flat] == ["new", "test"]


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


def test_zero_and_constant_validation_maps_are_counted_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = [plant(store, 0, flat={2: 0.0, 5: 1.0, 7: 1.0, 9: 1.0}), plant(store, 1)]
    clusters = store.open(fit(store, dates))
    assert (clusters.summary["n_zero"], clusters.summary["n_constant"]) == (1, 3)
    assert (
        "1 of 26 maps are zero everywhere: nothing in the image spoke for the explained class"
        in (clusters.summary["warnings"])
    )
    assert any("3 of 26 maps hold one value everywhere, not zero" in said for said in clusters.summary["warnings"])
    assert sum(assign(store, clusters.ref, dates[0], 0)["is_flat_map"]) == 4


# Approximate maps


def test_approximate_maps_are_refused_before_they_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = [plant(store, 0), plant(store, 1, approximate=True)]  # one date is enough
    shutil.rmtree(store.open(dates[0].saliency).folder / "saliency.zarr")
    with pytest.raises(InputError, match=r"cluster\.allow_preview") as caught:
        fit(store, dates, method="occlusion_preview")
    assert "occlusion_preview" in caught.value.found and "cluster.allow_preview = true" in caught.value.remedy
    assert not (store.root / "artifacts" / "clusters").exists()


def test_approximate_maps_are_clustered_where_allowed_and_warned_of(tmp_path: Path, fitted: Fitted) -> None:
    store = Store(tmp_path)
    dates = [plant(store, day, approximate=True) for day in range(2)]
    allowed = PARAMS.model_copy(update={"allow_preview": True})
    found = store.open(fit(store, dates, allowed, "occlusion_preview"))
    assert found.summary["approximate"] is True
    exact = fitted.store.open(fitted.clusters)
    (first, *others) = found.summary["warnings"]
    assert "rest on approximate maps" in first and others == exact.summary["warnings"]
    assert np.array_equal(read_array(found, LABELS), read_array(exact, LABELS))
    with pytest.raises(InputError, match=r"cluster\.allow_preview"):  # also where the clusters are there already
        fit(store, dates, PARAMS, "occlusion_preview")


def test_maps_that_say_that_they_are_exact_are_clustered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = store.open(fit(store, [plant(store, day, approximate=False) for day in range(2)]))
    assert found.summary["approximate"] is False


@pytest.mark.parametrize("methods", [("occlusion_preview",), ("gradcam", "occlusion_preview", "lime")])
def test_a_preview_is_refused_before_anything_runs(methods: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"cluster\.allow_preview") as caught:
        check_methods(methods, ClusterParams())
    assert "occlusion_preview" in caught.value.found and "gradcam" not in caught.value.found
    check_methods(methods, ClusterParams(allow_preview=True))


def test_exact_methods_need_no_permission() -> None:
    check_methods(("gradcam", "occlusion", "lime"), ClusterParams())


def test_a_permission_does_not_rename_clusters(fitted: Fitted) -> None:
    inputs = ([d.saliency for d in fitted.dates], [d.predictions for d in fitted.dates])
    with_and_without = [clusters_recipe(ClusterParams(allow_preview=p), 64, *inputs).ref for p in (True, False)]
    assert with_and_without[0] == with_and_without[1]
    assert clusters_recipe(ClusterParams(n_clusters=9), 64, *inputs).ref != with_and_without[0]


def test_maps_are_read_in_parts(fitted: Fitted) -> None:
    artifact = fitted.store.open(fitted.dates[0].saliency)
    whole = read_maps(artifact)
    assert whole.dtype == np.float32 and not np.allclose(whole.max(axis=(1, 2)), 1)  # in their own unit
    assert np.array_equal(read_maps(artifact, slice(3, 7)), whole[3:7])


def test_assignments_do_not_depend_on_how_many_maps_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fitted: Fitted
) -> None:
    monkeypatch.setattr(cluster, "MAPS_AT_ONCE", 3)
    store = Store(tmp_path)
    dates = [plant(store, day) for day in range(2)]
    clusters = fit(store, dates)
    assert [assign(store, clusters, dates[day], day) for day in range(2)] == fitted.assignments


def test_the_agreement_of_a_member_leaves_itself_out(tmp_path: Path, fitted: Fitted) -> None:
    """The lone member of a cluster agrees with none of its neighbours, though it is nearest to itself."""
    store = Store(tmp_path)
    dates = [plant(store, day) for day in range(2)]
    clusters = fit(store, dates, PARAMS.model_copy(update={"n_clusters": 26}))  # every map a cluster of its own
    agreements = [
        agreement
        for day in range(2)
        for table in [assign(store, clusters, dates[day], day)]
        for row, agreement in zip(table["row"], table["neighbour_agreement"], strict=True)
        if row in members(dates[day])
    ]
    assert agreements == [0.0] * 26


def test_the_order_of_dates_is_kept_with_the_members(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = [plant(store, day) for day in range(2)]
    reverse = fit(store, dates[::-1])
    assert reverse != fit(store, dates)
    assert [day for day, _ in store.open(reverse).read_json("members.json")] == [DAYS[1], DAYS[0]]
    for day in range(2):
        table = assign(store, reverse, dates[day], day)
        pairs = {
            (dates[day].pattern[row], cluster)
            for row, cluster, is_flat in zip(table["row"], table["cluster"], table["is_flat_map"], strict=True)
            if not is_flat
        }
        assert len(pairs) == 3


def test_a_second_fit_finds_the_first(fitted: Fitted) -> None:
    before = fitted.store.open(fitted.clusters).manifest
    assert fit(fitted.store, fitted.dates) == fitted.clusters
    assert fitted.store.open(fitted.clusters).manifest == before


def test_a_kernel_too_narrow_leaves_no_artefact(fitted: Fitted) -> None:
    params = PARAMS.model_copy(update={"scale": 1e-4})
    with pytest.raises(InputError, match=r"near each other"):
        fit(fitted.store, fitted.dates, params)
    kinds = [path.parent.name for path in (fitted.store.root / "artifacts").glob("clusters/*")]
    assert len(kinds) == 1


def test_members_are_labelled_validation_images() -> None:
    predictions: dict[str, list[Any]] = {
        "row": [3, 0, 2, 1, 4],
        "split": ["val", "test", "val", "val", "train"],
        "label": [1, 0, None, 0, 1],
    }
    assert validation_members(predictions, np.asarray([0, 1, 2, 3])).tolist() == [False, True, False, True]
    assert validation_members(predictions, np.asarray([3])).tolist() == [True]


# What a reader is warned of


def axes_of(n_components: int) -> PrincipalAxes:
    return PrincipalAxes(np.zeros(60), np.eye(60)[:n_components], np.zeros(n_components))


def clustering(sizes: tuple[int, ...], **changes: Any) -> Clustering:
    labels = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    fields: dict[str, Any] = {"stability": 0.9, "n_isolated": 0, "n_components": 1} | changes
    return Clustering(labels, np.ones(len(sizes) + 1), **fields)


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
        pytest.param(said_of(50, GOOD, n_constant=4), "4 of 50 maps hold one value everywhere", id="constant maps"),
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
        pytest.param(said_of(50, clustering((20, 15, 10, 5), stability=0.5)), "Rand index of 0.50", id="unstable"),
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
        pytest.param(clustering((20, 15, 10, 5), stability=0.6), id="stable enough"),
    ],
)
def test_the_borders_of_the_warnings(found: Clustering) -> None:
    assert said_of(50, found) == []


def test_every_fault_is_said() -> None:
    worst = clustering((45, 3, 1, 1), stability=0.1, n_isolated=1, n_components=9)
    said = diagnose(FOUR, axes_of(2), worst, n_zero=1, n_constant=1, is_approximate=True)
    assert len(said) == 8 and "approximate" in said[0]
