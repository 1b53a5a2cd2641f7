"""LIME (Ribeiro, Singh & Guestrin 2016, DOI 10.1145/2939672.2939778): what each superpixel adds to a class.

Superpixels are hidden at random, the classifier scores each perturbed image, and a weighted linear regression of the
scores on what was shown gives one weight a superpixel. Defaults are those of the package `lime` 0.2.0.1, which also
makes the fit, with two differences: least squares instead of ridge, and random numbers that depend on the image alone
(the package's depend on the images explained before, and it loses the seed of the segmentation).
"""

import hashlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from lime.lime_base import LimeBase
from numpy.typing import NDArray
from pydantic import Field
from skimage.segmentation import quickshift, slic
from sklearn.linear_model import LinearRegression

from storage.errors import InputError
from tasks.batches import batches
from tasks.classify.model import Classifier
from tasks.explain.checks import check_inputs
from tasks.explain.engine.forward import Forward, class_scores, fast_forward
from tasks.parameters import Params, Runtime

KERNEL_WIDTH = 0.25  # of the weights by cosine distance, as in the package


class LimeParams(Params):
    """LIME: superpixels hidden at random, and a linear regression of the score on what is shown."""

    n_samples: int = Field(default=1000, ge=2, le=100_000, description="perturbed images an image, each a forward pass")
    segments: Literal["quickshift", "slic"] = Field(default="quickshift", description="slic: about 100")
    regressor: Literal["least_squares", "ridge"] = Field(
        default="least_squares", description="ridge: alpha 1, the lime package's own default"
    )
    seed: int = Field(default=0, description="mixed with each image's content")


def prepare_lime(
    classifier: Classifier, params: LimeParams, runtime: Runtime
) -> Callable[[NDArray[np.float32], NDArray[np.integer]], NDArray[np.float32]]:
    """`lime_maps` made ready for a classifier, whose folding is then done once."""
    forward = fast_forward(classifier, runtime)

    def explain(images: NDArray[np.float32], explained: NDArray[np.integer]) -> NDArray[np.float32]:
        check_inputs(classifier, images, explained)
        maps = np.empty((len(images), *images.shape[2:]), np.float32)
        for i, image in enumerate(images):
            seed = seed_of(image, params.seed)
            segments = superpixels(image, params.segments, seed)
            hidden = mean_colours(image, segments)
            if np.array_equal(image, hidden):  # nothing to hide; the regression would find float rounding
                maps[i] = 0
                continue
            n_segments = int(segments.max()) + 1
            if params.regressor == "least_squares" and params.n_samples <= n_segments:
                raise too_few_samples(params.n_samples, n_segments)
            on = random_samples(params.n_samples, n_segments, seed)
            pair = classifier.normalised(np.stack([image, hidden]))
            scores = sample_scores(forward, pair, segments, on, int(explained[i]), runtime.batch_size)
            maps[i] = coefficients(on, scores, params.regressor)[segments]
        return maps

    return explain


def lime_maps(
    classifier: Classifier,
    images: NDArray[np.float32],
    explained: NDArray[np.integer],
    params: LimeParams,
    runtime: Runtime,
) -> NDArray[np.float32]:
    """LIME maps at the images' resolution.

    Parameters
    ----------
    classifier : any model.
    images : (n, 3, h, w) float32, RGB in 0..1.
    explained : (n,) class to explain for each image.
    params : the perturbations and the regression.
    runtime : images a pass; changes no number beyond float tolerance.

    Returns
    -------
    (n, h, w) float32: on each pixel the regression weight of its superpixel, which is the change in the explained
    class's probability when the superpixel is shown; negative where it speaks against the class. Exactly zero for an
    image that its superpixels' mean colours leave as it is.

    Raises
    ------
    InputError : images or classes the classifier cannot take; least squares with as many superpixels as samples.
    """
    return prepare_lime(classifier, params, runtime)(images, explained)


def seed_of(image: NDArray[np.float32], seed: int) -> int:
    """Seed from an image's content and a seed: the same whatever is explained beside or before it.

    In 0..2**31-1, as quickshift takes it.
    """
    digest = hashlib.sha256(f"{seed} {image.shape} ".encode() + np.ascontiguousarray(image).tobytes()).digest()
    return int.from_bytes(digest[:4], "little") % 2**31


def superpixels(image: NDArray[np.float32], method: Literal["quickshift", "slic"], seed: int) -> NDArray[np.intp]:
    """Superpixel (h, w) of each pixel of an image (3, h, w), numbered from 0 without gaps.

    Quickshift as in the package; its seed decides between equals. SLIC with scikit-image's defaults.
    """
    pixels = image.transpose(1, 2, 0).astype(np.float64)
    if method == "slic":
        return slic(pixels, n_segments=100, start_label=0)
    return quickshift(pixels, kernel_size=4, max_dist=200, ratio=0.2, rng=seed)


def mean_colours(image: NDArray[np.float32], segments: NDArray[np.intp]) -> NDArray[np.float32]:
    """The image (3, h, w) with every superpixel in its mean colour."""
    flat = segments.ravel()
    sizes = np.bincount(flat)
    means = np.stack([np.bincount(flat, channel.ravel()) / sizes for channel in image])
    return means[:, segments].astype(np.float32)


def random_samples(n_samples: int, n_segments: int, seed: int) -> NDArray[np.int64]:
    """Which superpixels each sample shows, (n_samples, n_segments) of 0 and 1, in the package's order of draws.

    The first sample is the image itself.
    """
    on = np.random.RandomState(seed).randint(0, 2, n_samples * n_segments).reshape(n_samples, n_segments)
    on[0] = 1
    return on


def sample_scores(
    forward: Forward, pair: torch.Tensor, segments: NDArray[np.intp], on: NDArray[np.int64], explained: int, batch: int
) -> NDArray[np.float64]:
    """Probability (n_samples,) of a class for every sample; memory is that of one batch.

    Parameters
    ----------
    forward : logits of normalised inputs.
    pair : (2, 3, h, w), the normalised image and the one in its superpixels' mean colours. Normalisation is affine, so
        hiding before and after it is the same.
    segments : (h, w) superpixel of each pixel.
    on : (n_samples, n_segments), which superpixels are shown.
    explained : the class.
    batch : samples a pass.
    """
    height, width = segments.shape
    # Channels last, as the forward pass wants it. Gathering beats index_select, broadcasting the mask and arithmetic.
    image, hidden = pair.permute(0, 2, 3, 1).reshape(2, 1, -1)
    value_segments = torch.as_tensor(segments.ravel().repeat(3), device=pair.device)
    shown = torch.as_tensor(on, dtype=torch.bool, device=pair.device)
    parts: list[torch.Tensor] = []
    for part in batches(len(on), batch):
        mask = shown[part].gather(1, value_segments.expand(part.stop - part.start, -1))
        inputs = torch.where(mask, image, hidden).view(-1, height, width, 3).permute(0, 3, 1, 2)
        parts.append(class_scores(forward(inputs), explained, "probability"))
    return torch.cat(parts).cpu().numpy()


def coefficients(
    on: NDArray[np.int64], scores: NDArray[np.float64], regressor: Literal["least_squares", "ridge"]
) -> NDArray[np.float64]:
    """Regression weight (n_segments,) of every superpixel.

    Parameters
    ----------
    on : (n_samples, n_segments) of 0 and 1, which superpixels each sample shows.
    scores : (n_samples,) of the samples.
    regressor : weighted least squares, or weighted ridge with alpha 1, both with an intercept.
    """
    # 1 - cos(sample, all ones), where the cosine of m shown among k is m / sqrt(m k); nothing shown is at distance 1.
    distances = 1 - np.sqrt(on.mean(axis=1))
    base: Any = LimeBase(similarity)  # untyped
    model = LinearRegression() if regressor == "least_squares" else None
    everything = {"label": 0, "num_features": on.shape[1], "feature_selection": "none"}
    _, weights, _, _ = base.explain_instance_with_data(
        on, scores[:, None], distances, model_regressor=model, **everything
    )
    weight_of = dict(weights)  # given in the order of their magnitude
    return np.asarray([weight_of[segment] for segment in range(on.shape[1])], np.float64)


def similarity(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (n,) in 0..1 of samples at some distances from the image: the package's exponential kernel."""
    return np.sqrt(np.exp(-((distances / KERNEL_WIDTH) ** 2)))


def too_few_samples(n_samples: int, n_segments: int) -> InputError:
    """Refusal of a regression with more unknowns (the superpixels and the intercept) than samples."""
    return InputError(
        f"{n_samples} samples, {n_segments} superpixels in an image",
        "LIME's least squares needs more samples than an image has superpixels",
        'raise explain.lime.n_samples, or use explain.lime.segments = "slic" or explain.lime.regressor = "ridge"',
    )
