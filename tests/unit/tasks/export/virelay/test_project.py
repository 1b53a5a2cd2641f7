"""Test the projects of ViRelAy: every number is that of the store, read back with h5py alone."""

import json
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows.report.viewers import ViewerFiles, write_virelay
from storage.arrays.specs import COORDINATES, IMAGES, LABELS, ROWS, SALIENCY
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.tables import ASSIGNMENTS, CLUSTER_SCORES, PREDICTIONS
from storage.tables.rows import rows_of
from tasks.export.virelay.explained import read_explained
from tasks.export.virelay.project import describe_project, largest_size, write_projects
from tests.support.hdf5 import group_names, read_arrays
from tests.support.planted_campaign import DAYS
from tests.support.viewed_campaign import HEIGHT, LATER, METHODS, WIDTH, Viewed, view_campaign

RowsOfMethods = dict[str, list[dict[str, Any]]]
ALL_DAYS = (*DAYS, LATER)
N_IMAGES = 16 + 16 + 5  # without the two training plants of each date


@pytest.fixture(scope="module")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Viewed:
    return view_campaign(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def written(viewed: Viewed, told: list[str], tmp_path_factory: pytest.TempPathFactory) -> ViewerFiles:
    """Write the projects where a killed command has left a part of them."""
    folder = tmp_path_factory.mktemp("out")
    (folder / ".shown.unfinished").mkdir()
    (folder / ".shown.unfinished/images.h5").write_bytes(b"half")
    return write_virelay(viewed.store, viewed.record, folder / "shown", told.append)


@pytest.fixture(scope="module")
def folder(written: ViewerFiles) -> Path:
    return Path(written["folder"])


@pytest.fixture(scope="module")
def artifacts(viewed: Viewed) -> dict[str, Artifact]:
    """Open every artefact by its role, those of the later date by its own record."""
    later = find_acquisition(viewed.store, "viewed", date.fromisoformat(LATER), fit_digest(viewed.record.artifacts))
    assert later is not None
    refs = {**viewed.record.artifacts, **later.artifacts}
    return {role: viewed.store.open(ref) for role, ref in refs.items()}


@pytest.fixture(scope="module")
def rows_of_methods(artifacts: dict[str, Artifact]) -> RowsOfMethods:
    """Return what the store says of every explained image, in the order of its dates and maps."""
    found: RowsOfMethods = {method: [] for method in METHODS}
    for day, method in product(ALL_DAYS, METHODS):
        answers = {row["row"]: row for row in rows_of(artifacts[f"predictions {day}"], PREDICTIONS)}
        assigned = rows_of(artifacts[f"assignments {method} {day}"], ASSIGNMENTS)
        clusters = {row["row"]: row["cluster"] for row in assigned}
        saliency, pixels = artifacts[f"saliency {method} {day}"], read_array(artifacts[f"images {day}"], IMAGES)
        for row, native in zip(read_array(saliency, ROWS).tolist(), read_array(saliency, SALIENCY), strict=True):
            one = {**answers[row], "day": day, "cluster": clusters[row], "native": native, "pixels": pixels[row]}
            found[method].append(one)
    return found


def test_images_labels_and_plants_are_those_of_the_store(rows_of_methods: RowsOfMethods, folder: Path) -> None:
    rows, file = rows_of_methods["gradcam"], read_arrays(folder / "images.h5")
    assert len(rows) == N_IMAGES
    np.testing.assert_array_equal(file["data"], [row["pixels"] for row in rows])
    np.testing.assert_array_equal(file["label"], [2 if row["label"] is None else row["label"] for row in rows])
    for name, column in (("plant_id", "plant_id"), ("split", "split"), ("date", "day")):
        assert file[name].tolist() == [row[column] for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_attributions_are_the_maps_at_the_images_size(
    rows_of_methods: RowsOfMethods, folder: Path, method: str
) -> None:
    rows, file = rows_of_methods[method], read_arrays(folder / f"{method}-attributions.h5")
    native = torch.tensor(np.stack([row["native"] for row in rows]).astype(np.float32))
    upsampled = torch.nn.functional.interpolate(native[:, None], (HEIGHT, WIDTH), mode="bilinear")[:, 0].numpy()
    shown = file["attribution"].astype(np.float32)
    np.testing.assert_allclose(shown.sum(axis=1), upsampled, atol=5e-4)  # rounded to float16
    assert (shown[:, 1:] == 0).all() and (shown < 0).any() == (method == "lime")
    np.testing.assert_array_equal(file["label"], read_arrays(folder / "images.h5")["label"])
    scores = np.asarray([row["probabilities"] for row in rows], np.float32)
    np.testing.assert_array_equal(file["prediction"], scores)


@pytest.mark.parametrize("method", METHODS)
def test_clusters_and_coordinates_are_those_of_the_store(
    artifacts: dict[str, Artifact], rows_of_methods: RowsOfMethods, folder: Path, method: str
) -> None:
    rows, path = rows_of_methods[method], folder / f"{method}-analysis.h5"
    file, fit = read_arrays(path), artifacts[f"clusters {method}"]
    is_member = np.asarray([row["split"] == "val" for row in rows])
    clusters, places = file["all/cluster/clusters"] + 1, file["all/embedding/principal axes"]
    assert file["all/index"].tolist() == list(range(len(rows)))
    np.testing.assert_array_equal(
        clusters, [row["cluster"] for row in rows]
    )  # ViRelAy counts from 0 and shows one more
    np.testing.assert_array_equal(clusters[is_member], read_array(fit, LABELS))
    np.testing.assert_allclose(places[is_member], read_array(fit, COORDINATES), atol=1e-6)
    for name in group_names(path):
        inside = file[f"{name}/index"]
        np.testing.assert_array_equal(file[f"{name}/cluster/clusters"] + 1, clusters[inside])
        np.testing.assert_array_equal(file[f"{name}/embedding/principal axes"], places[inside])


def test_each_category_holds_its_images_and_has_a_title(
    artifacts: dict[str, Artifact], rows_of_methods: RowsOfMethods, folder: Path
) -> None:
    rows, path = rows_of_methods["gradcam"], folder / "gradcam-analysis.h5"
    titles = {one["word_net_id"]: one["name"] for one in json.loads((folder / "gradcam-labels.json").read_text())}
    scores = rows_of(artifacts["scores gradcam"], CLUSTER_SCORES)
    order = ["all", "val", "test", "new", *ALL_DAYS, *(f"cluster {row['cluster']}" for row in scores)]
    assert group_names(path) == order  # as ViRelAy lists them
    assert set(titles) == {"label 0", "label 1", "label 2", *order}
    held = {name: read_arrays(path)[f"{name}/index"].tolist() for name in order}
    for split in ("val", "test", "new"):
        assert held[split] == [i for i, row in enumerate(rows) if row["split"] == split]
    for day in ALL_DAYS:
        assert held[day] == [i for i, row in enumerate(rows) if row["day"] == day]
    for score in scores:
        name, own = f"cluster {score['cluster']}", [row for row in rows if row["cluster"] == score["cluster"]]
        assert held[name] == [i for i, row in enumerate(rows) if row["cluster"] == score["cluster"]]
        known = [row for row in own if row["split"] == "val"]
        n_wrong = sum(row["label"] != row["predicted"] for row in known)
        assert titles[name].startswith(f"{n_wrong} of {len(known)} wrong, ")


def test_the_label_of_an_index_is_its_class(folder: Path) -> None:
    entries = json.loads((folder / "lime-labels.json").read_text())
    assert [one["index"] for one in entries] == list(range(len(entries)))
    assert [one["name"] for one in entries[:3]] == ["not_ready", "ready", "no label"]


def test_the_size_is_told_before_and_nothing_else_is_left(
    artifacts: dict[str, Artifact], written: ViewerFiles, folder: Path, told: list[str]
) -> None:
    dimensions = sum(artifacts[f"clusters {method}"].summary["n_dimensions"] for method in METHODS)
    values = N_IMAGES * HEIGHT * WIDTH * (3 + 2 * len(METHODS)) + 4 * 4 * N_IMAGES * dimensions
    assert told == [f"{N_IMAGES} images and {2 * N_IMAGES} saliency maps, up to about {values / 1000:.1f} kB"]
    assert written["n_images"] == N_IMAGES and written["n_without_label"] == 2 + 2 + 5
    assert largest_size(read_explained(artifacts, METHODS), artifacts, METHODS) == values
    assert written["n_bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_failure_leaves_nothing(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    lacking = {role: one for role, one in artifacts.items() if role != "classifier"}  # read after the maps were written
    with pytest.raises(KeyError, match="classifier"):
        write_projects(tmp_path / "shown", "viewed", lacking, METHODS, read_explained(artifacts, METHODS))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("explained_class", "method", "strategy"),
    [
        ("predicted", "Grad-CAM", "predicted_label"),
        ("label", "Grad-CAM", "true_label"),
        ("ready", "Grad-CAM of class ready", "predicted_label"),
    ],
)
def test_a_project_says_which_class_its_maps_explain(explained_class: str, method: str, strategy: str) -> None:
    described = describe_project("field", "gradcam", "resnet18", explained_class, 8, 8)["attributions"]
    assert (described["attribution_method"], described["attribution_strategy"]) == (method, strategy)
