"""Encode and decode whole files of Zarr arrays in one loop.

Zarr hands every image of a shard to a thread of its own, which takes many times as long as compressing it. Here are the
same bytes: the sharding codec of Zarr's specification, with an index at the end
(https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html). Other layouts are left to Zarr.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numcodecs import blosc  # pyright: ignore -- a compiled module
from numpy.typing import NDArray

if TYPE_CHECKING:
    import zarr

ABSENT = np.iinfo(np.uint64).max  # offset and length of an image that a shard does not hold
INDEX_ENTRY, CHECKSUM = 16, 4  # bytes of an image's offset and length, and of the index's checksum
BLOSC_HEADER = 16  # bytes; the last four say how long the compressed content is
SHUFFLES = {"noshuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}


@dataclass(frozen=True)
class FileEncoding:
    """Encoding of an array's files.

    Attributes
    ----------
    length : images per file.
    image : shape of an image; without axes where the images are numbers.
    dtype : type of the values, with the lowest byte first.
    fill : value of images that a shard does not hold.
    compress : compresses each image of a shard, or the file as a whole, with Blosc.
    is_sharded : whether a file is a shard; otherwise it is a single compressed chunk.
    """

    length: int
    image: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    compress: Callable[[NDArray[np.uint8]], bytes]
    is_sharded: bool

    def encode(self, images: NDArray[Any]) -> list[bytes]:
        """Return the parts of the file that holds some images (n, ...), at most `length`, in order."""
        plain = np.ascontiguousarray(images, self.dtype)
        if not self.is_sharded:
            return [self._compress(plain)]
        parts = [self._compress(image) for image in plain]
        lengths = np.asarray([len(part) for part in parts], np.uint64)
        index = np.full((self.length, 2), ABSENT, "<u8")
        index[: len(parts)] = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)
        content = index.tobytes()
        return [*parts, content, _checksum(content)]

    def decode(self, content: bytes, n: int) -> NDArray[Any]:
        """Return the first `n` images (n, ...) of a file.

        Raises
        ------
        ValueError, RuntimeError : the content is damaged.
        """
        if not self.is_sharded:
            return self._decompress(content, (n, *self.image)).copy()
        end = len(content) - CHECKSUM
        start = end - INDEX_ENTRY * self.length
        if start < 0 or _checksum(content[start:end]) != content[end:]:
            raise ValueError("the index of the shard does not have its checksum")
        images = np.empty((n, *self.image), self.dtype)
        index = np.frombuffer(content, "<u8", 2 * self.length, start).reshape(-1, 2)
        for image, (offset, size) in enumerate(index[:n].tolist()):
            if offset == ABSENT:
                images[image] = self.fill
            else:
                images[image] = self._decompress(content[offset : offset + size], self.image)
        return images

    def _compress(self, values: NDArray[Any]) -> bytes:
        return self.compress(values.reshape(-1).view(np.uint8))

    def _decompress(self, content: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
        # Blosc would read beyond the end of a content that is shorter than it says itself.
        if len(content) < BLOSC_HEADER or int.from_bytes(content[12:BLOSC_HEADER], "little") != len(content):
            raise ValueError("compressed values do not have the length that they state")
        return np.frombuffer(blosc.decompress(content), self.dtype).reshape(shape)


def _checksum(content: bytes) -> bytes:
    return int(google_crc32c.value(content)).to_bytes(CHECKSUM, "little")  # pyright: ignore


def file_encoding(array: "zarr.Array[Any]") -> FileEncoding | None:
    """Return how the files of an array are encoded: shards of single images, or one compressed chunk.

    Returns None for all other layouts, texts and arrays without values.
    """
    codecs = [codec.to_dict() for codec in array.metadata.codecs]  # pyright: ignore
    if array.size == 0 or array.dtype.kind not in "biuf":
        return None
    if array.shards is not None and array.chunks == (1, *array.shape[1:]) and array.shards[1:] == array.shape[1:]:
        length, is_sharded = array.shards[0], True
    elif array.shards is None and array.chunks == array.shape:
        length, is_sharded = array.shape[0], False
    else:
        return None
    found = _compressor(codecs)
    if found is None or found[1] != is_sharded:
        return None
    dtype = array.dtype.newbyteorder("<")
    return FileEncoding(length, array.shape[1:], dtype, array.fill_value, found[0], is_sharded)


def _compressor(codecs: Any) -> tuple[Callable[[NDArray[np.uint8]], bytes], bool] | None:
    """Return what compresses as codecs say, and whether they shard; None for other codecs."""
    match codecs:
        case [{"name": "bytes"} as order, {"name": "blosc", "configuration": options}] if _is_little(order):
            # The codec of numcodecs looks at every image in a dozen calls before it does the same.
            told = {"cname": options["cname"].encode(), "shuffle": SHUFFLES[options["shuffle"]]}
            return partial(blosc.compress, **{**options, **told}), False
        case [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "codecs": inner,
                    "index_codecs": [{"name": "bytes"} as order, {"name": "crc32c"}],
                    "index_location": "end",
                },
            }
        ] if _is_little(order):
            found = _compressor(inner)
            return None if found is None or found[1] else (found[0], True)
        case _:
            return None


def _is_little(order: Any) -> bool:
    """Return whether the codec `bytes` puts the lowest byte first; single bytes have no order."""
    return order.get("configuration", {}).get("endian", "little") == "little"
