"""A quick look at an occlusion map: a coarse grid of windows, and the windows that the gradient points to.

Approximate: windows in between are interpolated. Strong spots come out well, the ranks of the background do not, and
clusters see those. So maps made here are marked, and the cluster stage refuses them unless told otherwise.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.saliency.occlusion import Occlusion, score_drops


class OcclusionPreview(Occlusion):
    """Approximate occlusion made ready for a classifier."""

    def one_map(self, image: torch.Tensor, explained: int, corners: torch.Tensor) -> torch.Tensor:
        """Map (rows, cols) float64 of one normalised image (1, 3, h, w), exact at the windows that were computed."""
        coarse = [coarse_steps(side, self.params.preview_step) for side in corners.shape[:2]]
        is_exact = torch.zeros(corners.shape[:2], dtype=torch.bool)
        is_exact[np.ix_(*coarse)] = True
        strength = self._strength(image, explained)
        strength[is_exact] = -1
        n_refined = min(round(self.params.preview_refined * strength.numel()), int((~is_exact).sum()))
        is_exact.view(-1)[strength.view(-1).topk(n_refined).indices] = True
        whole = self.forward(image)
        hidden = self.logits(image, corners[is_exact], explained)
        found = torch.zeros(corners.shape[:2], dtype=torch.float64)
        found[is_exact] = score_drops(torch.cat([whole, hidden]), explained, self.params.score).cpu()
        return torch.where(is_exact, found, interpolated(found, *coarse))

    def _strength(self, image: torch.Tensor, explained: int) -> torch.Tensor:
        """First-order guess of each window's effect, (rows, cols): the gradient times the pixels it would hide."""
        inputs = image.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            score = self.classifier.model(inputs)[0, explained]
            (gradient,) = torch.autograd.grad(score, inputs)
        effect = (gradient * image).sum(dim=1, keepdim=True)
        windows = torch.nn.functional.avg_pool2d(effect, self.params.patch, self.params.stride)
        return windows[0, 0].abs().cpu()


def coarse_steps(n: int, step: int) -> NDArray[np.int64]:
    """Every `step`-th of n windows, and the last."""
    return np.unique(np.append(np.arange(0, n, step), n - 1))


def interpolated(values: torch.Tensor, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> torch.Tensor:
    """Values (h, w) that are known at some rows and columns, bilinear in between."""
    known = values.numpy()[np.ix_(rows, cols)]
    down, across = (_weights(n, at) for n, at in zip(values.shape, (rows, cols), strict=True))
    return torch.from_numpy(down @ known @ across.T)


def _weights(n: int, known: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights (n, len(known)) of the known points in each of n."""
    return np.stack([np.interp(np.arange(n), known, unit) for unit in np.eye(len(known))], axis=1)
