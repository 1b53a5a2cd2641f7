"""Change an image to make several training samples of it: symmetries and photometric changes."""

from typing import TYPE_CHECKING

import numpy as np

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
