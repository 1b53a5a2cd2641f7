"""Score the samples of an image by LIME, which differ in the superpixels that they show."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.classify.model import Classifier, check_logits
from tasks.explain.engine.forward import can_pack, class_scores, fast_forward, is_close
from tasks.explain.engine.staged import late_pass
from tasks.explain.engine.states import SharedNetwork, shared_layers, shared_network
from tasks.parameters import Runtime

SampleLogits = Callable[[torch.Tensor], torch.Tensor]  # numbers of samples (n,) -> their logits (n, n_classes)
# Superpixels along a side of a usual image: in photographs of leaves of 256 pixels, quickshift found 50 to 55.
USUAL_SIDE = 7


class SampleScores:
    """Scores of the samples of an image by one classifier, with the memory of one batch.

    Where passes are packed, the classifier's early layers are computed once for all samples of an image. For the first
    image of each size, nine samples also take whole passes. If they differ, whole passes are used from then on.
    """

    def __init__(self, classifier: Classifier, runtime: Runtime) -> None:
        self.classifier, self.batch = classifier, runtime.batch_size
        self.forward = fast_forward(classifier, runtime)
        self.network = sharing_network(classifier, runtime)
        self.checked: set[torch.Size] = set()

    def __call__(
        self, pair: torch.Tensor, segments: NDArray[np.intp], on: NDArray[np.int64], explained: int
    ) -> NDArray[np.float64]:
        """Return the probability (n_samples,) of a class for every sample.

        Parameters
        ----------
        pair : (2, 3, h, w), the normalised image, and the image in the mean colours of its superpixels. Normalisation
            is affine, so it makes no difference whether superpixels are hidden before or after it.
        segments : (h, w) superpixel of each pixel.
        on : (n_samples, n_segments), which superpixels are shown.
        explained : the class.
        """
        superpixel = torch.as_tensor(segments, device=pair.device)
        shown = torch.as_tensor(on, dtype=torch.bool, device=pair.device)
        with torch.inference_mode():
            logits = self._shared(pair, superpixel, shown) or self._whole(pair, superpixel, shown)
            samples = torch.arange(len(on), device=pair.device).split(self.batch)
            return torch.cat([class_scores(logits(part), explained, "probability") for part in samples]).cpu().numpy()

    def _whole(self, pair: torch.Tensor, segments: torch.Tensor, shown: torch.Tensor) -> SampleLogits:
        """Return a function that gives the logits of samples by whole passes."""
        # Channels last, as the pass wants it. Gathering beats index_select, broadcasting the mask and arithmetic.
        image, hidden = pair.permute(0, 2, 3, 1).reshape(2, 1, -1)
        value_segments = segments.flatten().repeat_interleave(3)

        def logits(samples: torch.Tensor) -> torch.Tensor:
            mask = shown[samples].gather(1, value_segments.expand(len(samples), -1))
            return self.forward(torch.where(mask, image, hidden).view(-1, *segments.shape, 3).permute(0, 3, 1, 2))

        return logits

    def _shared(self, pair: torch.Tensor, segments: torch.Tensor, shown: torch.Tensor) -> SampleLogits | None:
        """Return a function that gives the logits of samples by shared layers; None if these do not pay, or differ."""
        layers = None if self.network is None else shared_layers(self.network, pair, segments, shown)
        if layers is None:
            return None
        size = late_pass(segments.shape, self.batch)

        def logits(samples: torch.Tensor) -> torch.Tensor:
            found = torch.cat([layers.logits(part) for part in samples.split(size)])
            check_logits(found, len(samples), len(self.classifier.classes))
            return found

        if pair.shape in self.checked or self._agrees(logits, self._whole(pair, segments, shown), len(shown)):
            self.checked.add(pair.shape)
            return logits
        self.network = None
        return None

    def _agrees(self, shared: SampleLogits, whole: SampleLogits, n: int) -> bool:
        """Return whether both give the same logits for nine samples spread from the first to the last."""
        some = torch.linspace(0, n - 1, 9).round().long()
        expected = whole(some)
        try:
            difference: object = float((shared(some) - expected).abs().max())
        except RuntimeError as error:  # a sum that oneDNN refuses
            difference = error
        if isinstance(difference, float) and is_close(difference, expected):
            return True
        warnings.warn(
            f"shared layers in LIME differ from whole forward passes: {difference}. From now on whole passes are used:"
            " the maps are right, but take two or three times as long",
            RuntimeWarning,
            stacklevel=2,
        )
        return False


def sharing_network(classifier: Classifier, runtime: Runtime) -> SharedNetwork | None:
    """Return a classifier's network for samples that share layers; None where passes are not packed."""
    return shared_network(classifier.model) if can_pack(classifier, runtime) else None


def usual_image(size: int, n_samples: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return an image of `size` pixels with square superpixels and its samples, as `shared_layers` takes it."""
    row, generator = torch.arange(size) * USUAL_SIDE // size, torch.Generator().manual_seed(0)
    shown = torch.rand(n_samples, USUAL_SIDE**2, generator=generator) < 0.5
    return torch.rand(2, 3, size, size, generator=generator), row[:, None] * USUAL_SIDE + row, shown


def can_share(classifier: Classifier, runtime: Runtime, size: int) -> bool:
    """Return whether the samples of a usual image of `size` pixels share layers."""
    network = sharing_network(classifier, runtime)
    with torch.inference_mode():
        return network is not None and shared_layers(network, *usual_image(size, 64)) is not None
