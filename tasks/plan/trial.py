"""Prove on synthetic images what predictions and explanations rely on in a given classifier. No Prefect.

The answer for an image must not depend on the other images of its pass, and not on when it is asked for. Passes have
any size up to `runtime.batch_size`: the last one of a date is smaller.
"""

import re

import numpy as np
import torch
from numpy.typing import NDArray

from storage.errors import InputError
from tasks.classify.model import Classifier, check_logits
from tasks.classify.programs import EXPORT, are_probabilities, plain

# Largest difference of one image's logits between passes, as a share of the largest logit. Sums in another order differ
# by 1e-5, and normalisation by the batch by 0.1 and more.
LOGIT_TOLERANCE = 1e-3
FAILURES = (RuntimeError, ValueError, AssertionError, TypeError, LookupError)  # what a model raises for its inputs
AGAIN = "export it again in evaluation mode, for any number of images: " + EXPORT


def varied_images(n: int, size: int) -> NDArray[np.uint8]:
    """Return images (n, size, size, 3) of noise, each with its own colour and contrast.

    Images of equal brightness would not do: their batch has the statistics of each image.
    """
    rng = np.random.default_rng(0)
    colour, contrast = rng.uniform(0, 255, (n, 1, 1, 3)), rng.uniform(0.1, 1, (n, 1, 1, 1))
    noise = rng.uniform(-128, 128, (n, size, size, 3))
    return np.clip(colour + contrast * noise, 0, 255).astype(np.uint8)


def try_passes(classifier: Classifier, size: int, largest: int, is_given_as_logits: bool) -> None:
    """Run passes of 1, 2, 3 and `largest` images, one of them twice, and compare the answers.

    Parameters
    ----------
    size : side of the images, pixels.
    largest : number of images in the largest pass that will be made.
    is_given_as_logits : whether outputs that look like probabilities are refused.

    Raises
    ------
    InputError : the classifier does not take such images or passes, its answers differ, or it returns probabilities.
    """
    images = varied_images(max(largest, 3), size)
    sizes = sorted({1, *(n for n in (2, 3, largest) if n <= largest)})
    answers = {n: _logits(classifier, images[:n], sizes) for n in sizes}
    again = {n: _logits(classifier, images[:n], sizes) for n in sizes[:2]}
    last = images[sizes[-1] - 1 : sizes[-1]]
    for n, repeated in again.items():
        _compare(answers[n], repeated, f"between two passes of the same {_images(n)}")
    for n in sizes[1:]:
        _compare(answers[1], answers[n][:1], f"between a pass of 1 image and one of {n}")
    _compare(
        _logits(classifier, last, sizes), answers[sizes[-1]][-1:], f"between a pass of 1 image and one of {sizes[-1]}"
    )
    if is_given_as_logits and are_probabilities(torch.cat([*answers.values()])):
        raise InputError(
            "The classifier returns numbers in 0..1 that sum to 1 for every image: probabilities, not logits",
            "A classifier must return logits, unless classifier.outputs says otherwise",
            'set classifier.outputs = "probabilities", or export the model without its softmax',
        )


def _logits(classifier: Classifier, images: NDArray[np.uint8], sizes: list[int]) -> torch.Tensor:
    try:
        with torch.no_grad():
            found = classifier.model(classifier.inputs(images))
    except InputError:
        raise
    except torch.OutOfMemoryError:
        raise
    except FAILURES as error:
        raise _refusal(classifier, images.shape, plain(error), sizes) from error
    check_logits(found, len(images), len(classifier.classes))
    return found.float().cpu()


def _refusal(classifier: Classifier, shape: tuple[int, ...], message: str, sizes: list[int]) -> InputError:
    """Say what of its inputs a classifier does not take: their number, their precision or their size."""
    n, side = shape[:2]
    if n > 1 or "shape[0]" in message:
        bound = re.search(r"to be (?:<=|equal to) (\d+)", message)
        most = int(bound.group(1)) if bound and ("<=" in bound.group() or bound.group(1) == "1") else None
        smaller = "" if most is None else f"set runtime.batch_size = {most}, or "
        return InputError(
            f"The classifier takes no pass of {_images(n)}: {message}",
            f"A classifier must take passes of 1 to {sizes[-1]} images (runtime.batch_size)",
            smaller + AGAIN,
        )
    dtypes = {str(p.dtype).removeprefix("torch.") for p in classifier.model.parameters() if p.is_floating_point()}
    if dtypes - {"float32"}:
        return InputError(
            f"The classifier has weights in {', '.join(sorted(dtypes))}, and fails on float32 images: {message}",
            "A classifier must take images in float32",
            "export model.float(): " + EXPORT,
        )
    return InputError(
        f"The classifier fails on images of {side} x {side} pixels: {message}",
        "The classifier must take images (n, 3, size, size) of ingest.image_size",
        f"set ingest.image_size to the size that it takes, or export it for {side} x {side} pixels: {EXPORT}",
    )


def _compare(one: torch.Tensor, other: torch.Tensor, between: str) -> None:
    difference, largest = float((one - other).abs().max()), max(1.0, float(one.abs().max()))
    if difference > LOGIT_TOLERANCE * largest:
        raise InputError(
            f"The answer for one image differs {between}: its logits by up to {difference:.3g}",
            "An image's answer must depend on that image alone; a model in training mode uses its batch, or chance",
            AGAIN,
        )


def _images(n: int) -> str:
    return f"{n} image{'s' * (n != 1)}"
