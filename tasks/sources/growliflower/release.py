"""Group the files of GrowliFlower releases by their names, and name plants known to be blurry."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.checks import SPLIT_WORDS
from tasks.sources.contract import LeftOut, SourceImage
from tasks.sources.files import FaultyFile, relative_path, walk_files
from tasks.sources.growliflower.coordinates import PLANT_ID
from tasks.sources.images import is_image_file

CLASSES = ("not ready", "ready")
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


def is_split_file(path: Path) -> bool:
    """Return whether a file is a UTM split file, `*UTM_Coordinates*.txt` or `.csv`."""
    return "utm_coordinates" in path.name.lower() and path.suffix.lower() in {".txt", ".csv"}


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
    faulty : entries in dated folders that cannot be read.
    ignored : number of skipped files by kind.
    """

    patches: list[tuple[str, date, str]] = field(default_factory=list[tuple[str, date, str]])
    prepared: list[PreparedFile] = field(default_factory=list[PreparedFile])
    coordinates: list[tuple[date, Path]] = field(default_factory=list[tuple[date, Path]])
    rasters: dict[tuple[Path, str], list[Path]] = field(default_factory=dict[tuple[Path, str], list[Path]])
    split_files: list[Path] = field(default_factory=list[Path])
    faulty: list[LeftOut] = field(default_factory=list[LeftOut])
    ignored: Counter[str] = field(default_factory=Counter[str])

    def dates(self) -> tuple[date, ...]:
        """Return the acquisition dates that have patches or pixel coordinates, ascending."""
        patches = {day for _, day, _ in self.patches} | {file.acquired for file in self.prepared}
        return tuple(sorted(patches | {day for day, _ in self.coordinates}))


def find_release_files(root: Path, field_name: str, tables: Collection[str] = ()) -> ReleaseFiles:
    """Group the files below a root by their names, and skip folders of other fields.

    Parameters
    ----------
    tables : paths of other tables of the source, relative to the root, which are not counted as skipped.

    Raises
    ------
    InputError : a prepared name has an impossible date, a label other than 0 or 1, or another date than its folder.
    """
    entries = walk_files(root)
    found = ReleaseFiles(ignored=entries.passed_by.copy())
    for path in [*entries.files, *(one.path for one in entries.faulty if is_table(one.path))]:
        relative = relative_path(path, root)
        if is_other_field(relative, field_name):
            found.ignored["files of other fields"] += 1
        elif is_split_file(path):
            found.split_files.append(path)
        elif relative not in tables:
            sort_file(found, path, relative, date_of_folders(relative))
    for one in entries.faulty:
        if is_other_field(one.shown, field_name):
            found.ignored["files of other fields"] += 1
        elif not is_table(one.path):
            sort_faulty(found, one)
    return found


def is_other_field(relative: str, field_name: str) -> bool:
    """Return whether a file lies in the folder of another field."""
    fields = {part.lower() for part in PurePosixPath(relative).parts[:-1] if FIELD_FOLDER.match(part)}
    return bool(fields) and field_name.lower() not in fields


def date_of_folders(relative: str) -> date | None:
    """Return the date of the innermost folder `YYYY_MM_DD` of a path, or None."""
    dates = [day for part in PurePosixPath(relative).parts[:-1] if (day := folder_date(part))]
    return dates[-1] if dates else None


def is_table(path: Path) -> bool:
    """Return whether a file is a table of the release: a UTM split file or pixel coordinates."""
    return is_split_file(path) or "pix_coordinates" in path.name.lower()


def sort_faulty(found: ReleaseFiles, faulty: FaultyFile) -> None:
    """Add an entry that cannot be read to the faulty ones, or count it if it lies in no dated folder."""
    acquired, stem = date_of_folders(faulty.shown), PurePosixPath(faulty.shown).stem
    if acquired is None:
        found.ignored[f"files outside a YYYY_MM_DD folder that cannot be read ({faulty.detail})"] += 1
    else:
        plant_id = stem if PLANT_ID.match(stem) else faulty.shown
        found.faulty.append(LeftOut(plant_id, acquired, faulty.shown, faulty.reason, faulty.detail))


def sort_file(found: ReleaseFiles, path: Path, relative: str, acquired: date | None) -> None:
    """Add one file to its group.

    Parameters
    ----------
    found : groups, to which the file is added.
    relative : path relative to the root.
    acquired : date of the file's folder; None if no folder is a date.
    """
    plot = PLOT.search(path.name)
    if is_table(path):
        if plot and acquired:
            found.coordinates.append((acquired, path))
        else:
            found.ignored["images or coordinate files whose names are not understood"] += 1
        return
    if not is_image_file(path):
        found.ignored["files that are no images or tables of the release"] += 1
        return
    if prepared := PREPARED.match(path.stem):
        found.prepared.append(read_prepared_name(prepared, relative, acquired))
    elif PLANT_ID.match(path.stem):
        if acquired:
            found.patches.append((path.stem, acquired, relative))
        else:
            found.ignored["patches outside a YYYY_MM_DD folder"] += 1
    elif plot and not PLANT_IN_NAME.search(path.name):
        found.rasters.setdefault((path.parent, plot.group(1)), []).append(path)
    else:
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
