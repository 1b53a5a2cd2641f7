"""The changes that make several training samples of one image."""

import numpy as np
import torch

N_SYMMETRIES = 8
NO_CHANGE = -1


def apply_symmetry(image: torch.Tensor, symmetry: int) -> torch.Tensor:
    """Turn an image (..., h, w) by `symmetry % 4` quarter turns, then flip it left-right if `symmetry >= 4`."""
    turned = torch.rot90(image, symmetry % 4, dims=(-2, -1))
    return turned.flip(-1) if symmetry >= 4 else turned


def photometric_change(seed: int) -> tuple[float, float]:
    """Gain in 0.85..1.15 and offset in -0.08..0.08 (of the full range) of a seed; (1, 0) for -1."""
    if seed == NO_CHANGE:
        return 1.0, 0.0
    gain, offset = np.random.default_rng(seed).uniform([0.85, -0.08], [1.15, 0.08])
    return float(gain), float(offset)
