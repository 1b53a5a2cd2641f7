"""Compute LIME maps, which show what each superpixel adds to the score of a class.

Ribeiro, Singh & Guestrin 2016, DOI 10.1145/2939672.2939778. Superpixels are hidden at random, and the classifier scores
each perturbed image. A weighted linear regression of the scores on the shown superpixels gives one weight per
superpixel.

Defaults are those of the package `lime` 0.2.0.1, which also makes the fit, with two differences. The regression is
least squares instead of ridge. Random numbers depend on the image alone, while the package's depend on the images
explained before, and it loses the seed of the segmentation.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from lime.lime_base import LimeBase
from numpy.typing import NDArray
from skimage.segmentation import quickshift, slic
from sklearn.linear_model import LinearRegression

from storage.errors import InputError
from tasks.classify.model import Classifier
from tasks.explain.checks import check_inputs
from tasks.explain.params import LimeParams
from tasks.explain.samples import SampleScores
from tasks.parameters import Runtime

KERNEL_WIDTH = 0.25  # width of the kernel that weights samples by cosine distance, as in the package


def prepare_lime(
    classifier: Classifier, params: LimeParams, runtime: Runtime
) -> Callable[[NDArray[np.float32], NDArray[np.integer]], NDArray[np.float32]]:
    """Prepare LIME for a classifier, so that batch normalisation is folded only once.

    Returns
    -------
    A function of images (n, 3, h, w) float32, RGB in 0..1, and the class (n,) to explain for each. It returns maps
    (n, h, w) float32: on each pixel the regression weight of its superpixel. The weight is the change in the explained
    class's probability when the superpixel is shown; it is negative where the superpixel speaks against the class. The
    map is exactly zero if the mean colours of its superpixels are the image itself. The function raises InputError for
    images or classes that the classifier cannot take, and for least squares with no more samples than superpixels.
    """
    score = SampleScores(classifier, runtime)

    def explain(images: NDArray[np.float32], explained: NDArray[np.integer]) -> NDArray[np.float32]:
        check_inputs(classifier, images, explained)
        maps = np.empty((len(images), *images.shape[2:]), np.float32)
        for i, image in enumerate(images):
            seed = seed_of(image, params.seed)
            segments = superpixels(image, params.segments, seed)
            hidden = mean_colours(image, segments)
            if np.array_equal(image, hidden):  # nothing to hide; a regression would fit float rounding
                maps[i] = 0
                continue
            n_segments = int(segments.max()) + 1
            if params.regressor == "least_squares" and params.n_samples <= n_segments:
                raise too_few_samples(params.n_samples, n_segments)
            on = random_samples(params.n_samples, n_segments, seed)
            pair = classifier.normalised(np.stack([image, hidden]))
            scores = score(pair, segments, on, int(explained[i]))
            maps[i] = coefficients(on, scores, params.regressor)[segments]
        return maps

    return explain


def seed_of(image: NDArray[np.float32], seed: int) -> int:
    """Return a seed in 0..2**31-1 from an image's content and a seed.

    It does not depend on the images that are explained beside or before this one.
    """
    digest = hashlib.sha256(f"{seed} {image.shape} ".encode() + np.ascontiguousarray(image).tobytes()).digest()
    return int.from_bytes(digest[:4], "little") % 2**31


def superpixels(image: NDArray[np.float32], method: Literal["quickshift", "slic"], seed: int) -> NDArray[np.intp]:
    """Return the superpixel (h, w) of each pixel of an image (3, h, w), numbered from 0 without gaps.

    Quickshift has the settings of the package, and the seed decides ties. SLIC has scikit-image's defaults.
    """
    pixels = image.transpose(1, 2, 0).astype(np.float64)
    if method == "slic":
        return slic(pixels, n_segments=100, start_label=0)
    return quickshift(pixels, kernel_size=4, max_dist=200, ratio=0.2, rng=seed)


def mean_colours(image: NDArray[np.float32], segments: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the image (3, h, w) with every superpixel in its mean colour."""
    flat = segments.ravel()
    sizes = np.bincount(flat)
    means = np.stack([np.bincount(flat, channel.ravel()) / sizes for channel in image])
    return means[:, segments].astype(np.float32)


def random_samples(n_samples: int, n_segments: int, seed: int) -> NDArray[np.int64]:
    """Draw which superpixels each sample shows, (n_samples, n_segments) of 0 and 1, in the package's order of draws.

    The first sample is the image itself.
    """
    on = np.random.RandomState(seed).randint(0, 2, n_samples * n_segments).reshape(n_samples, n_segments)
    on[0] = 1
    return on


def coefficients(
    on: NDArray[np.int64], scores: NDArray[np.float64], regressor: Literal["least_squares", "ridge"]
) -> NDArray[np.float64]:
    """Return the regression weight (n_segments,) of every superpixel.

    Parameters
    ----------
    on : (n_samples, n_segments) of 0 and 1, which superpixels each sample shows.
    scores : (n_samples,) score of each sample.
    regressor : weighted least squares, or weighted ridge with alpha 1, both with an intercept.
    """
    # The distance is 1 - cos(sample, all ones). With m of k shown, the cosine is m / sqrt(m k); with none, it is 0.
    distances = 1 - np.sqrt(on.mean(axis=1))
    base: Any = LimeBase(similarity)  # the package has no types
    model = LinearRegression() if regressor == "least_squares" else None
    everything = {"label": 0, "num_features": on.shape[1], "feature_selection": "none"}
    _, weights, _, _ = base.explain_instance_with_data(
        on, scores[:, None], distances, model_regressor=model, **everything
    )
    weight_of = dict(weights)  # the package orders them by magnitude
    return np.asarray([weight_of[segment] for segment in range(on.shape[1])], np.float64)


def similarity(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (n,) in 0..1 of samples by their distance from the image, by the package's exponential kernel."""
    return np.sqrt(np.exp(-((distances / KERNEL_WIDTH) ** 2)))


def too_few_samples(n_samples: int, n_segments: int) -> InputError:
    """Return the error for a regression with more unknowns (superpixels and intercept) than samples."""
    return InputError(
        f"explain.lime.n_samples is {n_samples}, and an image has {n_segments} superpixels",
        "Least squares in LIME must have more samples than an image has superpixels",
        'raise explain.lime.n_samples, or use explain.lime.segments = "slic" or explain.lime.regressor = "ridge"',
    )
