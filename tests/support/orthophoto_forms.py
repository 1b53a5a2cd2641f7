"""Write a raster of 8-bit colours in the forms in which orthophotos come, each with the keys that read it.

Every function takes a folder, the bands (3, h, w), their transform and their CRS. It writes `ortho.tif`, or files that
the returned keys name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
import rasterio.warp
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from tests.support.field_crops import DAY
from tests.support.orthophotos import write_raster, write_vrt

Bands = NDArray[Any]
FINER = 2  # pixels of a warped raster on one of the raster's own
Form = Callable[[Path, Bands, Affine, str], dict[str, Any]]


def cut(bands: Bands, matrix: Affine, left: int, top: int, width: int, height: int) -> tuple[Bands, Affine]:
    """Return a window of a raster, and its transform."""
    corner = Affine(matrix.a, 0.0, matrix.c + left * matrix.a, 0.0, matrix.e, matrix.f + top * matrix.e)
    return bands[:, top : top + height, left : left + width], corner


def tiles(root: Path, bands: Bands, matrix: Affine, crs: str, margin: int) -> dict[str, Any]:
    """Write four tiles that share so many pixels with the next one, and a pattern for them."""
    half = bands.shape[1] // 2
    for n, (left, top) in enumerate([(0, 0), (half, 0), (0, half), (half, half)]):
        x, y = max(left - margin, 0), max(top - margin, 0)
        part, corner = cut(bands, matrix, x, y, half + min(left, margin) + margin, half + min(top, margin) + margin)
        write_raster(root / f"{DAY}/tile_{n}.tif", part, corner, crs)
    return {"rasters": "{date}/*.tif"}


def vrt_of_tiles(root: Path, bands: Bands, matrix: Affine, crs: str) -> dict[str, Any]:
    """Write four tiles and a VRT of them, and a pattern that finds all five files."""
    tiles(root, bands, matrix, crs, margin=0)
    half = bands.shape[1] // 2
    corners = [(0, 0), (half, 0), (0, half), (half, half)]
    parts = {f"tile_{n}.tif": (left, top, half, half) for n, (left, top) in enumerate(corners)}
    write_vrt(root / f"{DAY}/whole.vrt", bands.shape, matrix, crs, parts)
    return {"rasters": "{date}/*"}


def warped(root: Path, bands: Bands, matrix: Affine, crs: str, to: str, turn: float = 0.0) -> dict[str, Any]:
    """Write the raster in another CRS, or turned by some degrees, by GDAL's warping.

    Pixels are half as wide as the raster's, as somebody does who wants to keep its detail: at equal pixels, warping
    itself loses detail of single pixels.
    """
    height, width = (FINER * length for length in bands.shape[1:])
    if turn:
        angle, scale = np.deg2rad(turn), matrix.a / FINER
        cos, sin = float(np.cos(angle)) * scale, float(np.sin(angle)) * scale
        middle = matrix.c + scale * width / 2, matrix.f - scale * height / 2
        n = round(1.5 * max(width, height))
        target = Affine(cos, sin, middle[0] - n / 2 * (cos + sin), sin, -cos, middle[1] - n / 2 * (sin - cos))
        size = n, n
    else:
        bounds = matrix.c, matrix.f + bands.shape[1] * matrix.e, matrix.c + bands.shape[2] * matrix.a, matrix.f
        west, south, east, north = rasterio.warp.transform_bounds(crs, to, *bounds)
        size = round(1.2 * width), round(1.2 * height)
        target = Affine((east - west) / size[0], 0.0, west, 0.0, (south - north) / size[1], north)
    made = np.zeros((len(bands), size[1], size[0]), np.uint8)
    rasterio.warp.reproject(
        bands, made, src_transform=matrix, src_crs=crs, dst_transform=target, dst_crs=to,
        resampling=rasterio.warp.Resampling.cubic,
    )  # fmt: skip
    write_raster(root / "ortho.tif", made, target, to, nodata=0)
    return {}


def cog(root: Path, bands: Bands, matrix: Affine, crs: str) -> dict[str, Any]:
    """Write a cloud-optimised GeoTIFF."""
    write_raster(root / "ortho.tif", bands, matrix, crs, driver="COG", blocksize=128, compress="deflate")
    return {}


def jpeg_2000(root: Path, bands: Bands, matrix: Affine, crs: str) -> dict[str, Any]:
    """Write JPEG 2000 without loss."""
    options = {"driver": "JP2OpenJPEG", "quality": 100, "reversible": True, "ycc": False}
    write_raster(root / f"ortho_{DAY}.jp2", bands, matrix, crs, **options)
    return {"rasters": "ortho_{date}.*"}


def big_tiff(root: Path, bands: Bands, matrix: Affine, crs: str, **options: Any) -> dict[str, Any]:
    """Write a BigTIFF in strips, or in other blocks by options."""
    path = write_raster(root / "ortho.tif", bands, matrix, crs, bigtiff="yes", **options)
    assert path.read_bytes()[2] == 43  # the version of BigTIFF
    return {}


def palette(root: Path, bands: Bands, matrix: Affine, crs: str) -> dict[str, Any]:
    """Write a raster of at most 256 colours with a palette."""
    colours, index = np.unique(bands.reshape(3, -1).T, axis=0, return_inverse=True)
    numbers = (255 - index.reshape(1, *bands.shape[1:])).astype(np.uint8)
    path = write_raster(root / "ortho.tif", numbers, matrix, crs, photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {255 - n: (*map(int, colour), 255) for n, colour in enumerate(colours)})
    return {}


def sixteen_bits(root: Path, bands: Bands, matrix: Affine, crs: str) -> dict[str, Any]:
    """Write 16-bit values over their whole range."""
    write_raster(root / "ortho.tif", bands.astype(np.uint16) * 257, matrix, crs)
    return {"value_range": (0, 65535)}


def reflectance(root: Path, bands: Bands, matrix: Affine, crs: str) -> dict[str, Any]:
    """Write reflectance 0..0.3: infrared, blue, green, red."""
    values = (bands[::-1] * (0.3 / 255)).astype(np.float32)
    values = np.concatenate([np.full_like(values[:1], 0.7), values])
    write_raster(root / "ortho.tif", values, matrix, crs, photometric="minisblack")
    return {"value_range": (0, 0.3), "bands": (4, 3, 2)}


def alpha(root: Path, bands: Bands, matrix: Affine, crs: str) -> dict[str, Any]:
    """Write a fourth band of opaque alpha."""
    opaque = np.concatenate([bands, np.full_like(bands[:1], 255)])
    path = write_raster(root / "ortho.tif", opaque, matrix, crs, photometric="rgb", alpha="yes")
    with rasterio.open(path) as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    return {}


def masked(root: Path, bands: Bands, matrix: Affine, crs: str, is_inside: bool) -> dict[str, Any]:
    """Write a mask in which all is valid, inside the file or beside it."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=is_inside):
        path = write_raster(root / "ortho.tif", bands, matrix, crs)
        with rasterio.open(path, "r+") as file:
            file.write_mask(np.full(bands.shape[1:], 255, np.uint8))
    assert Path(f"{path}.msk").exists() != is_inside
    return {}


def pixel_is_point(root: Path, bands: Bands, matrix: Affine, crs: str) -> dict[str, Any]:
    """Write positions as those of the middles of pixels, half a pixel from their corners."""
    path = write_raster(root / "plain.tif", bands, matrix, crs)
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    rasterio.shutil.copy(path, root / "ortho.tif", driver="GTiff")
    return {}


def south_up(root: Path, bands: Bands, matrix: Affine, crs: str) -> dict[str, Any]:
    """Write rows from south to north."""
    bottom = matrix.f + bands.shape[1] * matrix.e
    write_raster(root / "ortho.tif", bands[:, ::-1], Affine(matrix.a, 0.0, matrix.c, 0.0, -matrix.e, bottom), crs)
    return {}


EXACT: dict[str, Form] = {
    "cog": cog,
    "JPEG 2000": jpeg_2000,
    "BigTIFF in strips": big_tiff,
    "BigTIFF in blocks": lambda *raster: big_tiff(*raster, tiled=True, blockxsize=64, blockysize=64),
    "16 bits": sixteen_bits,
    "float reflectance with bands in another order": reflectance,
    "alpha": alpha,
    "internal mask": lambda *raster: masked(*raster, is_inside=True),
    "mask beside the file": lambda *raster: masked(*raster, is_inside=False),
    "pixel is point": pixel_is_point,
    "tiles side by side": lambda *raster: tiles(*raster, margin=0),
    "tiles with overlap": lambda *raster: tiles(*raster, margin=60),
    "VRT of tiles": vrt_of_tiles,
}
RESAMPLED: dict[str, Form] = {
    "south up": south_up,
    "turned by 25 degrees": lambda root, bands, matrix, crs: warped(root, bands, matrix, crs, crs, turn=25.0),
    "turned by 200 degrees": lambda root, bands, matrix, crs: warped(root, bands, matrix, crs, crs, turn=200.0),
    "degrees": lambda *raster: warped(*raster, to="EPSG:4326"),
    "Web Mercator": lambda *raster: warped(*raster, to="EPSG:3857"),
    "next UTM zone": lambda *raster: warped(*raster, to="EPSG:32616"),
    "feet": lambda *raster: warped(*raster, to="EPSG:2236"),
}
