"""Read the arrays of artefacts: whole files are decoded at once (`encoding`), everything else by Zarr."""

from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from storage.arrays.chunks import chunk_key, covers_whole_shards
from storage.arrays.encoding import FileEncoding, file_encoding
from storage.errors import ArtifactError

# Exceptions that Zarr and its codecs raise for damaged metadata and shards: where a byte is wrong, nearly any.
DAMAGED = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,  # also of a text that is nested too deeply
    SystemError,
    MemoryError,
    FileNotFoundError,
)


class StoredArray(zarr.Array[Any]):
    """Array of an artefact that is read; a shard that is missing or cannot be decoded is an `ArtifactError`."""

    @cached_property
    def encoding(self) -> FileEncoding | None:
        """Return how the files are encoded; None where only Zarr knows."""
        return file_encoding(self)

    def __getitem__(self, selection: Any) -> Any:
        """Read a part of the array.

        Raises
        ------
        ArtifactError : a shard is missing or damaged.
        """
        try:
            whole = self._whole_files(selection)
            return super().__getitem__(selection) if whole is None else self._decode(whole)
        except ArtifactError:
            raise
        except DAMAGED as error:
            raise ArtifactError(f"{self.store} cannot be read: {error!r}") from error

    def _whole_files(self, selection: Any) -> range | None:
        """Return the selected images if they are those of whole files, else None."""
        chosen = slice(None) if selection is Ellipsis else selection
        if not isinstance(chosen, slice) or self.encoding is None:
            return None
        part = range(*chosen.indices(self.shape[0]))
        is_whole = part.step == 1 and covers_whole_shards(part, self.shape[0], self.encoding.length)
        return part if part and is_whole else None

    def _decode(self, part: range) -> NDArray[Any]:
        """Read images of whole files, file by file."""
        assert self.encoding is not None  # by `_whole_files`
        images = np.empty((len(part), *self.shape[1:]), self.dtype)
        for start in part[:: self.encoding.length]:
            stop = min(start + self.encoding.length, part.stop)
            content = self.store.read_whole(chunk_key(self, start))  # pyright: ignore
            images[start - part.start : stop - part.start] = self.encoding.decode(content, stop - start)
        return images
