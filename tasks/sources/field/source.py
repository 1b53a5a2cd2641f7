"""Read orthophotos and a file of plant positions, as they are there after a flight over any field."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from tasks.parameters import Params
from tasks.sources.checks import in_listing_order, join_dates, require_dates
from tasks.sources.contract import FileLook, LeftOut, ReadImage, SourceImage, SourceListing, UnreadableImage
from tasks.sources.crs import Crs
from tasks.sources.field.plants_file import PlantsFile, find_plants_file
from tasks.sources.field.rasters import find_rasters
from tasks.sources.field.shifts import NO_SHIFT, describe_shift, move_places, refuse_shifts_without_raster
from tasks.sources.files import find_root
from tasks.sources.growliflower.release import CLASSES
from tasks.sources.harvest_table import HarvestTable, find_harvests
from tasks.sources.harvests import attach_harvests, match_images

if TYPE_CHECKING:  # importing numpy takes a fifth of the time of an early error
    import numpy as np
    from numpy.typing import NDArray

    from tasks.sources.field.pixels import Reading
    from tasks.sources.views import Part, View

MOST_SHIFT = 50.0  # largest shift of an orthophoto in one direction, metres; systems of coordinates differ by more
Metres = Annotated[float, Field(allow_inf_nan=False)]


class FieldSource(Params):
    """Orthophotos of one field and a file of its plants.

    Every plant is a square crop of the orthophoto of each date, with its position in the middle. Splits come from a
    column (`plants`) or are drawn by whole plots or square blocks (`blocks`).
    """

    kind: Literal["field"] = "field"
    root: str = Field(description="Path of the folder that holds orthophotos, plants and tables")
    rasters: str | dict[date, str | tuple[str, ...]] = Field(
        description="Paths of the orthophotos, relative to root: a pattern with {date}, such as ortho_{date}.tif or "
        "{date}/*.tif, or a table that names the file, or list of tiles, of each date. Dates in paths are written as "
        "2021-08-23, 2021_08_23 or 20210823. A table may also name files on servers, s3://bucket/key or https://"
    )
    plants: PlantsFile
    crop_metres: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Side of the square around a plant, metres of source.crs; about the distance between plants. null "
        "takes the median distance to the next plant, which a note states; better write it down",
    )
    crs: Crs = Field(
        default="EPSG:25832",
        description="EPSG code of a projected coordinate reference system in metres, in which tables and maps state "
        "positions, and whose north is up in crops; export.crs follows it. Orthophotos and plants may have others",
    )
    min_inside: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Least share of a crop that the orthophoto must show; plants with less are left out on the date",
    )
    nodata: Literal["mask", "ignore"] = Field(
        default="mask",
        description="Meaning of the no-data value of an orthophoto: mask shows its pixels black, ignore takes them for "
        "colours, for plants that have the colour. Transparent pixels are always black",
    )
    bands: tuple[int, int, int] | None = Field(
        default=None,
        description="Numbers of the red, green and blue band, counted from 1; null takes those that are marked, or the "
        "first three of three",
    )
    value_range: tuple[float, float] | None = Field(
        default=None,
        description="Pixel values that become black and white on all dates; needed for pixels that are not 8-bit, such "
        "as [0, 65535], or [0, 0.3] for reflectance. null keeps 8-bit pixels as they are",
    )
    shift: dict[date, tuple[Metres, Metres]] = Field(
        default_factory=dict,
        description="Table of how far the orthophoto of a date lies east and north of the plants' positions, metres of "
        "source.crs, for flights that are badly registered: 2021-08-25 = [0.42, -0.10]. Crops of the date are cut so "
        "far from the positions, which stay as they are in tables and maps. Dates without an entry are not shifted",
    )
    block_metres: float | None = Field(
        default=None,
        gt=0,
        description="Side of square blocks that are drawn for training, validation and test, metres; null draws whole "
        "plots. Refused with source.plants.split_column",
    )
    block_margin: float | None = Field(
        default=None,
        ge=0,
        description="Distance along easting or northing that plants of different splits keep where square blocks are "
        "drawn, metres; nearer ones count as new and without a label. null takes the side of a crop, so that crops of "
        "different splits share no ground. Needs source.block_metres",
    )
    split_seed: int = Field(default=0, ge=0, description="Seed of the draw of plots or blocks for the splits")
    harvest_table: HarvestTable | None = Field(
        default=None,
        description="Table of harvest dates, flags or observations; null reads harvest.csv or else harvest.xlsx, if "
        "there is one",
    )

    @field_validator("rasters")
    @classmethod
    def _has_dates(cls, rasters: str | dict[date, str | tuple[str, ...]]) -> str | dict[date, str | tuple[str, ...]]:
        if isinstance(rasters, str) and rasters.count("{date}") != 1:
            raise ValueError(
                "the pattern must hold {date} once, where the date stands in the path; write * for other places of it"
            )
        if not rasters or (isinstance(rasters, dict) and not all(rasters.values())):
            raise ValueError("the table names no file; it must name the orthophotos of each date; add them")
        return rasters

    @field_validator("bands")
    @classmethod
    def _counted_from_one(cls, bands: tuple[int, int, int] | None) -> tuple[int, int, int] | None:
        if bands is not None and min(bands) < 1:
            raise ValueError("bands must be counted from 1; correct them")
        return bands

    @field_validator("value_range")
    @classmethod
    def _ascending(cls, value_range: tuple[float, float] | None) -> tuple[float, float] | None:
        if value_range is not None and not value_range[0] < value_range[1]:
            raise ValueError("the first value, which becomes black, must be the smaller; exchange them")
        return value_range

    @field_validator("shift")
    @classmethod
    def _near(cls, shift: dict[date, tuple[float, float]]) -> dict[date, tuple[float, float]]:
        far = [day for day, metres in shift.items() if max(map(abs, metres)) > MOST_SHIFT]
        if far:
            raise ValueError(
                f"the orthophoto of {join_dates(sorted(far))} would lie more than {MOST_SHIFT:g} m from the plants; a "
                "shift corrects an inexact flight, not a wrong coordinate reference system; give metres to the east "
                "and north, or correct the CRS of the orthophoto"
            )
        return shift

    @field_validator("block_metres")
    @classmethod
    def _has_effect(cls, block_metres: float | None, known: ValidationInfo) -> float | None:
        plants: PlantsFile | None = known.data.get("plants")
        if block_metres is not None and plants is not None and plants.split_column is not None:
            raise ValueError(
                "block_metres draws splits, and plants.split_column states them; only one of both can be; remove one"
            )
        return block_metres

    @field_validator("block_margin")
    @classmethod
    def _has_blocks(cls, block_margin: float | None, known: ValidationInfo) -> float | None:
        if block_margin is not None and known.data.get("block_metres") is None:
            raise ValueError("block_margin is given without block_metres; it would have no effect; add block_metres")
        return block_margin

    def available_dates(self) -> tuple[date, ...]:
        """Return the acquisition dates that have orthophotos, ascending."""
        root = find_root(self.root)
        find_plants_file(root, self.plants)
        return tuple(self._find_rasters(root))

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        """List every plant of the field on these dates.

        Reasons of `left_out`: `outside_raster`, `unreadable_raster`, `flag_turns_off`, `two_harvest_dates`,
        `two_observations`. Flags: `crop_leaves_raster`, `several_tiles`.

        Raises
        ------
        InputError : a file, column or CRS is missing, plants have no position or the same id, an orthophoto cannot be
            read as stated, a shift has no orthophoto, no plant lies in any orthophoto, or the harvest table is
            malformed.
        """
        from tasks.sources.field.crops import list_crops
        from tasks.sources.field.plants import read_plants
        from tasks.sources.field.slips import refuse_plants_outside
        from tasks.sources.field.spacing import describe_crop
        from tasks.sources.field.splits import Blocks, without_labels

        root = find_root(self.root)
        rasters = self._find_rasters(root)
        wanted = require_dates(dates, tuple(rasters))
        side = self.crop_side()
        margin = side if self.block_margin is None else self.block_margin
        blocks = Blocks(self.block_metres, margin, self.split_seed)
        found = read_plants(root, self.plants, self.crs, side, blocks)
        images: list[SourceImage] = []
        left_out: list[LeftOut] = []
        notes = [*found.notes, *([describe_crop(side, self.plants.path)] if self.crop_metres is None else [])]
        for day in wanted:
            shift = self.shift.get(day, NO_SHIFT)
            moved = move_places(found, shift, self.crs)
            listed, outside, remarks = list_crops(root, day, rasters[day], moved, self._reading())
            images, left_out = images + listed, left_out + outside
            notes += [*describe_shift(day, shift), *remarks]
        if not images and all(one.reason == "outside_raster" for one in left_out):
            refuse_plants_outside(root, left_out[0].path, self.plants.path, found.places, found.crs)
        records = find_harvests(root, self.harvest_table, tuple(rasters))
        matching = match_images(records, images, left_out)
        images, contradicting, unlabelled = attach_harvests(images, records)
        left_out = sorted([*left_out, *contradicting], key=lambda one: (one.acquired, one.plant_id))
        return SourceListing(
            CLASSES,
            in_listing_order(without_labels(images)),
            tuple(left_out),
            (*notes, *unlabelled),
            matching,
            records.assumed_until,
            frozenset(plant.plant_id for plant in found.plants),
        )

    def fingerprint(self, image: SourceImage) -> str:
        """Return the SHA-256 (hex) of the orthophoto's content, the crop's centre, and how pixels are read."""
        from tasks.sources.field.reading import field_fingerprint

        return field_fingerprint(Path(self.root).expanduser(), image, self._reading())

    def look_at(self, image: SourceImage) -> FileLook | None:
        """Return None, because a crop has no file of its own."""
        return None

    def read_image(self, image: SourceImage) -> "NDArray[np.uint8]":
        """Read the crop, shape (side, side, 3), RGB, 0..255, north up; black where the orthophoto has no pixel.

        Raises
        ------
        UnreadableImage : the orthophoto is damaged.
        """
        ((_, found),) = self.read_images([image])
        if isinstance(found, UnreadableImage):
            raise found
        return found

    def read_images(self, images: Sequence[SourceImage]) -> Iterator[ReadImage]:
        """Read the crops of many plants, orthophoto by orthophoto from top to bottom."""
        from tasks.sources.field.reading import read_images

        return read_images(Path(self.root).expanduser(), images, self._reading())

    def crop_side(self) -> float:
        """Return the side of a crop, metres: the stated one, or the distance between the plants.

        Raises
        ------
        InputError : no side is stated, and the plants cannot be read or have no spacing.
        """
        from tasks.sources.field.spacing import find_crop_metres

        return self.crop_metres or find_crop_metres(find_root(self.root), self.plants, self.crs)

    def read_views(self, day: date, parts: Sequence["Part"], crs: str) -> "list[View]":
        """Read parts of a date's orthophoto at the plants' own positions, so that its shift is taken out.

        Parameters
        ----------
        crs : system of the parts.

        Raises
        ------
        UnreadableImage : the orthophoto is damaged.
        InputError : it is no longer there, or cannot be read as stated.
        """
        from tasks.sources.field.reading import read_views

        root, shift = find_root(self.root), self.shift.get(day, NO_SHIFT)
        moved = [part.moved(*shift) for part in parts]
        return read_views(root, day, self._find_rasters(root).get(day, ()), moved, replace(self._reading(), crs=crs))

    def _find_rasters(self, root: Path) -> dict[date, tuple[str, ...]]:
        found = find_rasters(root, self.rasters)
        refuse_shifts_without_raster(self.shift, found)
        return found

    def _reading(self) -> "Reading":
        from tasks.sources.field.pixels import Reading

        return Reading(self.crop_side(), self.crs, self.min_inside, self.nodata, self.bands, self.value_range)
