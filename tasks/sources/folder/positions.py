"""Read where plants stand from a manifest, and give it in metres; positions that cannot be are refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.errors import InputError
from tasks.sources.checks import text_table
from tasks.sources.crs import is_in_area, to_degrees, to_metres, utm_zone
from tasks.sources.matching import name_some
from tasks.sources.text_tables import TextTable, to_number

if TYPE_CHECKING:  # importing numpy takes a fifth of the time of an early error
    import numpy as np
    from numpy.typing import NDArray

MOVED = 1.0  # metres; positions of a plant that lie further apart are told
ZONE = 1_000_000  # factor of a zone's number that some programs put before the easting, as in 32365000


@dataclass(frozen=True, slots=True)
class Position:
    """Position as a manifest states it: longitude and latitude (WGS 84) in degrees, or easting and northing."""

    x: float
    y: float
    is_degrees: bool


@dataclass(frozen=True, slots=True)
class PositionColumns:
    """Names of the manifest's columns of positions."""

    easting: str
    northing: str
    longitude: str
    latitude: str

    def find(self, table: TextTable) -> tuple[str, str, bool] | None:
        """Return the two columns that a table has, x first, and whether they are degrees; None if it has none.

        Easting and northing are taken where a table has both pairs.

        Raises
        ------
        InputError : one column of a pair is missing.
        """
        for x, y, is_degrees in ((self.easting, self.northing, False), (self.longitude, self.latitude, True)):
            there = [name for name in (x, y) if name in table.columns]
            if len(there) == 1:
                absent = y if there == [x] else x
                raise InputError(
                    f"{table.path.name} has the column {there[0]} and no column {absent}",
                    "A position needs two columns",
                    f"add {absent}, or name the file's own columns in the parameters",
                )
            if there:
                return x, y, is_degrees
        return None


def read_position(table: str, line: int, row: dict[str, str], columns: tuple[str, str, bool]) -> Position | None:
    """Read the position of one row; None if both cells are empty.

    Raises
    ------
    InputError : a cell is no number, one of two is empty, or degrees are out of their range.
    """
    x_column, y_column, is_degrees = columns
    cells = row[x_column], row[y_column]
    if cells == ("", ""):
        return None
    x, y = map(to_number, cells)
    found = f"{table}, line {line}, has {x_column} {cells[0]!r} and {y_column} {cells[1]!r}"
    if x is None or y is None:
        raise InputError(
            found, "A position must be two numbers, or two empty cells if it is unknown", "correct the row"
        )
    if is_degrees and not (-180 <= x <= 180 and -90 <= y <= 90):
        is_swapped = -90 <= x <= 90 and -180 <= y <= 180
        raise InputError(
            found,
            "Latitudes must lie in -90..90 and longitudes in -180..180",
            "swap the two columns: the longitude stands in the place of the latitude"
            if is_swapped
            else "correct the row; columns in metres are named by easting_column and northing_column",
        )
    return Position(x, y, is_degrees)


def place_in_metres(named: Sequence[tuple[str, Position]], crs: str | None) -> list[tuple[float, float]]:
    """Return easting and northing (m) in a projected system of positions, each with the name of its file.

    Degrees are transformed. All positions must be of the same kind.

    Raises
    ------
    InputError : no system is given, or positions lie outside the area in which it is used. The message tells whether
        columns are swapped, or eastings begin with the number of their zone.
    """
    import numpy as np

    if not named:
        return []
    stated, is_degrees = np.array([(one.x, one.y) for _, one in named]), named[0][1].is_degrees
    if crs is None:
        raise unnamed_system(stated, is_degrees)
    refuse_outside([name for name, _ in named], stated, is_degrees, crs)
    metres = to_metres(stated, crs) if is_degrees else stated
    return [(round(float(x), 3), round(float(y), 3)) for x, y in metres]


def unnamed_system(stated: "NDArray[np.float64]", is_degrees: bool) -> InputError:
    """Return the error of positions (n, 2) without a system, which names the UTM zone of degrees."""
    import numpy as np

    zone = utm_zone(*np.median(stated, axis=0)) if is_degrees else None
    return InputError(
        f"The manifest has {'latitudes and longitudes' if is_degrees else 'eastings and northings'} of {len(stated)} "
        "images, and source.crs is not set",
        "Maps and exports need metres in a projected coordinate reference system, which source.crs names",
        f'set source.crs = "{zone}", the UTM zone of these positions'
        if zone
        else 'set source.crs to the EPSG code of these positions, for example "EPSG:25832"',
    )


def refuse_outside(names: Sequence[str], stated: "NDArray[np.float64]", is_degrees: bool, crs: str) -> None:
    """Raise InputError if positions (n, 2) lie outside the area in which a system is used."""
    import numpy as np

    def inside(positions: "NDArray[np.float64]") -> "NDArray[np.bool_]":
        return is_in_area(positions if is_degrees else to_degrees(positions, crs), crs)

    is_outside = ~inside(stated)
    if not is_outside.any():
        return
    outside = stated[is_outside]
    zone = np.floor(outside[0, 0] / ZONE) * ZONE
    swapped = inside(outside[:, ::-1]).all() and (not is_degrees or bool((np.abs(outside[:, 0]) <= 90).all()))
    if swapped:
        remedy = "swap the two columns, in the file or in the parameters"
    elif not is_degrees and zone and inside(outside - [zone, 0]).all():
        remedy = f"take the zone's number off the eastings: subtract {zone:.0f}"
    elif is_degrees and (right := utm_zone(*np.median(outside, axis=0))):
        remedy = f'correct the positions, or set source.crs = "{right}", the UTM zone of these'
    else:
        remedy = "correct the positions, or set source.crs to their system"
    rows = [(name, f"{x:.10g}", f"{y:.10g}") for name, (x, y) in zip(np.array(names)[is_outside], outside, strict=True)]
    heading = ("file", "longitude", "latitude") if is_degrees else ("file", "easting", "northing")
    raise InputError(
        f"Positions outside the area of {crs}: {len(outside)} of {len(stated)}" + text_table(heading, rows),
        "Positions must lie where their coordinate reference system is used",
        remedy,
    )


def describe_moved(places: Sequence[tuple[str, tuple[float, float]]]) -> list[str]:
    """Return a note on plants whose images lie further apart than `MOVED`, of pairs of plant id and position (m)."""
    first: dict[str, tuple[float, float]] = {}
    moved: dict[str, None] = {}
    for plant_id, (x, y) in places:
        x0, y0 = first.setdefault(plant_id, (x, y))
        if (x - x0) ** 2 + (y - y0) ** 2 > MOVED**2:
            moved[plant_id] = None
    found = f"{len(moved)} plants have positions over {MOVED:g} m apart: {name_some(list(moved))}"
    return [found] if moved else []
