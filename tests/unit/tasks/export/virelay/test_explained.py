"""Test which images a viewer is given, and what cannot be shown together."""

from pathlib import Path

import numpy as np
import pytest

from storage.arrays.specs import IMAGES, ROWS
from storage.arrays.zarr_files import write_array
from storage.artifacts import Artifact, Recipe, Store
from storage.errors import ArtifactError
from storage.tables import PREDICTIONS
from storage.tables.parquet import rows_to_columns, write_table
from tasks.export.virelay.explained import read_explained

DAYS = ("2021-08-23", "2021-08-30")
METHODS = ("gradcam", "lime")
FIXED = {"split": "test", "label": None, "predicted": 0, "probabilities": [0.5, 0.5], "classifier": "c"}
BOTH: dict[str, tuple[int, ...]] = dict.fromkeys(DAYS, (1,))  # the second image of each date is explained


def write_campaign(
    root: Path, first: dict[str, tuple[int, ...]], second: dict[str, tuple[int, ...]], sides: tuple[int, int] = (4, 4)
) -> dict[str, Artifact]:
    """Write two dates of two images; the methods explain the rows `first` and `second` of each date."""
    store, found = Store(root), dict[str, Artifact]()
    for day, side in zip(DAYS, sides, strict=True):
        answered = [{"plant_id": f"{day} {row}", "row": row, **FIXED} for row in range(2)]
        with store.create(recipe := Recipe("predictions", 1, {"day": day})) as draft:
            write_table(draft, PREDICTIONS, rows_to_columns(PREDICTIONS, answered))
        found[f"predictions {day}"] = store.open(recipe.ref)
        with store.create(recipe := Recipe("images", 1, {"day": day})) as draft:
            write_array(draft, IMAGES, np.zeros((2, side, side, 3), np.uint8))
        found[f"images {day}"] = store.open(recipe.ref)
        for method, explained in zip(METHODS, (first[day], second[day]), strict=True):
            with store.create(recipe := Recipe("saliency", 1, {"day": day, "method": method})) as draft:
                write_array(draft, ROWS, np.asarray(explained, np.int32))
            found[f"saliency {method} {day}"] = found[f"assignments {method} {day}"] = store.open(recipe.ref)
    return found


def test_images_are_those_with_maps(tmp_path: Path) -> None:
    explained = read_explained(write_campaign(tmp_path, BOTH, BOTH), METHODS)
    assert (explained.days, explained.column("plant_id")) == (list(DAYS), [f"{day} 1" for day in DAYS])
    assert explained.n_bytes == 2 * 4 * 4 * 3 and explained.labels(unknown=7).tolist() == [7, 7]


def test_a_date_without_maps_is_left_out(tmp_path: Path) -> None:
    none_first = BOTH | {DAYS[0]: ()}
    explained = read_explained(write_campaign(tmp_path, none_first, none_first), METHODS)
    assert (explained.days, explained.column("date"), len(explained.rows)) == ([DAYS[1]], [DAYS[1]], 1)


def test_methods_that_explain_different_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=f"on {DAYS[1]}, gradcam and lime explain different images"):
        read_explained(write_campaign(tmp_path, BOTH, BOTH | {DAYS[1]: (0, 1)}), METHODS)


def test_images_of_two_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"\(4, 4, 3\), \(5, 5, 3\)"):
        read_explained(write_campaign(tmp_path, BOTH, BOTH, sides=(4, 5)), METHODS)
