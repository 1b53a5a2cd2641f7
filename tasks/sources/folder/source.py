"""Read a plain folder of images: `{train,val,test,new}/{class}/*`, a manifest table, or both."""

from collections import Counter
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
from tasks.sources.files import find_fault, find_root, relative_path
from tasks.sources.folder.entries import (
    Entry,
    Unlisted,
    find_images,
    find_named_file,
    read_folders,
    read_place,
    refuse_contradictions,
    refuse_repeated_files,
    without_suffix,
)
from tasks.sources.images import PatchFiles
from tasks.sources.text_tables import TextTable, parse_date, read_table


class FolderSource(PatchFiles):
    """A plain folder of images, whose splits and classes come from subfolders or a manifest.

    If there is a manifest, only the files that it names are images of the source. If a subfolder names a split or
    class too, both must agree. Without dates in the manifest, every image belongs to the one requested date.
    """

    kind: Literal["folder"] = "folder"
    root: str = Field(description="Path of the folder that holds the images")
    classes: tuple[str, ...] | None = Field(
        default=None, description="Class names in the order of their indices; null sorts the names that are found"
    )
    manifest: str = Field(
        default="manifest.csv", description="Path of the manifest table, relative to root; used if the file exists"
    )
    file_column: str = Field(default="file", description="Manifest column of the image's path, relative to root")
    split_column: str = Field(
        default="split", description="Manifest column of the split; an empty cell takes the split of the folder"
    )
    label_column: str = Field(
        default="label", description="Manifest column of the class name; an empty cell means unlabelled"
    )
    plant_column: str = Field(
        default="plant_id", description="Manifest column of the plant id; without it, the path without suffix is the id"
    )
    date_column: str = Field(
        default="date",
        description="Manifest column of the acquisition date; without it, all images belong to the requested date",
    )
    date_format: str | None = Field(
        default=None, description="Format of the dates, as for strptime; null reads ISO dates"
    )

    def available_dates(self) -> tuple[date, ...]:
        """Return the acquisition dates in the manifest, ascending; empty if images have no date."""
        entries, _, _ = self._read_entries(find_root(self.root))
        return tuple(sorted({one.acquired for one in entries if one.acquired}))

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List every image of these dates.

        Reasons of `left_out`: `missing_file`, `unreadable`, `not_an_image`, `not_in_manifest`, `no_split_folder`,
        `no_class_folder`.

        Raises
        ------
        InputError : the root or its images are missing, a class is not in `classes`, a split is unknown, a file lies
            outside the root or is named twice, the manifest contradicts the folders, or several dates are requested
            of images without dates.
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
            if acquired not in wanted:
                continue
            if fault := find_fault(root / one.path, root):
                left_out.append(LeftOut(one.plant_id, acquired, one.path, *fault))
            else:
                label = classes.index(one.label) if one.label else None
                images.append(SourceImage(one.plant_id, acquired, one.split, one.source, one.path, label=label))
        refuse_duplicates((one.plant_id, one.acquired, one.path) for one in (*images, *left_out))
        if not is_dated:
            left_out += [
                LeftOut(without_suffix(one.path), wanted[0], one.path, one.reason, one.detail) for one in unlisted
            ]
        elif unlisted:
            counts = Counter(one.reason for one in unlisted)
            found = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()))
            notes.append(f"{len(unlisted)} files without a date left out: {found}")
        left_out.sort(key=lambda one: (one.acquired, one.plant_id))
        return SourceListing(classes, in_listing_order(images), tuple(left_out), tuple(notes))

    def _read_entries(self, root: Path) -> tuple[list[Entry], list[Unlisted], list[str]]:
        """Return the entries, the other files with a reason, and notes."""
        files, faulty, notes = find_images(root, self.manifest)
        if (root / self.manifest).is_file():
            entries = self._read_manifest(root)
            unlisted = [Unlisted(path, "not_in_manifest") for path in set(files) - {one.path for one in entries}]
        elif self.manifest != type(self).model_fields["manifest"].default:
            raise InputError(
                f"There is no file {root / self.manifest}", "The manifest must be a file", "correct `manifest`"
            )
        else:
            entries, unlisted = read_folders(files)
        if not entries:
            raise InputError(
                f"{root} has no images in split folders, and {len(files)} images elsewhere",
                "A folder source must have images in {train,val,test,new}/{class}/ or a manifest",
                "correct `root`, sort the images into folders or write a manifest",
            )
        named = {one.path for one in entries}
        return entries, [*unlisted, *(one for one in faulty if one.path not in named)], notes

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
            raise InputError(
                f"{where}, names no file", "Every row of a manifest must name a file", f"fill in {self.file_column}"
            )
        path = relative_path(find_named_file(root, row[self.file_column], table.path.name), root)
        word = row[self.split_column].lower()
        folder_split, _ = read_place(path)
        split = SPLIT_WORDS.get(word) if word else folder_split
        if split is None:
            raise InputError(
                f"{where}, has {f'the split {word}' if word else 'no split'}",
                "The split of an image must be train, val, test or new",
                "correct the row",
            )
        acquired = None
        if self.date_column in table.columns:
            acquired = parse_date(row[self.date_column], self.date_format)
            if acquired is None:
                raise InputError(
                    f"{where}, has the date {row[self.date_column]!r}",
                    f"Dates must be written as {self.date_format or 'ISO, e.g. 2021-08-23'}",
                    "correct the row, or set date_format",
                )
        plant_id = row.get(self.plant_column) or without_suffix(path)
        return Entry(path, split, "manifest" if word else "folder", row[self.label_column], plant_id, acquired)


def require_one_date(dates: Sequence[date]) -> tuple[date, ...]:
    """Return the only requested date, or raise InputError if there is not exactly one."""
    if len(set(dates)) != 1:
        raise InputError(
            f"{len(set(dates))} dates were requested of images without dates: {join_dates(dates) or 'none'}",
            "Images without dates must belong to one acquisition date",
            "request one date, or add a date column to the manifest",
        )
    return (dates[0],)


def order_classes(found: set[str], given: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the class names in the order of their labels.

    Raises
    ------
    InputError : `given` lacks a class that was found, or names a class twice.
    """
    if given is None:
        return tuple(sorted(found))
    if not found <= set(given) or len(set(given)) < len(given):
        raise InputError(
            f"`classes` is {', '.join(given)}, and the images have {', '.join(sorted(found)) or 'no class'}",
            "`classes` must name every class of the images, each once",
            "correct `classes` or the names of the folders",
        )
    return given
