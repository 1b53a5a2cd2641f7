"""Test orthophotos on servers: the same crops from a part of the bytes, changes that are seen, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest
import rasterio

from storage.errors import InputError
from tasks.sources import remote
from tasks.sources.field.source import FieldSource
from tasks.sources.views import Part
from tests.support.object_servers import BUCKET, ObjectServer, free_port
from tests.support.orthophotos import NORTH, STEP, WEST, small_transform, write_raster
from tests.support.range_server import RangeServer, range_server
from tests.support.small_field import CRS, DAY, make, save

SIZE = 1024  # pixels of the orthophoto, 51 m
PLACES = [(700.0, 600.0), (700.0, 650.0), (500.0, 700.0)]  # pixels of plants in it, of which the last is far away


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with a Cloud Optimized GeoTIFF of noise, which is as large as its pixels."""
    folder = tmp_path / "files"
    write_ortho(folder / "an ortho.tif", 0)
    save(tmp_path, *(f"{n},{WEST + STEP * x},{NORTH - STEP * y}" for n, (x, y) in enumerate(PLACES)))
    return folder


def write_ortho(path: Path, seed: int) -> None:
    bands = np.random.default_rng(seed).integers(1, 255, (3, SIZE, SIZE), dtype=np.uint8)
    options = {"driver": "COG", "blocksize": 128, "compress": "none", "overviews": "none"}
    write_raster(path, bands, small_transform(), CRS, **options)


@pytest.fixture
def server(files: Path) -> Iterator[RangeServer]:
    with range_server(files) as running:
        yield running


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "RETRY_SECONDS", 5)
    monkeypatch.setitem(remote.GDAL_OPTIONS, "GDAL_HTTP_RETRY_DELAY", "0.01")


def field(files: Path, address: str) -> FieldSource:
    """Return the source of an orthophoto on a server, whose plants are in a table on this machine."""
    return make(files.parent, rasters={str(DAY): address}, crop_metres=20 * STEP)


def check_crops(source: FieldSource, local: Path) -> None:
    """Compare all crops with the pixels of a file on this machine."""
    images = source.list_images([DAY]).images
    with rasterio.open(local) as dataset:
        pixels = np.moveaxis(dataset.read(), 0, -1)
    assert len(images) == len(PLACES)
    for position, found in source.read_images(images):
        x, y = (int(value) for value in PLACES[int(images[position].plant_id)])
        np.testing.assert_array_equal(found, pixels[y - 10 : y + 10, x - 10 : x + 10])


def test_crops_need_a_part_of_the_file(files: Path, server: RangeServer) -> None:
    check_crops(field(files, f"{server.url}/an%20ortho.tif"), files / "an ortho.tif")
    assert 0 < server.n_bytes < 0.2 * (files / "an ortho.tif").stat().st_size


@pytest.mark.parametrize("factors", [[2, 4, 8], []])
def test_a_thumbnail_is_read_from_overviews(
    files: Path, server: RangeServer, factors: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL counts no overviews of a GeoTIFF on a server that is not cloud-optimised."""
    # Rasterio asks for overviews while it holds the interpreter, in which this server would answer: GDAL asks again.
    monkeypatch.setitem(remote.GDAL_OPTIONS, "GDAL_HTTP_LOW_SPEED_TIME", "1")
    bands = np.random.default_rng(0).integers(1, 255, (3, SIZE, SIZE), dtype=np.uint8)
    path = write_raster(files / "tiled.tif", bands, small_transform(), CRS, tiled=True, blockxsize=128, blockysize=128)
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews(factors)
    metres = SIZE * STEP
    part = Part((WEST, NORTH - metres, WEST + metres, NORTH), SIZE // 8, SIZE // 8)
    (view,) = field(files, f"{server.url}/tiled.tif").read_views(DAY, [part], CRS)
    assert view.valid.all()
    read = server.n_bytes / path.stat().st_size
    assert read < 0.1 if factors else 1 <= read < 1.1


def test_a_server_is_not_asked_for_every_crop(files: Path, server: RangeServer) -> None:
    source = field(files, f"{server.url}/an%20ortho.tif")
    (image, *_) = source.list_images([DAY]).images
    before = server.counts.total()
    assert len({source.fingerprint(image) for _ in range(1000)}) == 1
    assert server.counts.total() - before <= 1


@pytest.mark.parametrize("has_tags", [True, False])
def test_another_file_in_its_place_is_seen(
    files: Path, server: RangeServer, monkeypatch: pytest.MonkeyPatch, has_tags: bool
) -> None:
    server.has_tags = has_tags
    source = field(files, f"{server.url}/an%20ortho.tif")
    if not has_tags:
        with pytest.raises(InputError, match="states neither ETag nor Last-Modified"):
            source.available_dates()
        return
    monkeypatch.setattr(remote, "STATE_SECONDS", 1e-9)
    (image, *_) = source.list_images([DAY]).images
    before = source.fingerprint(image)
    check_crops(source, files / "an ortho.tif")
    write_ortho(files / "an ortho.tif", 1)
    assert source.fingerprint(image) != before
    check_crops(source, files / "an ortho.tif")


def test_a_server_that_goes_away_is_no_damaged_file(files: Path, server: RangeServer) -> None:
    source = field(files, f"{server.url}/an%20ortho.tif")
    reading = source.read_images(source.list_images([DAY]).images)
    next(reading)
    server.is_down = True
    with pytest.raises(InputError, match="cannot be reached"):
        list(reading)


def test_a_damaged_file_stops_the_run(files: Path, server: RangeServer) -> None:
    (files / "cut.tif").write_bytes((files / "an ortho.tif").read_bytes()[:100_000])
    source = field(files, f"{server.url}/cut.tif")
    with pytest.raises(InputError, match=r"The orthophoto http.*cut.tif could not be read: "):
        list(source.read_images(source.list_images([DAY]).images))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("{server}/none.tif", "There is no orthophoto http"),
        ("{server}/closed.tif", "The server refuses access"),
        ("http://127.0.0.1:{port}/ortho.tif", "cannot be reached"),
        ("https://user:secret@example.org/ortho.tif", "has a user, a key, or another option"),
        ("https://example.org/ortho.tif?token=secret", "has a user, a key, or another option"),
        ("s3://flights/ortho.tif?key=secret", "has a user, a key, or another option"),
        ("s3://flights/ortho.tif?region=eu.example.org/", "a region is a plain name"),
        ("s3://flights/ortho.tif?endpoint=s3.example.org", "an endpoint begins with http"),
        ("s3:///ortho.tif", "give the whole address"),
        ("https://example.org/", "give the whole address"),
    ],
)
def test_what_is_refused(files: Path, server: RangeServer, address: str, message: str) -> None:
    server.refused.add("closed.tif")
    with pytest.raises(InputError, match=message) as told:
        field(files, address.format(server=server.url, port=free_port())).available_dates()
    assert "secret" not in str(told.value)


def test_a_pattern_finds_no_files_on_a_server(files: Path) -> None:
    with pytest.raises(InputError, match="name the files of each date in a table"):
        make(files.parent, rasters="https://example.org/{date}.tif").available_dates()


# rclone answers a range with the status 200 in place of 206, and GDAL takes the range for the whole file.
gives_ranges = pytest.mark.parametrize("object_server", ["moto"], indirect=True)
checks_keys = pytest.mark.parametrize("object_server", ["rclone"], indirect=True)  # moto does not


class TestBucket:
    @pytest.fixture
    def address(self, files: Path, object_server: ObjectServer) -> str:
        boto3.client("s3", endpoint_url=object_server.url).upload_file(
            str(files / "an ortho.tif"), BUCKET, "flights/an ortho.tif"
        )
        return f"s3://{BUCKET}/flights/an ortho.tif?endpoint={object_server.url}"

    @gives_ranges
    def test_crops_and_servers_from_the_environment(
        self, files: Path, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        check_crops(field(files, address), files / "an ortho.tif")
        server = address.partition("endpoint=")[2]
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        check_crops(field(files, address.partition("?")[0]), files / "an ortho.tif")

    @gives_ranges
    def test_another_object_in_its_place_is_seen(
        self, files: Path, address: str, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remote, "STATE_SECONDS", 1e-9)
        source = field(files, address)
        (image, *_) = source.list_images([DAY]).images
        before = source.fingerprint(image)
        check_crops(source, files / "an ortho.tif")
        write_ortho(files / "an ortho.tif", 1)
        boto3.client("s3", endpoint_url=object_server.url).upload_file(
            str(files / "an ortho.tif"), BUCKET, "flights/an ortho.tif"
        )
        assert source.fingerprint(image) != before
        check_crops(source, files / "an ortho.tif")

    def test_missing_objects_and_buckets(self, files: Path, address: str) -> None:
        for wrong in (address.replace("an ortho", "none"), address.replace(BUCKET, "no-such-bucket")):
            with pytest.raises(InputError, match="There is no orthophoto s3://"):
                field(files, wrong).available_dates()

    @checks_keys
    def test_wrong_credentials(self, files: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(InputError, match="The server refuses access"):
            field(files, f"{address}&region=of-others").available_dates()
