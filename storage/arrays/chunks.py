"""Say which file of an array holds which images. A file is a shard, or a chunk where an array has no shards."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import zarr


def shard_length(array: "zarr.Array[Any]") -> int:
    """Return the number of images in a file (shard) of an array."""
    return (array.shards or array.chunks)[0]


def covers_whole_shards(part: range, n: int, shard: int) -> bool:
    """Return whether a range of `n` images covers whole shards; the last shard may hold fewer images."""
    is_inside = part.start >= 0 and part.stop <= n
    return is_inside and part.start % shard == 0 and (part.stop % shard == 0 or part.stop == n)


def chunk_key(array: "zarr.Array[Any]", image: int) -> str:
    """Return the name, below the array, of the file that holds an image."""
    return array.metadata.encode_chunk_key((image // shard_length(array), *(0 for _ in array.shape[1:])))
