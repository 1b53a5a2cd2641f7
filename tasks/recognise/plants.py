"""Find the file of plant positions in a folder: the layer or table of which most positions lie in the orthophotos."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import InputError
from tasks.recognise.columns import DEGREES, EITHER, METRES, find_pair
from tasks.recognise.folder_files import FolderFiles, Sheet, first_line
from tasks.recognise.map_layers import VECTOR_SUFFIXES, Layer, look_at_layers
from tasks.recognise.rasters import Ortho
from tasks.sources.crs import WGS_84
from tasks.sources.field.plants_file import PlantRows, PlantsFile, read_rows
from tasks.sources.fiftyone.samples import SAMPLES_FILE
from tasks.sources.projections import transform

Places = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Positions x and y, each of shape (n,)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer or table that may hold the plants.

    Attributes
    ----------
    keys : keys of `[source.plants]` by which it is read, without those of columns other than coordinates.
    columns : names of all its columns.
    crs : system in which its positions are read.
    is_stated : whether the file itself states that system.
    n_inside : number of positions in the orthophotos.
    """

    path: str
    keys: dict[str, Any]
    columns: tuple[str, ...]
    rows: PlantRows
    crs: str
    is_stated: bool
    n_inside: int

    @property
    def is_map(self) -> bool:
        """Return whether it is a layer of a map, and not a table of coordinates."""
        return "x_column" not in self.keys

    @property
    def name(self) -> str:
        """Return the name of the file, or of the sheet in it."""
        return self.path if self.is_map else str(Sheet(self.path, self.keys.get("layer")))

    @property
    def said(self) -> str:
        """Name file, layer, number of positions and columns."""
        layer = f", layer {self.keys['layer']}" if "layer" in self.keys else ""
        columns = ", ".join(self.columns) or "none"
        n = len(self.rows.rows)
        return f"{self.path}{layer}: {n:,} positions, {self.n_inside:,} in the orthophotos; columns {columns}"


def find_candidates(files: FolderFiles, orthos: Sequence[Ortho], system: str) -> tuple[list[Candidate], dict[str, str]]:
    """Return the layers and tables of positions, the best one first, and why other map files are none.

    The best one has most positions in the orthophotos. Among equals a map comes before a table, then the one with more
    positions, then the first name.

    Parameters
    ----------
    system : projected system of the field.
    """
    found: list[Candidate] = []
    reasons: dict[str, str] = {}
    for path in files.with_suffix(VECTOR_SUFFIXES):
        if path.rpartition("/")[2] == SAMPLES_FILE:
            continue
        try:
            layers = look_at_layers(files.root / path)
        except InputError as error:
            if not path.lower().endswith(".json"):  # which may hold anything else
                reasons[path] = first_line(error)
            continue
        of_path = [read_layer(files, path, one, len(layers) > 1, orthos, system) for one in layers]
        found += [one for one in of_path if isinstance(one, Candidate)]
        if not any(isinstance(one, Candidate) for one in of_path):
            reasons[path] = "; ".join(one for one in of_path if isinstance(one, str)) or "a map without layers"
    for sheet, table in files.tables.items():
        one = read_positions(files, sheet, table.columns, orthos, system)
        if isinstance(one, Candidate):
            found.append(one)
        elif one:
            reasons[sheet.path] = one
    order = sorted(found, key=lambda one: (-one.n_inside, not one.is_map, -len(one.rows.rows), one.said))
    return order, reasons


def read_layer(
    files: FolderFiles, path: str, layer: Layer, is_named: bool, orthos: Sequence[Ortho], system: str
) -> Candidate | str:
    """Return a layer as a candidate, or why it holds no plants.

    Parameters
    ----------
    is_named : whether the key must name the layer, because the file has several.
    """
    if layer.n_rows == 0 or not layer.shapes:
        return f"layer {layer.name} has no shapes"
    keys: dict[str, Any] = {"path": path, **({"layer": layer.name} if is_named else {})}
    systems = [None] if layer.crs else [*dict.fromkeys([*systems_of(orthos), system, WGS_84])]
    return best_system(files, keys, layer.columns, systems, orthos)


def read_positions(
    files: FolderFiles, sheet: Sheet, columns: tuple[str, ...], orthos: Sequence[Ortho], system: str
) -> Candidate | str | None:
    """Return a table with columns of coordinates as a candidate, why it cannot be read, or None if it has none."""
    projected = [*dict.fromkeys([*systems_of(orthos), system])]
    for names, systems in ((METRES, projected), (DEGREES, [WGS_84]), (EITHER, [*dict.fromkeys([*projected, WGS_84])])):
        if pair := find_pair(columns, names):
            keys: dict[str, Any] = {"path": sheet.path, "x_column": pair[0], "y_column": pair[1]}
            keys |= {} if sheet.name is None else {"layer": sheet.name}
            return best_system(files, keys, columns, systems, orthos)
    return None


def systems_of(orthos: Sequence[Ortho]) -> list[str]:
    """Return the EPSG codes of the orthophotos' systems, each once."""
    return [*dict.fromkeys(f"EPSG:{one.epsg}" for one in orthos if one.epsg is not None)]


def best_system(
    files: FolderFiles,
    keys: dict[str, Any],
    columns: tuple[str, ...],
    systems: Sequence[str | None],
    orthos: Sequence[Ortho],
) -> Candidate | str:
    """Return the candidate in the first system in which most positions lie in the orthophotos, or why it is none.

    Parameters
    ----------
    systems : systems to try; None is that of the file.
    """
    tried: list[Candidate] = []
    for crs in systems:
        stated = keys if crs is None else {**keys, "crs": crs}
        try:
            rows = read_rows(files.root, PlantsFile(**stated))
        except InputError as error:
            return first_line(error)
        n_inside = count_inside(positions(rows), rows.crs, orthos)
        tried.append(Candidate(keys["path"], stated, columns, rows, crs or rows.crs, crs is None, n_inside))
    return max(tried, key=lambda one: one.n_inside)


def positions(rows: PlantRows) -> Places:
    """Return the positions of rows."""
    return np.array([row.x for row in rows.rows]), np.array([row.y for row in rows.rows])


def is_inside(places: Places, crs: str, orthos: Sequence[Ortho]) -> NDArray[np.bool_]:
    """Return which positions lie in the bounds of an orthophoto, shape (n,)."""
    inside = np.zeros(len(places[0]), np.bool_)
    for system in {one.crs for one in orthos}:
        x, y = transform(*places, crs, system)
        for one in orthos:
            if one.crs == system:
                left, low, right, high = one.bounds
                inside |= (x >= left) & (x <= right) & (y >= low) & (y <= high)
    return inside


def count_inside(places: Places, crs: str, orthos: Sequence[Ortho]) -> int:
    """Return the number of positions that lie in the bounds of an orthophoto."""
    return int(is_inside(places, crs, orthos).sum())
