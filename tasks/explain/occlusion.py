"""Compute occlusion sensitivity maps, which show how much score a class loses when a patch is hidden.

Zeiler & Fergus 2014, DOI 10.1007/978-3-319-10590-1_53. At every valid position, a square patch is filled with the
normalised zero (the mean colour). The map is score(original) - score(occluded) of the explained class. It is positive
where evidence for the class was hidden, and negative where evidence against it was. Reads no files. The engine that
computes the logits changes numbers only by float rounding.
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray

from storage.errors import InputError
from tasks.batches import batches
from tasks.classify.model import Classifier
from tasks.explain.checks import check_inputs
from tasks.explain.engine.forward import Forward, class_scores, fast_forward
from tasks.explain.engine.incremental import Network, OccludedImage, take_apart
from tasks.explain.params import OcclusionParams
from tasks.parameters import Runtime

TOLERANCE = 1e-4  # largest difference between the incremental engine and the loop, as a share of the map's range
# Rounding of a forward pass, as a share of 1 + |logit|: a small logit is a difference of larger terms.
ROUNDING = 32 * torch.finfo(torch.float32).eps
# Windows per pass of the incremental engine, in multiples of `runtime.batch_size`. With few, a GPU waits for kernels,
# and a CPU multiplies few rows with each matrix: 64 windows took 7 % longer than 128, and those 3 % longer than 256.
WINDOW_BATCHES = {"cpu": 4, "cuda": 32}


def n_windows(side: int, params: OcclusionParams) -> int:
    """Count the valid windows along a side of an image: those that lie wholly inside.

    Raises
    ------
    InputError : the patch or the stride is larger than the image.
    """
    if params.patch > side or params.stride > side:
        raise InputError(
            f"the patch is {params.patch} pixels, its stride {params.stride}, and an image side {side} pixels",
            "The hidden patch and its stride must fit into the image",
            "lower explain.occlusion.patch or explain.occlusion.stride, or raise ingest.image_size",
        )
    return (side - params.patch) // params.stride + 1


def windows_a_pass(device: str, batch_size: int) -> int:
    """Return how many windows the incremental engine computes at once on a device `cpu` or `cuda`."""
    return WINDOW_BATCHES[device] * batch_size


def window_corners(height: int, width: int, params: OcclusionParams) -> torch.Tensor:
    """Return the upper left corners (rows, cols, 2) of the windows of an image."""
    rows, cols = (torch.arange(n_windows(side, params)) * params.stride for side in (height, width))
    return torch.stack(torch.meshgrid(rows, cols, indexing="ij"), dim=2)


def loop_logits(forward: Forward, image: torch.Tensor, corners: torch.Tensor, patch: int, batch: int) -> torch.Tensor:
    """Return logits (n, classes) of a normalised image (1, 3, h, w) with the patch hidden at each corner (n, 2).

    Each window takes a whole forward pass.
    """
    rows, cols = (torch.arange(side, device=image.device) for side in image.shape[2:])
    top, left = corners.to(image.device)[:, :, None].unbind(1)
    is_row, is_col = (rows >= top) & (rows < top + patch), (cols >= left) & (cols < left + patch)
    hidden = (
        image.masked_fill((is_row[part, :, None] & is_col[part, None])[:, None], 0)
        for part in batches(len(corners), batch)
    )
    return torch.cat([forward(occluded) for occluded in hidden])


def incremental_logits(
    network: Network, image: torch.Tensor, corners: torch.Tensor, patch: int, batch: int
) -> torch.Tensor:
    """Return logits (n, classes) of a normalised image with the patch hidden at each corner (n, 2).

    In each layer, only what a window changes is computed.
    """
    with torch.inference_mode():
        occluded = OccludedImage(network, image)
        return torch.cat([occluded.logits(corners[part], patch) for part in batches(len(corners), batch)])


def score_drops(logits: torch.Tensor, explained: int, score: str) -> torch.Tensor:
    """Return the loss of a class's score from the first of some logits (1 + n, classes) to each other, (n,) float64.

    All are zero if none exceeds rounding. Divided by its peak, a map of rounding would look like evidence.
    """
    scores = class_scores(logits, explained, score)
    drops = scores[0] - scores[1:]
    return drops if float(drops.abs().max()) > rounding(logits, explained, score) else torch.zeros_like(drops)


def rounding(logits: torch.Tensor, explained: int, score: str) -> float:
    """Return the rounding of a class's score that comes from float32 logits (n, classes)."""
    slope = 1.0
    if score == "probability":
        chance = class_scores(logits, explained, score)
        slope = float((chance * (1 - chance)).max())
    return ROUNDING * slope * (1 + float(logits.abs().max()))


class Occlusion:
    """Explainer by occlusion for one classifier, called with images and the class to explain for each.

    The incremental engine serves plain networks in float32 (ResNet, Wide ResNet, ResNeXt, VGG), and the loop everything
    else. For the first image of each size, the loop computes nine windows too. If they differ, the loop is used from
    then on.
    """

    def __init__(self, classifier: Classifier, params: OcclusionParams, runtime: Runtime) -> None:
        self.classifier, self.params, self.batch = classifier, params, runtime.batch_size
        self.network = take_apart(classifier.model) if runtime.saliency_precision == "float32" else None
        # Where the loop is the reference of the incremental engine, it uses torch's own convolutions.
        self.forward = fast_forward(classifier, runtime, packed=self.network is None)
        self.checked: set[torch.Size] = set()

    def __call__(self, images: NDArray[np.float32], explained: NDArray[np.integer]) -> NDArray[np.float32]:
        """Compute maps at the resolution of the windows.

        Parameters
        ----------
        images : (n, 3, h, w) float32, RGB in 0..1.
        explained : (n,) class to explain for each image.

        Returns
        -------
        (n, rows, cols) float32 in units of the score, in -1..1 for a probability; rows = (h - patch) // stride + 1.

        Raises
        ------
        InputError : images or classes that the classifier cannot take, or a patch or stride larger than the image.
        """
        check_inputs(self.classifier, images, explained)
        corners = window_corners(images.shape[2], images.shape[3], self.params)
        inputs = self.classifier.normalised(images)
        maps = [self.one_map(inputs[i : i + 1], int(c), corners) for i, c in enumerate(explained)]
        return torch.stack(maps).float().cpu().numpy() if maps else np.zeros((0, *corners.shape[:2]), np.float32)

    def one_map(self, image: torch.Tensor, explained: int, corners: torch.Tensor) -> torch.Tensor:
        """Return the map (rows, cols) float64 of one normalised image (1, 3, h, w)."""
        whole = self.forward(image)
        hidden = self.logits(image, corners.flatten(0, 1), explained)
        return score_drops(torch.cat([whole, hidden]), explained, self.params.score).view(corners.shape[:2])

    def logits(self, image: torch.Tensor, corners: torch.Tensor, explained: int) -> torch.Tensor:
        """Return logits (n, classes) with the patch hidden at each of these corners (n, 2)."""
        if self.network is None:
            return self._loop(image, corners)
        corners = corners.to(image.device)
        at_once = windows_a_pass(image.device.type, self.batch)
        hidden = incremental_logits(self.network, image, corners, self.params.patch, at_once)
        if image.shape not in self.checked and not self._agrees(image, corners, hidden, explained):
            self.network = None
            return self._loop(image, corners)
        self.checked.add(image.shape)
        return hidden

    def _loop(self, image: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        return loop_logits(self.forward, image, corners, self.params.patch, self.batch)

    def _agrees(self, image: torch.Tensor, corners: torch.Tensor, hidden: torch.Tensor, explained: int) -> bool:
        """Return whether the loop gives the same scores at nine windows spread from the first to the last."""
        some = torch.linspace(0, len(corners) - 1, 9, device=corners.device).round().long()
        expected = class_scores(self._loop(image, corners[some]), explained, self.params.score)
        scores = class_scores(hidden, explained, self.params.score)
        difference = float((scores[some] - expected).abs().max())
        span = float(scores.max() - scores.min())
        if difference <= max(TOLERANCE * span, rounding(hidden, explained, self.params.score)):
            return True
        warnings.warn(
            f"incremental occlusion differs from the plain loop by {difference:.2g}, the map's range is {span:.2g}."
            " From now on the loop is used: the maps are right, but take several times as long",
            RuntimeWarning,
            stacklevel=2,
        )
        return False


class OcclusionPreview(Occlusion):
    """Explainer by approximate occlusion for one classifier: some windows are exact, the others interpolated."""

    def one_map(self, image: torch.Tensor, explained: int, corners: torch.Tensor) -> torch.Tensor:
        """Return the map (rows, cols) float64 of one normalised image (1, 3, h, w), exact at the computed windows."""
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
        """Estimate each window's effect, (rows, cols), to first order: the gradient times the hidden pixels."""
        inputs = image.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            score = self.classifier.model(inputs)[0, explained]
            (gradient,) = torch.autograd.grad(score, inputs)
        effect = (gradient * image).sum(dim=1, keepdim=True)
        windows = torch.nn.functional.avg_pool2d(effect, self.params.patch, self.params.stride)
        return windows[0, 0].abs().cpu()


def coarse_steps(n: int, step: int) -> NDArray[np.int64]:
    """Return every `step`-th of n windows, and the last."""
    return np.unique(np.append(np.arange(0, n, step), n - 1))


def interpolated(values: torch.Tensor, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> torch.Tensor:
    """Interpolate values (h, w) bilinearly between the rows and columns where they are known."""
    known = values.numpy()[np.ix_(rows, cols)]
    down, across = (_weights(n, at) for n, at in zip(values.shape, (rows, cols), strict=True))
    return torch.from_numpy(down @ known @ across.T)


def _weights(n: int, known: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the weights (n, len(known)) of the known points in each of n points."""
    return np.stack([np.interp(np.arange(n), known, unit) for unit in np.eye(len(known))], axis=1)
