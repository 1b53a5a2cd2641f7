"""How a date's saliency maps are divided: into shards, each one file with one owner, and shards into tasks."""

from tasks.classifier import batches
from tasks.saliency.maps import Method

# Maps a shard. At 256 pixels a core takes half a minute for 512 Grad-CAM maps and half an hour for 16 occlusion maps.
SHARD_MAPS: dict[Method, int] = {"gradcam": 512, "occlusion": 16, "occlusion_preview": 16, "lime": 16}
# Shards a task. Starting one costs up to a few seconds (Dask, loading the classifier), so it should run for minutes
# also on a GPU; shards are kept one by one, so that a long task loses no more than a short one.
TASK_SHARDS: dict[Method, int] = {"gradcam": 4, "occlusion": 8, "occlusion_preview": 16, "lime": 8}


def map_groups(n: int, method: Method) -> list[tuple[int, int]]:
    """First and last map of each task that explains some of `n` images: whole shards, as many as a task takes."""
    return [(part.start, part.stop - 1) for part in batches(n, SHARD_MAPS[method] * TASK_SHARDS[method])]
