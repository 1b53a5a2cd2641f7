"""Read the original folders of GrowliFlowerR: patches, prepared patches with labels, or orthophotos."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from storage.errors import InputError
from tasks.parameters import Params
from tasks.sources.checks import in_listing_order, refuse_duplicates, refuse_two_splits, require_dates
from tasks.sources.contract import (
    FileLook,
    LeftOut,
    ReadImage,
    SourceImage,
    SourceListing,
    read_one_by_one,
)
from tasks.sources.files import digest_file, find_root
from tasks.sources.growliflower.coordinates import SplitPlant, read_split_files
from tasks.sources.growliflower.crops import list_crops, read_images, read_views
from tasks.sources.growliflower.prepared import collapse_copies
from tasks.sources.growliflower.release import CLASSES, find_release_files, make_image, split_folder
from tasks.sources.harvest_table import DEFAULT_TABLES, HarvestTable, find_harvests
from tasks.sources.harvests import attach_harvests, match_images
from tasks.sources.images import look_at_file, read_rgb

if TYPE_CHECKING:  # importing numpy takes a fifth of the time of an early error
    import numpy as np
    from numpy.typing import NDArray

    from tasks.sources.views import Part, View


class GrowliFlowerSource(Params):
    """A folder in the layout of the original release.

    Labels of patches and orthophotos come from the harvest table, labels of prepared patches from their names. Splits
    come from the UTM files (`utm`). A prepared patch that they lack gets the split of its folder train, val or test
    (`folder`).
    """

    kind: Literal["growliflower"] = "growliflower"
    root: str = Field(description="Path of the folder that holds the release")
    field: str = Field(default="Field2", description="Field to read; folders of other fields are skipped")
    harvest_table: HarvestTable | None = Field(
        default=None,
        description="Table of harvest dates, flags or observations; null reads harvest.csv or else harvest.xlsx, if "
        "there is one",
    )
    crop_size: int = Field(default=256, ge=8, le=4096, description="Side of a crop of an orthophoto, pixels")

    def available_dates(self) -> tuple[date, ...]:
        """Return the acquisition dates that have patches or pixel coordinates, ascending."""
        return find_release_files(find_root(self.root), self.field).dates()

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List every plant of the field on these dates.

        Reasons of `left_out`: `missing_file`, `unreadable`, `missing_raster`, `unreadable_raster`, `outside_raster`,
        `flag_turns_off`, `two_harvest_dates`. Flags: `known_blurry`, `recoded`,
        `crop_leaves_raster`, `mostly_no_data`.

        Raises
        ------
        InputError : the root is missing, a date has no images, rows or names are malformed, a plant is in two splits
            or twice on one date, copies of one original have different labels, or a harvest word is unknown.
        """

        root = find_root(self.root)
        tables = {self.harvest_table.path} if self.harvest_table else set(DEFAULT_TABLES)
        files = find_release_files(root, self.field, tables)
        wanted = require_dates(dates, files.dates())
        plants = read_split_files(files.split_files)
        prepared, notes = collapse_copies(file for file in files.prepared if file.acquired in wanted)
        crops, left_out = list_crops(root, files, wanted, self.crop_size)
        left_out += [one for one in files.faulty if one.acquired in wanted]
        patches = [make_image(*patch) for patch in files.patches if patch[1] in wanted]
        images = [*patches, *prepared, *crops]
        refuse_duplicates((one.plant_id, one.acquired, one.path) for one in (*images, *left_out))
        images = [add_plant(image, plants) for image in images]
        refuse_two_splits((image.plant_id, image.split) for image in images)
        records = find_harvests(root, self.harvest_table, files.dates())
        matching = match_images(records, images, left_out)
        images, contradicting, unlabelled = attach_harvests(images, records)
        left_out = sorted([*left_out, *contradicting], key=lambda one: (one.acquired, one.plant_id))
        notes += unlabelled + describe_absent(plants, [*images, *left_out], wanted)
        notes += [f"{n} {what} passed by" for what, n in sorted(files.ignored.items())]
        return SourceListing(
            CLASSES, in_listing_order(images), tuple(left_out), tuple(notes), matching, records.assumed_until
        )

    def fingerprint(self, image: SourceImage) -> str:
        """Return the SHA-256 (hex) of the file, or of a crop's raster, centre and size."""
        from tasks.sources.raster import crop_fingerprint

        path = Path(self.root).expanduser() / image.path
        return digest_file(path) if image.centre is None else crop_fingerprint(path, image.centre, self.crop_size)

    def look_at(self, image: SourceImage) -> FileLook | None:
        """Return size and remarks of a patch by its header; None for a crop, or if the header cannot be read."""
        return look_at_file(Path(self.root).expanduser() / image.path) if image.centre is None else None

    def read_image(self, image: SourceImage) -> "NDArray[np.uint8]":
        """Read the pixels, shape (height, width, 3), RGB, 0..255; a crop is black outside the raster.

        Raises
        ------
        UnreadableImage : the file is damaged, truncated, or cannot be converted to 8-bit RGB.
        """
        from tasks.sources.raster import read_crop

        path = Path(self.root).expanduser() / image.path
        return read_rgb(path) if image.centre is None else read_crop(path, image.centre, self.crop_size)

    def read_images(self, images: Sequence[SourceImage]) -> Iterator[ReadImage]:
        """Read many images: patches in their own order, crops raster by raster from top to bottom."""
        if all(image.centre is None for image in images):
            return read_one_by_one(self.read_image, images)
        return read_images(Path(self.root).expanduser(), images, self.crop_size)

    def read_views(self, day: date, parts: "Sequence[Part]", crs: str) -> "list[View]":
        """Read parts of the orthophotos of a date's plots, by their georeference.

        Parameters
        ----------
        crs : system of the parts.

        Raises
        ------
        UnreadableImage : an orthophoto is damaged, states no place, or is no longer there.
        InputError : the pixels of an orthophoto are not 8-bit.
        """
        return read_views(find_release_files(find_root(self.root), self.field), day, parts, crs)


def add_plant(image: SourceImage, plants: Mapping[str, SplitPlant]) -> SourceImage:
    """Add split and position from the UTM files; a prepared patch that they lack gets the split of its folder.

    Raises
    ------
    InputError : the folder of a prepared patch contradicts the UTM files.
    """
    plant = plants.get(image.plant_id)
    folder = split_folder(image.path) if image.label is not None else None
    if plant is None:
        return image if folder is None else SplitPlant(folder, "folder").place(image)
    if folder not in {None, plant.split}:
        raise InputError(
            f"{image.path} is in {folder}, but the UTM files put {image.plant_id} in {plant.split}",
            "A prepared patch must lie in the folder of its plant's split",
            "move the file or correct the UTM file",
        )
    return plant.place(image)


def describe_absent(
    plants: Mapping[str, SplitPlant], seen: Iterable[SourceImage | LeftOut], wanted: Sequence[date]
) -> list[str]:
    """Return notes on plants of the split files that have no image on a date, and on plants without a split."""
    on_date: dict[date, set[str]] = defaultdict(set)
    unsplit: set[str] = set()
    for one in seen:
        on_date[one.acquired].add(one.plant_id)
        if isinstance(one, SourceImage) and one.split_source == "none":
            unsplit.add(one.plant_id)
    absent = {day: len(plants.keys() - on_date[day]) for day in wanted}
    notes = [f"{n} of {len(plants)} plants of the split files have no image on {day}" for day, n in absent.items() if n]
    if unsplit:
        notes.append(f"{len(unsplit)} plants are in no split and count as new")
    return notes
