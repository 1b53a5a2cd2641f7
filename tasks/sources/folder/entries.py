"""Find the images of a plain folder, and the split and class that its folders or its manifest state."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.checks import SPLIT_WORDS, text_table
from tasks.sources.contract import Place
from tasks.sources.files import is_photograph, relative_path, resolve_inside, walk_files
from tasks.sources.folder.positions import Position
from tasks.sources.images import is_image_file
from tasks.sources.text_tables import TextTable


@dataclass(frozen=True, slots=True)
class Entry:
    """One image that a folder or a manifest names; `label` is empty if it has no label.

    `position` and `place` in the field are None if the manifest states none.
    """

    path: str
    split: Split
    source: str
    label: str
    plant_id: str
    acquired: date | None = None
    position: Position | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A file that is no image of the source, and why."""

    path: str
    reason: str
    detail: str = ""


def find_images(root: Path, tables: Collection[str]) -> tuple[list[str], list[Unlisted], list[str]]:
    """Sort the files below a root.

    Parameters
    ----------
    tables : paths of the source's tables, relative to the root.

    Returns
    -------
    images : paths of the images.
    unlisted : files in split folders that are no images, and entries that cannot be read.
    notes : numbers of the other files, without the tables.
    """
    found = walk_files(root)
    images: list[str] = []
    unlisted = [Unlisted(one.shown, one.reason, one.detail) for one in found.faulty]
    passed_by = found.passed_by.copy()
    for path in found.files:
        relative = relative_path(path, root)
        if relative in tables:
            continue
        if is_image_file(path):
            images.append(relative)
        elif read_place(relative)[0]:
            unlisted.append(Unlisted(relative, "not_an_image"))
        else:
            passed_by["files outside the split folders that are no images"] += 1
    return images, unlisted, [f"{n} {what} passed by" for what, n in sorted(passed_by.items())]


def read_place(path: str) -> tuple[Split | None, str]:
    """Return the split and the class from the folders `split/class/...` of a file; None and empty if there are none."""
    folders = PurePosixPath(path).parts[:-1]
    split = SPLIT_WORDS.get(folders[0].lower()) if folders else None
    return split, folders[1] if split and len(folders) > 1 else ""


def read_folders(files: Sequence[str], needs_class: bool) -> tuple[list[Entry], list[Unlisted]]:
    """Return the entries of images in split folders, and the other images with a reason.

    Parameters
    ----------
    needs_class : whether images of the splits train, val and test must lie in the folder of a class.
    """
    entries: list[Entry] = []
    unlisted: list[Unlisted] = []
    for path in files:
        split, label = read_place(path)
        if split is None:
            unlisted.append(Unlisted(path, "no_split_folder"))
        elif needs_class and not label and split != "new":
            unlisted.append(Unlisted(path, "no_class_folder"))
        else:
            entries.append(Entry(path, split, "folder", label, without_suffix(path)))
    return entries, unlisted


def without_suffix(path: str) -> str:
    """Return a path without the suffix of an image, which is the plant id of an image that states none."""
    return PurePosixPath(path).with_suffix("").as_posix() if is_photograph(path) else path


def find_named_file(root: Path, file: str, manifest: str) -> Path:
    """Return the path of a file that a manifest names, relative to the root or else to the root's parent.

    Raises
    ------
    InputError : the file lies outside the root.
    """
    from_parent = Path(os.path.realpath(root.parent / file))
    if not os.path.exists(root / file) and from_parent.is_relative_to(root):  # noqa: PTH110 # names may be too long
        return from_parent
    return resolve_inside(root, file, manifest)


def refuse_repeated_files(entries: Sequence[Entry], table: TextTable) -> None:
    """Raise InputError if a manifest names a file twice."""
    lines: dict[str, list[str]] = {}
    for one, (line, _) in zip(entries, table.rows, strict=True):
        lines.setdefault(one.path, []).append(str(line))
    rows = [(path, ", ".join(found)) for path, found in lines.items() if len(found) > 1]
    if rows:
        raise InputError(
            f"{table.path.name} repeats files: {len(rows)}" + text_table(("file", "lines"), rows),
            "A manifest must name each file once",
            "remove the wrong rows",
        )


def refuse_contradictions(entries: Sequence[Entry], table: TextTable) -> None:
    """Raise InputError if a manifest names another split or class than the folders of the file."""
    rows: list[tuple[str, str, str, str]] = []
    for one, (line, _) in zip(entries, table.rows, strict=True):
        split, label = read_place(one.path)
        if (split and split != one.split) or (label and one.label and label != one.label):
            rows.append((str(line), f"{split}/{label}", f"{one.split}/{one.label}", one.path))
    if rows:
        raise InputError(
            f"{table.path.name} contradicts the folders in {len(rows)} rows"
            + text_table(("line", "folder", "manifest", "file"), rows),
            "Manifest and folders must agree on split and class",
            "correct the manifest or move the files",
        )
