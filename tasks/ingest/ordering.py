"""Bring images that were read in another order back into that of their listing, without holding them in memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Observation(NamedTuple):
    """One listed image that was read.

    Attributes
    ----------
    position : its position in the listing.
    height, width : size of the file's image in pixels; 0 if it cannot be read.
    image : pixels (size, size, 3); None if it cannot be read.
    problem : why it cannot be read; empty if it can.
    """

    position: int
    height: int
    width: int
    image: NDArray[np.uint8] | None
    problem: str


class Shelf:
    """Images of one shape in a file, which has only as many places as images were ever in it at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._n_places, self._free = file, 0, list[int]()

    def put(self, image: NDArray[np.uint8]) -> int:
        """Write an image and return its place."""
        if not self._free:
            self._free.append(self._n_places)
            self._n_places += 1
        place = self._free.pop()
        self._file.seek(place * image.nbytes)
        self._file.write(image.tobytes())
        return place

    def take(self, place: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Read an image back, and free its place."""
        n_bytes = int(np.prod(shape))
        self._file.seek(place * n_bytes)
        self._free.append(place)
        return np.frombuffer(self._file.read(n_bytes), np.uint8).reshape(shape)


def in_listing_order(read: Iterable[Observation], folder: Path) -> Iterator[Observation]:
    """Yield observations in the order of their listing; those that come early wait in a temporary file.

    Parameters
    ----------
    read : observations in any order, each position from 0 once, with images of one shape.
    folder : folder of the temporary file, on a disk with room for the images.
    """
    due = 0
    waiting: dict[int, tuple[Observation, int | None]] = {}
    with TemporaryFile(dir=folder) as file:
        shelf, shape = Shelf(file), (0,)
        for one in read:
            if one.position == due:
                yield one
                due += 1
            elif one.image is None:
                waiting[one.position] = one, None
            else:
                shape = one.image.shape
                waiting[one.position] = one._replace(image=None), shelf.put(one.image)
            while due in waiting:
                kept, place = waiting.pop(due)
                yield kept if place is None else kept._replace(image=shelf.take(place, shape))
                due += 1
