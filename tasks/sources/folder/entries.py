"""Find the images of a plain folder, and the split and class that its folders or its manifest state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.checks import SPLIT_WORDS, text_table
from tasks.sources.files import IMAGE_SUFFIXES, TextTable, relative_path, resolve_inside, walk_files


@dataclass(frozen=True, slots=True)
class Entry:
    """One image that a folder or a manifest names; `label` is empty if it has no label."""

    path: str
    split: Split
    source: str
    label: str
    plant_id: str
    acquired: date | None = None


def find_images(root: Path) -> tuple[list[str], list[str]]:
    """Return the paths of the images below a root, and notes on hidden files."""
    paths = [relative_path(path, root) for path in walk_files(root) if path.suffix.lower() in IMAGE_SUFFIXES]
    # macOS writes "._name.jpg" files that hold no image.
    hidden = [path for path in paths if PurePosixPath(path).name.startswith(".")]
    notes = [f"{len(hidden)} hidden files passed by"] if hidden else []
    return [path for path in paths if path not in set(hidden)], notes


def read_place(path: str) -> tuple[Split | None, str]:
    """Return the split and the class from the folders `split/class/...` of a file; None and empty if there are none."""
    folders = PurePosixPath(path).parts[:-1]
    split = SPLIT_WORDS.get(folders[0].lower()) if folders else None
    return split, folders[1] if split and len(folders) > 1 else ""


def read_folders(files: Sequence[str]) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Return the entries of files in split folders, and path and reason of the other files."""
    entries: list[Entry] = []
    unlisted: list[tuple[str, str]] = []
    for path in files:
        split, label = read_place(path)
        if split is None:
            unlisted.append((path, "no_split_folder"))
        elif not label and split != "new":
            unlisted.append((path, "no_class_folder"))
        else:
            entries.append(Entry(path, split, "folder", label, without_suffix(path)))
    return entries, unlisted


def without_suffix(path: str) -> str:
    """Return a path without suffix, which is the plant id of an image that states none."""
    return PurePosixPath(path).with_suffix("").as_posix()


def find_named_file(root: Path, file: str, manifest: str) -> Path:
    """Return the path of a file that a manifest names, relative to the root or else to the root's parent.

    Raises
    ------
    InputError : the file lies outside the root.
    """
    from_parent = (root.parent / file).resolve()
    if not (root / file).exists() and from_parent.is_relative_to(root):
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
