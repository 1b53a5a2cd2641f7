"""Keep rasters open while many crops are read, in an order in which each block of a raster is read once.

GDAL decodes whole blocks (tiles or strips) and keeps the last of them in a cache of `CACHE_BYTES`. Crops are read from
top to bottom, as if a line swept over the raster. The blocks under the line stay in the cache until it has passed them.
A raster that is so wide that they do not fit is swept in several columns, and only blocks between two columns are read
twice.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from tasks.sources import raster
from tasks.sources.contract import UnreadableImage
from tasks.sources.raster import RasterFile, open_dataset

KEPT_OPEN = 16  # rasters that stay open at a time; a crop between tiles needs a few of them

Centre = tuple[float, float]
"""Pixel (column, row) of a plant."""


class OpenRasters(AbstractContextManager["OpenRasters"]):
    """Rasters that one thread keeps open; of more than `KEPT_OPEN` the one that was used longest ago is closed."""

    def __init__(self) -> None:
        self._open: OrderedDict[RasterFile, DatasetReader] = OrderedDict()

    def get(self, file: RasterFile) -> DatasetReader:
        """Return an open raster.

        Raises
        ------
        UnreadableImage : the file is no raster or is damaged.
        """
        if file in self._open:
            self._open.move_to_end(file)
        else:
            self._open[file] = open_dataset(file)
        if len(self._open) > KEPT_OPEN:
            self._open.popitem(last=False)[1].close()
        return self._open[file]

    def __exit__(self, *_: object) -> None:
        """Close all rasters."""
        while self._open:
            self._open.popitem()[1].close()


def reading_order(
    images: Sequence[tuple[str, Centre | None]], find: Callable[[str], tuple[DatasetReader, int]]
) -> Iterator[int]:
    """Yield the positions of images: of those that are no crops, and then of crops, swept raster by raster.

    Parameters
    ----------
    images : name of the file, and the pixel of the plant in it; None for an image that is no crop of a raster.
    find : returns a raster by its name, and the height of its crops in pixels.
    """
    crops: defaultdict[str, list[tuple[int, Centre]]] = defaultdict(list)
    for position, (name, centre) in enumerate(images):
        if centre is None:
            yield position
        else:
            crops[name].append((position, centre))
    for name, of_raster in crops.items():
        try:
            columns = swept_columns(*find(name))
        except UnreadableImage:  # reading each crop tells what is wrong
            columns = 1
        yield from (of_raster[k][0] for k in sweep(np.array([centre for _, centre in of_raster]), columns))


def sweep(centres: NDArray[np.float64], columns: int) -> list[int]:
    """Return the order of centres (n, 2) from top to bottom, in one strip of some columns of pixels after the other."""
    x, y = np.nan_to_num(centres).reshape(-1, 2).T
    return np.lexsort((x, y, x // columns)).tolist()


def swept_columns(dataset: DatasetReader, height: int) -> int:
    """Return how many columns of pixels are swept together, so that the blocks under the line fit into the cache.

    The line is as thick as a crop is high. The blocks that it touches at a time are needed again until it has passed
    them, and so are those into which crops reach beside the columns.
    """
    rows, columns = dataset.block_shapes[0]
    n_bytes = sum(np.dtype(one).itemsize for one in dataset.dtypes) + 1  # of a pixel, and of a mask
    touched = ((max(height, 2) - 2) // rows + 2) * rows
    n_blocks = raster.CACHE_BYTES // (touched * n_bytes * columns)
    if n_blocks * columns >= dataset.width:
        return dataset.width
    beside = -(-height // 2 // columns)
    return max(1, n_blocks - 2 * beside) * columns
