"""Make networks with activations as large as those of trained networks."""

import torch
from torch import nn

from tasks.classify.architectures import build_model


def fitted_to_noise(architecture: str, seed: int, n: int, side: int) -> nn.Module:
    """Make a network of two classes in training mode, with random weights, normalised on n images of noise."""
    model = build_model(architecture, 2, "none", seed)
    noise = torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for _ in range(8):
            model.train()(noise)
    return model
