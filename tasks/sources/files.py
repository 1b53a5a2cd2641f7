"""Reading the files of a source: images, text tables, digests, paths below a root."""

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

# Modes whose conversion to 8-bit RGB loses nothing but transparency.
RGB_MODES = frozenset({"RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1"})

# The filters of `warnings` belong to the whole process: two threads that set them at once may leave them changed.
WARNING_FILTERS = threading.Lock()


class PatchFiles(Params):
    """What sources share in which every image is a file of its own."""

    root: str

    def fingerprint(self, image: SourceImage) -> str:
        """SHA-256 (hex) of the file."""
        return digest_file(Path(self.root).expanduser() / image.path)

    def read_image(self, image: SourceImage) -> NDArray[np.uint8]:
        """Pixels, shape (height, width, 3), RGB, 0..255.

        Raises
        ------
        UnreadableImage : damaged, truncated, or without an 8-bit RGB reading.
        """
        return read_rgb(Path(self.root).expanduser() / image.path)


def find_root(root: str) -> Path:
    """Return the folder a source reads, resolved.

    Raises
    ------
    InputError : no such folder.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise InputError(f"no folder {folder.absolute()}", "The root of a source is a folder", "correct `root`")
    return folder.resolve()


def walk_files(root: Path) -> list[Path]:
    """List every file below a folder, in the order of their paths; linked folders are followed, each folder once."""
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
    """Write a path relative to the root, with `/`."""
    return path.relative_to(root).as_posix()


def resolve_inside(root: Path, file: str, named_in: str) -> Path:
    """Return the path that a table names, relative to the root.

    Raises
    ------
    InputError : the path leads out of the root, also through a link.
    """
    path = (root / file).resolve()
    if not path.is_relative_to(root):
        raise InputError(
            f"{file} leads to {path}", f"Every file named in {named_in} lies inside the root", "correct the path"
        )
    return path


def digest_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read a whole image file as 8-bit RGB.

    Grey and palette images are converted, transparency is dropped; the orientation tag is not applied.

    Returns
    -------
    Pixels, shape (height, width, 3), 0..255.

    Raises
    ------
    UnreadableImage : damaged, truncated, too large, or a mode without an 8-bit RGB reading (16 bits, float, CMYK).
    """
    try:
        with open_image(path) as image:
            refuse_mode(image)
            if image.mode == "RGB":
                return np.array(image, dtype=np.uint8)
            # By way of RGBA, because Pillow warns when a palette with transparency goes straight to RGB.
            return np.array(image.convert("RGBA").convert("RGB"), dtype=np.uint8)
    except UnreadableImage:
        raise
    # Pillow's decoders raise what they like on damaged bytes, SyntaxError and struct.error among them.
    except Exception as error:
        raise UnreadableImage(f"{path.name}: {type(error).__name__}: {error}") from error


def open_image(path: Path) -> Image.Image:
    """Open an image file; Pillow's warning of a huge image is raised as an error."""
    with WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path)


def refuse_mode(image: Image.Image) -> None:
    """Raise UnreadableImage where 8-bit RGB would lose more than transparency."""
    if image.mode not in RGB_MODES:
        raise UnreadableImage(f"mode {image.mode} has no 8-bit RGB reading; convert the file to 8-bit RGB")
    # Pillow reads 16-bit colour as 8-bit without a word; only the decoder's raw mode tells.
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
                f"no {', '.join(missing)}; its columns are {', '.join(self.columns)}",
                f"{self.path.name} has the columns named in the parameters",
                "name the file's own columns in the parameters",
            )


def read_text(path: Path) -> str:
    """Read a UTF-8 text file, with or without a byte order mark.

    Raises
    ------
    InputError : missing, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: {error}", "A text file can be read as UTF-8", "correct the path or re-save"
        ) from error


def read_table(path: Path) -> TextTable:
    """Read a text table with a header; comma, semicolon, tab or bar between the columns.

    Raises
    ------
    InputError : unreadable, empty, a column named twice, or a row with another number of cells than the header.
    """
    lines = read_text(path).splitlines()
    header = lines[0] if lines else ""
    delimiter = max(",;\t|", key=header.count)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    columns = tuple(cell.strip() for cell in next(reader, []))
    if not any(columns) or len(set(columns)) < len(columns):
        raise InputError(f"{path}: {header!r}", "The first line names the columns, each once", "correct the header")
    rows: list[tuple[int, dict[str, str]]] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            raise InputError(
                f"{path}, line {reader.line_num}: {len(cells)} cells for {len(columns)} columns",
                "Every row of a table has one cell per column",
                "correct the row",
            )
        rows.append((reader.line_num, dict(zip(columns, (cell.strip() for cell in cells), strict=True))))
    return TextTable(path, columns, tuple(rows))


def parse_date(text: str, date_format: str | None = None) -> date | None:
    """Read a date, ISO (a time of day is ignored) or in a `strptime` format; None where it is not one."""
    try:
        day = datetime.strptime(text, date_format) if date_format else datetime.fromisoformat(text)
    except ValueError:
        return None
    # Exports write 0001-01-01 for "no date"; that is no harvest.
    return day.date() if day.year >= 1900 else None
