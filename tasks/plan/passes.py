"""Plan how many forward and backward passes of the classifier each stage of a campaign needs.

Pure functions of a `Workload`; no Prefect, no files. The counts follow the stages call by call. Whoever changes a stage
must change them too (tests count the calls of the real stages and compare).
"""

from dataclasses import dataclass

from tasks.explain.methods import map_groups
from tasks.explain.occlusion import coarse_steps
from tasks.explain.params import Method
from tasks.plan.workload import Workload

CHECKED_WINDOWS = 9  # windows of a task's first map that are checked by whole passes (see tasks.explain.occlusion)
CHECKED_SAMPLES = 9  # samples of a task's first map that are computed in both ways (see tasks.explain.samples)
# Passes of one image by which a task checks its packed model: the classifier's own, one to find where to cut the model,
# and the model itself (see `tasks.explain.engine.forward.ready_model`).
CHECK_PASSES = 3
BACKWARD_COST = 2  # cost of a backward pass in forward passes: one for gradients of inputs, one for those of weights


@dataclass(frozen=True)
class StageWork:
    """Work of one stage for the classifier; each saliency method's explanation is a stage of its own.

    Attributes
    ----------
    n_tasks : number of task runs.
    n_images : images that are read, classified or explained; for training, samples of all epochs.
    forward, backward : images in forward and in backward passes of the whole classifier. Grad-CAM's short backward
        pass, through the last layers only, is not counted.
    partial : images of which only a part is computed: hidden windows of occlusion, and samples of LIME that share their
        early layers.
    """

    stage: str
    n_tasks: int
    n_images: int = 0
    method: Method | None = None
    forward: int = 0
    backward: int = 0
    partial: int = 0

    @property
    def forward_equivalents(self) -> int:
        """Return the work in forward passes; what is computed in part counts as one, which is its upper bound."""
        return self.forward + BACKWARD_COST * self.backward + self.partial


def plan_work(work: Workload) -> list[StageWork]:
    """Return the work of every stage of a campaign, in the order of the DAG, with all task runs of its flow.

    Cross-fitting and all other stages after the maps do not use the classifier. The passes of the rehearsal are not
    counted: up to twelve of one image of noise a method, and with a given classifier seven of up to
    `runtime.batch_size`.
    """
    n_dates, n_methods = len(work.dates), len(work.explain.methods)
    return [
        StageWork("ingest", 2 + n_dates + work.n_backgrounds, work.n_images),
        train_work(work),
        StageWork("predict", n_dates, work.n_images, forward=work.n_images),
        *(explain_work(work, method) for method in work.explain.methods),
        StageWork("cluster", 3 * n_methods, work.n_validation * n_methods),
        StageWork("score", n_methods * (6 + 6 * n_dates), sum(day.n_explained for day in work.dates) * n_methods),
        StageWork("report", 2, work.n_images),
    ]


def train_work(work: Workload) -> StageWork:
    """Return the work of training: in each epoch, samples forward and backward, and validation images forward.

    Task runs include the rehearsal and the augmentation. A last batch of one sample is left out, as in
    `tasks.classify.training`. A given classifier is copied and needs no pass.
    """
    if work.train is None:
        return StageWork("classifier", 2)
    n = work.n_samples
    used = n - 1 if n > 1 and n % work.train.batch_size == 1 else n
    epochs = work.train.epochs
    return StageWork("train", 3, epochs * n, forward=epochs * (used + work.n_validation), backward=epochs * used)


def explain_work(work: Workload, method: Method) -> StageWork:
    """Return the work of one method over the explained images of every date.

    A date has a task for each group of maps, and one that gathers them. The former check first how they compute (see
    `checking_passes`).
    """
    n_maps = sum(day.n_explained for day in work.dates)
    n_groups = sum(len(map_groups(day.n_explained, method)) for day in work.dates)
    forward, backward, partial = passes_a_map(work, method)
    return StageWork(
        "explain",
        n_groups + len(work.dates),
        n_maps,
        method,
        n_maps * forward + n_groups * checking_passes(work, method),
        n_maps * backward,
        n_maps * partial + n_groups * checked_samples(work, method),
    )


def checking_passes(work: Workload, method: Method) -> int:
    """Return the forward passes of one image that a task takes before its maps.

    A packed model is compared with the classifier, and so are windows for which only the changes are computed, and
    samples that share layers. Grad-CAM takes one more to find its layer if none is named.
    """
    if method in ("occlusion", "occlusion_preview") and work.network.is_incremental:
        return CHECKED_WINDOWS
    finds_layer = method == "gradcam" and work.explain.gradcam.layer is None
    return int(finds_layer) + checked_samples(work, method) + CHECK_PASSES * work.network.is_packed


def checked_samples(work: Workload, method: Method) -> int:
    """Return the samples that a task computes whole and with shared layers before its maps."""
    return CHECKED_SAMPLES * (method == "lime" and work.network.shares_layers)


def passes_a_map(work: Workload, method: Method) -> tuple[int, int, int]:
    """Return the forward passes, backward passes and images computed in part of one map.

    Grad-CAM takes one pass. LIME takes `n_samples`, which share their early layers where the classifier allows it,
    although an image without contrast needs none, and one of very many superpixels shares nothing. For occlusion see
    `occlusion_passes`.
    """
    if method == "gradcam":
        return 1, 0, 0
    if method == "lime":
        n = work.explain.lime.n_samples
        return (0, 0, n) if work.network.shares_layers else (n, 0, 0)
    return occlusion_passes(work, method)


def occlusion_passes(work: Workload, method: Method) -> tuple[int, int, int]:
    """Return the forward passes, backward passes and windows of one map of occlusion.

    The unchanged image takes one pass. A window takes a whole pass, or only its changes where the classifier allows it.
    The latter needs the image's activations, and so one more pass. A preview adds a gradient, which is one pass forward
    and one backward, and computes fewer windows.
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
