"""Read the crops of a field's plants from orthophotos that stay open, each block once; and parts of orthophotos."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from storage.errors import InputError
from tasks.sources.contract import ReadImage, SourceImage, UnreadableImage, read_one_by_one
from tasks.sources.field.crops import Tile, open_tiles
from tasks.sources.field.grids import Grid, grid_of
from tasks.sources.field.pixels import Reading, read_window
from tasks.sources.field.rasters import SEPARATOR
from tasks.sources.field.vrt import content_files
from tasks.sources.open_rasters import OpenRasters, reading_order
from tasks.sources.raster import digest_raster, telling_faults
from tasks.sources.remote import locate
from tasks.sources.views import Part, View, read_parts


class OpenTiles:
    """Tiles that stay open while crops are read from them, with their pixel grids."""

    def __init__(self, root: Path, reading: Reading, rasters: OpenRasters) -> None:
        self._root, self._reading, self._rasters = root, reading, rasters
        self._grids: dict[str, Grid] = {}

    def get(self, path: str) -> Tile:
        """Return a tile.

        Raises
        ------
        UnreadableImage : the file is damaged.
        """
        file = locate(self._root, path)
        dataset = self._rasters.get(file)
        if path not in self._grids:
            self._grids[path] = grid_of(dataset, path, self._reading)
        return Tile(path, file, dataset, self._grids[path])

    def read(self, image: SourceImage) -> NDArray[np.uint8]:
        """Read the crop around a plant, shape (side, side, 3), north up, with black where no tile has a pixel.

        Raises
        ------
        UnreadableImage : a tile is damaged.
        """
        paths, centre = image.path.split(SEPARATOR), centre_of(image)
        tile = self.get(paths[0])
        place = tile.grid.place_of(centre)
        crop, known = read_tile(tile, centre, self._reading)
        for other in paths[1:]:
            tile = self.get(other)
            (column, row) = tile.grid.pixels_of(np.array([place[0]]), np.array([place[1]]))[0].tolist()
            pixels, valid = read_tile(tile, (column, row), self._reading)
            taken = valid & ~known
            crop[taken] = pixels[taken]
            known |= taken
        return crop


def read_images(root: Path, images: Sequence[SourceImage], reading: Reading) -> Iterator[ReadImage]:
    """Read the crops of plants tile by tile, and from top to bottom in each.

    Parameters
    ----------
    images : plants as `list_crops` lists them: the path names the tiles, and the centre is that in the first.
    """
    with OpenRasters() as rasters:
        tiles = OpenTiles(root, reading, rasters)

        def find(path: str) -> tuple[DatasetReader, int]:
            tile = tiles.get(path)
            return tile.dataset, tile.height

        places = [(image.path.split(SEPARATOR)[0], centre_of(image)) for image in images]
        yield from read_one_by_one(tiles.read, images, reading_order(places, find))


def read_tile(tile: Tile, centre: tuple[float, float], reading: Reading) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read what a tile holds of a crop: pixels (side, side, 3), black where there is none, and where there are some."""
    corner, size = tile.grid.window_of(centre)
    with telling_faults(tile.file):
        pixels, valid = read_window(tile.dataset, corner, size, reading)
    known = tile.grid.bring_upright(valid.astype(np.uint8) * 255, corner, centre) > 127
    return tile.grid.bring_upright(pixels, corner, centre), known


def read_views(root: Path, day: date, paths: Sequence[str], parts: Sequence[Part], reading: Reading) -> list[View]:
    """Read parts of a date's orthophoto, black where it has no pixel.

    Raises
    ------
    InputError : the tiles have different CRSs or pixel sizes, or cannot be read as stated.
    UnreadableImage : a tile is damaged, or the date has no orthophoto any more.
    """
    if not paths:
        raise UnreadableImage(f"there is no orthophoto of {day} any more")
    with ExitStack() as stack:
        tiles, faults, _ = open_tiles(stack, root, day, paths, reading)
        if not tiles:
            raise UnreadableImage(faults[0])
        return read_parts([tile.dataset for tile in tiles], parts, reading)


def field_fingerprint(root: Path, image: SourceImage, reading: Reading) -> str:
    """Return the SHA-256 (hex) of the content of a crop's tiles, its centre, and how it is read."""
    shown = [file for path in image.path.split(SEPARATOR) for file in content_files(locate(root, path))]
    digests = [digest_raster(file) for file in shown]
    centre = centre_of(image)
    return hashlib.sha256(f"{digests} {centre[0]!r} {centre[1]!r} {reading!r} bicubic".encode()).hexdigest()


def centre_of(image: SourceImage) -> tuple[float, float]:
    """Return the pixel of a plant in its orthophoto."""
    if image.centre is None:
        raise InputError(
            f"{image.plant_id} has no pixel in {image.path}",
            "Every crop must have a centre",
            "list the images of the source anew",
        )
    return image.centre
