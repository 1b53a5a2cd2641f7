"""Test VRTs as orthophotos: which files they name, what is refused, and that fingerprints follow their tiles."""

from pathlib import Path

import numpy as np
import pytest

from storage.errors import InputError
from tasks.sources.field.rasters import find_rasters
from tasks.sources.field.vrt import files_of_vrt
from tests.support.orthophotos import small_bands, small_transform, write_raster, write_vrt
from tests.support.small_field import CRS, DAY, LINES, make, read, save

WHOLE = {"rasters": {str(DAY): "whole.vrt"}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a field whose orthophoto is a VRT of a western and an eastern tile."""
    root = tmp_path / "field"
    bands, matrix = small_bands(), small_transform()
    write_raster(root / f"tiles/{DAY}_west.tif", bands[:, :, :40], matrix, CRS)
    write_raster(root / f"tiles/{DAY}_east.tif", bands[:, :, 40:], matrix, CRS)
    parts = {f"tiles/{DAY}_west.tif": (0, 0, 40, 80), f"tiles/{DAY}_east.tif": (40, 0, 40, 80)}
    write_vrt(root / "whole.vrt", bands.shape, matrix, CRS, parts)
    save(root, *LINES)
    return root


def named(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in files_of_vrt(root / "whole.vrt")]


def test_files_are_found_through_other_vrts(root: Path) -> None:
    tiles = [f"tiles/{DAY}_east.tif", f"tiles/{DAY}_west.tif"]
    assert named(root) == tiles
    (root / "whole.vrt").rename(root / "inner.vrt")
    write_vrt(root / "whole.vrt", (3, 80, 80), small_transform(), CRS, {"inner.vrt": (0, 0, 80, 80)})
    assert named(root) == ["inner.vrt", *tiles]
    source = make(root, **WHOLE)
    (image, *_) = source.list_images([DAY]).images
    np.testing.assert_array_equal(source.read_image(image), np.moveaxis(small_bands()[:, 10:30, 10:30], 0, -1))


def test_absolute_names_and_links_to_the_root(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    text = (root / "whole.vrt").read_text().replace('relativeToVRT="1">', f'relativeToVRT="0">{root.parent}/link/')
    (root / "whole.vrt").write_text(text)
    assert len(read(root, **WHOLE).images) == 3


def test_tiles_are_read_through_the_vrt_of_their_date(root: Path) -> None:
    (root / "whole.vrt").rename(root / f"tiles/{DAY}.vrt")
    text = (root / f"tiles/{DAY}.vrt").read_text()
    (root / f"tiles/{DAY}.vrt").write_text(text.replace("tiles/", ""))
    for name in ("west.tfw", "west.tif.ovr", "west.tif.aux.xml", "notes.txt"):
        (root / f"tiles/{DAY}_{name}").write_text("beside")
    assert find_rasters(root, "tiles/{date}*") == {DAY: (f"tiles/{DAY}.vrt",)}
    assert {one.path for one in read(root, rasters="**/{date}*").images} == {f"tiles/{DAY}.vrt"}


def test_missing_tiles_are_one_message(root: Path) -> None:
    (root / f"tiles/{DAY}_east.tif").unlink()
    with pytest.raises(InputError) as caught:
        read(root, **WHOLE)
    assert caught.value.found == (
        f"whole.vrt names 1 of 2 files that are not there or cannot be read: tiles/{DAY}_east.tif"
    )
    assert caught.value.rule and "gdalbuildvrt" in caught.value.remedy


@pytest.mark.parametrize("name", ["../away.tif", "/vsicurl/https://example.org/a.tif"])
def test_files_outside_the_root_are_refused(root: Path, name: str) -> None:
    write_raster(root.parent / "away.tif", small_bands(), small_transform(), CRS)
    text = (root / "whole.vrt").read_text().replace(f"tiles/{DAY}_east.tif", name)
    (root / "whole.vrt").write_text(text if ".." in name else text.replace('relativeToVRT="1"', ""))
    with pytest.raises(InputError, match=r"(?s)whole.vrt names .*, outside .*below source.root"):
        read(root, **WHOLE)


def test_a_damaged_vrt_leaves_plants_out(root: Path) -> None:
    (root / "whole.vrt").write_text("<VRTDataset rasterXSize=")
    assert {one.reason for one in read(root, **WHOLE).left_out} == {"unreadable_raster"}


def test_a_vrt_under_another_suffix_is_not_read(root: Path) -> None:
    (root / "whole.vrt").rename(root / "whole.tif")
    listing = read(root, rasters={str(DAY): "whole.tif"})
    assert {one.reason for one in listing.left_out} == {"unreadable_raster"} and "VRT is not read" in (
        listing.left_out[0].detail
    )


def test_fingerprints_follow_the_tiles(root: Path) -> None:
    source = make(root, **WHOLE)
    (image, *_) = source.list_images([DAY]).images
    before = source.fingerprint(image)
    assert source.fingerprint(image) == before
    write_raster(root / f"tiles/{DAY}_east.tif", small_bands()[:, ::-1, 40:], small_transform(), CRS)
    assert source.fingerprint(image) != before
