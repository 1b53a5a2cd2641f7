"""Clusters of a small store: two dates, all splits, planted patterns; and what a reader is warned of."""

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
from tasks.cluster import ClusterParams, assign_images, diagnose, fit_clusters, read_maps, validation_members
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


def plant(store: Store, day: int) -> Planted:
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
    explained = Recipe("saliency", 1, {"explained_class": "predicted"}, {"predictions": answered.ref})
    scaled, peaks = scale_to_peak(pattern_maps(pattern[shown], seed=20 + day))
    if day == 1:  # the map of a new plant says nothing
        scaled[0], peaks[0] = 0, 0
    with store.create(explained) as draft:
        write_array(draft, SALIENCY, scaled)
        write_array(draft, PEAK, peaks)
        write_array(draft, ROWS, array_row[shown])
        write_array(draft, EXPLAINED_CLASS, np.ones(len(shown), np.int16))
    named = {int(array_row[i]): int(pattern[i]) for i in range(n)}
    return Planted(explained.ref, answered.ref, columns, named)


@dataclass(frozen=True)
class Fitted:
    """A store with both dates, their clusters and assignments."""

    store: Store
    dates: list[Planted]
    clusters: ArtifactRef
    assignments: list[Rows]


def fit(store: Store, dates: list[Planted], params: ClusterParams = PARAMS) -> ArtifactRef:
    saliency, predictions = [d.saliency for d in dates], [d.predictions for d in dates]
    return fit_clusters.fn("field", str(store.root), "gradcam", params, 64, saliency, predictions)


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
    assert (summary["method"], summary["n_zero"], summary["n_isolated"]) == ("gradcam", 0, 0)
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
    others = [i for i, row in enumerate(table["row"]) if row not in members(planted) and not table["is_zero_map"][i]]
    assert len(others) >= 5
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


def test_zero_maps_are_marked(fitted: Fitted) -> None:
    assert sum(fitted.assignments[0]["is_zero_map"]) == 0
    marked = fitted.assignments[1]["is_zero_map"]
    assert [fitted.assignments[1]["split"][i] for i, is_zero in enumerate(marked) if is_zero] == ["new"]


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
            for row, cluster, is_zero in zip(table["row"], table["cluster"], table["is_zero_map"], strict=True)
            if not is_zero
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


def test_nothing_is_said_where_nothing_stands_out() -> None:
    assert diagnose(FOUR, axes_of(50), GOOD, n_zero=0) == []


@pytest.mark.parametrize(
    ("n_components", "found", "n_zero", "words"),
    [
        pytest.param(9, GOOD, 0, "PCA has 9 dimensions, not 50", id="few dimensions"),
        pytest.param(50, GOOD, 3, "3 of 50 maps are zero everywhere", id="zero maps"),
        pytest.param(50, clustering((20, 15, 10, 5), n_isolated=2), 0, "2 of 50 maps have no neighbour", id="isolated"),
        pytest.param(50, clustering((20, 15, 10, 5), n_components=5), 0, "falls into 5 parts, more than 4", id="parts"),
        pytest.param(
            50, clustering((41, 4, 3, 2)), 0, "one cluster holds 41 of 50 maps and 3 are splinters", id="splinters"
        ),
        pytest.param(50, clustering((20, 15, 10, 5), stability=0.5), 0, "Rand index of 0.50", id="unstable"),
    ],
)
def test_each_fault_is_said_in_one_sentence(n_components: int, found: Clustering, n_zero: int, words: str) -> None:
    (sentence,) = diagnose(FOUR, axes_of(n_components), found, n_zero)
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
    assert diagnose(FOUR, axes_of(50), found, n_zero=0) == []


def test_every_fault_is_said() -> None:
    worst = clustering((45, 3, 1, 1), stability=0.1, n_isolated=1, n_components=9)
    assert len(diagnose(FOUR, axes_of(2), worst, n_zero=1)) == 6
