"""Read rasters with GDAL as 8-bit RGB: crops of orthophotos, and image files that Pillow does not know.

A crop is read without the rest of its raster. Many crops are read by `tasks.sources.open_rasters`.
"""

import hashlib
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession
from rasterio.windows import Window

from tasks.sources.contract import UnreadableImage
from tasks.sources.files import ADVICE, digest_file, raise_if_passing, without_folders
from tasks.sources.remote import RemoteFile

# Lock for the process-wide filters of `warnings`: two threads that set them in parallel may leave them changed.
WARNING_FILTERS = threading.Lock()

# Lock for digests, so that threads that need the digest of one raster wait for it instead of each reading the file.
DIGESTING = threading.Lock()

# Memory for decoded blocks of all open rasters of a process; GDAL's own limit is 5 % of it all. Two rows of blocks of
# 512 pixels fit in up to a width of 40,960 pixels in RGB. Wider orthophotos are read in several columns.
CACHE_BYTES = 160 * 2**20

# Formats that GDAL reads. Others are refused, because some of them name further files to read. A VRT is opened by its
# suffix alone: the source `field` checks the files that it names, and `read_rgb` takes no VRT for an image.
DRIVERS = frozenset({"GTiff", "PNG", "JPEG", "JP2OpenJPEG", "WEBP", "BMP", "GIF", "PNM", "HFA"})

COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
NOTHING = Window(0, 0, 0, 0)  # pyright: ignore[reportCallIssue]  # window of a crop outside the raster


RasterFile = Path | RemoteFile


@contextmanager
def telling_faults(file: RasterFile) -> Generator[None]:
    """Give GDAL what it needs to reach a file in the block, and tell a file that it cannot open or read.

    Raises
    ------
    UnreadableImage : the file is damaged.
    OSError : the disk or the network share does not answer.
    InputError : the file lies on a server. Nobody knows then whether it is damaged, so no plant is left out.
    """
    try:
        if isinstance(file, RemoteFile):
            # Without this session rasterio asks boto3 for credentials where it is installed. GDAL finds them itself.
            with rasterio.Env(DummySession(), **file.gdal_options()):
                yield
        else:
            yield
    except (RasterioError, OSError) as error:
        if isinstance(file, RemoteFile):
            file.refuse_to_go_on(error)
        refuse_silent(file)
        raise UnreadableImage(f"{file.name}: {without_folders(file, error)}") from error


def refuse_silent(file: Path) -> None:
    """Raise the system's error of a file on a disk or share that does not answer, which GDAL tells in words alone."""
    try:
        with file.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        raise_if_passing(error)


def open_dataset(file: RasterFile) -> DatasetReader:
    """Open a raster, which may lack a georeference; the caller closes it.

    Raises
    ------
    UnreadableImage : the file is no raster or is damaged.
    InputError : the file lies on a server, and cannot be read.
    """
    # The limit holds for the whole process. `rasterio.Env` would set back GDAL's own before anything is read.
    set_gdal_config("GDAL_CACHEMAX", CACHE_BYTES)
    with telling_faults(file), WARNING_FILTERS, warnings.catch_warnings():
        # Pixel coordinates need no georeference, so the warning that it is missing is ignored.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(file.gdal_name if isinstance(file, RemoteFile) else file)
    is_local_vrt = dataset.driver == "VRT" and isinstance(file, Path) and file.suffix.lower() == ".vrt"
    if dataset.driver not in DRIVERS and not is_local_vrt:
        dataset.close()
        raise UnreadableImage(f"{file.name}: {dataset.driver} is not read; {ADVICE}")
    return dataset


@contextmanager
def open_raster(file: RasterFile) -> Generator[DatasetReader, None, None]:
    """Open a raster, which may lack a georeference, and close it.

    Raises
    ------
    UnreadableImage : the file is no raster or is damaged, or a read inside the `with` block fails.
    InputError : the file lies on a server, and cannot be read.
    """
    with open_dataset(file) as dataset, telling_faults(file):
        yield dataset


def crop_corner(centre: tuple[float, float], size: int) -> tuple[int, int]:
    """Return the left column and the top row of a crop, in which the centre's pixel is at `size // 2` on both axes."""
    return int(np.floor(centre[0] + 0.5)) - size // 2, int(np.floor(centre[1] + 0.5)) - size // 2


def inside_window(dataset: DatasetReader, centre: tuple[float, float], size: int) -> Window:
    """Return the part of a crop that lies inside the raster, which may be empty."""
    left, top = crop_corner(centre, size)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + size, dataset.width), min(top + size, dataset.height)
    return Window(x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else NOTHING  # pyright: ignore[reportCallIssue]


def read_rgb_bands(dataset: DatasetReader, window: Window | None = None) -> NDArray[np.uint8]:
    """Read a raster or a window of it as 8-bit RGB, shape (height, width, 3).

    Three bands that are marked as no colours are taken as red, green and blue, and a grey band three times. A palette
    is looked up, grey levels of fewer than 8 bits are spread to 0..255, and a band in which 0 is white is inverted.

    Raises
    ------
    UnreadableImage : the raster is not 8-bit, or does not mark its red, green and blue bands.
    """
    colours, n_bands = list(dataset.colorinterp), dataset.count
    if set(dataset.dtypes) != {"uint8"}:
        types = ", ".join(sorted(set(dataset.dtypes)))
        raise UnreadableImage(f"{types} pixels; {ADVICE}, for example with `gdal_translate -ot Byte -scale`")
    if ColorInterp.palette in colours:
        band = colours.index(ColorInterp.palette) + 1
        palette = np.zeros((256, 3), np.uint8)
        for value, colour in dataset.colormap(band).items():
            palette[value] = colour[:3]
        return palette[dataset.read(band, window=window)]
    if all(colour in colours for colour in COLOURS):
        return np.moveaxis(dataset.read([colours.index(one) + 1 for one in COLOURS], window=window), 0, -1)
    if n_bands == 3 and not {ColorInterp.cyan, ColorInterp.Y, ColorInterp.hue} & set(colours):
        return np.moveaxis(dataset.read([1, 2, 3], window=window), 0, -1)
    if n_bands <= 2:
        return np.repeat(spread_grey(dataset, dataset.read(1, window=window))[..., None], 3, axis=-1)
    found = ", ".join(colour.name for colour in colours)
    raise UnreadableImage(
        f"bands {found}: red, green and blue are not marked; {ADVICE}, for example with "
        "`gdal_translate -b 1 -b 2 -b 3`, in which 1, 2 and 3 are the red, green and blue bands"
    )


def spread_grey(dataset: DatasetReader, band: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey band as values 0 (black) to 255 (white), whatever its bits and its meaning of 0."""
    highest = highest_value(dataset)
    grey = band if highest == 255 else (band.astype(np.uint16) * 255 // highest).astype(np.uint8)
    return 255 - grey if is_zero_white(dataset) else grey


def highest_value(dataset: DatasetReader) -> int:
    """Return the highest value that the bits of a raster's first band can hold."""
    return 2 ** int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8)) - 1


def is_zero_white(dataset: DatasetReader) -> bool:
    """Return whether 0 means white in a grey raster."""
    return dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"


def read_raster(path: Path) -> NDArray[np.uint8]:
    """Read a whole raster as 8-bit RGB, shape (height, width, 3).

    Raises
    ------
    UnreadableImage : the file is no raster, is damaged, or has no 8-bit RGB reading.
    """
    with open_raster(path) as dataset:
        return np.ascontiguousarray(read_rgb_bands(dataset))


def read_crop(path: Path, centre: tuple[float, float], size: int) -> NDArray[np.uint8]:
    """Read the square around a plant, with black pixels outside the raster.

    Parameters
    ----------
    path : raster file.
    centre : pixel (x, y) of the plant.
    size : side of the square, pixels.

    Returns
    -------
    Pixels, shape (size, size, 3), RGB, 0..255.

    Raises
    ------
    UnreadableImage : the raster is damaged, or not 8-bit RGB or grey.
    """
    with open_raster(path) as dataset:
        return read_square(dataset, centre, size)


def read_square(dataset: DatasetReader, centre: tuple[float, float], size: int) -> NDArray[np.uint8]:
    """Read the square around a plant from an open raster, as `read_crop` does from a file."""
    crop = np.zeros((size, size, 3), dtype=np.uint8)
    window = inside_window(dataset, centre, size)
    if window.width and window.height:
        left, top = crop_corner(centre, size)
        x, y = int(window.col_off) - left, int(window.row_off) - top
        pixels = read_rgb_bands(dataset, window)
        crop[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return crop


def crop_flags(dataset: DatasetReader, centre: tuple[float, float], size: int) -> tuple[str, ...] | None:
    """Return the flags of a crop, reading only the mask of its window.

    Returns
    -------
    `recoded` if the stored values are no 8-bit RGB or grey: a palette, fewer bits, or a grey in which 0 is white.
    `crop_leaves_raster` if a part lies outside the raster. `mostly_no_data` if more than half of the square lies
    outside or is no-data by the raster's alpha, mask or no-data value. None instead of flags if no pixel lies inside.
    """
    window = inside_window(dataset, centre, size)
    n_inside = int(window.width) * int(window.height)
    if n_inside == 0:
        return None
    has_mask = any(MaskFlags.all_valid not in flags for flags in dataset.mask_flag_enums)
    n_valid = int(np.count_nonzero(dataset.dataset_mask(window=window))) if has_mask else n_inside
    is_recoded = ColorInterp.palette in dataset.colorinterp or highest_value(dataset) < 255 or is_zero_white(dataset)
    flags = ["recoded"] if is_recoded else []
    if n_inside < size * size:
        flags.append("crop_leaves_raster")
    if 2 * n_valid < size * size:
        flags.append("mostly_no_data")
    return tuple(flags)


def crop_fingerprint(path: Path, centre: tuple[float, float], size: int) -> str:
    """Return the SHA-256 (hex) of a raster's content, the crop's centre and its size."""
    return hashlib.sha256(f"{digest_raster(path)} {centre[0]!r} {centre[1]!r} {size}".encode()).hexdigest()


def digest_raster(file: RasterFile) -> str:
    """Return the SHA-256 (hex) of a raster's bytes, or of what a server states about them; it is not made twice.

    Raises
    ------
    InputError : the file lies on a server that does not answer, or no longer has it.
    """
    if isinstance(file, RemoteFile):
        return file.digest()
    stat = file.stat()
    with DIGESTING:
        return _digest_file(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _digest_file(path: Path, n_bytes: int, modified_ns: int) -> str:
    return digest_file(path)
