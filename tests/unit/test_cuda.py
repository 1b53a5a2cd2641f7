"""What a GPU computes, against a CPU's results; left out where there is none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.classify.model import Classifier, choose_device, freeze, predict_logits, rgb_images
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD
from tasks.classify.training import Training, TrainingSet, TrainParams, train, train_epoch
from tasks.explain.lime import LimeParams
from tasks.explain.methods import ExplainParams, Method, prepare_explainer
from tasks.explain.occlusion import Occlusion, OcclusionParams, loop_logits, window_corners
from tasks.ingest.survey import IngestParams
from tasks.parameters import Runtime
from tasks.plan.memory import explain_memory, train_bytes
from tasks.plan.workload import measure_network
from tests.support.networks import fitted_to_noise
from tests.support.planned import workload

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

SIZE = 72
EXPLAIN = ExplainParams(methods=("gradcam", "occlusion", "lime"), lime=LimeParams(n_samples=200, segments="slic"))


@pytest.fixture(scope="module", autouse=True)
def exact_sums() -> None:
    """Set the precision of sums as every stage does."""
    choose_device(Runtime(device="cuda"))


def classifier(device: str) -> Classifier:
    model = fitted_to_noise("resnet18", seed=4, n=8, side=64)
    return freeze(model, ("not_ready", "ready"), IMAGENET_MEAN, IMAGENET_STD, torch.device(device))


def pixels(n: int, size: int = SIZE) -> NDArray[np.uint8]:
    """Coarse patches of colour under noise."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 200, (n, 6, 6, 3)).repeat(size // 6, axis=1).repeat(size // 6, axis=2)
    return (coarse + rng.integers(0, 55, coarse.shape)).astype(np.uint8)


def maps(method: Method, device: str, precision: str = "float32") -> NDArray[np.float32]:
    runtime = Runtime.model_validate({"device": device, "batch_size": 8, "saliency_precision": precision})
    explainer = prepare_explainer(method, classifier(device), EXPLAIN, runtime)
    return explainer(rgb_images(pixels(2)), np.arange(2))


def test_predictions() -> None:
    here, there = (predict_logits(classifier(device), pixels(20), 8) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(there, here, atol=1e-4 * float(np.ptp(here)))


@pytest.mark.parametrize("method", EXPLAIN.methods)
def test_maps(method: Method) -> None:
    """To a thousandth of each map's range: their scores are probabilities, with few digits left after a difference."""
    here, there = maps(method, "cpu"), maps(method, "cuda")
    spans = np.ptp(here, axis=(1, 2))
    assert spans.min() > 0 and (np.abs(there - here).max(axis=(1, 2)) < 1e-3 * spans).all()


def test_the_incremental_engine_serves_and_is_exact() -> None:
    model, params = classifier("cuda"), OcclusionParams(score="logit")
    occlusion = Occlusion(model, params, Runtime(device="cuda", batch_size=8))
    image = model.inputs(pixels(1))
    corners = window_corners(SIZE, SIZE, params).flatten(0, 1)
    found = occlusion.logits(image, corners, 0).cpu().numpy()
    expected = loop_logits(model.model, image, corners, params.patch, 64).detach().cpu().numpy()
    assert occlusion.network is not None and image.shape in occlusion.checked
    np.testing.assert_allclose(found, expected, atol=1e-4 * float(np.ptp(expected)))


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_less_precise_maps_are_other_maps_of_the_same(precision: str) -> None:
    choose_device(Runtime(device="cuda"), precision)
    try:
        coarse = maps("gradcam", "cuda", precision)
    finally:
        choose_device(Runtime(device="cuda"))
    exact = maps("gradcam", "cuda")
    difference = np.abs(coarse - exact).max() / np.ptp(exact)
    assert 1e-6 < difference < 0.1


def training_set(n: int) -> TrainingSet:
    rows = np.arange(n)
    return TrainingSet(pixels(n), np.stack([rows, rows % 8, rows - 1], axis=1), rows % 2)


def weights(folder: Path, epochs: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """After training in as many runs, each from the checkpoint of the one before."""
    samples, made = training_set(40), list[Training]()
    for n in epochs:
        params = TrainParams(epochs=n, batch_size=8)
        made.append(
            train(samples, (pixels(6), np.arange(6) % 2), 2, params, Runtime(device="cuda"), folder / "c.pt", print)
        )
    return made[-1].model.state_dict()


def test_training_is_repeatable_also_from_a_checkpoint(tmp_path: Path) -> None:
    whole, again, parts = ((tmp_path / name) for name in ("whole", "again", "parts"))
    for folder in (whole, again, parts):
        folder.mkdir()
    expected = weights(whole, (3,))
    for found in (weights(again, (3,)), weights(parts, (1, 3))):
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def most_taken(work: Callable[[], object]) -> int:
    """Bytes of the device at most while a call runs."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return torch.cuda.max_memory_allocated() - before


@pytest.mark.parametrize("method", ["gradcam", "occlusion"])
@pytest.mark.parametrize("batch", [8, 32])
def test_explaining_takes_what_was_planned(method: Method, batch: int) -> None:
    size = 192
    runtime = Runtime(device="cuda", batch_size=batch)
    network = measure_network(classifier("cuda"), EXPLAIN, size, runtime)
    work = workload(network=network, ingest=IngestParams(image_size=size), explain=EXPLAIN, runtime=runtime)
    n = batch if method == "gradcam" else 1
    images = rgb_images(pixels(n, size))
    used = most_taken(
        lambda: prepare_explainer(method, classifier("cuda"), EXPLAIN, runtime)(images, np.zeros(n, np.int64))
    )
    assert used < explain_memory(work, method).passes


def test_training_takes_what_was_planned() -> None:
    params, size = TrainParams(batch_size=32), 192
    samples, device = replace(training_set(32), images=pixels(32, size)), torch.device("cuda")
    used = most_taken(lambda: train_epoch(Training.start(params, 2, device), samples, params, device))
    network = measure_network(classifier("cuda"), EXPLAIN, size, Runtime(device="cuda"))
    work = workload(network=network, ingest=IngestParams(image_size=size), train=params)
    assert used < train_bytes(work)[1]
