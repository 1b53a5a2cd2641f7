"""Reading Zarr arrays of a store, in a bucket shard by shard.

Zarr asks a bucket for the index of a shard and then for each chunk, two requests an image. A shard is small enough to
be taken whole, and images are mostly read in order, so that a few shards that are kept answer all but the first of
these requests. It also spares the range counted from the end that Zarr asks for, which not every server knows.
"""

import asyncio
from collections import OrderedDict
from typing import Any

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore, WrapperStore

from storage.places.files import Place
from storage.places.objects import ObjectPath

KEPT = 4  # shards in memory for each array that is open; one of 64 photographs of 256 pixels has 12 MB


def reading_store(place: Place) -> Any:
    """What Zarr reads the array at a place through."""
    return ObjectArray(place) if isinstance(place, ObjectPath) else str(place)


class ObjectArray(WrapperStore[ObjectStore[Any]]):
    """An array in a bucket, to be read: the last `KEPT` shards are kept."""

    def __init__(self, place: ObjectPath) -> None:
        super().__init__(ObjectStore(place.bucket.client, read_only=True))
        self._place = place
        self._reading: OrderedDict[str, asyncio.Task[bytes | None]] = OrderedDict()

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Content of an object, or a range of it; None where there is no such object.

        Raises
        ------
        FileNotFoundError, PermissionError, OSError : a shard is lost, or the request failed.
        """
        # All reading of one array is done by one event loop, so nothing happens between these lines.
        if key not in self._reading:
            self._reading[key] = asyncio.ensure_future(asyncio.to_thread(self._read, key))
            if len(self._reading) > KEPT:
                self._reading.popitem(last=False)
        self._reading.move_to_end(key)
        content = await self._reading[key]
        return None if content is None else prototype.buffer.from_bytes(content[_slice(byte_range)])

    def _read(self, key: str) -> bytes | None:
        try:
            return (self._place / key).read_bytes()
        except FileNotFoundError:
            # Every shard of a finished array was written; Zarr would take a lost one for zeros.
            if key.startswith("c/"):
                raise
            return None


def _slice(asked: ByteRequest | None) -> slice:
    if isinstance(asked, RangeByteRequest):
        return slice(asked.start, asked.end)
    if isinstance(asked, OffsetByteRequest):
        return slice(asked.offset, None)
    return slice(-asked.suffix, None) if isinstance(asked, SuffixByteRequest) else slice(None)
