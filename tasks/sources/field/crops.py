"""List the crops of a field's plants in the orthophotos of each date, of one file or of several tiles."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from storage.errors import InputError
from tasks.sources.contract import LeftOut, SourceImage, UnreadableImage
from tasks.sources.field.grids import DECIMALS, Grid, grid_of
from tasks.sources.field.layers import find_layers, name_layers, refuse_layers_alone
from tasks.sources.field.pixels import Reading, check_pixels, has_nodata, read_mask
from tasks.sources.field.plants import FieldPlant, FieldPlants
from tasks.sources.field.rasters import SEPARATOR
from tasks.sources.field.vrt import refuse_absent_files
from tasks.sources.open_rasters import sweep, swept_columns
from tasks.sources.projections import transform
from tasks.sources.raster import RasterFile, open_raster, telling_faults
from tasks.sources.remote import locate

NODATA_SHARE = 0.01  # share of no-data pixels in the middle of a crop above which its plant counts as hit


@dataclass(frozen=True, slots=True)
class Tile:
    """An open orthophoto, or one of several tiles of a date, and its pixel grid."""

    path: str
    file: RasterFile
    dataset: DatasetReader
    grid: Grid

    @property
    def height(self) -> int:
        """Return the height of the window that a crop needs, pixels."""
        return self.grid.window_of((0.0, 0.0))[1][1]


Placed = tuple[Tile, tuple[float, float]]
"""Tile, and the pixel (column, row) of a plant in it."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What the tiles of a date hold of one crop.

    Attributes
    ----------
    used : tiles that the crop is read from; the first holds most of it.
    share : share of the crop's pixels that exist.
    is_hit : whether no-data values lie at the plant.
    """

    used: list[Placed]
    share: float
    is_hit: bool


def list_crops(
    root: Path, day: date, paths: Sequence[str], found: FieldPlants, reading: Reading
) -> tuple[list[SourceImage], list[LeftOut], list[str]]:
    """List the crop of every plant on one date.

    Returns
    -------
    images : plants of which at least the share `reading.min_inside` of the crop exists.
    left_out : the others, with the reason `outside_raster`, or `unreadable_raster` if a file cannot be read.
    notes : remarks on rasters that are no orthophotos, and on no-data values at plants.

    Raises
    ------
    InputError : an orthophoto has no CRS, has pixels or bands that cannot be read, or fits no crop; there are only
        heights or masks; or a VRT names files that are not there.
    """
    images: list[SourceImage] = []
    left_out: list[LeftOut] = []
    n_hit = 0
    with ExitStack() as stack:
        tiles, faults, notes = open_tiles(stack, root, day, paths, reading)
        shown = tiles[0].path if tiles else paths[0]
        centres = pixels_in(tiles, found)
        for k in listing_order(tiles, centres):
            placed = list(zip(tiles, centres[k], strict=True))
            listed, is_hit = list_crop(found.plants[k], day, shown, placed, reading)
            if isinstance(listed, SourceImage):
                images.append(listed)
                n_hit += is_hit
            else:
                # Where a file cannot be read, nobody knows whether it shows the plant.
                left_out.append(replace(listed, reason="unreadable_raster", detail=faults[0]) if faults else listed)
    if n_hit:
        notes.append(
            f"{day}: {n_hit} of {len(images)} plants have no-data pixels in their middle, which are shown black; if "
            'plants have the colour that means no-data, set source.nodata = "ignore"'
        )
    return images, left_out, notes


def list_crop(
    plant: FieldPlant, day: date, path: str, tiles: Sequence[Placed], reading: Reading
) -> tuple[SourceImage | LeftOut, bool]:
    """List the crop of one plant, or leave it out; and return whether no-data values lie at the plant.

    Parameters
    ----------
    path : file that a plant without a crop is told of.
    tiles : tiles of the date, each with the plant's pixel in it.
    """
    try:
        crop = cover(tiles, reading)
    except UnreadableImage:
        return LeftOut(plant.plant_id, day, path, "unreadable_raster", "a part of it is damaged"), False
    if crop.used and crop.share >= reading.min_inside:
        return make_image(plant, day, crop), crop.is_hit
    why = f"{crop.share:.0%} of the crop has pixels; source.min_inside is {reading.min_inside:.0%}"
    return LeftOut(plant.plant_id, day, path, "outside_raster", why), False


def pixels_in(tiles: Sequence[Tile], found: FieldPlants) -> list[list[tuple[float, float]]]:
    """Return the pixel (column, row) of every plant in every tile."""
    if not tiles:
        return [[] for _ in found.plants]
    places = transform(*found.places, found.crs, tiles[0].grid.crs)
    pixels = [tile.grid.pixels_of(*places).tolist() for tile in tiles]
    return [[(column, row) for column, row in of_plant] for of_plant in zip(*pixels, strict=True)]


def listing_order(tiles: Sequence[Tile], centres: Sequence[Sequence[tuple[float, float]]]) -> list[int]:
    """Return the order in which plants are looked at, so that each block of a tile with a mask is read once.

    Parameters
    ----------
    centres : pixels of each plant, one in every tile.
    """
    if not tiles:
        return list(range(len(centres)))
    places = np.nan_to_num(np.array(centres, np.float64))  # (plant, tile, 2)
    sizes = np.array([(tile.dataset.width, tile.dataset.height) for tile in tiles])
    home = ((places >= 0) & (places < sizes)).all(axis=-1).argmax(axis=1)
    order: list[int] = []
    for number, tile in enumerate(tiles):
        members = np.flatnonzero(home == number)
        swept = sweep(places[members, number], swept_columns(tile.dataset, tile.height))
        order += members[swept].tolist()
    return order


def make_image(plant: FieldPlant, day: date, crop: Covered) -> SourceImage:
    """Make the record of one crop."""
    column, row = crop.used[0][1]
    return SourceImage(
        plant.plant_id,
        day,
        plant.split,
        plant.split_source,
        SEPARATOR.join(tile.path for tile, _ in crop.used),
        centre=(round(column, DECIMALS), round(row, DECIMALS)),
        flags=flags_of(crop),
        easting=plant.easting,
        northing=plant.northing,
        place=plant.place,
    )


def open_tiles(
    stack: ExitStack, root: Path, day: date, paths: Sequence[str], reading: Reading
) -> tuple[list[Tile], list[str], list[str]]:
    """Open the orthophotos of a date.

    Returns
    -------
    tiles, what is wrong with files that cannot be read, and a note on heights and masks that were left out.
    """
    opened: dict[str, DatasetReader] = {}
    faults: list[str] = []
    for path in paths:
        refuse_absent_files(root, path)
        try:
            opened[path] = stack.enter_context(open_raster(locate(root, path)))
        except UnreadableImage as error:
            faults.append(str(error))
    layers = find_layers(opened, reading.bands is not None)
    if opened and len(layers) == len(opened) and not faults:
        refuse_layers_alone(day, layers)
    tiles: list[Tile] = []
    for path, dataset in opened.items():
        if path not in layers:
            check_pixels(dataset, path, reading)
            tiles.append(Tile(path, locate(root, path), dataset, grid_of(dataset, path, reading)))
    refuse_mixed(day, tiles)
    return tiles, faults, [f"{day}: left out, as no orthophotos: {name_layers(layers)}"] if layers else []


def refuse_mixed(day: date, tiles: Sequence[Tile]) -> None:
    """Raise InputError if the tiles of a date have different CRSs or pixel sizes."""
    for tile in tiles[1:]:
        if tile.grid.crs != tiles[0].grid.crs or tile.grid.side != tiles[0].grid.side:
            raise InputError(
                f"{tiles[0].path} and {tile.path} of {day} have different CRSs or pixel sizes",
                "The files of one date must be tiles of one orthophoto",
                "narrow source.rasters to one orthophoto for each date",
            )


def cover(tiles: Sequence[Placed], reading: Reading) -> Covered:
    """Choose the tiles of one crop, in the order of how much of it they hold, until it is complete.

    Parameters
    ----------
    tiles : tiles of the date, each with the plant's pixel in it.
    """
    held = [(overlap(tile, centre), tile, centre) for tile, centre in tiles]
    used: list[Placed] = []
    side = tiles[0][0].grid.side if tiles else 0
    valid = np.zeros((side, side), np.bool_)
    is_nodata = False
    for share, tile, centre in sorted(held, key=lambda one: -one[0]):
        if share == 0 or valid.all():
            break
        added = read_crop_mask(tile, centre, reading) & ~valid
        if added.any():
            used.append((tile, centre))
            valid |= added
        is_nodata |= has_nodata(tile.dataset)
    middle = valid[side // 4 : side - side // 4, side // 4 : side - side // 4]
    is_hit = is_nodata and bool(used) and 1 - float(middle.mean()) > NODATA_SHARE
    return Covered(used, float(valid.mean()) if side else 0.0, is_hit)


def overlap(tile: Tile, centre: tuple[float, float]) -> float:
    """Return how much of a crop's window lies inside a tile, 0..1."""
    if not np.isfinite(centre).all():
        return 0.0
    (left, top), (width, height) = tile.grid.window_of(centre)
    wide = min(left + width, tile.dataset.width) - max(left, 0)
    high = min(top + height, tile.dataset.height) - max(top, 0)
    return max(wide, 0) * max(high, 0) / (width * height)


def read_crop_mask(tile: Tile, centre: tuple[float, float], reading: Reading) -> NDArray[np.bool_]:
    """Return where a crop has pixels of a tile, shape (side, side)."""
    corner, size = tile.grid.window_of(centre)
    with telling_faults(tile.file):
        mask = read_mask(tile.dataset, corner, size, reading)
    return tile.grid.bring_upright(mask.astype(np.uint8) * 255, corner, centre) > 127


def flags_of(crop: Covered) -> tuple[str, ...]:
    """Return the flags of a crop: `crop_leaves_raster` if pixels are missing, `several_tiles` if it joins tiles."""
    flags = ["crop_leaves_raster"] if crop.share < 1 else []
    return (*flags, "several_tiles") if len(crop.used) > 1 else tuple(flags)
