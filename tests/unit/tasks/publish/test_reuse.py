"""Test the reuse of a complete campaign's artefacts: unchanged, and for labelled images only."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage.arrays.specs import FEATURES, LOGITS
from storage.arrays.zarr_files import read_array, write_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import ArtifactError
from storage.tables import PREDICTIONS
from storage.tables.parquet import read_table, rows_to_columns, write_table
from tasks.publish.reuse import reuse_artifact, take_labelled


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def prediction(split: str, row: int, label: int | None) -> dict[str, Any]:
    same = {"plant_id": f"p{row}", "predicted": 0, "probabilities": [0.75, 0.25], "classifier": "c0"}
    return {**same, "split": split, "row": row, "label": label}


def predictions(store: Store, rows: list[dict[str, Any]]) -> ArtifactRef:
    recipe = Recipe("predictions", 1, {"n": len(rows)})
    with store.create(recipe) as draft:
        write_table(draft, PREDICTIONS, rows_to_columns(PREDICTIONS, rows))
        write_array(draft, LOGITS, np.arange(2 * len(rows)).reshape(-1, 2))
        write_array(draft, FEATURES, np.arange(3 * len(rows)).reshape(-1, 3))
        draft.summary = {"date": "2021-08-23", "n_images": len(rows)}
    return recipe.ref


def test_predictions_of_labelled_images(store: Store) -> None:
    rows = [
        prediction("train", 0, None),
        prediction("val", 2, 1),
        prediction("new", 1, None),
        prediction("test", 3, 0),
    ]
    whole = predictions(store, rows)
    made = take_labelled.fn(str(store.root), date(2021, 8, 23), whole)
    assert made != whole and made == take_labelled.fn(str(store.root), date(2021, 8, 23), whole)
    found = store.open(made)
    assert read_table(found, PREDICTIONS)["row"] == [2, 3]
    assert read_array(found, LOGITS).tolist() == [[2, 3], [6, 7]]
    assert read_array(found, FEATURES).tolist() == [[3, 4, 5], [9, 10, 11]]
    assert found.summary == {"date": "2021-08-23", "n_images": 2}


def test_predictions_are_taken_as_they_are_where_all_explained_images_have_labels(store: Store) -> None:
    whole = predictions(store, [prediction("train", 0, None), prediction("val", 1, 1)])
    assert take_labelled.fn(str(store.root), date(2021, 8, 23), whole) == whole


def test_a_damaged_artefact_is_not_reused(store: Store) -> None:
    whole = predictions(store, [prediction("val", 1, 1)])
    assert reuse_artifact.fn(str(store.root), "x", "predictions 2021-08-23", whole) == whole
    store.open(whole).file("predictions.parquet").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"predictions 2021-08-23 of x: .*`harvest run` makes it again"):
        reuse_artifact.fn(str(store.root), "x", "predictions 2021-08-23", whole)
