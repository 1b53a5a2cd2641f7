"""Write a grown season to disk in the layouts of the real releases, so that the real readers can read it.

The folder is written under a temporary name and renamed at the end. A writer that is killed leaves nothing under the
final name, and at most a hidden `.partial` folder beside it.
"""

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.errors import InputError
from tasks.sources.synthetic.drawing import DRAWING_REVISION
from tasks.sources.synthetic.field_tables import write_harvests, write_plants
from tasks.sources.synthetic.layout_files import (
    LAYOUTS,
    ORTHOPHOTOS,
    TABLES_REVISION,
    HarvestWords,
    Layout,
    WrittenImage,
    day_folder,
    plan_images,
    text_tables,
)
from tasks.sources.synthetic.mosaic import flagged_crops, pixel_table, write_field_orthophoto, write_orthophoto
from tasks.sources.synthetic.season import Season


@dataclass(frozen=True, slots=True)
class WrittenSeason:
    """A season on disk and its ground truth; paths are relative to `root`, with `/`.

    Attributes
    ----------
    images : every image file, one per observation of the layout; empty for orthophotos.
    damaged, truncated : files that cannot be read, as many as the parameters state.
    duplicates : pairs (kept, copy) of files with the same bytes under two plants.
    flagged : plants and dates whose crop leaves the orthophoto or is mostly no-data, in `growliflower-orthophoto`.
    """

    root: Path
    layout: Layout
    images: tuple[WrittenImage, ...]
    damaged: tuple[str, ...]
    truncated: tuple[str, ...]
    duplicates: tuple[tuple[str, str], ...]
    flagged: tuple[tuple[str, date], ...]


def write_season(
    season: Season,
    root: str | Path,
    layout: Layout,
    *,
    harvested: HarvestWords = "dates",
    on_image: Callable[[], None] = lambda: None,
) -> WrittenSeason:
    """Write a season below `root`, unless the folder already holds this season.

    Parameters
    ----------
    harvested : content of `in_situ_harvested` in the layout `fiftyone`: the harvest date (`never` for plants
        without one), or yes / no as seen at each visit.
    on_image : called after each image that was written, at most once per file.

    Raises
    ------
    InputError : the folder holds something else, the layout is unknown, or orthophotos are to be damaged or truncated.
    """
    root = Path(root).expanduser().absolute()
    identity = _identity(season, layout, harvested)
    written = _describe(season, root, layout)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        _require_same(root, identity)
        return written
    partial = root.parent / f".{root.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _fill(partial, season, written, harvested, on_image)
        _write(partial / "season.json", identity.encode())
        partial.replace(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return written


def _identity(season: Season, layout: Layout, harvested: HarvestWords) -> str:
    revisions = {"drawing_revision": DRAWING_REVISION, "tables_revision": TABLES_REVISION}
    content = {"layout": layout, "harvested": harvested, **revisions}
    content |= {} if season.recorded_until is None else {"recorded_until": str(season.recorded_until)}
    return json.dumps({**content, "params": season.params.model_dump(mode="json")}, indent=1) + "\n"


def _require_same(root: Path, identity: str) -> None:
    label = root / "season.json"
    if not label.is_file() or label.read_text(encoding="utf-8") != identity:
        raise InputError(
            f"{root} holds something else",
            "A folder for a season must be empty or hold this season",
            "name another folder, or remove this one",
        )


def _describe(season: Season, root: Path, layout: Layout) -> WrittenSeason:
    """Describe the files of a season without touching the disk, or raise InputError."""
    if layout not in LAYOUTS:
        raise InputError(
            f"The layout is {layout!r}", f"The layout must be one of {', '.join(LAYOUTS)}", "name one of these"
        )
    params = season.params
    if layout in ORTHOPHOTOS and params.n_damaged + params.n_truncated:
        raise InputError(
            f"n_damaged is {params.n_damaged} and n_truncated is {params.n_truncated}",
            "Both must be 0 for orthophotos, which have no separate file for a plant",
            "set both to 0, or choose another layout",
        )
    images = plan_images(season, layout)
    return WrittenSeason(
        root=root,
        layout=layout,
        images=images,
        damaged=tuple(one.path for one in images if one.observation.fault == "damaged"),
        truncated=tuple(one.path for one in images if one.observation.fault == "truncated"),
        duplicates=_duplicates(images),
        flagged=tuple(flagged_crops(season)) if layout == "growliflower-orthophoto" else (),
    )


def _duplicates(images: tuple[WrittenImage, ...]) -> tuple[tuple[str, str], ...]:
    originals = [(one.observation, one.path) for one in images if one.augmentation == "orig"]
    paths = {(seen.plant.plant_id, seen.acquired): path for seen, path in originals}
    return tuple((paths[seen.copy_of, seen.acquired], path) for seen, path in originals if seen.copy_of)


def _fill(
    folder: Path, season: Season, written: WrittenSeason, harvested: HarvestWords, on_image: Callable[[], None]
) -> None:
    for index, image in enumerate(written.images):
        _write(folder / image.path, _file_bytes(season, image, index))
        on_image()
    for path, text in text_tables(season, written.layout, written.images, harvested).items():
        _write(folder / path, text.encode())
    if written.layout == "growliflower-orthophoto":
        _fill_orthophotos(folder, season, on_image)
    if written.layout == "field":
        _fill_field(folder, season, on_image)


def _fill_orthophotos(folder: Path, season: Season, on_image: Callable[[], None]) -> None:
    for day in season.params.dates:
        for plot in range(1, season.params.n_plots + 1):
            start = f"{day_folder(season, day)}/{day:%Y_%m_%d}_Ref_Plot{plot}"
            write_orthophoto(folder / f"{start}_orthophoto.tif", season, plot, day, on_image)
            _write(folder / f"{start}_pix_Coordinates.txt", pixel_table(season, plot, day).encode())


def _fill_field(folder: Path, season: Season, on_image: Callable[[], None]) -> None:
    for day in season.params.dates:
        write_field_orthophoto(folder / f"ortho_{day}.tif", season, day, on_image)
    write_plants(folder / "plants.gpkg", season)
    write_harvests(folder / "harvest.xlsx", season)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _file_bytes(season: Season, image: WrittenImage, index: int) -> bytes:
    seen = image.observation
    if seen.fault == "damaged":
        return np.random.default_rng([season.params.seed, index]).bytes(2048)
    turns: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {"flip": np.fliplr, "rot90": np.rot90}
    pixels = season.image(seen)
    if image.augmentation in turns:
        pixels = turns[image.augmentation](pixels)
    encoded = _encode(np.ascontiguousarray(pixels), "PNG" if image.path.endswith("png") else "TIFF")
    return encoded[: len(encoded) * 6 // 10] if seen.fault == "truncated" else encoded


def _encode(pixels: NDArray[np.uint8], file_format: Literal["PNG", "TIFF"]) -> bytes:
    buffer = io.BytesIO()
    options = {"compress_level": 1} if file_format == "PNG" else {}
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()
