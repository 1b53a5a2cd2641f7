"""A plain folder of images: `{train,val,test,new}/{class}/*`, a manifest table, or both."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from storage.errors import InputError
from tasks.sources.checks import (
    SPLIT_WORDS,
    in_listing_order,
    join_dates,
    refuse_duplicates,
    refuse_two_splits,
    require_dates,
)
from tasks.sources.contract import LeftOut, SourceImage, SourceListing
from tasks.sources.files import PatchFiles, TextTable, find_root, parse_date, read_table, relative_path
from tasks.sources.folder.entries import (
    Entry,
    find_images,
    find_named_file,
    read_folders,
    read_place,
    refuse_contradictions,
    refuse_repeated_files,
    without_suffix,
)


class FolderSource(PatchFiles):
    """Any images with splits and classes, from folders or a manifest.

    Where there is a manifest it decides which files count; where a folder names a split or class too, both must agree.
    Without dates in the manifest every image belongs to the one date requested.
    """

    kind: Literal["folder"] = "folder"
    root: str = Field(description="folder that holds the images")
    classes: tuple[str, ...] | None = Field(default=None, description="class names in order; default: found, sorted")
    manifest: str = Field(default="manifest.csv", description="table relative to root, used where it is there")
    file_column: str = "file"
    split_column: str = "split"
    label_column: str = "label"
    plant_column: str = Field(default="plant_id", description="used where there; default: the path without suffix")
    date_column: str = Field(default="date", description="used where there")
    date_format: str | None = Field(default=None, description="strptime format of the dates; ISO where not given")

    def available_dates(self) -> tuple[date, ...]:
        """Acquisition dates in the manifest, ascending; none where images carry no date."""
        entries, _, _ = self._read_entries(find_root(self.root))
        return tuple(sorted({one.acquired for one in entries if one.acquired}))

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List every image of these dates.

        Reasons of `left_out`: `missing_file`, `not_in_manifest`, `no_split_folder`, `no_class_folder`.

        Raises
        ------
        InputError : no such root, no image, a class that `classes` lacks, an unknown split, a file outside the root or
            named twice, a manifest that contradicts the folders, several dates requested of images without dates.
        """
        root = find_root(self.root)
        entries, unlisted, notes = self._read_entries(root)
        is_dated = any(one.acquired for one in entries)
        stated = [one.acquired for one in entries if one.acquired]
        wanted = require_dates(dates, stated) if is_dated else require_one_date(dates)
        classes = order_classes({one.label for one in entries if one.label}, self.classes)
        refuse_two_splits((one.plant_id, one.split) for one in entries)
        images: list[SourceImage] = []
        left_out: list[LeftOut] = []
        for one in entries:
            acquired = one.acquired or wanted[0]
            if acquired in wanted and (root / one.path).is_file():
                label = classes.index(one.label) if one.label else None
                images.append(SourceImage(one.plant_id, acquired, one.split, one.source, one.path, label=label))
            elif acquired in wanted:
                left_out.append(LeftOut(one.plant_id, acquired, one.path, "missing_file"))
        if not is_dated:
            left_out += [LeftOut(without_suffix(path), wanted[0], path, reason) for path, reason in unlisted]
        elif unlisted:
            notes.append(f"{len(unlisted)} files left out: not in the manifest, date unknown")
        refuse_duplicates((one.plant_id, one.acquired, one.path) for one in (*images, *left_out))
        left_out.sort(key=lambda one: (one.acquired, one.plant_id))
        return SourceListing(classes, in_listing_order(images), tuple(left_out), tuple(notes))

    def _read_entries(self, root: Path) -> tuple[list[Entry], list[tuple[str, str]], list[str]]:
        """Return the entries, (path, reason) of the files that are none, and notes."""
        files, notes = find_images(root)
        if (root / self.manifest).is_file():
            entries = self._read_manifest(root)
            named = {one.path for one in entries}
            unlisted = [(path, "not_in_manifest") for path in files if path not in named]
        elif self.manifest != type(self).model_fields["manifest"].default:
            raise InputError(f"no {root / self.manifest}", "The manifest is a file", "correct `manifest`")
        else:
            entries, unlisted = read_folders(files)
        if not entries:
            raise InputError(
                f"none in {root}; {len(files)} images elsewhere",
                "A folder source has images in {train,val,test,new}/{class}/ or a manifest",
                "correct `root`, sort the images into folders or write a manifest",
            )
        return entries, unlisted, notes

    def _read_manifest(self, root: Path) -> list[Entry]:
        table = read_table(root / self.manifest)
        table.require(self.file_column, self.split_column, self.label_column)
        entries = [self._read_row(root, table, line, row) for line, row in table.rows]
        refuse_repeated_files(entries, table)
        refuse_contradictions(entries, table)
        return entries

    def _read_row(self, root: Path, table: TextTable, line: int, row: dict[str, str]) -> Entry:
        where = f"{table.path.name}, line {line}"
        if not row[self.file_column]:
            raise InputError(where, "Every row of a manifest names a file", "fill it in")
        path = relative_path(find_named_file(root, row[self.file_column], table.path.name), root)
        word = row[self.split_column].lower()
        folder_split, _ = read_place(path)
        split = SPLIT_WORDS.get(word) if word else folder_split
        if split is None:
            raise InputError(
                f"{where}: {word or 'empty'}", "The split of an image is train, val, test or new", "correct the row"
            )
        acquired = None
        if self.date_column in table.columns:
            acquired = parse_date(row[self.date_column], self.date_format)
            if acquired is None:
                found = f"{where}: {row[self.date_column] or 'empty'}"
                raise InputError(found, f"Dates are {self.date_format or 'ISO'}", "correct the row or set date_format")
        plant_id = row.get(self.plant_column) or without_suffix(path)
        return Entry(path, split, "manifest" if word else "folder", row[self.label_column], plant_id, acquired)


def require_one_date(dates: Sequence[date]) -> tuple[date, ...]:
    """Return the one date requested, or raise InputError."""
    if len(set(dates)) != 1:
        raise InputError(
            f"{len(set(dates))} dates requested: {join_dates(dates) or 'none'}",
            "Images without dates belong to one acquisition date",
            "request one date, or add a date column to the manifest",
        )
    return (dates[0],)


def order_classes(found: set[str], given: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the class names in the order of their labels.

    Raises
    ------
    InputError : a class found is not among those given, or one is given twice.
    """
    if given is None:
        return tuple(sorted(found))
    if not found <= set(given) or len(set(given)) < len(given):
        raise InputError(
            f"classes = {', '.join(given)}; found {', '.join(sorted(found)) or 'none'}",
            "`classes` names every class found, each once",
            "correct `classes` or the names of the folders",
        )
    return given
