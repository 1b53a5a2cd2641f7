"""Planning: how often each stage of a campaign asks the classifier, counted before it does.

Pure functions of a `Workload`; no Prefect, no files. What is counted is what the stages do, call by call, so a change
of theirs belongs here too (tests count the calls of the real stages and compare).
"""

from dataclasses import dataclass

from tasks.batches import batches
from tasks.explain.methods import SHARD_MAPS, Method, map_groups
from tasks.explain.occlusion import coarse_steps
from tasks.plan.workload import DateCounts, Workload

CHECKED_WINDOWS = 9  # of the first map of a task, by whole passes: see tasks.saliency.occlusion
BACKWARD_COST = 2  # forward passes: a backward pass multiplies as often for the inputs' gradients, and for the weights'


@dataclass(frozen=True)
class StageWork:
    """What one stage asks of the classifier, one saliency method's explanation being a stage of its own.

    Attributes
    ----------
    n_tasks : task runs.
    n_images : images read in, classified or explained; training samples of all epochs.
    forward, backward : images that pass the whole classifier, and that a gradient passes back through the whole of it.
        The short way back of Grad-CAM, through the head alone, is not counted.
    windows : hidden windows of which only what they change is computed.
    """

    stage: str
    n_tasks: int
    n_images: int = 0
    method: Method | None = None
    forward: int = 0
    backward: int = 0
    windows: int = 0

    @property
    def forward_equivalents(self) -> int:
        """All of it in forward passes; a window counts as one, which it is at most."""
        return self.forward + BACKWARD_COST * self.backward + self.windows


def plan_work(work: Workload) -> list[StageWork]:
    """Every stage of a campaign in the order of the DAG; task runs are all that its flow submits.

    Cross-fitting and what else follows the maps ask nothing of the classifier. Left out are the rehearsal's passes of
    one image of noise, a dozen or two.
    """
    n_dates, n_methods = len(work.dates), len(work.explain.methods)
    return [
        StageWork("ingest", 2 + n_dates, work.n_images),
        train_work(work),
        StageWork("predict", n_dates, work.n_images, forward=work.n_images),
        *(explain_work(work, method) for method in work.explain.methods),
        StageWork("cluster", 3 * n_methods, work.n_validation * n_methods),
        StageWork("score", n_methods * (4 + 5 * n_dates), sum(day.n_explained for day in work.dates) * n_methods),
        StageWork("report", 2, work.n_images),
    ]


def train_work(work: Workload) -> StageWork:
    """Epochs times (samples forth and back + validation images forth), after the rehearsal and the augmentation.

    A last batch of one sample is left out, as `tasks.training` does. A given classifier is copied, and costs nothing.
    """
    if work.train is None:
        return StageWork("classifier", 2)
    n = work.n_samples
    used = n - 1 if n > 1 and n % work.train.batch_size == 1 else n
    epochs = work.train.epochs
    return StageWork("train", 3, epochs * n, forward=epochs * (used + work.n_validation), backward=epochs * used)


def explain_work(work: Workload, method: Method) -> StageWork:
    """Passes of one method over the explained images of every date.

    Grad-CAM: one an image, and one a call (of up to `runtime.batch_size` images) to find the layer, unless it is named.
    LIME: `n_samples` an image; an image without contrast would need none. Occlusion: see `occlusion_passes`.
    """
    n_maps = sum(day.n_explained for day in work.dates)
    n_tasks = sum(1 + len(map_groups(day.n_explained, method)) for day in work.dates)
    if method == "gradcam":
        n_calls = 0 if work.explain.gradcam.layer else sum(gradcam_calls(day, work) for day in work.dates)
        return StageWork("explain", n_tasks, n_maps, method, n_maps + n_calls)
    if method == "lime":
        return StageWork("explain", n_tasks, n_maps, method, n_maps * work.explain.lime.n_samples)
    forward, backward, windows = occlusion_passes(work, method)
    checked = CHECKED_WINDOWS * (n_tasks - len(work.dates)) if work.network.is_incremental else 0
    return StageWork(
        "explain", n_tasks, n_maps, method, n_maps * forward + checked, n_maps * backward, n_maps * windows
    )


def gradcam_calls(day: DateCounts, work: Workload) -> int:
    """Calls for a date's maps: a shard is explained `runtime.batch_size` images at a time, the last with fewer."""
    shards = batches(day.n_explained, SHARD_MAPS["gradcam"])
    return sum(-(-(shard.stop - shard.start) // work.runtime.batch_size) for shard in shards)


def occlusion_passes(work: Workload, method: Method) -> tuple[int, int, int]:
    """Forward and backward passes and windows of one map.

    The image as it is passes once. Windows are whole passes too, or where the classifier allows it computed from what
    they change, which takes the image's activations and so one pass more. A preview adds a gradient, one pass forth and
    one back, and computes fewer windows.
    """
    is_preview, params = method == "occlusion_preview", work.explain.occlusion
    side = work.map_shape(method)[0]
    windows = side**2
    if is_preview:
        coarse = len(coarse_steps(side, params.preview_step)) ** 2
        windows = coarse + min(round(params.preview_refined * side**2), side**2 - coarse)
    if work.network.is_incremental:
        return 2 + is_preview, int(is_preview), windows
    return 1 + is_preview + windows, int(is_preview), 0
