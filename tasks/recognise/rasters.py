"""Find the orthophotos in a folder, tell them from heights and masks, and name those of each date."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from rasterio.io import DatasetReader

from storage.errors import InputError
from tasks.recognise.folder_files import FolderFiles
from tasks.sources.contract import UnreadableImage
from tasks.sources.field.grids import corners_of, to_map_of
from tasks.sources.field.layers import Layer, layer_of, without_colours
from tasks.sources.field.pixels import find_bands, has_nodata
from tasks.sources.field.rasters import compile_pattern, find_rasters, read_date
from tasks.sources.field.vrt import without_parts
from tasks.sources.raster import open_raster

ORTHO_SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".j2k", ".img", ".vrt"})
SAME_PLACE = 0.5  # share of the smaller of two rasters above which both show the same place, and are no tiles
NO_PLACE = "states no coordinate reference system or no position of its pixels, so it is no orthophoto"
NO_TILES = "an orthophoto without a date in its path, and no tile of the others, so one date cannot be that of all"
NO_DATE = "an orthophoto without a date in its path, such as 2021-08-23, 2021_08_23 or 20210823"


@dataclass(frozen=True, slots=True)
class Ortho:
    """What the header of a georeferenced raster says.

    Attributes
    ----------
    day : date in its path; None if there is none.
    template : path with `{date}` in the place of the date.
    layer : what a raster of one or two bands is, such as heights or a mask; None for one of colours.
    crs, epsg : coordinate reference system as WKT, and its EPSG code if it has one.
    pixel : width and height of a pixel, units of the system.
    bounds : least x and y, greatest x and y.
    colours : numbers of the red, green and blue band; None if they are not marked.
    named : names of the bands, empty for those without.
    nodata : no-data value, if pixels are missing by it.
    """

    path: str
    day: date | None
    template: str
    layer: Layer | None
    crs: str
    epsg: int | None
    types: str
    pixel: tuple[float, float]
    bounds: tuple[float, float, float, float]
    colours: tuple[int, ...] | None
    named: tuple[str, ...]
    nodata: float | None

    @property
    def grid(self) -> tuple[str, float, float]:
        """Return what tiles of one orthophoto have in common: system and size of pixels."""
        width, height = self.pixel
        return self.crs, float(f"{width:.6g}"), float(f"{height:.6g}")


@dataclass(frozen=True, slots=True)
class Orthos:
    """Orthophotos of a folder.

    Attributes
    ----------
    of_date : those that are taken, by date.
    others : templates of orthophotos that show the same places on the same dates and are not taken.
    reasons : why other rasters are not taken, by path.
    """

    of_date: dict[date, tuple[Ortho, ...]]
    others: tuple[str, ...]
    reasons: dict[str, str]

    @property
    def all(self) -> list[Ortho]:
        """Return the orthophotos that are taken, by date."""
        return [one for of_date in self.of_date.values() for one in of_date]

    @property
    def paths(self) -> dict[date, tuple[str, ...]]:
        """Return the paths of each date, as the source finds them."""
        return {day: tuple(sorted(one.path for one in found)) for day, found in sorted(self.of_date.items())}


def find_orthos(files: FolderFiles) -> Orthos:
    """Find the orthophotos of a folder.

    A raster is an orthophoto if it has a georeference, and colours where another one has them. Where none has colours,
    heights and masks are left out. Tiles that a VRT of the same date names are read through it. Several orthophotos of
    one date are tiles if they have one system and size of pixels, and hardly overlap. Otherwise those are taken that
    have most dates, then the finest pixels, then the first name.
    """
    found: list[Ortho] = []
    reasons: dict[str, str] = {}
    for path in files.with_suffix(ORTHO_SUFFIXES):
        looked = look_at_ortho(files.root, path)
        if isinstance(looked, Ortho):
            found.append(looked)
        else:
            reasons[path] = looked
    reasons |= without_colours({one.path: one.layer for one in found})
    reasons |= parts_of_vrt(files.root, found)
    found = [one for one in found if one.path not in reasons]
    dated = [one for one in found if one.day is not None]
    if not dated and files.day is not None and not any_same_place(found):
        return Orthos({files.day: tuple(found)} if found else {}, (), reasons)
    no_date = NO_DATE if dated or files.day is None else NO_TILES
    reasons |= {one.path: no_date for one in found if one.day is None}
    taken, others = choose_groups(dated)
    reasons |= {
        one.path: f"an orthophoto of dates and places that {taken[0].template} shows too"
        for one in dated
        if one.template in others
    }
    of_date: dict[date, list[Ortho]] = defaultdict(list)
    for one in taken:
        if one.day is not None:
            of_date[one.day].append(one)
    return Orthos({day: tuple(ones) for day, ones in sorted(of_date.items())}, others, reasons)


def parts_of_vrt(root: Path, found: Sequence[Ortho]) -> dict[str, str]:
    """Return the rasters that are read through a VRT of the same date, and this as the reason.

    Tiles without a date in their paths belong to every date.
    """
    parts: set[str] = set()
    for day in {one.day for one in found}:
        paths = [one.path for one in found if one.day in {day, None}]
        parts |= {*paths} - {*without_parts(root, paths)}
    return dict.fromkeys(sorted(parts), "read through the VRT of its date")


def look_at_ortho(root: Path, path: str) -> Ortho | str:
    """Return what the header of a raster says, or why it is no orthophoto."""
    try:
        with open_raster(root / path) as dataset:
            if dataset.crs is None or dataset.transform.is_identity:
                return NO_PLACE
            return describe_ortho(dataset, path)
    except UnreadableImage as error:
        return str(error).removeprefix(f"{Path(path).name}: ")


def describe_ortho(dataset: DatasetReader, path: str) -> Ortho:
    """Return what the header of an open raster says."""
    day, template = date_in(path)
    matrix, (x, y) = to_map_of(dataset), corners_of(dataset)
    bands = find_bands(dataset)
    return Ortho(
        path,
        day,
        template,
        layer_of(dataset),
        dataset.crs.to_wkt(),
        dataset.crs.to_epsg(),
        f"{dataset.count} band{'s' * (dataset.count > 1)} of {', '.join(sorted(set(dataset.dtypes)))}",
        (float(np.hypot(*matrix[:2, 0])), float(np.hypot(*matrix[:2, 1]))),
        (float(x.min()), float(y.min()), float(x.max()), float(y.max())),
        None if bands is None else tuple(bands),
        tuple(name or "" for name in dataset.descriptions),
        dataset.nodata if has_nodata(dataset) else None,
    )


def date_in(path: str) -> tuple[date | None, str]:
    """Return the last date in a path, and the path with `{date}` in its place and `*` for other dates."""
    taken: date | None = None
    template = path
    for match in reversed(list(compile_pattern("{date}").finditer(path))):
        try:
            day = read_date(match, path)
        except InputError:  # eight digits that are no date
            continue
        template = template[: match.start()] + ("{date}" if taken is None else "*") + template[match.end() :]
        taken = taken or day
    return taken, template


def choose_groups(dated: Sequence[Ortho]) -> tuple[list[Ortho], tuple[str, ...]]:
    """Choose orthophotos that can be used together, and return the templates of the others.

    Orthophotos of one template belong together, as the exports of one program do.
    """
    groups: dict[str, list[Ortho]] = defaultdict(list)
    for one in dated:
        groups[one.template].append(one)
    order = sorted(groups, key=lambda name: (-len({one.day for one in groups[name]}), groups[name][0].pixel, name))
    taken: list[Ortho] = []
    others: list[str] = []
    for name in order:
        if any_same_place(groups[name], taken):
            others.append(name)
        else:
            taken += groups[name]
    if not taken and order:  # one template that is no set of tiles: the source says what is wrong with it
        return groups[order[0]], tuple(others[1:])
    return taken, tuple(others)


def any_same_place(found: Sequence[Ortho], beside: Sequence[Ortho] = ()) -> bool:
    """Return whether orthophotos of one date show the same place, or are no tiles of one orthophoto.

    Parameters
    ----------
    beside : orthophotos that fit together, and with which the others are compared too.
    """
    of_day: dict[date | None, list[Ortho]] = defaultdict(list)
    for one in beside:
        of_day[one.day].append(one)
    for one in found:
        for other in of_day[one.day]:
            if one.grid != other.grid or overlap(one.bounds, other.bounds) > SAME_PLACE:
                return True
        of_day[one.day].append(one)
    return False


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the share of the smaller of two rectangles that lies in the other."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    least = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(wide, 0) * max(high, 0) / least


def common_start(texts: Sequence[str]) -> str:
    """Return the longest text with which all texts begin."""
    least, greatest = min(texts), max(texts)
    n = next((i for i, (one, other) in enumerate(zip(least, greatest, strict=False)) if one != other), len(least))
    return least[:n]


def pattern_of(root: Path, orthos: Orthos) -> str | None:
    """Return the pattern that fits exactly the chosen orthophotos; None if a table of dates must name them."""
    templates = sorted({one.template for one in orthos.all})
    first = common_start(templates)
    last = common_start([template[len(first) :][::-1] for template in templates])[::-1]
    pattern = templates[0] if len(templates) == 1 else f"{first}*{last}"
    if pattern.count("{date}") != 1:
        return None
    try:
        return pattern if find_rasters(root, pattern) == orthos.paths else None
    except InputError:
        return None
