"""Test that each block of a raster is read once, by the bytes that the system counts, and that rasters are closed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from tasks.sources import raster
from tasks.sources.contract import SourceImage, UnreadableImage
from tasks.sources.field.source import FieldSource
from tasks.sources.growliflower import crops
from tasks.sources.open_rasters import KEPT_OPEN, OpenRasters, reading_order, sweep, swept_columns
from tests.support.orthophotos import (
    NORTH,
    STEP,
    WEST,
    bytes_read,
    small_bands,
    small_transform,
    touched_blocks,
    write_raster,
)
from tests.support.small_field import CRS, DAY, make, save

SIZE, SIDE = 2048, 100  # pixels of the raster and of its crops
BLOCKS = {
    "tiles": ((256, 256), {"tiled": True, "blockxsize": 256, "blockysize": 256}),
    "strips": ((32, SIZE), {"blockysize": 32}),
}
needs_counters = pytest.mark.skipif(
    not Path("/proc/thread-self/io").exists(), reason="only Linux counts the bytes that a thread reads"
)


@pytest.fixture(scope="module", params=BLOCKS)
def mosaic(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, int]]:
    """Return a folder with an orthophoto without compression and a table of plants in random order, and the blocks."""
    root, (block, options) = tmp_path_factory.mktemp(request.param), BLOCKS[request.param]
    bands = np.random.default_rng(0).integers(1, 255, (3, SIZE, SIZE), dtype=np.uint8)
    write_raster(root / "ortho.tif", bands, small_transform(), CRS, interleave="pixel", nodata=0, **options)
    drawn = places()
    save(root, *(f"{n},{WEST + STEP * x},{NORTH - STEP * y}" for n, (x, y) in enumerate(drawn)))
    return root, block


def places() -> NDArray[np.float64]:
    """Return the pixels of 200 plants, in an order that says nothing of where they stand."""
    return np.random.default_rng(1).uniform(SIDE / 2, SIZE - SIDE / 2, (200, 2)).round()


def field(root: Path) -> FieldSource:
    return make(root, rasters={str(DAY): "ortho.tif"}, crop_metres=SIDE * STEP, nodata="mask")


@needs_counters
def test_each_block_is_read_once(mosaic: tuple[Path, tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    root, block = mosaic
    monkeypatch.setattr(raster, "CACHE_BYTES", 5 * 2**20)  # of 12 MiB; a sweep of all columns needs 4 MiB
    touched = touched_blocks(places(), SIDE, block, (SIZE, SIZE))
    n_bytes = 3 * block[0] * block[1]
    most = (len(touched) + 1) * n_bytes * 1.05  # one more for the header and whole pages of the disk

    field(root).list_images([DAY])  # what is imported is read from the disk too
    before = bytes_read()
    images = field(root).list_images([DAY]).images  # the values are looked at for no-data
    assert len(images) == 200 and len(touched) * n_bytes <= bytes_read() - before <= most
    before, n_read = bytes_read(), 0
    for _, found in field(root).read_images(images):
        assert not isinstance(found, UnreadableImage)
        n_read += 1
    assert n_read == 200 and len(touched) * n_bytes <= bytes_read() - before <= most

    before = bytes_read()
    with OpenRasters() as rasters:  # in the order of the listing the same cache does not do
        for image in images:
            assert image.centre is not None
            raster.read_square(rasters.get(root / "ortho.tif"), image.centre, SIDE)
    assert bytes_read() - before > 2 * most


@needs_counters
@pytest.mark.parametrize("mosaic", ["tiles"], indirect=True)  # a strip is read whole
def test_a_raster_that_is_too_wide_is_swept_in_columns(
    mosaic: tuple[Path, tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, block = mosaic
    monkeypatch.setattr(raster, "CACHE_BYTES", 2 * 2**20)
    with rasterio.open(root / "ortho.tif") as dataset:
        columns = swept_columns(dataset, SIDE)
    assert columns == 512  # two of 256, and one on each side, times two rows of blocks with four bytes a pixel: 2 MiB
    images = field(root).list_images([DAY]).images
    before = bytes_read()
    assert len(list(field(root).read_images(images))) == 200
    touched = touched_blocks(places(), SIDE, block, (SIZE, SIZE))
    twice = sum(column in {1, 2, 3, 4, 5, 6} for _, column in touched)  # beside the borders of the four columns
    assert bytes_read() - before <= (len(touched) + twice) * 3 * block[0] * block[1]


@needs_counters
def test_a_raster_is_digested_once_for_all_threads(tmp_path: Path) -> None:
    path = write_raster(tmp_path / f"ortho_{DAY}.tif", small_bands(side=1024), small_transform(), CRS)
    save(tmp_path, *(f"{n},{WEST + 2 + n},{NORTH - 2}" for n in range(30)))
    source = make(tmp_path)
    images = source.list_images([DAY]).images
    before = int(Path("/proc/self/io").read_text().split()[1])
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(source.fingerprint, images))) == 30
    n_bytes = int(Path("/proc/self/io").read_text().split()[1]) - before
    assert path.stat().st_size <= n_bytes < 1.5 * path.stat().st_size


MEASURE = """
import sys
from pathlib import Path
from tests.support.small_field import DAY
from tests.unit.tasks.sources.test_open_rasters import field, kilobytes
source = field(Path(sys.argv[1]))
images = source.list_images([DAY]).images
before = kilobytes()
print(len([found.shape for _, found in source.read_images(images)]), kilobytes() - before)
"""


def kilobytes() -> int:
    """Return the peak resident memory of this process."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


@pytest.mark.slow
@needs_counters
def test_memory_does_not_grow_with_the_orthophoto(tmp_path: Path) -> None:
    """Read all of an orthophoto of 1.2 GB, whose blocks are empty on the disk, with a GDAL that may cache it whole."""
    options = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True, "interleave": "pixel"}
    size = 20_480
    known: Any = {"driver": "GTiff", "dtype": "uint8", "crs": CRS, "transform": small_transform(), **options}
    rasterio.open(tmp_path / "ortho.tif", "w", width=size, height=size, count=3, **known).close()
    spots = [(WEST + STEP * x, NORTH - STEP * y) for x in range(256, size, 512) for y in range(256, size, 512)]
    save(tmp_path, *(f"{n},{x},{y}" for n, (x, y) in enumerate(spots)))
    environment = {**os.environ, "GDAL_CACHEMAX": "16000"}
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    n_read, grown = (int(word) for word in said.split())
    assert n_read == len(spots) == 1600
    assert 150_000 < grown < 330_000  # the cache has 262,144 and is filled


def test_reading_many_is_reading_each(tmp_path: Path) -> None:
    bands = small_bands()
    for name, part in (("a", bands[:, :, :50]), ("b", bands[:, :, 40:])):
        corner = rasterio.Affine(STEP, 0, WEST + (0 if name == "a" else 40) * STEP, 0, -STEP, NORTH)
        write_raster(tmp_path / f"{DAY}/{name}.tif", part, corner, CRS)
    spots = np.random.default_rng(2).uniform(0.3, 3.7, (40, 2))
    save(tmp_path, *(f"{n},{WEST + x},{NORTH - y}" for n, (x, y) in enumerate(spots)))
    source = make(tmp_path, rasters="{date}/*.tif")
    images = source.list_images([DAY]).images
    assert any(" | " in image.path for image in images)
    found = dict(source.read_images(images))
    assert list(found) != sorted(found) == list(range(len(images)))
    for position, image in enumerate(images):
        np.testing.assert_array_equal(found[position], source.read_image(image))


def test_damaged_rasters_are_told_for_each_of_their_crops(tmp_path: Path) -> None:
    write_raster(tmp_path / "whole.tif", small_bands(), small_transform(), CRS)
    (tmp_path / "damaged.tif").write_bytes(b"II*\0no raster")
    images = [
        SourceImage(f"p{n}", DAY, "new", "none", f"{name}.tif", centre=(40.0, 40.0 + n))
        for n, name in enumerate(["damaged", "whole", "damaged"])
    ]
    found = dict(crops.read_images(tmp_path, images, 16))
    assert isinstance(found[1], np.ndarray) and found[1].shape == (16, 16, 3)
    assert [str(found[n]).split(":")[0] for n in (0, 2)] == ["damaged.tif"] * 2


def test_rasters_are_closed(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.tif" for n in range(KEPT_OPEN + 2)]
    for path in paths:
        write_raster(path, small_bands(side=16), small_transform(), CRS)
    with OpenRasters() as rasters:
        first = rasters.get(paths[0])
        opened = [rasters.get(path) for path in paths[1:KEPT_OPEN]]
        assert rasters.get(paths[0]) is first  # which makes the second one the oldest
        opened += [rasters.get(path) for path in paths[KEPT_OPEN:]]
        assert [one.closed for one in (first, *opened)] == [False, True, True, *[False] * (KEPT_OPEN - 1)]
    assert first.closed and all(one.closed for one in opened)


def test_a_sweep_goes_down_one_column_after_the_other() -> None:
    centres = np.array([[5.0, 9], [30, 1], [1, 9], [2, 3], [25, 7], [np.inf, 0]])
    assert sweep(centres, 20) == [3, 2, 0, 1, 4, 5]
    assert sweep(np.array([]), 20) == []


def test_patches_come_before_crops() -> None:
    def find(name: str) -> Any:
        raise UnreadableImage(name)

    images = [("a.tif", (3.0, 2.0)), ("x.png", None), ("b.tif", (0.0, 0.0)), ("a.tif", (3.0, 1.0)), ("y.png", None)]
    order: Iterator[int] = reading_order(images, find)
    assert list(order) == [1, 4, 3, 0, 2]
