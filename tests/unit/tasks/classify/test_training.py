"""Test samples of a training set by hand at the ends of the range of pixel values, and the precision of training."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from storage.errors import InputError
from tasks.classify import training
from tasks.classify.params import TrainParams
from tasks.classify.training import Training, TrainingSet, check_precision, forward, train_epoch

pytestmark = pytest.mark.usefixtures("one_thread")

MEAN, STD = np.asarray([0.485, 0.456, 0.406]), np.asarray([0.229, 0.224, 0.225])  # of ImageNet, red to blue


def sample(value: int, seed: int) -> NDArray[np.float32]:
    """Channels (3,) of a sample of an image whose pixels all have one value."""
    images = np.full((1, 2, 2, 3), value, np.uint8)
    inputs, _ = TrainingSet(images, np.asarray([[0, 0, seed]]), np.asarray([0])).batch(np.asarray([0]))
    pixels: NDArray[np.float32] = inputs[0].numpy()
    assert (pixels == pixels[:, :1, :1]).all()
    return pixels[:, 0, 0]


def drawn(seed: int) -> tuple[float, float]:
    """Gain and offset of a seed, drawn as documented: 0.85..1.15, and -0.08..0.08 of the full range."""
    generator = np.random.default_rng(seed)
    return generator.uniform(0.85, 1.15), generator.uniform(-0.08, 0.08)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("value", [0, 1, 20, 128, 235, 254, 255])
def test_a_changed_value_ends_at_black_and_at_white(value: int, seed: int) -> None:
    gain, offset = drawn(seed)
    changed = min(max(value / 255 * gain + offset, 0.0), 1.0)
    np.testing.assert_allclose(sample(value, seed), (changed - MEAN) / STD, atol=1e-5)


def test_black_and_white_by_hand() -> None:
    """Black that gets darker stays black, and white that gets brighter stays white."""
    dark = [seed for seed in range(12) if drawn(seed)[1] < -0.01]
    bright = [seed for seed in range(12) if sum(drawn(seed)) > 1.01]
    assert dark and bright
    for seed in dark:
        np.testing.assert_allclose(sample(0, seed), [-2.117904, -2.035714, -1.804444], atol=1e-5)  # -mean / std
    for seed in bright:
        np.testing.assert_allclose(sample(255, seed), [2.248908, 2.428571, 2.64], atol=1e-5)  # (1 - mean) / std


@pytest.mark.parametrize("value", [0, 77, 255])
def test_without_a_change_values_are_normalised_alone(value: int) -> None:
    np.testing.assert_allclose(sample(value, -1), (value / 255 - MEAN) / STD, atol=1e-5)


def test_bfloat16_rounds_what_layers_take_and_give() -> None:
    generator, half = torch.Generator().manual_seed(0), torch.bfloat16
    kernels, weights, inputs = (
        torch.randn(shape, generator=generator) / 8 for shape in ((5, 3, 3, 3), (2, 5 * 36), (4, 3, 8, 8))
    )
    model = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 2, bias=False))
    model.load_state_dict({"0.weight": kernels, "3.weight": weights})
    seen = nn.functional.conv2d(inputs.to(half), kernels.to(half)).relu().flatten(1)
    expected = nn.functional.linear(seen, weights.to(half))
    model.requires_grad_(False)
    found = forward(model, inputs, "bfloat16")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected.float(), rtol=2**-7, atol=1e-5)
    plain = forward(model, inputs, "float32")
    torch.testing.assert_close(plain, model(inputs), rtol=0, atol=1e-6)
    assert 1e-5 < float((found - plain).abs().max()) < 0.02 * float(plain.abs().max())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ["mobilenet_v3_small", "efficientnet_b0"])
def test_small_architectures_train(architecture: str, precision: str) -> None:
    rows = np.arange(4)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    samples = TrainingSet(images, np.stack([rows, rows, rows - 1], axis=1), rows % 2)
    params = TrainParams.model_validate({"architecture": architecture, "precision": precision, "batch_size": 4})
    state = Training.start(params, 2, torch.device("cpu"))
    before = [value.clone() for value in state.model.parameters()]
    loss, _ = train_epoch(state, samples, params, torch.device("cpu"))
    assert 0 < loss < 20
    assert not any(torch.equal(one, other) for one, other in zip(before, state.model.parameters(), strict=True))


def test_a_gpu_without_bfloat16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Tesla T4")
    with pytest.raises(InputError, match="Tesla T4"):
        check_precision("bfloat16", torch.device("cuda"))
    check_precision("float32", torch.device("cuda"))
    check_precision("bfloat16", torch.device("cpu"))


def warned(times: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what is said where a pass in bfloat16 takes so many times as long, and check the measured samples."""
    shapes = list[Any]()

    def measured(_model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> float:
        shapes.append((tuple(inputs.shape), tuple(labels.shape)))
        return times

    monkeypatch.setattr(training, "time_of_bfloat16", measured)
    samples = TrainingSet(np.zeros((1, 256, 256, 3), np.uint8), np.full((9, 3), [0, 0, -1]), np.zeros(9, np.int64))
    state = Training(nn.Identity(), *[None, None], [])  # type: ignore[arg-type]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        training.warn_if_slower(state, samples)
    assert shapes == [((4, 3, 256, 256), (4,))]
    return caplog.messages


def test_a_slower_precision_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    (said,) = warned(1.46, monkeypatch, caplog)
    assert "1.5 times as long" in said and "train.precision = float32" in said
    assert warned(0.6, monkeypatch, caplog) == warned(1.05, monkeypatch, caplog) == []


def test_measuring_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 2)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert training.time_of_bfloat16(model, torch.randn(2, 3, 8, 8), torch.tensor([0, 1])) > 0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.training and all(value.grad is None for value in model.parameters())
