"""Change an image to make several training samples of it, by symmetries and photometric changes, and batch these."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    import torch

N_SYMMETRIES = 8  # symmetries of the square
NO_CHANGE = -1  # photometric seed of a sample without a photometric change


def apply_symmetry(image: "torch.Tensor", symmetry: int) -> "torch.Tensor":
    """Turn an image (..., h, w) by `symmetry % 4` quarter turns, then flip it left-right if `symmetry >= 4`."""
    turned = image.rot90(symmetry % 4, dims=(-2, -1))
    return turned.flip(-1) if symmetry >= 4 else turned


def photometric_change(seed: int) -> tuple[float, float]:
    """Return the gain in 0.85..1.15 and the offset in -0.08..0.08 (of the full range) of a seed; (1, 0) for -1."""
    if seed == NO_CHANGE:
        return 1.0, 0.0
    gain, offset = np.random.default_rng(seed).uniform([0.85, -0.08], [1.15, 0.08])
    return float(gain), float(offset)


@dataclass(frozen=True)
class TrainingSet:
    """Training images in memory (about 200 kB each at 256 pixels), and the samples to make of them.

    Attributes
    ----------
    images : (n, h, w, 3) uint8.
    samples : (m, 3) image index, symmetry, photometric seed or -1.
    labels : (m,) class of each sample.
    """

    images: NDArray[np.uint8]
    samples: NDArray[np.int64]
    labels: NDArray[np.int64]

    def batch(self, rows: NDArray[np.int64]) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Make the normalised inputs (b, 3, h, w) and the labels (b,) of some samples."""
        import torch

        return (
            torch.stack([self._sample(*self.samples[row].tolist()) for row in rows]),
            torch.from_numpy(self.labels[rows]),
        )

    def _sample(self, image: int, symmetry: int, seed: int) -> "torch.Tensor":
        import torch

        from tasks.classify.model import normalise

        pixels = torch.from_numpy(self.images[image])[None]
        gain, offset = photometric_change(seed)
        # Gain and offset act on values in 0..1, before normalisation. Values are clipped as in a camera.
        values = (pixels.to(torch.float32) * gain + 255 * offset).clamp(0, 255) if seed != NO_CHANGE else pixels
        return apply_symmetry(normalise(values, IMAGENET_MEAN, IMAGENET_STD)[0], symmetry)
