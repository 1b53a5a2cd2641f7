"""Small georeferenced rasters, and the real orthophotos beside this repository."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from tests.support.repository import ROOT

ORTHOPHOTOS = ROOT.parent / "shared/real_images/orthophotos"
needs_orthophotos = pytest.mark.skipif(
    not ORTHOPHOTOS.is_dir(), reason="the real orthophotos are not in ../shared/real_images"
)
WEST, NORTH, STEP = 365000.0, 5615000.0, 0.05  # corner and pixel of the small rasters, metres in UTM zone 32N


def write_raster(path: Path, bands: NDArray[Any], transform: Affine, crs: str | None, **options: Any) -> Path:
    """Write bands (n, h, w) as a GeoTIFF, or with `driver`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    known: dict[str, Any] = {"driver": "GTiff", "dtype": bands.dtype, "crs": crs, "transform": transform}
    with rasterio.open(path, "w", count=count, height=height, width=width, **{**known, **options}) as file:
        file.write(bands)
    return path


def small_transform() -> Affine:
    """Return the transform of the small rasters: north up, 5 cm."""
    return Affine(STEP, 0.0, WEST, 0.0, -STEP, NORTH)


def small_bands(n: int = 3, side: int = 80) -> NDArray[np.uint8]:
    """Return bands of random values 1..254, so that none is a no-data value."""
    return np.random.default_rng(1).integers(1, 255, (n, side, side), dtype=np.uint8)


def bytes_read() -> int:
    """Return how many bytes this thread has read from files since it began, as Linux counts them."""
    return int(Path("/proc/thread-self/io").read_text().split()[1])


def touched_blocks(
    centres: NDArray[np.float64], side: int, block: tuple[int, int], size: tuple[int, int]
) -> set[tuple[int, int]]:
    """Return row and column of the blocks (height, width) of a raster (height, width) in which crops have pixels."""
    found: set[tuple[int, int]] = set()
    for column, row in centres.tolist():
        left, top = round(column - side / 2), round(row - side / 2)
        rows = range(max(top, 0) // block[0], (min(top + side, size[0]) - 1) // block[0] + 1)
        columns = range(max(left, 0) // block[1], (min(left + side, size[1]) - 1) // block[1] + 1)
        found |= {(r, c) for r in rows for c in columns}
    return found


def write_vrt(
    path: Path, shape: Sequence[int], transform: Affine, crs: str, parts: Mapping[str, tuple[int, int, int, int]]
) -> Path:
    """Write a VRT of bands (n, h, w) that shows files at windows: left, top, width and height by path from the VRT."""
    n_bands, height, width = shape

    def source(name: str, band: int) -> str:
        left, top, wide, high = parts[name]
        place = f'xOff="{left}" yOff="{top}" xSize="{wide}" ySize="{high}"'
        return (
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{band}</SourceBand>'
            f'<SrcRect xOff="0" yOff="0" xSize="{wide}" ySize="{high}"/><DstRect {place}/></SimpleSource>'
        )

    colours = ("Red", "Green", "Blue")
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}"><ColorInterp>{colours[n - 1]}</ColorInterp>'
        f"{''.join(source(name, n) for name in parts)}</VRTRasterBand>"
        for n in range(1, n_bands + 1)
    )
    grid = ", ".join(map(repr, transform.to_gdal()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>{crs}</SRS>'
        f"<GeoTransform>{grid}</GeoTransform>{bands}</VRTDataset>"
    )
    return path
