"""Test the one reading of image files: formats, orientation, unusual bands, and what is no image."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from tasks.sources.contract import FileLook, UnreadableImage
from tasks.sources.images import is_image_file, look_at_file, read_rgb
from tasks.sources.raster import read_crop, read_raster
from tasks.sources.text_tables import read_text
from tasks.sources.workbooks import refuse_other_kinds

HEIGHT, WIDTH = 24, 40


def scene() -> NDArray[np.uint8]:
    """Return a smooth picture whose four corners differ, so that every turn shows and no codec changes it much."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    channels = (rows * 10, columns * 6, (rows + columns) * 3)
    return np.stack(channels, axis=-1).astype(np.uint8)


def save_bands(path: Path, bands: NDArray[Any], **options: Any) -> Path:
    count, height, width = bands.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": bands.dtype.name,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **{**profile, **options}) as file:
            file.write(bands)
    return path


def as_bands(image: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(image, -1, 0)


class TestFormats:
    @pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff"])
    def test_lossless_formats_are_read_exactly(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"plant.{suffix}"
        Image.fromarray(scene()).save(path)
        np.testing.assert_array_equal(read_rgb(path), scene())

    @pytest.mark.parametrize(
        ("suffix", "options"),
        [
            ("webp", {"lossless": True}),
            ("jp2", {}),
            ("j2k", {}),
            ("avif", {"quality": 95}),
            ("jpg", {"quality": 95}),
            ("jpeg", {"quality": 95}),
            ("jpe", {"quality": 95}),
            ("jfif", {"quality": 95}),
            ("gif", {}),
        ],
    )
    def test_other_formats_are_read_nearly(self, tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
        path = tmp_path / f"plant.{suffix}"
        form = {"jpe": "JPEG", "jfif": "JPEG"}.get(suffix)
        Image.fromarray(scene()).save(path, form, **options)
        found = read_rgb(path)
        assert found.shape == (HEIGHT, WIDTH, 3) and found.dtype == np.uint8
        assert np.abs(found.astype(int) - scene()).mean() < 8

    def test_suffixes_in_capitals_and_none(self, tmp_path: Path) -> None:
        Image.fromarray(scene()).save(tmp_path / "plant.png")
        for name in ("PLANT.PNG", "plant", "plant.png.1"):
            (tmp_path / name).write_bytes((tmp_path / "plant.png").read_bytes())
            assert is_image_file(tmp_path / name)
            np.testing.assert_array_equal(read_rgb(tmp_path / name), scene())

    def test_the_first_frame_of_several_is_read(self, tmp_path: Path) -> None:
        frames = [Image.new("P", (20, 20), colour) for colour in (3, 7)]
        for one in frames:
            one.putpalette([value for level in range(256) for value in (level, 255 - level, 9)])
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        assert read_rgb(tmp_path / "a.gif")[0, 0].tolist() == [3, 252, 9]


TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""How a camera stores an upright scene, by the orientation that it writes (CIPA DC-008)."""


class TestOrientation:
    @pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
    @pytest.mark.parametrize("orientation", TURNS)
    def test_the_image_is_upright_and_says_that_it_was_turned(
        self, tmp_path: Path, suffix: str, orientation: int
    ) -> None:
        stored = Image.fromarray(np.ascontiguousarray(TURNS[orientation](scene())))
        exif = stored.getexif()
        exif[0x0112] = orientation
        options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix == "jpg" else {}
        stored.save(tmp_path / f"a.{suffix}", exif=exif, **options)
        found = read_rgb(tmp_path / f"a.{suffix}")
        assert found.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(found.astype(int) - scene()).mean() < (8 if suffix == "jpg" else 0.01)
        look = look_at_file(tmp_path / f"a.{suffix}")
        assert look is not None and look.flags == (() if orientation == 1 else ("turned",))

    @pytest.mark.parametrize("value", [0, 9, 300])
    def test_other_values_turn_nothing(self, tmp_path: Path, value: int) -> None:
        image = Image.fromarray(scene())
        exif = image.getexif()
        exif[0x0112] = value
        image.save(tmp_path / "a.png", exif=exif)
        np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), scene())

    def test_exif_behind_the_pixels_of_a_png_is_ignored_in_both_looks(self, tmp_path: Path) -> None:
        image = Image.fromarray(scene())
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(tmp_path / "a.png", exif=exif)
        content = (tmp_path / "a.png").read_bytes()
        at = content.index(b"eXIf") - 4
        chunk = content[at : at + 12 + int.from_bytes(content[at : at + 4])]
        end = content.index(b"IEND") - 4
        (tmp_path / "a.png").write_bytes(content[:at] + content[at + len(chunk) : end] + chunk + content[end:])
        np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), scene())
        look = look_at_file(tmp_path / "a.png")
        assert look is not None and look.flags == ()

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
    def test_damaged_exif_does_not_make_an_image_unreadable(self, tmp_path: Path) -> None:
        Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
        assert read_rgb(tmp_path / "a.jpg").shape == (HEIGHT, WIDTH, 3)


class TestOneReading:
    """Orthophotos are read by GDAL, and image files by Pillow; both must read one file alike."""

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
    def test_pillow_and_gdal_agree(self, tmp_path: Path, mode: str) -> None:
        path = tmp_path / "a.tif"
        Image.fromarray(scene()).convert(mode).save(path)
        np.testing.assert_array_equal(read_rgb(path), read_raster(path))
        np.testing.assert_array_equal(read_rgb(path)[4:20, 12:28], read_crop(path, (20, 12), 16))

    def test_a_grey_in_which_zero_is_white(self, tmp_path: Path) -> None:
        grey = scene()[..., 0]
        path = save_bands(tmp_path / "a.tif", 255 - grey[None], photometric="MINISWHITE")
        np.testing.assert_array_equal(read_rgb(path), np.stack([grey] * 3, axis=-1))
        np.testing.assert_array_equal(read_raster(path), np.stack([grey] * 3, axis=-1))

    def test_three_bands_without_colours_are_red_green_and_blue(self, tmp_path: Path) -> None:
        path = save_bands(tmp_path / "a.tif", as_bands(scene()), photometric="MINISBLACK")
        np.testing.assert_array_equal(read_rgb(path), scene())
        np.testing.assert_array_equal(read_crop(path, (20, 12), 16), scene()[4:20, 12:28])
        look = look_at_file(path)
        assert look == FileLook(WIDTH, HEIGHT, path.stat().st_size, ("read_as_raster",), is_raw=True)

    def test_five_bands_with_marked_colours(self, tmp_path: Path) -> None:
        path = save_bands(tmp_path / "a.tif", as_bands(scene())[[2, 1, 0, 0, 1]], photometric="MINISBLACK")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "r+") as file:
                file.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, *[ColorInterp.undefined] * 2)
        np.testing.assert_array_equal(read_rgb(path), scene())

    @pytest.mark.parametrize(
        ("bands", "advice"),
        [
            (as_bands(scene()) / np.float32(255), "float32 pixels.*gdal_translate -ot Byte -scale"),
            (as_bands(scene())[[0, 1, 2, 0, 1]], "red, green and blue are not marked.*gdal_translate -b 1 -b 2 -b 3"),
            (as_bands(scene()).astype(np.uint16), "uint16 pixels|16 bits per channel"),
            (as_bands(scene())[:1].astype(np.float32), "float32 pixels|mode F"),
        ],
        ids=["float32", "five bands", "uint16", "grey float32"],
    )
    def test_the_advice_fits_in_patches_and_crops(self, tmp_path: Path, bands: NDArray[Any], advice: str) -> None:
        path = save_bands(tmp_path / "a.tif", bands)
        for read in (lambda: read_rgb(path), lambda: read_crop(path, (20, 12), 16)):
            with pytest.raises(UnreadableImage, match=advice) as refused:
                read()
            assert "convert the file to 8-bit RGB" in str(refused.value)


NO_IMAGES = {
    "empty.png": (b"", "an empty file"),
    "pointer.jpg": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    "page.png": (b"<!DOCTYPE html><html>login</html>", "an HTML page"),
    "page.jpg": (b"<html><body>404</body></html>", "an HTML page"),
    "paper.tif": (b"%PDF-1.7\n", "a PDF file"),
    "text.png": (b"no image at all", "not recognized"),
    "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC is not read; convert"),
    "phone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC is not read; convert"),
    "raw.dng": (b"II*\0\x08\0\0\0", "DNG is not read; convert"),
    "raw.NEF": (b"II*\0\x08\0\0\0", "NEF is not read; convert"),
    "list.tif": (b'<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand/></VRTDataset>', "list.tif: a VRT"),
    "list.vrt": (b'<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand/></VRTDataset>', "list.vrt: a VRT"),
    "program.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not recognized"),
    "cut.webp": (b"RIFF\x24\0\0\0WEBPVP8 ", "cut.webp"),
    "cut.bmp": (b"BM" + bytes(20), "cut.bmp"),
    "cut.gif": (b"GIF89a\x10\0\x10\0\xf0\0\0", "cut.gif"),
    "cut.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n", "cut.jp2"),
    "cut.avif": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "cut.avif"),
}


class TestNoImages:
    @pytest.mark.parametrize("name", NO_IMAGES)
    def test_the_reason_names_the_file_without_its_folders(self, tmp_path: Path, name: str) -> None:
        content, message = NO_IMAGES[name]
        reasons: set[str] = set()
        for folder in ("one", "another"):
            path = tmp_path / folder / name
            path.parent.mkdir()
            path.write_bytes(content)
            with pytest.raises(UnreadableImage, match=message) as refused:
                read_rgb(path)
            reasons.add(str(refused.value))
            assert look_at_file(path) is None
        assert len(reasons) == 1 and str(tmp_path) not in reasons.pop()

    @pytest.mark.parametrize("suffix", ["webp", "bmp", "gif", "jp2", "avif", "jfif"])
    def test_a_cut_file_is_unreadable_wherever_it_lies(self, tmp_path: Path, suffix: str) -> None:
        reasons: set[str] = set()
        for folder in ("one", "another"):
            (tmp_path / folder).mkdir()
            path = tmp_path / folder / f"plant.{suffix}"
            noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path, "JPEG" if suffix == "jfif" else None)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            with pytest.raises(UnreadableImage) as refused:
                read_rgb(path)
            reasons.add(str(refused.value))
        assert len(reasons) == 1 and str(tmp_path) not in reasons.pop()

    @pytest.mark.parametrize("name", ["readme.txt", "labels.csv", "a.png.aux.xml", "a.tfw", "notes"])
    def test_other_files_are_no_images(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("words")
        assert not is_image_file(tmp_path / name)


SILENT = Path("/proc/self/mem")  # its first page is never mapped, so a read of it fails as that of a failing disk (EIO)


@pytest.mark.skipif(not SILENT.exists(), reason="this system has no /proc")
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.png", read_rgb),
        ("a.png", look_at_file),
        ("a.tif", read_raster),
        ("a.tif", lambda path: read_crop(path, (5, 5), 4)),
        ("a.csv", read_text),
        ("a.xlsx", refuse_other_kinds),
    ],
)
def test_a_file_on_a_disk_that_does_not_answer_is_not_damaged(
    name: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / name).symlink_to(SILENT)
    with pytest.raises(OSError, match="Input/output error"):
        read(tmp_path / name)


def test_an_image_on_a_share_that_was_unmounted_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_rgb(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        read_raster(tmp_path / "a.tif")
