"""Read a plain folder of images: `{train,val,test,new}/{class}/*`, a manifest table, or both; and a harvest table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from storage.errors import InputError
from tasks.sources.checks import (
    in_listing_order,
    join_dates,
    refuse_duplicates,
    refuse_two_splits,
    require_dates,
)
from tasks.sources.contract import LeftOut, SourceImage, SourceListing
from tasks.sources.crs import Crs
from tasks.sources.files import find_fault, find_root
from tasks.sources.folder.entries import Entry, Unlisted, find_images, read_folders, without_suffix
from tasks.sources.folder.manifest import ManifestFiles, read_manifest
from tasks.sources.folder.positions import describe_moved, place_in_metres
from tasks.sources.growliflower.release import CLASSES
from tasks.sources.harvest_table import HarvestTable, read_harvest_table
from tasks.sources.harvests import HarvestRecords, attach_harvests, match_images


class FolderSource(ManifestFiles):
    """A plain folder of images, whose splits and classes come from subfolders or a manifest.

    If there is a manifest, only the files that it names are images of the source. If a subfolder names a split or
    class too, both must agree. Without dates in the manifest, every image belongs to the one requested date.
    """

    kind: Literal["folder"] = "folder"
    root: str = Field(description="Path of the folder that holds the images")
    classes: tuple[str, ...] | None = Field(
        default=None, description="Class names in the order of their indices; null sorts the names that are found"
    )
    crs: Crs | None = Field(
        default=None,
        description="EPSG code of a projected coordinate reference system in metres. Easting and northing are in it, "
        "latitude and longitude are transformed to it. A manifest with positions needs it. It is also the system of "
        "the exports",
    )
    harvest_table: HarvestTable | None = Field(
        default=None,
        description="Table of harvest dates, flags or observations, from which images without a class get their label; "
        "null reads none. With it the classes are not ready and ready",
    )

    def available_dates(self) -> tuple[date, ...]:
        """Return the acquisition dates in the manifest, ascending; empty if images have no date."""
        entries, _, _ = self._read_entries(find_root(self.root))
        return tuple(sorted({one.acquired for one in entries if one.acquired}))

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List every image of these dates.

        Reasons of `left_out`: `missing_file`, `unreadable`, `not_an_image`, `not_in_manifest`, `no_split_folder`,
        `no_class_folder`; with a harvest table also `flag_turns_off`, `two_harvest_dates`, `two_observations`.

        Raises
        ------
        InputError : the root or its images are missing, a class is not in `classes`, a split is unknown, a file lies
            outside the root or is named twice, the manifest contradicts the folders, several dates are requested
            of images without dates, positions are impossible or have no `crs`, or the harvest table is malformed.
        """
        root = find_root(self.root)
        entries, unlisted, notes = self._read_entries(root)
        is_dated = any(one.acquired for one in entries)
        stated = [one.acquired for one in entries if one.acquired]
        wanted = require_dates(dates, stated) if is_dated else require_one_date(dates)
        classes, labels = self._label_entries(entries)
        refuse_two_splits((one.plant_id, one.split) for one in entries)
        places = self._place_entries(entries)
        notes += describe_moved([(one.plant_id, places[one.path]) for one in entries if one.path in places])
        images: list[SourceImage] = []
        left_out: list[LeftOut] = []
        for one, label in zip(entries, labels, strict=True):
            acquired = one.acquired or wanted[0]
            if acquired not in wanted:
                continue
            if fault := find_fault(root / one.path, root):
                left_out.append(LeftOut(one.plant_id, acquired, one.path, *fault))
            else:
                image = SourceImage(one.plant_id, acquired, one.split, one.source, one.path, label=label)
                easting, northing = places.get(one.path, (None, None))
                images.append(replace(image, easting=easting, northing=northing, place=one.place))
        refuse_duplicates((one.plant_id, one.acquired, one.path) for one in (*images, *left_out))
        records = self._read_harvests(root, sorted(set(stated)) or wanted)
        matching = match_images(records, images, left_out)
        if records.table is not None:
            images, contradicting, unlabelled = attach_harvests(images, records)
            left_out += contradicting
            notes += unlabelled
        if not is_dated:
            left_out += [
                LeftOut(without_suffix(one.path), wanted[0], one.path, one.reason, one.detail) for one in unlisted
            ]
        elif unlisted:
            counts = Counter(one.reason for one in unlisted)
            found = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()))
            notes.append(f"{len(unlisted)} files without a date left out: {found}")
        left_out.sort(key=lambda one: (one.acquired, one.plant_id))
        return SourceListing(
            classes, in_listing_order(images), tuple(left_out), tuple(notes), matching, records.assumed_until
        )

    def _read_entries(self, root: Path) -> tuple[list[Entry], list[Unlisted], list[str]]:
        """Return the entries, the other files with a reason, and notes."""
        is_labelled = self.harvest_table is not None
        tables = {self.manifest} | ({self.harvest_table.path} if self.harvest_table else set())
        files, faulty, notes = find_images(root, tables)
        if (root / self.manifest).is_file():
            entries, places = read_manifest(root, self, needs_label=not is_labelled)
            notes += places
            unlisted = [Unlisted(path, "not_in_manifest") for path in set(files) - {one.path for one in entries}]
        elif self.manifest != type(self).model_fields["manifest"].default:
            raise InputError(
                f"There is no file {root / self.manifest}", "The manifest must be a file", "correct `manifest`"
            )
        else:
            entries, unlisted = read_folders(files, needs_class=not is_labelled)
        if not entries:
            raise InputError(
                f"{root} has no images in split folders, and {len(files)} images elsewhere",
                "A folder source must have images in {train,val,test,new}/{class}/ or a manifest",
                "correct `root`, sort the images into folders or write a manifest",
            )
        named = {one.path for one in entries}
        return entries, [*unlisted, *(one for one in faulty if one.path not in named)], notes

    def _label_entries(self, entries: Sequence[Entry]) -> tuple[tuple[str, ...], list[int | None]]:
        """Return the classes, and the index of the class that each entry states; None if it states none."""
        names = [one.label for one in entries]
        given = self.classes
        if self.harvest_table is not None:
            names, given = [plain_class(name) for name in names], CLASSES
            refuse_other_classes(names, self.classes)
        classes = order_classes({name for name in names if name}, given)
        return classes, [classes.index(name) if name else None for name in names]

    def _place_entries(self, entries: Sequence[Entry]) -> dict[str, tuple[float, float]]:
        """Return easting and northing (m) by the path of every entry with a position."""
        placed = [(one.path, one.position) for one in entries if one.position]
        return dict(zip([path for path, _ in placed], place_in_metres(placed, self.crs), strict=True))

    def _read_harvests(self, root: Path, acquired: Sequence[date]) -> HarvestRecords:
        if self.harvest_table is None:
            return HarvestRecords()
        return read_harvest_table(root, self.harvest_table, acquired)


def plain_class(name: str) -> str:
    """Return a class name in lower case and with spaces, as in `CLASSES`."""
    return name.lower().replace("_", " ")


def refuse_other_classes(found: Sequence[str], given: Sequence[str] | None) -> None:
    """Raise InputError if classes are found or given that a harvest table does not give, or in another order."""
    others = sorted(set(found) - {*CLASSES, ""})
    stated = tuple(plain_class(name) for name in given or CLASSES)
    if others or stated != CLASSES:
        raise InputError(
            f"The source has a harvest table and the classes {', '.join(others or stated)}",
            f"With a harvest table the classes must be {' and '.join(CLASSES)}, in this order",
            "remove harvest_table, or the other classes",
        )


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
