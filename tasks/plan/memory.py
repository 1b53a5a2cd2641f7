"""Planning: the peak memory of a task of each stage. Pure functions of a `Workload`; no Prefect.

Formulas follow what the stages hold at their largest moment; factors for copies are those of the code, rounded up. So
the plan is an upper bound with a margin (tests measure processes against it). What a process takes before it does
anything, Python and its libraries, is not in it: it is measured where the plan is made.
"""

from dataclasses import dataclass

from storage.arrays.specs import IMAGES
from storage.tables import ASSIGNMENTS, AUGMENTATION, OBSERVATIONS, PREDICTIONS, RELIABILITIES
from storage.tables.parquet import ROWS_AT_ONCE
from storage.tables.widths import VALUE_BYTES, row_in_memory
from tasks.cluster.axes import VECTORS_AT_ONCE
from tasks.cluster.spectral import DENSE_LIMIT, KEPT_NEIGHBOURS
from tasks.explain.methods import SHARD_MAPS, Method, map_groups
from tasks.plan.workload import DateCounts, Workload

FLOAT, PIXEL_FLOATS = 8, 4  # bytes of a float64; of a pixel's byte as float32
LAYERS_IN_FLIGHT = 2.5  # of the largest: a layer's input and output, and part of them in the library's own layout
TRAINING_COPIES = 1.5  # of all activations: kept for the way back, gradients of a layer or two, gaps between batches
INPUT_COPIES = 6  # of a training batch: its samples, put together, laid out; and of the next, which is made meanwhile
LOADED_WEIGHTS = 3  # the file, what is read of it, the model
TRAINED_WEIGHTS, CHECKPOINT_WEIGHTS = 5, 9  # gradients, Adam's two, a copy; all as bytes
# Loading, the folded copy, kernels of 3 x 3 as 36 matrices (4 times the weights) and in oneDNN's layout, and what the
# allocator keeps of making these.
EXPLAINED_WEIGHTS = 16
WINDOW_LAYERS = 0.8  # of the largest layer, for what a hidden window changes in all layers; a GPU was seen to take 0.73
LISTED_IN_MEMORY = 5000  # bytes of an image in a listing as Python values
MATRICES_AT_ONCE = 3  # of affinities, or inner products: the matrix, its copy in a solver, and a part of it or scale
DENSE_MATRICES = 5  # the same where LAPACK finds all eigenvalues: normalised, and what it overwrites
LIBRARIES = 60_000_000  # bytes of what clustering loads first, and its threads
ISOMETRIC_MATRICES = 4  # inner products, their factor, its triangle, coordinates
ANSWER_COPIES = 4  # of logits and features: as they are stored, as float64, and what distances are taken of
LABELS = 5  # columns of the predictions that are read of all of a date's images
FOLD_COPIES = 2.5  # of coordinates: all, those outside a fold, and outside a fold of these


@dataclass(frozen=True)
class StageMemory:
    """Peak of one task of a stage, in bytes beside Python and its libraries.

    Attributes
    ----------
    n_at_once : tasks of the stage that run side by side.
    host : what is always in the machine's own memory.
    passes : weights and activations, which are on the GPU where there is one.
    """

    stage: str
    n_at_once: int
    host: int
    passes: int = 0
    method: Method | None = None

    @property
    def worker(self) -> int:
        """Of one task on a machine without a GPU."""
        return self.host + self.passes


def plan_memory(work: Workload) -> list[StageMemory]:
    """Peak memory of every stage in the order of the DAG."""
    largest = max(work.dates, key=lambda day: day.n_images)
    side_by_side = min(work.runtime.workers, len(work.dates))
    rehearsal = EXPLAINED_WEIGHTS * work.network.weight_bytes + pass_bytes(work, 1)
    stages = [
        StageMemory("ingest", side_by_side, ingest_bytes(work, largest)),
        StageMemory("rehearse", 1, 0, rehearsal),
    ]
    if work.train is not None:
        stages.append(StageMemory("train", 1, *train_bytes(work)))
    stages.append(StageMemory("predict", side_by_side, *predict_bytes(work, largest)))
    stages += [explain_memory(work, method) for method in work.explain.methods]
    n_fits = min(work.runtime.workers, len(work.explain.methods))
    largest_fit = max(cluster_bytes(work, method) for method in work.explain.methods)
    return [
        *stages,
        StageMemory("cluster", n_fits, largest_fit),
        StageMemory("score", side_by_side, score_bytes(work, largest)),
        StageMemory("report", 1, report_bytes(work)),
    ]


def ingest_bytes(work: Workload, day: DateCounts) -> int:
    """A shard of images twice, and the date's listing: as it was read, and with the rows of the table."""
    shard = 2 * (IMAGES.shard or 1) * work.image_bytes
    return shard + day.n_images * (2 * LISTED_IN_MEMORY + row_in_memory(OBSERVATIONS.name))


def train_bytes(work: Workload) -> tuple[int, int]:
    """All training images twice while they are put together, all validation images and the largest date's, the plan of
    samples as Python values; and in passes, weights with Adam's numbers and a batch's activations or a checkpoint.
    """
    assert work.train is not None
    n_images = 2 * work.n_training + 2 * work.n_validation + max(day.n_images for day in work.dates)
    host = n_images * work.image_bytes + 2 * work.n_samples * row_in_memory(AUGMENTATION.name)
    of_sample = round(TRAINING_COPIES * work.network.total_bytes) + INPUT_COPIES * PIXEL_FLOATS * work.image_bytes
    at_peak = (
        work.train.batch_size * of_sample,
        pass_bytes(work, work.images_a_pass),
        CHECKPOINT_WEIGHTS * work.network.weight_bytes,
    )
    return host, TRAINED_WEIGHTS * work.network.weight_bytes + max(at_peak)


def predict_bytes(work: Workload, day: DateCounts) -> tuple[int, int]:
    """A shard of images, the date's logits and features twice, its tables; and in passes, weights and one."""
    vectors = 2 * PIXEL_FLOATS * (work.network.n_features + work.n_classes)
    tables = row_in_memory(OBSERVATIONS.name) + row_in_memory(PREDICTIONS.name)
    host = (IMAGES.shard or 1) * work.image_bytes + day.n_images * (vectors + tables)
    return host, LOADED_WEIGHTS * work.network.weight_bytes + pass_bytes(work, work.images_a_pass)


def pass_bytes(work: Workload, n: int) -> int:
    """Images as they come in and normalised, and the largest layers, of a pass of n images without gradients."""
    return n * (3 * PIXEL_FLOATS * work.image_bytes + round(LAYERS_IN_FLIGHT * work.network.largest_bytes))


def explain_memory(work: Workload, method: Method) -> StageMemory:
    """Predictions of the date, a shard of maps three times as it is scaled; and in passes, weights and a batch.

    A pass on a CPU may take fewer images than a batch; what is prepared for it, all of them.
    """
    largest = max(day.n_explained for day in work.dates)
    n_tasks = sum(len(map_groups(day.n_explained, method)) for day in work.dates)
    rows, cols = work.map_shape(method)
    shard = min(SHARD_MAPS[method], largest) * rows * cols * 3 * PIXEL_FLOATS
    table = max(day.n_images for day in work.dates) * row_in_memory(PREDICTIONS.name)
    batch = work.runtime.batch_size
    passes = EXPLAINED_WEIGHTS * work.network.weight_bytes + pass_bytes(work, work.images_a_pass)
    passes += batch * 4 * PIXEL_FLOATS * work.image_bytes
    if method.startswith("occlusion") and work.network.is_incremental:
        windows = min(work.windows_a_pass, rows * cols)
        passes += 2 * work.network.total_bytes + round(windows * WINDOW_LAYERS * work.network.largest_bytes)
    return StageMemory("explain", min(work.runtime.workers, max(n_tasks, 1)), shard + table, passes, method)


def cluster_bytes(work: Workload, method: Method) -> int:
    """Of the largest of clustering, cross-fitting and trying other parameters, n validation maps of f pixels each.

    Coordinates (n, min(n, f)), folds' copies of them, two blocks of vectors, matrices of min(n, f) for the axes; then
    affinities of all pairs, up to `cluster.max_exact` maps, or of each map's nearest. Where maps have more pixels than
    there are maps, cross-fitting needs all inner products of pairs, however many: that is what limits n.
    """
    rows, cols = work.map_shape(method)
    n, features = work.n_validation, rows * cols
    kept = min(n, features)
    coordinates = round(FOLD_COPIES * n * kept)
    blocks = 2 * min(n, VECTORS_AT_ONCE) * features
    matrices = [MATRICES_AT_ONCE * kept**2, affinity_values(n, work.cluster.max_exact)]
    if features > n:
        matrices.append(ISOMETRIC_MATRICES * n**2)
    embedding = n * max(20, 4 * (work.cluster.n_clusters + 1))
    answers = 3 * n * (work.network.n_features + work.n_classes)
    return LIBRARIES + FLOAT * (coordinates + blocks + max(matrices) + embedding + answers)


def affinity_values(n: int, max_exact: int) -> int:
    """Float64 values of the affinities of n maps and their copies; a sparse one has an index with each, both ways."""
    if n <= max_exact:
        return (DENSE_MATRICES if n <= DENSE_LIMIT else MATRICES_AT_ONCE) * n**2
    return 2 * MATRICES_AT_ONCE * 2 * KEPT_NEIGHBOURS * n


def score_bytes(work: Workload, day: DateCounts) -> int:
    """Some of a date's images with their answers and rows as Python values, the others' labels, blocks of distances."""
    vectors = ANSWER_COPIES * FLOAT * (work.network.n_features + work.n_classes)
    rows = row_in_memory(ASSIGNMENTS.name) + 2 * row_in_memory(RELIABILITIES.name)
    labels = day.n_images * LABELS * VALUE_BYTES
    return min(day.n_explained, ROWS_AT_ONCE) * (vectors + rows) + labels + 3 * FLOAT * 2**22


def report_bytes(work: Workload) -> int:
    """Rows of every date and method as Python values and as the page's text; accuracy is measured on them too."""
    n_rows = sum(day.n_explained for day in work.dates) * len(work.explain.methods)
    return 2 * n_rows * row_in_memory(RELIABILITIES.name) + work.n_images * row_in_memory(OBSERVATIONS.name)
