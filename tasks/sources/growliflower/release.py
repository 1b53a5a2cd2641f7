"""Read what all GrowliFlower releases share: plant ids, file names, split files, and plants known to be blurry."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path, PurePosixPath

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.checks import SPLIT_WORDS, refuse_two_splits, text_table
from tasks.sources.contract import SourceImage
from tasks.sources.files import IMAGE_SUFFIXES, read_text, relative_path, to_float, walk_files

CLASSES = ("not ready", "ready")
PLANT_ID = re.compile(r"^(20\d\d)_Ref_Plot(\d+)_([A-Z])(\d{1,2})$")
PLANT_IN_NAME = re.compile(r"Ref_Plot(\d+)_([A-Z]\d{1,2})(?![0-9A-Za-z])")
PREPARED = re.compile(r"^(20\d\d_\d\d_\d\d)_(Ref_Plot\d+_[A-Z]\d{1,2})(?:_(.+))?_(\d+)$")
DATE_FOLDER = re.compile(r"^20\d\d_\d\d_\d\d$")
FIELD_FOLDER = re.compile(r"^Field\d+$", re.IGNORECASE)
PLOT = re.compile(r"Ref_Plot(\d+)")

BLURRY_DATE = date(2021, 8, 30)
BLURRY_PLANTS = frozenset(f"2021_Ref_Plot1_{place}" for place in ("A4", "A5", "A6", "B6", "B7"))


def remarks(plant_id: str, acquired: date) -> tuple[str, ...]:
    """Return the flag `known_blurry` for plants that the release shows out of focus."""
    return ("known_blurry",) if acquired == BLURRY_DATE and plant_id in BLURRY_PLANTS else ()


def make_image(plant_id: str, acquired: date, path: str) -> SourceImage:
    """Make the record of a plant's image whose split is not known yet."""
    return SourceImage(plant_id, acquired, "new", "none", path, flags=remarks(plant_id, acquired))


def folder_date(text: str) -> date | None:
    """Read a date from a folder's name `YYYY_MM_DD`, or return None if the name is no date."""
    if not DATE_FOLDER.match(text):
        return None
    try:
        return date.fromisoformat(text.replace("_", "-"))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class SplitPlant:
    """Split of a plant and where it was read, with easting and northing in metres (UTM 32N) if known."""

    split: Split
    source: str
    easting: float | None = None
    northing: float | None = None

    def place(self, image: SourceImage) -> SourceImage:
        """Return an image of the plant with split and position added."""
        return replace(image, split=self.split, split_source=self.source, easting=self.easting, northing=self.northing)


def is_split_file(path: Path) -> bool:
    """Return whether a file is a UTM split file, `*UTM_Coordinates*.txt` or `.csv`."""
    return "utm_coordinates" in path.name.lower() and path.suffix.lower() in {".txt", ".csv"}


def read_split_files(paths: Iterable[Path]) -> dict[str, SplitPlant]:
    """Read the split of every plant from files with rows `plant id, easting, northing, height, split, ...`.

    Raises
    ------
    InputError : a row is malformed, or a plant is in two splits or two places.
    """
    rows: dict[str, set[SplitPlant]] = defaultdict(set)
    for path in paths:
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if line.strip():
                plant_id, plant = read_split_row(path, number, [cell.strip() for cell in line.split(",")])
                rows[plant_id].add(plant)
    refuse_two_splits((plant_id, plant.split) for plant_id, found in rows.items() for plant in found)
    moved = [plant_id for plant_id, found in sorted(rows.items()) if len(found) > 1]
    if moved:
        found = text_table(("plant", "rows"), [(plant_id, len(rows[plant_id])) for plant_id in moved])
        raise InputError(
            f"Plants with several places: {len(moved)}{found}",
            "A plant must have one place in the UTM files",
            "remove the wrong rows",
        )
    return {plant_id: plant for plant_id, (plant,) in rows.items()}


def read_split_row(path: Path, line: int, cells: list[str]) -> tuple[str, SplitPlant]:
    """Read one row of a UTM split file, or raise InputError."""
    if len(cells) >= 5 and PLANT_ID.match(cells[0]):
        easting, northing, height = (to_float(cell) for cell in cells[1:4])
        split = SPLIT_WORDS.get(cells[4].lower(), "new")
        if None not in {easting, northing, height} and split != "new":
            return cells[0], SplitPlant(split, "utm", easting, northing)
    raise InputError(
        f"{path}, line {line}, is `{', '.join(cells)}`",
        "A row of a UTM file must be `plant id, easting, northing, height, train|val|test, ...`",
        "correct the row",
    )


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A prepared patch, whose name states date, augmentation and label."""

    path: str
    plant_id: str
    acquired: date
    augmentation: str | None
    label: int


@dataclass(slots=True)
class ReleaseFiles:
    """Files of an original release, grouped by kind.

    Attributes
    ----------
    patches : plant id, date and path of each patch.
    prepared : patches with the label in the name.
    coordinates : date and path of the pixel coordinate files.
    rasters : images that name a plot and no plant, by (folder, plot).
    split_files : UTM split files.
    ignored : number of skipped files by kind.
    """

    patches: list[tuple[str, date, str]] = field(default_factory=list[tuple[str, date, str]])
    prepared: list[PreparedFile] = field(default_factory=list[PreparedFile])
    coordinates: list[tuple[date, Path]] = field(default_factory=list[tuple[date, Path]])
    rasters: dict[tuple[Path, str], list[Path]] = field(default_factory=dict[tuple[Path, str], list[Path]])
    split_files: list[Path] = field(default_factory=list[Path])
    ignored: Counter[str] = field(default_factory=Counter[str])

    def dates(self) -> tuple[date, ...]:
        """Return the acquisition dates that have patches or pixel coordinates, ascending."""
        patches = {day for _, day, _ in self.patches} | {file.acquired for file in self.prepared}
        return tuple(sorted(patches | {day for day, _ in self.coordinates}))


def find_release_files(root: Path, field_name: str) -> ReleaseFiles:
    """Group the files below a root by their names, and skip folders of other fields.

    Raises
    ------
    InputError : a prepared name has an impossible date, a label other than 0 or 1, or another date than its folder.
    """
    found = ReleaseFiles()
    for path in walk_files(root):
        folders = path.relative_to(root).parts[:-1]
        fields = {part.lower() for part in folders if FIELD_FOLDER.match(part)}
        if fields and field_name.lower() not in fields:
            found.ignored["files of other fields"] += 1
        elif is_split_file(path):
            found.split_files.append(path)
        else:
            dates = [day for part in folders if (day := folder_date(part))]
            sort_file(found, path, relative_path(path, root), dates[-1] if dates else None)
    return found


def sort_file(found: ReleaseFiles, path: Path, relative: str, acquired: date | None) -> None:
    """Add one file to its group.

    Parameters
    ----------
    found : groups, to which the file is added.
    relative : path relative to the root.
    acquired : date of the file's folder; None if no folder is a date.
    """
    is_image = path.suffix.lower() in IMAGE_SUFFIXES
    prepared = PREPARED.match(path.stem) if is_image else None
    plot = PLOT.search(path.name)
    if prepared:
        found.prepared.append(read_prepared_name(prepared, relative, acquired))
    elif is_image and PLANT_ID.match(path.stem):
        if acquired:
            found.patches.append((path.stem, acquired, relative))
        else:
            found.ignored["patches outside a YYYY_MM_DD folder"] += 1
    elif "pix_coordinates" in path.name.lower() and plot and acquired:
        found.coordinates.append((acquired, path))
    elif is_image and plot and not PLANT_IN_NAME.search(path.name):
        found.rasters.setdefault((path.parent, plot.group(1)), []).append(path)
    elif is_image or "pix_coordinates" in path.name.lower():
        found.ignored["images or coordinate files whose names are not understood"] += 1


def read_prepared_name(name: re.Match[str], relative: str, acquired: date | None) -> PreparedFile:
    """Read `<YYYY_MM_DD>_Ref_Plot<p>_<A1>[_<augmentation>]_<label>`, or raise InputError."""
    day_text, place, augmentation, label = name.groups()
    day = folder_date(day_text)
    if day is None or label not in {"0", "1"}:
        raise InputError(
            f"The name of {relative} has no date or label",
            "A prepared name must start with a date and end with label 0 or 1",
            "rename the file",
        )
    if acquired and acquired != day:
        raise InputError(
            f"{relative} of {day} lies in the folder of {acquired}",
            "A prepared file must lie in the folder of its own date",
            "move or rename the file",
        )
    return PreparedFile(relative, f"{day.year}_{place}", day, augmentation, int(label))


def split_folder(path: str) -> Split | None:
    """Return the split that a folder of a prepared file names, or None."""
    words: list[Split] = [
        SPLIT_WORDS[part.lower()] for part in PurePosixPath(path).parts[:-1] if part.lower() in SPLIT_WORDS
    ]
    return words[-1] if words else None
