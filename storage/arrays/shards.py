"""Read the Zarr arrays of a store; in a bucket, one whole shard per request.

Zarr itself requests the index of a shard and then each chunk: two requests an image. A shard fits in memory, and images
are mostly read in order. So a small cache of whole shards answers all but the first of these requests. It also avoids
suffix ranges (the last n bytes of an object), which some servers do not support.
"""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, ObjectStore, WrapperStore

from storage.places.files import Place, open_file, read_file
from storage.places.objects import ObjectPath

KEPT = 4  # shards cached for each open array; a shard of 64 photographs of 256 x 256 pixels has 12 MB


def reading_store(place: Place) -> Any:
    """Return the Zarr store through which the array at a place is read."""
    return ObjectArray(place) if isinstance(place, ObjectPath) else FolderArray(place, read_only=True)


class FolderArray(LocalStore):
    """Zarr store of one array in a folder."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the content of a file, or a range of it; None where there is no such file.

        Raises
        ------
        FileNotFoundError : a shard is missing.
        ArtifactError : the file is a link, pipe or device.
        """
        path = self.root / key
        with suppress(FileNotFoundError, NotADirectoryError):
            open_file(path).close()
        found = await super().get(key, prototype, byte_range)
        # Every shard of a finished array was written. Zarr would read a missing shard as zeros.
        if found is None and is_shard(key):
            raise FileNotFoundError(f"{path} is missing")
        return found

    def read_whole(self, key: str) -> bytes:
        """Return the content of a shard.

        Raises
        ------
        FileNotFoundError : the shard is missing.
        ArtifactError : the file is a link, pipe or device.
        """
        return read_file(self.root / key)


def is_shard(key: str) -> bool:
    """Return whether a key of an array names a shard, and no metadata."""
    return key not in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


class ObjectArray(WrapperStore[ObjectStore[Any]]):
    """Read-only Zarr store of one array in a bucket; it caches the last `KEPT` shards."""

    def __init__(self, place: ObjectPath) -> None:
        super().__init__(ObjectStore(place.bucket.client, read_only=True))
        self._place = place
        self._reading: OrderedDict[str, asyncio.Task[bytes | None]] = OrderedDict()

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return the content of an object, or a range of it; None where there is no such object.

        Raises
        ------
        FileNotFoundError, PermissionError, OSError : a shard is missing, or the request failed.
        """
        # One event loop does all reading of an array, so no other call comes between these lines.
        if key not in self._reading:
            self._reading[key] = asyncio.ensure_future(asyncio.to_thread(self._read, key))
            if len(self._reading) > KEPT:
                self._reading.popitem(last=False)
        self._reading.move_to_end(key)
        content = await self._reading[key]
        return None if content is None else prototype.buffer.from_bytes(content[_slice(byte_range)])

    def read_whole(self, key: str) -> bytes:
        """Return the content of a shard, from the cache where it is there; errors are those of `get`."""
        found = sync(self.get(key, default_buffer_prototype()))
        assert found is not None  # a missing shard is an error
        return found.to_bytes()

    def _read(self, key: str) -> bytes | None:
        try:
            return (self._place / key).read_bytes()
        except FileNotFoundError:
            if is_shard(key):  # as in a folder
                raise
            return None


def _slice(asked: ByteRequest | None) -> slice:
    if isinstance(asked, RangeByteRequest):
        return slice(asked.start, asked.end)
    if isinstance(asked, OffsetByteRequest):
        return slice(asked.offset, None)
    return slice(-asked.suffix, None) if isinstance(asked, SuffixByteRequest) else slice(None)
