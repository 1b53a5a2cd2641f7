"""List and read the plants of orthophotos from pixel coordinate files, each with the raster of its plot and date."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import InputError
from tasks.sources.contract import LeftOut, ReadImage, SourceImage, UnreadableImage, read_one_by_one
from tasks.sources.files import relative_path
from tasks.sources.growliflower.coordinates import PixelCoordinate, read_pixel_coordinates
from tasks.sources.growliflower.release import PLANT_IN_NAME, PLOT, ReleaseFiles, make_image
from tasks.sources.images import read_rgb

if TYPE_CHECKING:  # numpy and GDAL are imported only for orthophotos
    import numpy as np
    from numpy.typing import NDArray
    from rasterio.io import DatasetReader

    from tasks.sources.views import Part, View


def list_crops(
    root: Path, files: ReleaseFiles, wanted: Sequence[date], crop_size: int
) -> tuple[list[SourceImage], list[LeftOut]]:
    """List the plants of the pixel coordinate files, each with the raster of its plot in the same folder.

    Raises
    ------
    InputError : a row is malformed or names another plot than the file, or a folder has several rasters of one plot.
    """
    images: list[SourceImage] = []
    left_out: list[LeftOut] = []
    for day, path in files.coordinates:
        if day not in wanted:
            continue
        plot = PLOT.findall(path.name)[0]
        plants = [(name_plant(path, plot, row, day), (row.x, row.y)) for row in read_pixel_coordinates(path)]
        rasters = files.rasters.get((path.parent, plot), [])
        if len(rasters) > 1:
            found = ", ".join(relative_path(raster, root) for raster in rasters)
            raise InputError(
                f"Plot {plot} has several rasters on {day}: {found}",
                "A plot must have one raster in a date's folder",
                "keep only the RGB orthophoto there",
            )
        if not rasters:
            source = relative_path(path, root)
            left_out += [LeftOut(plant_id, day, source, "missing_raster") for plant_id, _ in plants]
            continue
        inside, outside = list_raster(root, rasters[0], day, plants, crop_size)
        images += inside
        left_out += outside
    return images, left_out


def name_plant(path: Path, plot: str, row: PixelCoordinate, day: date) -> str:
    """Return the plant id of a row of a pixel coordinate file.

    The row's name is a plant id with or without year, days after planting and suffix. The year is that of the folder's
    date.
    """
    place = PLANT_IN_NAME.search(row.name)
    if place is None or place.group(1) != plot:
        raise InputError(
            f"{path.name}, line {row.line}, names {row.name}",
            f"Every row of {path.name} must name a plant of plot {plot}",
            "correct the row or the file's name",
        )
    return f"{day.year}_Ref_Plot{plot}_{place.group(2)}"


def list_raster(
    root: Path, raster: Path, day: date, plants: Sequence[tuple[str, tuple[float, float]]], crop_size: int
) -> tuple[list[SourceImage], list[LeftOut]]:
    """List the crops of one raster, and leave out crops outside it, or all crops if it cannot be read."""
    source = relative_path(raster, root)
    import numpy as np

    from tasks.sources.open_rasters import sweep, swept_columns
    from tasks.sources.raster import crop_flags, open_raster

    images: list[SourceImage] = []
    left_out: list[LeftOut] = []
    try:
        with open_raster(raster) as dataset:
            order = sweep(np.array([centre for _, centre in plants]), swept_columns(dataset, crop_size))
            for plant_id, centre in (plants[k] for k in order):
                flags = crop_flags(dataset, centre, crop_size)
                if flags is None:
                    where = f"({centre[0]}, {centre[1]}) in {dataset.width} x {dataset.height} pixels"
                    left_out.append(LeftOut(plant_id, day, source, "outside_raster", where))
                else:
                    image = make_image(plant_id, day, source)
                    images.append(replace(image, centre=centre, flags=image.flags + flags))
    except UnreadableImage as error:
        return [], [LeftOut(plant_id, day, source, "unreadable_raster", str(error)) for plant_id, _ in plants]
    return images, left_out


def read_images(root: Path, images: Sequence[SourceImage], crop_size: int) -> Iterator[ReadImage]:
    """Read patches in their own order, and then crops raster by raster, each block of a raster once."""
    from tasks.sources.open_rasters import OpenRasters, reading_order
    from tasks.sources.raster import read_square, telling_faults

    with OpenRasters() as rasters:

        def find(path: str) -> "tuple[DatasetReader, int]":
            return rasters.get(root / path), crop_size

        def read(image: SourceImage) -> "NDArray[np.uint8]":
            path = root / image.path
            if image.centre is None:
                return read_rgb(path)
            with telling_faults(path):
                return read_square(rasters.get(path), image.centre, crop_size)

        order = reading_order([(image.path, image.centre) for image in images], find)
        yield from read_one_by_one(read, images, order)


def read_views(files: ReleaseFiles, day: date, parts: "Sequence[Part]", crs: str) -> "list[View]":
    """Read parts of the rasters of a date's plots, black where no plot has a pixel.

    Parameters
    ----------
    crs : EPSG code of the system of the parts.

    Raises
    ------
    UnreadableImage : a raster is damaged or states no place on the earth, or there is none any more.
    InputError : the pixels of a raster are not 8-bit.
    """
    from tasks.sources.field.pixels import Reading, check_pixels
    from tasks.sources.raster import open_raster
    from tasks.sources.views import read_parts

    reading = Reading(crop_metres=1.0, crs=crs, min_inside=0.0, nodata="mask", bands=None, value_range=None)
    plots = [(path.parent, PLOT.findall(path.name)[0]) for acquired, path in files.coordinates if acquired == day]
    paths = sorted({path for plot in plots for path in files.rasters.get(plot, [])})
    if not paths:
        raise UnreadableImage(f"there is no orthophoto of {day}")
    with ExitStack() as stack:
        rasters = [stack.enter_context(open_raster(path)) for path in paths]
        for path, raster in zip(paths, rasters, strict=True):
            if raster.crs is None or raster.transform.is_identity:
                raise UnreadableImage(f"{path.name} does not state where on the earth its pixels lie")
            check_pixels(raster, path.name, reading)
        return read_parts(rasters, parts, reading)
