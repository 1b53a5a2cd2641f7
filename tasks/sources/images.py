"""Read image files as 8-bit RGB, in one way for every source, and look at their headers before they are decoded.

Pillow decodes the formats that it identifies. Files that it does not know go to GDAL, as orthophotos do: JPEG 2000, and
TIFF files with unusual bands.
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ExifTags, Image, UnidentifiedImageError

from tasks.parameters import Params
from tasks.sources.contract import FileLook, ReadImage, SourceImage, UnreadableImage, read_one_by_one
from tasks.sources.files import (
    ADVICE,
    UNREAD_SUFFIXES,
    digest_file,
    is_photograph,
    raise_if_passing,
    without_folders,
)

if TYPE_CHECKING:  # importing numpy takes a fifth of the time of an early error
    import numpy as np
    from numpy.typing import NDArray

# The key `ingest.max_pixels` limits the size of images, by their headers, and takes the place of Pillow's own limit.
Image.MAX_IMAGE_PIXELS = None

# Pillow warns of damaged metadata, which says nothing about the pixels. Damaged pixels raise errors.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\..*Plugin")

# Formats that Pillow reads. The others it knows include formats that start programs, and previews of raw files.
PILLOW_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "AVIF")

# Pillow modes that lose nothing but transparency when converted to 8-bit RGB.
RGB_MODES = frozenset({"RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1"})

# How the pixels of a file are brought upright, by its EXIF orientation (CIPA DC-008, tag 0x0112).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# First bytes of files that often stand in an image's place, and what they are.
TAKEN_FOR_IMAGES = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the image; run `git lfs pull`"),
    (b"<!doctype html", "an HTML page, not an image; fetch the file again"),
    (b"<html", "an HTML page, not an image; fetch the file again"),
    (b"%pdf", "a PDF file, not an image"),
    (b"<vrtdataset", "a VRT, which names images and is none"),
)


class PatchFiles(Params):
    """Base class of sources in which every image is a separate file."""

    root: str

    def fingerprint(self, image: SourceImage) -> str:
        """Return the SHA-256 (hex) of the file."""
        return digest_file(Path(self.root).expanduser() / image.path)

    def look_at(self, image: SourceImage) -> FileLook | None:
        """Return size and remarks of the file by its header; None if it has none that can be read."""
        return look_at_file(Path(self.root).expanduser() / image.path)

    def read_image(self, image: SourceImage) -> "NDArray[np.uint8]":
        """Read the pixels upright, shape (height, width, 3), RGB, 0..255.

        Raises
        ------
        UnreadableImage : the file is damaged, truncated, or cannot be converted to 8-bit RGB.
        """
        return read_rgb(Path(self.root).expanduser() / image.path)

    def read_images(self, images: Sequence[SourceImage]) -> Iterator[ReadImage]:
        """Read many images, in their own order."""
        return read_one_by_one(self.read_image, images)


def read_rgb(path: Path) -> "NDArray[np.uint8]":
    """Read a whole image file as 8-bit RGB, upright by its EXIF orientation.

    Grey and palette images are converted, and transparency is dropped. Of several frames or pages the first is read.

    Returns
    -------
    Pixels, shape (height, width, 3), 0..255.

    Raises
    ------
    UnreadableImage : the file is damaged, truncated, too large, of a format that is not read, or of a mode that cannot
        be converted to 8-bit RGB (16 bits, float, CMYK). The message names the file without its folders.
    OSError : the disk or the network share does not answer. Nobody knows then whether the file is damaged.
    """
    import numpy as np

    refuse_format(path)
    try:
        with open_image(path) as image:
            refuse_mode(image)
            return np.array(to_upright_rgb(image), dtype=np.uint8)
    except UnidentifiedImageError:
        from tasks.sources.raster import read_raster  # GDAL is imported only for files that need it

        return read_raster(path)
    except UnreadableImage:
        raise
    # Pillow's decoders raise many kinds of exceptions on damaged bytes, among them SyntaxError and struct.error, and
    # OSErrors without a number.
    except Exception as error:
        raise_if_passing(error)
        raise UnreadableImage(f"{path.name}: {type(error).__name__}: {without_folders(path, error)}") from error


def refuse_format(path: Path) -> None:
    """Raise UnreadableImage if a file is empty, of a format that is not read, or known to be no image."""
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(32).lower()
    if suffix in UNREAD_SUFFIXES or head[4:12] in {b"ftypheic", b"ftypheix", b"ftypmif1"}:
        kind = suffix[1:].upper() if suffix in UNREAD_SUFFIXES else "HEIC"
        raise UnreadableImage(f"{path.name}: {kind} is not read; convert the file to PNG, TIFF or JPEG")
    if not head:
        raise UnreadableImage(f"{path.name}: an empty file; copy it again")
    for start, found in TAKEN_FOR_IMAGES:
        if head.startswith(start):
            raise UnreadableImage(f"{path.name}: {found}")


def open_image(path: Path) -> Image.Image:
    """Open an image file with Pillow, which reads its header."""
    return Image.open(path, formats=PILLOW_FORMATS)


def refuse_mode(image: Image.Image) -> None:
    """Raise UnreadableImage if a conversion to 8-bit RGB would lose more than transparency."""
    if image.mode not in RGB_MODES:
        raise UnreadableImage(f"mode {image.mode} has no 8-bit RGB reading; {ADVICE}")
    # Pillow silently reads 16-bit colour as 8-bit. Only the decoder's raw mode shows it.
    if ";16" in str(getattr(image, "tile", "")):
        raise UnreadableImage(f"16 bits per channel; {ADVICE}")


def to_upright_rgb(image: Image.Image) -> Image.Image:
    """Return an opened image as RGB, upright by its orientation."""
    # Pillow itself turns TIFF files when it decodes them.
    turn = None if image.format == "TIFF" else UPRIGHT.get(find_orientation(image))
    if image.mode != "RGB":
        # Pillow warns if a palette with transparency is converted to RGB directly, so it goes through RGBA.
        image = image.convert("RGBA").convert("RGB")
    return image if turn is None else image.transpose(turn)


def find_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened image, 1 to 8, by its header alone; 1 if it has none."""
    is_in_header = image.format != "PNG" or not {"exif", "Raw profile type exif"}.isdisjoint(image.info)
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1) if is_in_header else 1
    # Damaged EXIF raises many kinds of exceptions, and does not make an image unreadable.
    except Exception:
        return 1
    return found if found in UPRIGHT else 1


def look_at_file(path: Path) -> FileLook | None:
    """Return size and remarks of an image file by its header; None if it has none that can be read.

    Raises
    ------
    OSError : the disk or the network share does not answer.
    """
    try:
        refuse_format(path)
        with open_image(path) as image:
            orientation = find_orientation(image)
            width, height = image.size
            is_raw = image.info.get("compression") == "raw"
            flags = () if orientation == 1 else ("turned",)
    except UnidentifiedImageError:
        return look_at_raster(path)
    except Exception as error:  # whatever is wrong is found and described when the file is read
        raise_if_passing(error)
        return None
    return FileLook(width, height, path.stat().st_size, flags, is_raw)


def look_at_raster(path: Path) -> FileLook | None:
    """Return size and remarks of an image file that GDAL reads; None if it does not."""
    from tasks.sources.raster import open_raster  # GDAL is imported only for files that need it

    try:
        with open_raster(path) as dataset:
            is_raw = dataset.driver == "GTiff" and dataset.compression is None
            return FileLook(dataset.width, dataset.height, path.stat().st_size, ("read_as_raster",), is_raw)
    except UnreadableImage:
        return None


def is_image_file(path: Path) -> bool:
    """Return whether a file is an image: by its suffix, or else by its first bytes."""
    if is_photograph(path.name):
        return True
    try:
        with open_image(path):
            return True
    except Exception:
        return False
