"""Test the inputs of the last layer, for models with and without a linear layer, and how predictions store them."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from storage.arrays.specs import FEATURES, IMAGES, LOGITS
from storage.arrays.zarr_files import read_array, write_array
from storage.artifacts import Recipe, Store
from storage.errors import InputError
from storage.tables import OBSERVATIONS, PREDICTIONS
from storage.tables.parquet import read_table
from tasks.classify.architectures import build_model
from tasks.classify.features import last_linear, logits_and_features
from tasks.classify.model import Classifier, freeze, save_weights
from tasks.classify.predict import predict_images
from tasks.parameters import Runtime
from tests.support.planted_campaign import write_rows

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ("a", "b", "c")


def small(head: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    return nn.Sequential(*body, nn.Linear(16, 3) if head is None else head)


def frozen(model: nn.Module, classes: tuple[str, ...] = CLASSES) -> Classifier:
    return freeze(model, classes, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), torch.device("cpu"))


def images_of(n: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), np.uint8)


def test_the_last_layer_turns_features_into_logits() -> None:
    classifier = frozen(small())
    logits, features = logits_and_features(classifier, images_of(5), 5)
    head = last_linear(classifier.model)
    assert head is not None and features.shape == (5, 16)
    expected = features @ head.weight.numpy().T + head.bias.numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        whole = classifier.model(classifier.inputs(images_of(5))).numpy()
    np.testing.assert_allclose(logits, whole, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_features_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    classifier = frozen(small())
    whole, found = (logits_and_features(classifier, images_of(5), size) for size in (5, batch_size))
    for values, expected in zip(found, whole, strict=True):
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


def test_features_follow_their_images() -> None:
    classifier, order = frozen(small()), [3, 0, 4, 1, 2]
    whole = logits_and_features(classifier, images_of(5), 2)[1]
    np.testing.assert_allclose(logits_and_features(classifier, images_of(5)[order], 2)[1], whole[order], atol=1e-6)


def test_without_a_linear_layer_features_are_the_logits() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert last_linear(model) is None
    logits, features = logits_and_features(frozen(model), images_of(4), 3)
    assert logits.shape == (4, 3) and np.array_equal(features, logits)


def test_of_several_linear_layers_the_last_is_the_head() -> None:
    torch.manual_seed(0)
    model = small(nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)))
    logits, features = logits_and_features(frozen(model), images_of(4), 4)
    assert features.shape == (4, 8) and (features >= 0).all() and logits.shape == (4, 3)


@pytest.mark.parametrize("model", [small(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())])
def test_no_images_have_features_as_wide_as_others(model: nn.Module) -> None:
    classifier = frozen(model)
    none, some = (logits_and_features(classifier, images_of(n), 2) for n in (0, 2))
    assert [a.shape for a in none] == [(0, b.shape[1]) for b in some]


def test_nothing_is_left_hanging_on_the_model() -> None:
    classifier = frozen(small())
    head = last_linear(classifier.model)
    assert head is not None
    logits_and_features(classifier, images_of(1), 1)
    with torch.no_grad():
        head.weight[:] = torch.nan
    with pytest.raises(InputError):
        logits_and_features(classifier, images_of(1), 1)
    assert not head._forward_pre_hooks  # pyright: ignore[reportPrivateUsage]


def test_a_date_keeps_logits_and_features_beside_its_predictions(tmp_path: Path) -> None:
    store, model = Store(tmp_path), build_model("resnet18", 2, "none", seed=1)
    taken, made = Recipe("images", 1), Recipe("classifier", 1)
    with store.create(taken) as draft:
        write_array(draft, IMAGES, images_of(5))
        observed = [{"plant_id": f"p{i}", "split": "val", "label": i % 2, "row": i} for i in range(5)]
        write_rows(draft, OBSERVATIONS, observed)
        draft.summary = {"date": "2021-08-23"}
    with store.create(made) as draft:
        draft.write_bytes("weights.pt", save_weights(model))
        card = {"architecture": "resnet18", "mean": [0.5] * 3, "std": [0.25] * 3, "classes": CLASSES[:2]}
        draft.write_json("card.json", card)
    runtime = Runtime(device="cpu", batch_size=2)
    found = store.open(predict_images.fn(str(tmp_path), date(2021, 8, 23), taken.ref, made.ref, runtime))
    logits, features = logits_and_features(frozen(model, CLASSES[:2]), images_of(5), 5)
    np.testing.assert_allclose(read_array(found, LOGITS), logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(read_array(found, FEATURES), features, rtol=1e-3, atol=1e-4)
    assert features.shape == (5, 512)
    table = read_table(found, PREDICTIONS)
    assert table["predicted"] == logits.argmax(axis=1).tolist() and table["plant_id"] == [f"p{i}" for i in range(5)]
    assert found.summary == {"date": "2021-08-23", "n_images": 5}
