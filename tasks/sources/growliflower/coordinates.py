"""Read the text files of the original release: pixel coordinates of plants, and their UTM position and split."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.checks import SPLIT_WORDS, refuse_two_splits, text_table
from tasks.sources.contract import SourceImage
from tasks.sources.text_tables import Row, read_rows, to_number, without_empty_end

PLANT_ID = re.compile(r"^(20\d\d)_Ref_Plot(\d+)_([A-Z])(\d{1,2})$")
PIXEL_COLUMNS: tuple[str, ...] = ("image_name", "x", "y")
UTM_COLUMNS = ("plant", "easting", "northing", "height", "split")


@dataclass(frozen=True, slots=True)
class PixelCoordinate:
    """One row of a `*pix_Coordinates*` file: image name and pixel (x, y) of the plant, x to the right, y down."""

    line: int
    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class SplitPlant:
    """Split of a plant and where it was read, with easting and northing in metres (UTM 32N) if known."""

    split: Split
    source: str
    easting: float | None = None
    northing: float | None = None

    def place(self, image: SourceImage) -> SourceImage:
        """Return an image of the plant with split and position added."""
        return replace(image, split=self.split, split_source=self.source, easting=self.easting, northing=self.northing)


def read_pixel_coordinates(path: Path) -> list[PixelCoordinate]:
    """Read `image_name X Y ...` rows with or without a header, separated like a table or by white space.

    Raises
    ------
    InputError : a row has fewer than three columns, or an X or Y that is not a finite number.
    """
    rows = read_rows(path, has_spaces=True)
    columns: dict[str, int] = dict(zip(PIXEL_COLUMNS, range(3), strict=True))
    if rows and len(rows[0][1]) >= 3 and to_number(rows[0][1][1]) is None:
        header = [cell.lower() for cell in rows.pop(0)[1]]
        if set(PIXEL_COLUMNS) <= set(header):
            columns = {name: header.index(name) for name in PIXEL_COLUMNS}
    return [to_coordinate(path, row, columns) for row in rows]


def to_coordinate(path: Path, row: Row, columns: Mapping[str, int]) -> PixelCoordinate:
    """Read one row of pixel coordinates, or raise InputError."""
    line, cells = row
    if len(cells) > max(columns.values()):
        name, x, y = (cells[columns[column]] for column in PIXEL_COLUMNS)
        right, down = to_number(x), to_number(y)
        if right is not None and down is not None:
            return PixelCoordinate(line, re.split(r"[\\/]", name)[-1], right, down)
    raise InputError(
        f"{path.name}, line {line}, holds {without_empty_end(cells)}",
        "A row of pixel coordinates must be `image_name X Y DAP`",
        "correct the row",
    )


def read_split_files(paths: Iterable[Path]) -> dict[str, SplitPlant]:
    """Read the split of every plant from files with rows `plant id, easting, northing, height, split, ...`.

    A header may name the columns in another order.

    Raises
    ------
    InputError : a row is malformed, or a plant is in two splits or two places.
    """
    rows: dict[str, set[SplitPlant]] = defaultdict(set)
    for path in paths:
        content = read_rows(path)
        columns = find_utm_columns(content[0][1]) if content else None
        for row in content[1 if columns else 0 :]:
            plant_id, plant = read_split_row(path, row, columns or range(5))
            rows[plant_id].add(plant)
    refuse_two_splits((plant_id, plant.split) for plant_id, found in rows.items() for plant in found)
    moved = [plant_id for plant_id, found in sorted(rows.items()) if len(found) > 1]
    if moved:
        found = text_table(("plant", "rows"), [(plant_id, len(rows[plant_id])) for plant_id in moved])
        raise InputError(
            f"Plants with several places: {len(moved)}{found}",
            "A plant must have one place in the UTM files",
            "remove the wrong rows",
        )
    return {plant_id: plant for plant_id, (plant,) in rows.items()}


def find_utm_columns(cells: Sequence[str]) -> list[int] | None:
    """Return the positions of the columns that the header of a UTM file names; None if the cells are no header.

    Names may be longer than `UTM_COLUMNS`, such as `plant_id` or `Easting [m]`.
    """
    names = [cell.lower() for cell in cells]
    found = [next((i for i, name in enumerate(names) if name.startswith(one)), None) for one in UTM_COLUMNS]
    known = [place for place in found if place is not None]
    return known if len(known) == len(UTM_COLUMNS) else None


def read_split_row(path: Path, row: Row, columns: Sequence[int]) -> tuple[str, SplitPlant]:
    """Read one row of a UTM split file, or raise InputError."""
    line, cells = row
    if len(cells) > max(columns):
        plant_id, *place, word = (cells[column] for column in columns)
        easting, northing, height = (to_number(cell) for cell in place)
        split = SPLIT_WORDS.get(word.lower(), "new")
        if PLANT_ID.match(plant_id) and None not in {easting, northing, height} and split != "new":
            return plant_id, SplitPlant(split, "utm", easting, northing)
    raise InputError(
        f"{path.name}, line {line}, is `{', '.join(without_empty_end(cells))}`",
        "A row of a UTM file must be `plant id, easting, northing, height, train|val|test, ...`, and a header must "
        f"name the columns {', '.join(UTM_COLUMNS)}",
        "correct the row",
    )
