"""Place square crops on the pixel grid of a georeferenced raster: their size in pixels, and where they lie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.io import DatasetReader

from storage.errors import InputError
from tasks.sources.field.pixels import Reading
from tasks.sources.projections import local_steps
from tasks.sources.raster import crop_corner

LEAST_SIDE, GREATEST_SIDE = 16, 4096  # side of a crop, pixels: below nothing is seen, above it is no plant's crop
STRAIGHT = 0.1  # pixels by which turning and stretching may shift a crop's corner, to be read without resampling
DECIMALS = 3  # decimals of a crop's pixel: versions of PROJ differ behind them, and equal sources need equal names
REACH = 2  # pixels beside a place that interpolation takes there
STEP = 100  # pixels over which the raster's system is compared with that of the crops

Corner = tuple[int, int]
"""Left column and top row of a window."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixel grid of a raster, and the crops on it.

    Attributes
    ----------
    crs : CRS of the raster, as WKT.
    to_map : matrix (3, 3) from pixel (column, row, 1) to map (x, y, 1); pixel i lies between i and i + 1.
    steps : matrix (2, 2); columns are the pixels (column, row) of the raster for one pixel of a crop to the right and
        down.
    side : side of a crop, pixels.
    is_straight : whether a crop is a window of whole pixels; otherwise it is resampled.
    """

    crs: str
    to_map: NDArray[np.float64]
    steps: NDArray[np.float64]
    side: int
    is_straight: bool

    def pixels_of(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pixel (column, row) of map positions, shape (n, 2)."""
        with np.errstate(invalid="ignore"):  # positions that PROJ cannot transform are infinite
            return (np.linalg.inv(self.to_map) @ np.stack([x, y, np.ones_like(x)]))[:2].T

    def place_of(self, centre: tuple[float, float]) -> tuple[float, float]:
        """Return the map position (x, y) of a pixel."""
        x, y, _ = self.to_map @ np.array([*centre, 1.0])
        return float(x), float(y)

    def crop_to_raster(self, centre: tuple[float, float]) -> NDArray[np.float64]:
        """Return the matrix (2, 3) from a crop's own pixel (column, row, 1) to the raster's pixel."""
        corner = np.array(centre) - self.steps @ np.full(2, self.side / 2)
        return np.column_stack([self.steps, corner])

    def window_of(self, centre: tuple[float, float]) -> tuple[Corner, tuple[int, int]]:
        """Return corner and size (width, height) of the window that a crop needs, which may leave the raster."""
        if self.is_straight:
            odd = self.side % 2 / 2  # the middle of a crop of odd size is the middle of a pixel
            # Tiles differ in the last digits of a pixel, and a plant between two pixels must not fall to both sides.
            column, row = (round(place - odd, DECIMALS) for place in centre)
            return crop_corner((column, row), self.side), (self.side, self.side)
        corners = np.array([[0, self.side, 0, self.side], [0, 0, self.side, self.side], [1, 1, 1, 1]])
        columns, rows = self.crop_to_raster(centre) @ corners
        left, top = int(np.floor(columns.min())) - REACH, int(np.floor(rows.min())) - REACH
        return (left, top), (int(np.ceil(columns.max())) + REACH - left, int(np.ceil(rows.max())) + REACH - top)

    def bring_upright(
        self, window: NDArray[np.uint8], corner: Corner, centre: tuple[float, float]
    ) -> NDArray[np.uint8]:
        """Resample a window (h, w) or (h, w, 3) to the crop (side, side) or (side, side, 3).

        Colours are interpolated bicubically, because bilinear interpolation blurs detail of single pixels. Masks (h, w)
        are interpolated bilinearly, which stays between their values.
        """
        if self.is_straight:
            return window
        kernel = Image.Resampling.BICUBIC if window.ndim == 3 else Image.Resampling.BILINEAR
        to_window = self.crop_to_raster(centre)
        to_window[:, 2] -= corner
        size, rows = (self.side, self.side), to_window.ravel().tolist()
        turned = Image.fromarray(window).transform(size, Image.Transform.AFFINE, rows, kernel)
        return np.array(turned, np.uint8)


def to_map_of(dataset: DatasetReader) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from a raster's pixel (column, row, 1) to its map (x, y, 1)."""
    return np.array(tuple(dataset.transform), np.float64).reshape(3, 3)


def corners_of(dataset: DatasetReader) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the map positions x and y of a raster's four corners, in its own CRS."""
    width, height = dataset.width, dataset.height
    x, y, _ = to_map_of(dataset) @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    return x, y


def grid_of(dataset: DatasetReader, name: str, reading: Reading) -> Grid:
    """Return the pixel grid of a raster, with crops that are squares of `reading.crs`, north up.

    Turning and stretching between the two systems are measured in the raster's middle, and hardly change in a field.

    Raises
    ------
    InputError : the raster has no CRS or no georeference, or a crop has too few or too many pixels.
    """
    to_map = to_map_of(dataset)
    if dataset.crs is None or dataset.transform.is_identity:
        raise InputError(
            f"The orthophoto {name} has no {'georeference' if dataset.transform.is_identity else 'CRS'}",
            "An orthophoto must state its coordinate reference system and the position of its pixels",
            "export it as a georeferenced GeoTIFF, or add the CRS, for example with `gdal_edit.py -a_srs EPSG:32632`",
        )
    crs = dataset.crs.to_wkt()
    x, y, _ = to_map @ np.array([dataset.width / 2, dataset.height / 2, 1])
    step = float(STEP * np.hypot(*to_map[:2, 0]))
    # Metres to the east and north for one pixel of the raster to the right and down.
    metres = local_steps(crs, reading.crs, float(x), float(y), step) @ to_map[:2, :2]
    pixel = float(np.hypot(*metres).min())
    n_pixels = reading.crop_metres / pixel if np.isfinite(pixel) and pixel > 0 else np.inf
    if not LEAST_SIDE - 0.5 <= n_pixels <= GREATEST_SIDE + 0.5:
        raise InputError(
            f"Pixels of {name} are {pixel:.4g} m, so a crop of {reading.crop_metres:g} m has {n_pixels:.4g} pixels",
            f"A crop must have {LEAST_SIDE} to {GREATEST_SIDE} pixels",
            "correct source.crop_metres, about the distance between plants in metres, or the CRS of the orthophoto",
        )
    side = round(n_pixels)
    own = metres @ np.diag([1, -1]) / pixel  # the identity for a raster that is north up with square pixels
    is_straight = bool(np.abs(own - np.eye(2)).max() * side / 2 < STRAIGHT)
    steps = np.asarray(np.linalg.inv(metres) @ np.diag([1, -1]) * (reading.crop_metres / side), np.float64)
    return Grid(crs, to_map, steps, side, is_straight)
