"""Read the files of a source: images, text tables, digests, paths below a root."""

import csv
import hashlib
import os
import threading
import warnings
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.errors import InputError
from tasks.parameters import Params
from tasks.sources.contract import SourceImage, UnreadableImage

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})

# Pillow modes that lose nothing but transparency when converted to 8-bit RGB.
RGB_MODES = frozenset({"RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1"})

# Lock for the process-wide filters of `warnings`: two threads that set them in parallel may leave them changed.
WARNING_FILTERS = threading.Lock()


class PatchFiles(Params):
    """Base class of sources in which every image is a separate file."""

    root: str

    def fingerprint(self, image: SourceImage) -> str:
        """Return the SHA-256 (hex) of the file."""
        return digest_file(Path(self.root).expanduser() / image.path)

    def read_image(self, image: SourceImage) -> NDArray[np.uint8]:
        """Read the pixels, shape (height, width, 3), RGB, 0..255.

        Raises
        ------
        UnreadableImage : the file is damaged, truncated, or cannot be converted to 8-bit RGB.
        """
        return read_rgb(Path(self.root).expanduser() / image.path)


def find_root(root: str) -> Path:
    """Return the resolved path of the folder that a source reads.

    Raises
    ------
    InputError : there is no such folder.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise InputError(
            f"There is no folder {folder.absolute()}", "The root of a source must be a folder", "correct `root`"
        )
    return folder.resolve()


def walk_files(root: Path) -> list[Path]:
    """List every file below a folder, sorted by path; linked folders are followed, and each folder is read once."""
    found: list[Path] = []
    seen: set[str] = set()
    for folder, names, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names.sort()
        found += [Path(folder, name) for name in files]
    return sorted(found)


def relative_path(path: Path, root: Path) -> str:
    """Return a path relative to the root, with `/`."""
    return path.relative_to(root).as_posix()


def resolve_inside(root: Path, file: str, named_in: str) -> Path:
    """Return the resolved path of a file that a table names relative to the root.

    Raises
    ------
    InputError : the path leads out of the root, possibly through a link.
    """
    path = (root / file).resolve()
    if not path.is_relative_to(root):
        raise InputError(
            f"{file} leads to {path}, outside the root",
            f"Every file named in {named_in} must lie inside the root",
            "correct the path",
        )
    return path


def digest_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a whole image file as 8-bit RGB.

    Grey and palette images are converted, and transparency is dropped. The orientation tag is not applied.

    Returns
    -------
    Pixels, shape (height, width, 3), 0..255.

    Raises
    ------
    UnreadableImage : the file is damaged, truncated, too large, or of a mode that cannot be converted to 8-bit RGB
        (16 bits, float, CMYK).
    """
    try:
        with open_image(path) as image:
            refuse_mode(image)
            if image.mode == "RGB":
                return np.array(image, dtype=np.uint8)
            # Pillow warns if a palette with transparency is converted to RGB directly, so it goes through RGBA.
            return np.array(image.convert("RGBA").convert("RGB"), dtype=np.uint8)
    except UnreadableImage:
        raise
    # Pillow's decoders raise many kinds of exceptions on damaged bytes, among them SyntaxError and struct.error.
    except Exception as error:
        raise UnreadableImage(f"{path.name}: {type(error).__name__}: {error}") from error


def open_image(path: Path) -> Image.Image:
    """Open an image file, and raise Pillow's warning of a huge image as an error."""
    with WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path)


def refuse_mode(image: Image.Image) -> None:
    """Raise UnreadableImage if a conversion to 8-bit RGB would lose more than transparency."""
    if image.mode not in RGB_MODES:
        raise UnreadableImage(f"mode {image.mode} has no 8-bit RGB reading; convert the file to 8-bit RGB")
    # Pillow silently reads 16-bit colour as 8-bit. Only the decoder's raw mode shows it.
    if ";16" in str(getattr(image, "tile", "")):
        raise UnreadableImage("16 bits per channel; convert the file to 8-bit RGB")


@dataclass(frozen=True, slots=True)
class TextTable:
    """A delimited text file: column names, and rows with their line numbers."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]

    def require(self, *columns: str) -> None:
        """Raise InputError unless the table has these columns."""
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise InputError(
                f"{self.path.name} has no column {', '.join(missing)}; its columns are {', '.join(self.columns)}",
                f"{self.path.name} must have the columns that the parameters name",
                "name the file's own columns in the parameters",
            )


def read_text(path: Path) -> str:
    """Read a UTF-8 text file, with or without a byte order mark.

    Raises
    ------
    InputError : the file is missing or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}",
            "A text file must be readable as UTF-8",
            "correct the path, or save the file as UTF-8",
        ) from error


def read_table(path: Path) -> TextTable:
    """Read a text table with a header and a comma, semicolon, tab or bar between the columns.

    Raises
    ------
    InputError : the file is unreadable or empty, names a column twice, or has a row with another number of cells than
        the header.
    """
    lines = read_text(path).splitlines()
    header = lines[0] if lines else ""
    delimiter = max(",;\t|", key=header.count)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    columns = tuple(cell.strip() for cell in next(reader, []))
    if not any(columns) or len(set(columns)) < len(columns):
        raise InputError(
            f"{path} begins with the line {header!r}",
            "The first line of a table must name the columns, each once",
            "correct the header",
        )
    rows: list[tuple[int, dict[str, str]]] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            raise InputError(
                f"{path}, line {reader.line_num}, has {len(cells)} cells for {len(columns)} columns",
                "Every row of a table must have one cell per column",
                "correct the row",
            )
        rows.append((reader.line_num, dict(zip(columns, (cell.strip() for cell in cells), strict=True))))
    return TextTable(path, columns, tuple(rows))


def to_float(text: str) -> float | None:
    """Read a finite number, or return None if the text is not one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def parse_date(text: str, date_format: str | None = None) -> date | None:
    """Read a date in ISO or in a `strptime` format, ignoring a time of day; return None if the text is no date."""
    try:
        day = datetime.strptime(text, date_format) if date_format else datetime.fromisoformat(text)
    except ValueError:
        return None
    # Exports write 0001-01-01 for "no date", which must not count as a harvest date.
    return day.date() if day.year >= 1900 else None
