"""Occlusion sensitivity (Zeiler & Fergus 2014, DOI 10.1007/978-3-319-10590-1_53): what a class loses by a hidden patch.

A square patch is filled with the normalised zero (the mean colour) at every valid position; the map is
score(original) - score(occluded) of the explained class: positive where evidence for the class was hidden, negative
where evidence against it was. Reads no files; which engine makes the logits changes float rounding only.
"""

import warnings
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from storage.errors import InputError
from tasks.batches import batches
from tasks.classify.model import Classifier
from tasks.explain.checks import check_inputs
from tasks.explain.engine.forward import Forward, class_scores, fast_forward
from tasks.explain.engine.incremental import Network, OccludedImage, take_apart
from tasks.parameters import Params, Runtime

TOLERANCE = 1e-4  # of the map's range, between the incremental engine and the loop
# Of a logit, and of 1 because a small logit is a difference of larger terms: no forward pass is more exact.
ROUNDING = 32 * torch.finfo(torch.float32).eps
# Windows a pass of the incremental engine, times `runtime.batch_size`: a GPU waits for kernels to start with few.
WINDOW_BATCHES = {"cpu": 2, "cuda": 32}


class OcclusionParams(Params):
    """Occlusion sensitivity; the last two keys are those of occlusion_preview."""

    patch: int = Field(default=11, ge=1, description="side of the hidden square, pixels")
    stride: int = Field(default=2, ge=1, description="between neighbouring windows, pixels")
    score: Literal["probability", "logit"] = Field(default="probability", description="of the explained class")
    preview_step: int = Field(default=4, ge=2, description="a preview computes every so many windows along a side")
    preview_refined: float = Field(
        default=0.1, ge=0, le=1, description="and this share of all windows, where the gradient is strongest"
    )


def n_windows(side: int, params: OcclusionParams) -> int:
    """Valid windows along a side of an image: those that lie wholly inside.

    Raises
    ------
    InputError : a patch or stride beyond the image.
    """
    if params.patch > side or params.stride > side:
        raise InputError(
            f"patch {params.patch} and stride {params.stride} for an image side of {side} pixels",
            "The hidden patch and its stride fit into the image",
            "lower explain.occlusion.patch or explain.occlusion.stride, or raise ingest.image_size",
        )
    return (side - params.patch) // params.stride + 1


def windows_a_pass(device: str, batch_size: int) -> int:
    """Windows that the incremental engine computes at once on a cpu or cuda."""
    return WINDOW_BATCHES[device] * batch_size


def window_corners(height: int, width: int, params: OcclusionParams) -> torch.Tensor:
    """Upper left corners (rows, cols, 2) of the windows of an image."""
    rows, cols = (torch.arange(n_windows(side, params)) * params.stride for side in (height, width))
    return torch.stack(torch.meshgrid(rows, cols, indexing="ij"), dim=2)


def loop_logits(forward: Forward, image: torch.Tensor, corners: torch.Tensor, patch: int, batch: int) -> torch.Tensor:
    """Logits (n, classes) of a normalised image (1, 3, h, w) hidden at each corner (n, 2), a forward pass for each."""
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
    """The same from what the windows change alone."""
    with torch.inference_mode():
        occluded = OccludedImage(network, image)
        return torch.cat([occluded.logits(corners[part], patch) for part in batches(len(corners), batch)])


def score_drops(logits: torch.Tensor, explained: int, score: str) -> torch.Tensor:
    """What the score of a class loses from the first of some logits (1 + n, classes) to each other, (n,) float64.

    Zero everywhere where no loss stands out from rounding: divided by its peak, rounding would look like evidence.
    """
    scores = class_scores(logits, explained, score)
    drops = scores[0] - scores[1:]
    return drops if float(drops.abs().max()) > rounding(logits, explained, score) else torch.zeros_like(drops)


def rounding(logits: torch.Tensor, explained: int, score: str) -> float:
    """How exact the score of a class is at best, by the float32 arithmetic of logits (n, classes)."""
    slope = 1.0
    if score == "probability":
        chance = class_scores(logits, explained, score)
        slope = float((chance * (1 - chance)).max())
    return ROUNDING * slope * (1 + float(logits.abs().max()))


class Occlusion:
    """Occlusion made ready for a classifier; called with images and the class to explain for each.

    The incremental engine serves plain ResNets in float32, the loop everything else. At the first image of each size
    nine windows are computed by the plain loop too, and where they differ the loop takes over for good.
    """

    def __init__(self, classifier: Classifier, params: OcclusionParams, runtime: Runtime) -> None:
        self.classifier, self.params, self.batch = classifier, params, runtime.batch_size
        self.network = take_apart(classifier.model) if runtime.saliency_precision == "float32" else None
        # Of the plain kind where it is what the engine is checked against.
        self.forward = fast_forward(classifier, runtime, tiled=self.network is None)
        self.checked: set[torch.Size] = set()

    def __call__(self, images: NDArray[np.float32], explained: NDArray[np.integer]) -> NDArray[np.float32]:
        """Maps (n, rows, cols) float32 of images (n, 3, h, w) in 0..1, for the classes (n,).

        Raises
        ------
        InputError : images or classes the classifier cannot take, a patch or stride beyond the image.
        """
        check_inputs(self.classifier, images, explained)
        corners = window_corners(images.shape[2], images.shape[3], self.params)
        inputs = self.classifier.normalised(images)
        maps = [self.one_map(inputs[i : i + 1], int(c), corners) for i, c in enumerate(explained)]
        return torch.stack(maps).float().cpu().numpy() if maps else np.zeros((0, *corners.shape[:2]), np.float32)

    def one_map(self, image: torch.Tensor, explained: int, corners: torch.Tensor) -> torch.Tensor:
        """Map (rows, cols) float64 of one normalised image (1, 3, h, w)."""
        whole = self.forward(image)
        hidden = self.logits(image, corners.flatten(0, 1), explained)
        return score_drops(torch.cat([whole, hidden]), explained, self.params.score).view(corners.shape[:2])

    def logits(self, image: torch.Tensor, corners: torch.Tensor, explained: int) -> torch.Tensor:
        """Logits (n, classes) with the patch hidden at each of these corners (n, 2)."""
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
        """Whether the loop gives the same scores at nine windows from the first to the last."""
        some = torch.linspace(0, len(corners) - 1, 9, device=corners.device).round().long()
        expected = class_scores(self._loop(image, corners[some]), explained, self.params.score)
        scores = class_scores(hidden, explained, self.params.score)
        difference = float((scores[some] - expected).abs().max())
        span = float(scores.max() - scores.min())
        if difference <= max(TOLERANCE * span, rounding(hidden, explained, self.params.score)):
            return True
        warnings.warn(
            f"incremental occlusion differs from the plain loop by {difference:.2g}, the map's range is {span:.2g}:"
            " the loop is used, which gives the right maps several times more slowly",
            RuntimeWarning,
            stacklevel=2,
        )
        return False


def occlusion_maps(
    classifier: Classifier,
    images: NDArray[np.float32],
    explained: NDArray[np.integer],
    params: OcclusionParams,
    runtime: Runtime,
) -> NDArray[np.float32]:
    """Occlusion maps at the resolution of the windows.

    Parameters
    ----------
    classifier : any model.
    images : (n, 3, h, w) float32, RGB in 0..1.
    explained : (n,) class to explain for each image.
    params : patch, stride and score.
    runtime : windows a pass (of the incremental engine see `windows_a_pass`); changes no number beyond float tolerance.

    Returns
    -------
    (n, rows, cols) float32 in units of the score, in -1..1 for a probability; rows = (h - patch) // stride + 1.

    Raises
    ------
    InputError : images or classes the classifier cannot take, a patch or stride beyond the image.
    """
    return Occlusion(classifier, params, runtime)(images, explained)


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
