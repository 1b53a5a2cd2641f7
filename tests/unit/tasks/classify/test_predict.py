"""Test that parts give bit-identical predictions of a date, and that memory is as the module states."""

import tracemalloc
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from storage.arrays.specs import FEATURES, IMAGES, LOGITS
from storage.arrays.zarr_files import open_array, read_array, write_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import ArtifactError
from storage.tables import OBSERVATIONS, PREDICTIONS
from storage.tables.parquet import read_table
from tasks.classify import predict
from tasks.classify.architectures import build_model
from tasks.classify.features import logits_and_features
from tasks.classify.model import freeze, save_weights
from tasks.classify.predict import date_parts, predict_images, predict_part
from tasks.parameters import Runtime
from tests.support.planted_campaign import write_rows

pytestmark = pytest.mark.usefixtures("one_thread")
DAY, RUNTIME = date(2021, 8, 23), Runtime(device="cpu", batch_size=24)
ARCHITECTURE = "shufflenet_v2_x0_5"
N = 2 * 1024 + 70  # three blocks of features, the last of two shards of images of which the last is not full


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (N, 32, 32, 3), np.uint8)


def make_store(
    folder: Path, pixels: NDArray[np.uint8], architecture: str = ARCHITECTURE
) -> tuple[Store, ArtifactRef, ArtifactRef]:
    store, taken, made = Store(folder), Recipe("images", 1), Recipe("classifier", 1)
    with store.create(taken) as draft:
        write_array(draft, IMAGES, pixels)
        rows = [{"plant_id": f"p{i}", "split": "val", "label": i % 2, "row": i} for i in range(len(pixels))]
        write_rows(draft, OBSERVATIONS, rows)
        draft.summary = {"date": DAY.isoformat()}
    with store.create(made) as draft:
        draft.write_bytes("weights.pt", save_weights(build_model(architecture, 2, "none", seed=1)))
        card = {"architecture": architecture, "mean": [0.5] * 3, "std": [0.25] * 3, "classes": ["a", "b"]}
        draft.write_json("card.json", card)
    return store, taken.ref, made.ref


def predict_date(folder: Path, pixels: NDArray[np.uint8]) -> tuple[Store, ArtifactRef, list[ArtifactRef]]:
    """Predict a date as the flow does."""
    store, images, classifier = make_store(folder, pixels)
    fixed: dict[str, Any] = {"images": images, "classifier": classifier, "runtime": RUNTIME}
    given = (str(folder), DAY)
    parts = [
        predict_part.fn(*given, **fixed, first=first, last=last)
        for first, last in date_parts(store, images, classifier)
    ]
    return store, predict_images.fn(*given, **fixed, parts=parts), parts


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, pixels: NDArray[np.uint8]) -> tuple[Store, ArtifactRef]:
    store, made, parts = predict_date(tmp_path_factory.mktemp("whole"), pixels)
    assert parts == []  # one task for what is less than a part
    return store, made


@pytest.mark.parametrize("size", [1024, pytest.param(2048, marks=pytest.mark.slow)])
def test_parts_change_no_bit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pixels: NDArray[np.uint8],
    whole: tuple[Store, ArtifactRef],
    size: int,
) -> None:
    monkeypatch.setattr(predict, "PART_IMAGES", size)
    store, made, parts = predict_date(tmp_path, pixels)
    assert len(parts) == -(-N // size)
    assert made == whole[1]
    assert store.open(made).manifest.files == whole[0].open(made).manifest.files
    assert date_parts(store, *(Recipe(kind, 1).ref for kind in ("images", "classifier"))) == []  # predicted already


def test_answers_are_those_of_batches_within_shards(
    pixels: NDArray[np.uint8], whole: tuple[Store, ArtifactRef]
) -> None:
    artifact = whole[0].open(whole[1])
    model = build_model(ARCHITECTURE, 2, "none", seed=1)
    classifier = freeze(model, ("a", "b"), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), torch.device("cpu"))
    some = [slice(0, 24), slice(48, 64), slice(64, 88), slice(2112, N)]
    for part in some:
        logits, features = logits_and_features(classifier, pixels[part], 24)
        assert np.array_equal(read_array(artifact, LOGITS)[part], logits)
        assert np.array_equal(read_array(artifact, FEATURES)[part], features)
    table = read_table(artifact, PREDICTIONS)
    assert table["predicted"] == read_array(artifact, LOGITS).argmax(axis=1).tolist()
    assert open_array(artifact, FEATURES).shape == (N, 1024)


def test_parts_must_make_up_the_date(
    tmp_path: Path, pixels: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "PART_IMAGES", 1024)
    _, images, classifier = make_store(tmp_path, pixels)
    given: Any = {"date": DAY, "images": images, "classifier": classifier, "runtime": RUNTIME}
    one = predict_part.fn(str(tmp_path), **given, first=0, last=1023)
    with pytest.raises(ArtifactError, match=r"images 1024\.\.2117 .* owned by nobody"):
        predict_images.fn(str(tmp_path), **given, parts=[one])


def test_memory_is_that_of_a_shard(tmp_path: Path) -> None:
    """Peak memory without torch's tensors: of 640 images of 12 KiB, a shard is 0.8 MiB and the date 7.5 MiB."""
    peaks: list[float] = []
    for n in (128, 640):
        images_of_date = np.random.default_rng(n).integers(0, 256, (n, 64, 64, 3), np.uint8)
        # Without a linear layer, features are the logits: nearly nothing beside the images.
        store, images, classifier = make_store(tmp_path / str(n), images_of_date, "squeezenet1_1")
        tracemalloc.start()
        predict_images.fn(str(store.root), DAY, images, classifier, RUNTIME)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1
