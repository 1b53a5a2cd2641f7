"""Samples of a training set, with photometric changes worked by hand at the ends of the range of pixel values."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.classify.training import TrainingSet

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
