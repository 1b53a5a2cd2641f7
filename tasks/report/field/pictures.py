"""Read small pictures of the plants of the latest date, and their coarse saliency maps, within a budget of bytes."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any

import numpy as np

from storage.arrays.specs import IMAGES, ROWS, SALIENCY
from storage.arrays.zarr_files import open_array, read_array, read_rows
from storage.artifacts import Artifact
from storage.tables import OBSERVATIONS
from storage.tables.rows import rows_of
from tasks.batches import batches
from tasks.decide.decisions import CHECK, LEAVE
from tasks.export.walking import walking_order
from tasks.report.field.summary import FieldDay
from tasks.report.field.tours import check_order, extra_checks, rows_to_check
from tasks.report.sprites import coarse_map, sprite_sheets

SIDE, QUALITY = 64, 60  # side of a picture in pixels, and quality of WebP
PICTURE_BYTES = 300_000  # most bytes of all pictures; in a page they take a third more
AT_ONCE = 100  # pictures read at a time, as many as a sheet has


@dataclass(frozen=True)
class Pictures:
    """Small pictures of a date's plants.

    Attributes
    ----------
    date : the date; empty without pictures.
    plants : ids of the plants in the order of the tiles.
    sheets : WebP files of 10 x 10 tiles of `SIDE` pixels (see `tasks.report.sprites`).
    maps : coarse saliency maps of the plants, 64 signed bytes each.
    n_without : number of plants to act on or to check that have none, because the budget was spent.
    """

    date: str = ""
    plants: list[str] = field(default_factory=list[str])
    sheets: list[bytes] = field(default_factory=list[bytes])
    maps: bytes = b""
    n_without: int = 0

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Return the number of each plant's tile by its id."""
        return {plant: i for i, plant in enumerate(self.plants)}

    def content(self) -> dict[str, Any]:
        """Return what the page's scripts need."""
        sheets = [f"data:image/webp;base64,{base64.b64encode(sheet).decode()}" for sheet in self.sheets]
        maps = base64.b64encode(self.maps).decode()
        return {"date": self.date, "side": SIDE, "sheets": sheets, "maps": maps, "without": self.n_without}


def read_pictures(artifacts: Mapping[str, Artifact], day: FieldDay, method: str) -> Pictures:
    """Read the pictures of a date's plants to act on and to check, in the order in which `shown_first` names them.

    Sheets are made until the next one would go over `PICTURE_BYTES`.
    """
    images, saliency = artifacts[f"images {day.date}"], artifacts[f"saliency {method} {day.date}"]
    row_of = {row["plant_id"]: row["row"] for row in rows_of(images, OBSERVATIONS, ("plant_id", "row"))}
    place = {int(row): i for i, row in enumerate(read_array(saliency, ROWS))}
    asked, pixels, maps = shown_first(day), open_array(images, IMAGES), open_array(saliency, SALIENCY)
    wanted = [plant for plant in asked if row_of[plant] in place]
    plants, sheets, coarse = list[str](), list[bytes](), bytearray()
    for part in batches(len(wanted), AT_ONCE):
        rows = np.asarray([row_of[plant] for plant in wanted[part]], np.int64)
        (sheet,) = sprite_sheets(read_rows(pixels, rows), SIDE, QUALITY)
        if sum(map(len, sheets)) + len(sheet) > PICTURE_BYTES:
            break
        sheets.append(sheet)
        plants += wanted[part]
        for saliency_map in read_rows(maps, np.asarray([place[row] for row in rows.tolist()], np.int64)):
            coarse += coarse_map(saliency_map.astype(np.float32))
    return Pictures(day.date, plants, sheets, bytes(coarse), len(asked) - len(plants))


def shown_first(day: FieldDay) -> list[str]:
    """Return the ids of the plants whose pictures are wanted: to act on, to check and extra checks, by turns."""
    act_on = walking_order(row for row in day.rows if row["decision"] not in (CHECK, LEAVE))
    lists = (act_on, check_order(rows_to_check(day.rows)), extra_checks(day.rows))
    return list(dict.fromkeys(row["plant_id"] for turn in zip_longest(*lists) for row in turn if row is not None))
