"""Measure how fast this machine runs the classifier, and estimate from it how long a campaign takes.

The measurement takes a few seconds. It uses the campaign's own classifier, image size, batch sizes and device, images
of noise, and the code of the stages. Neither weights nor pixels change the time of a convolution. No Prefect, no files.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.classify.model import Classifier, pass_size, predict_logits, rgb_images
from tasks.classify.params import TrainParams
from tasks.classify.training import Training, TrainingSet, train_epoch
from tasks.explain.engine.forward import fast_forward
from tasks.explain.engine.staged import LATE_PASSES, late_pass
from tasks.explain.engine.states import shared_layers
from tasks.explain.lime import superpixels
from tasks.explain.methods import prepare_explainer
from tasks.explain.occlusion import Occlusion, window_corners, windows_a_pass
from tasks.explain.params import ExplainParams
from tasks.explain.samples import sharing_network, usual_image
from tasks.parameters import Runtime
from tasks.plan.passes import BACKWARD_COST, StageWork

AGAIN_BELOW = 1.0  # seconds below which a measurement is repeated, when everything is loaded and warm
MOST_ON_CPU = 64  # most images of a batch to measure with on a CPU; more take as long per image, but minutes in all
SOME_PASSES = 2  # passes of windows to measure, spread over the image because those at its border cost less


@dataclass(frozen=True)
class Rates:
    """Seconds per image, measured with one task at a time; None for work that the campaign does not do.

    Attributes
    ----------
    device : cpu or cuda.
    n_threads : threads of each task on the CPU.
    n_side : tasks that run in parallel.
    speedup : throughput of `n_side` parallel tasks relative to one task.
    forward : seconds of a forward pass, in batches of `runtime.batch_size` (on a CPU at most `MOST_ON_CPU`).
    train : seconds of a training sample, forward and backward, in batches of `train.batch_size` (with the same limit).
    train_float32 : seconds of a training sample in float32, where `train.precision` is another.
    gradcam : seconds of a Grad-CAM map.
    fast : seconds of a pass by the fast model of LIME and occlusion.
    window : seconds of a hidden window for which only its changes are computed.
    segment : seconds of finding an image's superpixels.
    ingest : seconds of reading an image and computing its checksum.
    """

    device: str
    n_threads: int
    n_side: int
    speedup: float
    forward: float
    train: float | None = None
    train_float32: float | None = None
    gradcam: float | None = None
    fast: float | None = None
    window: float | None = None
    segment: float | None = None
    sample: float | None = None
    ingest: float = 0.0


def measure_rates(
    classifier: Classifier, explain: ExplainParams, train: TrainParams | None, size: int, runtime: Runtime, n_side: int
) -> Rates:
    """Measure all work of the campaign for the classifier on a few images of `size` x `size` pixels.

    Parameters
    ----------
    n_side : tasks in parallel, at most the number of processors.
    """
    batch = noise(at_once(runtime.batch_size, classifier), size)
    exact = None if train is None or train.precision == "float32" else train.model_copy(update={"precision": "float32"})
    forward = seconds(lambda: predict_logits(classifier, batch, len(batch)), classifier) / len(batch)
    hides = {"occlusion", "occlusion_preview"} & set(explain.methods)
    return Rates(
        device=classifier.device.type,
        n_threads=torch.get_num_threads(),
        n_side=n_side,
        speedup=speedup(lambda: predict_logits(classifier, batch, len(batch)), forward * len(batch), n_side),
        forward=forward,
        train=None if train is None else time_training(train, classifier, size),
        train_float32=None if exact is None else time_training(exact, classifier, size),
        gradcam=time_gradcam(classifier, explain, runtime, batch) if "gradcam" in explain.methods else None,
        fast=time_fast_pass(classifier, runtime, batch) if hides or "lime" in explain.methods else None,
        window=time_window(classifier, explain, runtime, batch) if hides else None,
        segment=time_superpixels(explain, batch) if "lime" in explain.methods else None,
        sample=time_sample(classifier, explain, runtime, size) if "lime" in explain.methods else None,
    )


def at_once(batch_size: int, classifier: Classifier) -> int:
    """Return the number of images of a batch to measure with."""
    return min(batch_size, MOST_ON_CPU) if classifier.device.type == "cpu" else batch_size


def noise(n: int, size: int) -> NDArray[np.uint8]:
    """Make images of noise (n, size, size, 3)."""
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)


def seconds(call: Callable[[], object], classifier: Classifier) -> float:
    """Measure the seconds of a call; a quick first call is repeated, because it is not yet warm."""
    taken = np.inf
    for _ in range(2):
        start = time.perf_counter()
        call()
        if classifier.device.type == "cuda":
            torch.cuda.synchronize()
        taken = min(taken, time.perf_counter() - start)
        if taken > AGAIN_BELOW:
            break
    return float(taken)


def speedup(call: Callable[[], object], alone: float, n_side: int) -> float:
    """Measure the throughput of `n_side` parallel threads relative to one call, which alone takes `alone` seconds."""
    if n_side < 2:
        return 1.0
    with ThreadPoolExecutor(n_side) as pool:
        start = time.perf_counter()
        wait([pool.submit(call) for _ in range(n_side)])
        return max(1.0, n_side * alone / (time.perf_counter() - start))


def time_training(params: TrainParams, classifier: Classifier, size: int) -> float:
    """Measure the seconds of a training sample, by an epoch of one batch."""
    n, device = at_once(params.batch_size, classifier), classifier.device
    plan = np.stack([np.arange(n), np.zeros(n, np.int64), np.full(n, -1)], axis=1).astype(np.int64)
    samples = TrainingSet(noise(n, size), plan, np.arange(n) % len(classifier.classes))
    # Initial weights do not change the time, and might have to be downloaded.
    plain = params.model_copy(update={"weights": "none", "batch_size": n})
    training = Training.start(plain, len(classifier.classes), device)
    return seconds(lambda: train_epoch(training, samples, plain, device), classifier) / n


def time_gradcam(classifier: Classifier, explain: ExplainParams, runtime: Runtime, pixels: NDArray[np.uint8]) -> float:
    """Measure the seconds of a Grad-CAM map."""
    explainer = prepare_explainer("gradcam", classifier, explain, runtime)
    images = rgb_images(pixels)
    explained = np.zeros(len(images), np.int64)
    explainer(images, explained)  # a task chooses once how to compute
    return seconds(lambda: explainer(images, explained), classifier) / len(images)


def time_fast_pass(classifier: Classifier, runtime: Runtime, pixels: NDArray[np.uint8]) -> float:
    """Measure the seconds of an image in a pass of the fast model."""
    forward = fast_forward(classifier, runtime)
    n = LATE_PASSES * pass_size(classifier.device.type, pixels.shape[1:3], len(pixels))
    inputs = classifier.inputs(pixels[:n])
    forward(inputs)  # a task chooses once how to compute
    return seconds(lambda: forward(inputs), classifier) / len(inputs)


def time_window(
    classifier: Classifier, explain: ExplainParams, runtime: Runtime, pixels: NDArray[np.uint8]
) -> float | None:
    """Measure the seconds of a hidden window; None if each takes a whole pass."""
    occlusion = Occlusion(classifier, explain.occlusion, runtime)
    if occlusion.network is None:
        return None
    image = classifier.inputs(pixels[:1])
    corners = window_corners(image.shape[2], image.shape[3], explain.occlusion).flatten(0, 1)
    n = min(len(corners), SOME_PASSES * windows_a_pass(classifier.device.type, runtime.batch_size))
    some = corners[np.linspace(0, len(corners) - 1, n).astype(int)]
    occlusion.checked.add(image.shape)  # skips the check of nine windows, which is counted as passes
    return seconds(lambda: occlusion.logits(image, some, 0), classifier) / len(some)


def time_superpixels(explain: ExplainParams, pixels: NDArray[np.uint8]) -> float:
    """Measure the seconds of finding an image's superpixels, once, because it takes long and needs no warming up."""
    (image,) = rgb_images(pixels[:1])
    start = time.perf_counter()
    superpixels(image, explain.lime.segments, 0)
    return time.perf_counter() - start


def time_sample(classifier: Classifier, explain: ExplainParams, runtime: Runtime, size: int) -> float | None:
    """Measure the seconds of a sample of LIME that shares early layers with all others of its image.

    None if each takes a whole pass.
    """
    network = sharing_network(classifier, runtime)
    if network is None:
        return None
    n, image = explain.lime.n_samples, usual_image(size, explain.lime.n_samples)
    with torch.inference_mode():
        layers = shared_layers(network, *image)
        if layers is None:
            return None
        some = torch.arange(min(n, late_pass((size, size), runtime.batch_size)))
        once = seconds(lambda: shared_layers(network, *image), classifier) / n
        return once + seconds(lambda: layers.logits(some), classifier) / len(some)


def stage_seconds(stage: StageWork, rates: Rates) -> float | None:
    """Estimate the seconds of a stage from the measured rates; None for clusters, scores and report.

    Stages with several tasks are faster by the measured `speedup`, at most by the number of tasks.
    """
    alone = _alone(stage, rates)
    if alone is None:
        return None
    is_alone = stage.stage == "train" or stage.n_tasks < 2
    return alone if is_alone else alone / min(rates.speedup, stage.n_tasks)


def _alone(stage: StageWork, rates: Rates) -> float | None:
    if stage.stage == "ingest":
        return stage.n_images * rates.ingest
    if stage.stage == "predict":
        return stage.forward * rates.forward
    if stage.stage == "train":
        return stage.backward * (rates.train or 0) + (stage.forward - stage.backward) * rates.forward
    if stage.method == "gradcam":
        return stage.n_images * (rates.gradcam or 0)
    if stage.stage != "explain":
        return None
    passes = stage.forward * (rates.fast or 0) + BACKWARD_COST * stage.backward * rates.forward
    if stage.method == "lime":
        return stage.n_images * (rates.segment or 0) + passes + stage.partial * (rates.sample or 0)
    return passes + stage.partial * (rates.window or 0)
