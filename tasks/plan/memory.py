"""Plan the peak memory of a task of each stage. Pure functions of a `Workload`; no Prefect.

Formulas follow what a stage holds at its peak. Factors for copies are those of the code, rounded up. So the plan is an
upper bound with a margin (tests measure processes against it). The memory of Python and its libraries is not included.
It is measured where the plan is made.
"""

from dataclasses import dataclass

from storage.arrays.specs import IMAGES
from storage.tables import ASSIGNMENTS, AUGMENTATION, DECIDED, OBSERVATIONS, PREDICTIONS, RELIABILITIES
from storage.tables.parquet import ROWS_AT_ONCE
from storage.tables.widths import VALUE_BYTES, row_in_memory
from tasks.cluster.axes import VECTORS_AT_ONCE
from tasks.cluster.spectral import DENSE_LIMIT, KEPT_NEIGHBOURS
from tasks.explain.engine.states import MOST_SHARE, MOST_VALUES
from tasks.explain.methods import SHARD_MAPS, map_groups
from tasks.explain.params import Method
from tasks.plan.workload import DateCounts, Workload
from tasks.sources.raster import CACHE_BYTES

FLOAT, PIXEL_FLOATS = 8, 4  # bytes of a float64, and bytes of a float32 per stored byte of a pixel
LAYERS_IN_FLIGHT = 2.5  # largest layers held in a pass: input, output, and part of them in the library's own layout
TRAINING_COPIES = 1.5  # copies of all activations in training: kept ones, gradients of a layer or two, allocator gaps
INPUT_COPIES = 6  # copies of a training batch: samples, stacked, laid out, each also for the next batch
LOADED_WEIGHTS = 3  # copies of the weights in loading: the file, its content, the model
TRAINED_WEIGHTS, CHECKPOINT_WEIGHTS = 5, 9  # copies of the weights in training, and more while a checkpoint is written
PRIMITIVES = 40_000_000  # bytes of what the library keeps of the layers that it computes, in explaining
EXPLAINED_WEIGHTS = 4  # copies of the weights in explaining: read twice in loading, folded, in the library's own layout
# Copies of the 3x3 kernels that may run as Winograd tiles: 64 matrices are 7 times a kernel, and are made from more.
# Where layers are computed in part, two copies of every kernel are for places that have no tile.
TILE_KERNELS, PART_KERNELS = 8, 2
# Tables of layers that LIME's samples share, which are held at once, and copies of the weights beside those for whole
# passes: folded, and in the library's own layout.
SHARED_TABLES, SHARED_WEIGHTS = 3, 2
WINDOW_LAYERS = 0.8  # largest layers per hidden window for its changes in all layers; 0.73 was measured on a GPU
LISTED_IN_MEMORY = 2500  # bytes per image while a date is listed; 1,250 were measured where a source reads one manifest
MATRICES_AT_ONCE = 3  # matrices held for affinities or inner products: itself, a solver's copy, and a part or scale
DENSE_MATRICES = 5  # matrices held where LAPACK finds all eigenvalues: also normalised, and what it overwrites
LIBRARIES = 60_000_000  # bytes of the libraries and threads that clustering starts
ISOMETRIC_MATRICES = 4  # matrices held by `isometric`: inner products, their factor, its triangle, coordinates
ANSWER_COPIES = 4  # copies of logits and features: as stored, as float64, and as arguments of distances
LABELS = 5  # columns of the predictions that are read for all images of a date
TILES, TILE_BYTES = 1500, 50_000  # small pictures of the largest size that the report holds, and bytes of one
FOLD_COPIES = 2.5  # copies of coordinates: all, those outside a fold, and those outside a fold of these


@dataclass(frozen=True)
class StageMemory:
    """Peak memory of one task of a stage, in bytes, without Python and its libraries.

    Attributes
    ----------
    n_at_once : tasks of the stage that run in parallel.
    host : bytes that are always in the machine's main memory.
    passes : bytes of weights and activations, which are on the GPU if there is one.
    method : saliency method of the stage; None if the stage does not depend on one.
    """

    stage: str
    n_at_once: int
    host: int
    passes: int = 0
    method: Method | None = None

    @property
    def worker(self) -> int:
        """Return the peak memory of one task on a machine without a GPU, in bytes."""
        return self.host + self.passes


def plan_memory(work: Workload) -> list[StageMemory]:
    """Return the peak memory of every stage, in the order of the DAG."""
    largest = max(work.dates, key=lambda day: day.n_images)
    side_by_side = min(work.runtime.workers, len(work.dates))
    n_tried = 1 if work.train is not None else work.images_a_pass
    rehearsal = max(explained_weights(work, method) for method in work.explain.methods) + pass_bytes(work, n_tried)
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
    """Return bytes of ingest.

    These are a shard of images twice, and a record of every image of the date. Crops also need the decoded blocks of
    orthophotos.
    """
    blocks = CACHE_BYTES if day.n_crops else 0
    shard = 2 * (IMAGES.shard or 1) * work.image_bytes
    return blocks + shard + day.n_images * LISTED_IN_MEMORY


def train_bytes(work: Workload) -> tuple[int, int]:
    """Return bytes of training in main memory and in passes.

    Main memory holds all training images twice while they are joined, all validation images, those of the largest date,
    and the list of samples as Python values. Passes hold the weights with Adam's state, and the activations of a batch
    or a checkpoint.
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
    """Return bytes of prediction in main memory and in passes.

    Main memory holds a shard of images, the date's logits and features twice, and its tables. Passes hold the weights
    and the activations of one pass.
    """
    vectors = 2 * PIXEL_FLOATS * (work.network.n_features + work.n_classes)
    tables = row_in_memory(OBSERVATIONS.name) + row_in_memory(PREDICTIONS.name)
    host = (IMAGES.shard or 1) * work.image_bytes + day.n_images * (vectors + tables)
    return host, LOADED_WEIGHTS * work.network.weight_bytes + pass_bytes(work, work.images_a_pass)


def pass_bytes(work: Workload, n: int) -> int:
    """Return bytes of a pass of n images without gradients: images, raw and normalised, and the largest layers."""
    return n * (3 * PIXEL_FLOATS * work.image_bytes + round(LAYERS_IN_FLIGHT * work.network.largest_bytes))


def explain_memory(work: Workload, method: Method) -> StageMemory:
    """Return the memory of an explaining task.

    Main memory holds the date's predictions, and a shard of maps three times while it is scaled. Passes hold the
    weights and a batch. On a CPU, a pass may take fewer images than a batch, but the inputs of a whole batch are
    prepared.
    """
    largest = max(day.n_explained for day in work.dates)
    n_tasks = sum(len(map_groups(day.n_explained, method)) for day in work.dates)
    rows, cols = work.map_shape(method)
    shard = min(SHARD_MAPS[method], largest) * rows * cols * 3 * PIXEL_FLOATS
    table = max(day.n_images for day in work.dates) * row_in_memory(PREDICTIONS.name)
    batch = work.runtime.batch_size
    passes = explained_weights(work, method) + pass_bytes(work, work.images_a_pass)
    passes += batch * 4 * PIXEL_FLOATS * work.image_bytes
    if method == "lime":
        passes += shared_bytes(work)
    if hides_windows(work, method):
        windows = min(work.windows_a_pass, rows * cols)
        passes += 2 * work.network.total_bytes + round(windows * WINDOW_LAYERS * work.network.largest_bytes)
    return StageMemory("explain", min(work.runtime.workers, max(n_tasks, 1)), shard + table, passes, method)


def shared_bytes(work: Workload) -> int:
    """Return bytes of the layers that LIME's samples of an image share, and of the passes that compute them."""
    if not work.network.shares_layers:
        return 0
    largest = MOST_SHARE * work.explain.lime.n_samples * work.network.largest_bytes
    held = SHARED_WEIGHTS * work.network.weight_bytes + TILE_KERNELS * work.network.tiled_bytes
    return held + SHARED_TABLES * min(round(largest), PIXEL_FLOATS * MOST_VALUES)


def hides_windows(work: Workload, method: Method) -> bool:
    """Return whether a method computes only what hidden windows change."""
    return method.startswith("occlusion") and work.network.is_incremental


def explained_weights(work: Workload, method: Method) -> int:
    """Return bytes of the weights in all forms that explaining holds, as if this processor gained by every tile."""
    network = work.network
    held = PRIMITIVES + EXPLAINED_WEIGHTS * network.weight_bytes
    if hides_windows(work, method):
        return held + PART_KERNELS * network.kernel_bytes + TILE_KERNELS * network.tiled_bytes
    return held + TILE_KERNELS * network.tiled_bytes


def cluster_bytes(work: Workload, method: Method) -> int:
    """Return bytes of the largest of clustering, cross-fitting and sensitivity, for n validation maps of f pixels.

    Held are coordinates (n, min(n, f)) with the copies of folds, two blocks of vectors, and matrices of side min(n, f)
    for the axes. Then come affinities, of all pairs up to `cluster.max_exact` maps, above it of each map's nearest. If
    maps have more pixels than there are maps, cross-fitting needs the inner products of all pairs. This limits n.
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
    """Return the number of float64 values of the affinities of n maps, with their copies.

    A sparse affinity has an index with each value, and each pair in both directions.
    """
    if n <= max_exact:
        return (DENSE_MATRICES if n <= DENSE_LIMIT else MATRICES_AT_ONCE) * n**2
    return 2 * MATRICES_AT_ONCE * 2 * KEPT_NEIGHBOURS * n


def score_bytes(work: Workload, day: DateCounts) -> int:
    """Return bytes of scoring and deciding.

    Scoring holds a batch of images with answers and rows, the labels of the others, and distances. Deciding holds the
    decisions of a whole date.
    """
    vectors = ANSWER_COPIES * FLOAT * (work.network.n_features + work.n_classes)
    rows = row_in_memory(ASSIGNMENTS.name) + 2 * row_in_memory(RELIABILITIES.name)
    labels, decided = day.n_images * LABELS * VALUE_BYTES, day.n_explained * row_in_memory(DECIDED.name)
    return min(day.n_explained, ROWS_AT_ONCE) * (vectors + rows) + labels + decided + 3 * FLOAT * 2**22


def report_bytes(work: Workload) -> int:
    """Return bytes of the report: rows of every date and method as Python values and as text of the pages.

    Measuring accuracy holds the same rows. The plant explorer holds the small pictures of a date.
    """
    n_explained = sum(day.n_explained for day in work.dates)
    rows = 2 * n_explained * len(work.explain.methods) * row_in_memory(RELIABILITIES.name)
    explorer = min(n_explained, TILES) * TILE_BYTES
    return rows + work.n_images * row_in_memory(OBSERVATIONS.name) + explorer
