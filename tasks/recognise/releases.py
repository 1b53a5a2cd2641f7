"""Recognise the releases of GrowliFlower: the original folders, and the FiftyOne export with its `samples.json`."""

from collections import Counter
from datetime import date
from pathlib import PurePosixPath

from storage.errors import InputError
from tasks.recognise.folder_files import FolderFiles, first_line
from tasks.recognise.harvests import HarvestFound, find_harvest_table, harvest_keys
from tasks.recognise.keys import Key, NotThere, Recognised
from tasks.sources.fiftyone.samples import SAMPLES_FILE, Sample, dates_of, load_entries, read_samples
from tasks.sources.files import is_photograph
from tasks.sources.growliflower.coordinates import read_split_files
from tasks.sources.growliflower.release import (
    FIELD_FOLDER,
    ReleaseFiles,
    find_release_files,
    is_split_file,
    is_table,
)

SOURCE = "source"
DEFAULT_FIELD = "Field2"


def recognise_fiftyone(files: FolderFiles) -> Recognised | NotThere:
    """Recognise the FiftyOne export by its `samples.json`."""
    if SAMPLES_FILE not in files.paths:
        below = [path for path in files.paths if path.endswith(f"/{SAMPLES_FILE}")]
        return (
            NotThere(f"{below[0]} in a folder below", "name the folder that holds samples.json")
            if below
            else NotThere()
        )
    try:
        entries = load_entries(files.root / SAMPLES_FILE)
        fields = Counter(
            str(one["field"]) for one in entries if isinstance(one, dict) and {"field", "task"} <= one.keys()
        )
        read = {name: read_field(files, name) for name in sorted(fields)}
    except InputError as error:
        return NotThere(f"samples.json, which cannot be used: {error.found.splitlines()[0]}", error.remedy)
    order = sorted((name for name in read if read[name]), key=lambda name: (-len(read[name]), name))
    if not order:
        return NotThere("samples.json without samples of the task reference", "fetch the file again")
    samples = read[order[0]]
    days = dates_of(samples)
    others = tuple((name, f"{len(read[name]):,} samples") for name in order[1:])
    keys = [
        Key("", "dates", [day.isoformat() for day in days], "Acquisition dates of the samples."),
        Key(SOURCE, "kind", "fiftyone", "samples.json is that of the FiftyOne export."),
        Key(SOURCE, "field", order[0], f"{len(samples):,} samples of the task reference, the most.", others=others),
    ]
    if any(isinstance(one.harvested, str) and one.harvested[:2] in {"19", "20"} for one in samples):
        why = "On which day were harvests recorded last? Until it is stated, the last date of the samples is taken."
        keys.append(Key(SOURCE, "observed_until", days[-1].isoformat(), why, is_open=True))
    used = {SAMPLES_FILE, *(path for path in files.paths if is_photograph(path) or is_split_file(files.root / path))}
    said = f"FiftyOne export: {len(samples):,} samples of {order[0]} on {len(days)} dates"
    return Recognised("fiftyone", tuple(keys), (said,), frozenset(used), {})


def read_field(files: FolderFiles, name: str) -> list[Sample]:
    """Return the samples of a field; none if it has none of the task `reference`."""
    try:
        return read_samples(files.root, name)[0]
    except InputError as error:
        if "no reference sample" in error.found:
            return []
        raise


def recognise_growliflower(files: FolderFiles) -> Recognised | NotThere:
    """Recognise the original folders of the release by the names of their files."""
    names = sorted(
        {part for path in files.paths for part in PurePosixPath(path).parts[:-1] if FIELD_FOLDER.match(part)}
    )
    try:
        found = {name: find_release_files(files.root, name) for name in names or [DEFAULT_FIELD]}
    except InputError as error:
        return NotThere(f"files of the GrowliFlower release: {first_line(error)}", error.remedy)
    order = sorted((name for name in found if found[name].dates()), key=lambda name: (-len(found[name].dates()), name))
    if not order:
        return NotThere()
    release = found[order[0]]
    days = release.dates()
    try:
        harvests = find_table(files, release, days)
    except InputError as error:
        return NotThere(f"files of the GrowliFlower release: {first_line(error)}", error.remedy)
    others = tuple((name, f"{len(found[name].dates())} dates") for name in order[1:])
    keys = [
        Key("", "dates", [day.isoformat() for day in days], "Dates of the folders and files of the release."),
        Key(SOURCE, "kind", "growliflower", "Files are named as in the original GrowliFlower release."),
    ]
    if names:
        keys.append(Key(SOURCE, "field", order[0], f"Folder with most dates: {len(days)}.", others=others))
    keys += [] if release.prepared and not harvests else harvest_keys(harvests)
    used = {path for path in files.paths if is_photograph(path) or is_table(files.root / path)}
    said = [f"GrowliFlower release: {describe_release(release)} on {len(days)} dates"]
    said += [f"harvests: {harvests.said}"] if harvests else []
    used |= harvests.used if harvests else set()
    return Recognised("growliflower", tuple(keys), tuple(said), frozenset(used), {})


def find_table(files: FolderFiles, release: ReleaseFiles, days: tuple[date, ...]) -> HarvestFound | None:
    """Return the table of harvests of the release's plants."""
    plants = {plant for plant, _, _ in release.patches} | read_split_files(release.split_files).keys()
    tables = {sheet: table for sheet, table in files.tables.items() if not is_table(files.root / sheet.path)}
    return find_harvest_table(tables, plants, days)


def describe_release(release: ReleaseFiles) -> str:
    """Say how many files of each kind a release has."""
    counts = {
        "patches": len(release.patches),
        "prepared patches with labels": len(release.prepared),
        "files of pixel coordinates": len(release.coordinates),
        "files of splits": len(release.split_files),
    }
    return ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
