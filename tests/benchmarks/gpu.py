"""Benchmark a CUDA device: occlusion by full passes and by the incremental engine, and Grad-CAM maps."""

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.classify.model import choose_device
from tasks.explain.engine.forward import fast_forward
from tasks.explain.engine.incremental import take_apart
from tasks.explain.gradcam import GradcamParams
from tasks.explain.occlusion import OcclusionParams, incremental_logits, loop_logits, window_corners
from tasks.parameters import Runtime
from tests.benchmarks.measure import Row, compare, seconds
from tests.benchmarks.saliency import SIZE, classifier, images
from tests.support.maps import gradcam_maps

CAMPAIGN_IMAGES = 390  # validation and test images of the paper


def gpu_rows() -> list[Row]:
    """Compare one occlusion map by the loop and by the incremental engine, and time Grad-CAM for a campaign."""
    choose_device(Runtime(device="cuda"))  # the precision settings of a run
    model, params, name = classifier("cuda"), OcclusionParams(), torch.cuda.get_device_name()
    image, corners = model.normalised(images(1)), window_corners(SIZE, SIZE, params).flatten(0, 1).cuda()
    network = take_apart(model.model)
    assert network is not None
    forwards = {batch: fast_forward(model, Runtime(batch_size=batch), packed=False) for batch in (128, 512)}

    def finished(logits: torch.Tensor) -> NDArray[np.float32]:
        return logits.cpu().numpy()  # waits for the device

    def by_loop(batch: int) -> NDArray[np.float32]:
        return finished(loop_logits(forwards[batch], image, corners, params.patch, batch))

    def by_parts(batch: int) -> NDArray[np.float32]:
        return finished(incremental_logits(network, image, corners, params.patch, batch))

    loop = {batch: seconds(partial(by_loop, batch), 1) for batch in forwards}
    best = min(loop, key=lambda batch: loop[batch])
    expected, rows = by_loop(best), list[Row]()
    for batch in (256, 1024, 4096):
        ours = seconds(partial(by_parts, batch), 2)
        difference = float(np.abs(by_parts(batch) - expected).max() / np.ptp(expected))
        what = f"occlusion map, incremental engine, {batch} windows a pass"
        rows.append(compare(what, ours, f"loop, {best} windows a pass", loop[best], difference, name))
    scene, explained = images(CAMPAIGN_IMAGES), np.zeros(CAMPAIGN_IMAGES, np.int64)
    runtime = Runtime(batch_size=128)
    ours = seconds(lambda: gradcam_maps(model, scene, explained, GradcamParams(), runtime), 2)
    what = f"Grad-CAM, {CAMPAIGN_IMAGES} maps ({CAMPAIGN_IMAGES / ours:,.0f} a second)"
    one = seconds(lambda: gradcam_maps(model, scene, explained, GradcamParams(), Runtime(batch_size=1)), 1)
    return [*rows, compare(what, ours, "the same, batches of 1", one, None, name)]
