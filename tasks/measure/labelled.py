"""Select the labelled rows of tables, and resample their plants."""

from collections.abc import Sequence
from typing import Any

from storage.artifacts import ArtifactRef, Store
from storage.tables.parquet import Rows, TableSpec, iter_table
from tasks.statistics.significance import (
    Resamples,
)

N_RESAMPLES, SEED, CONFIDENCE = 1000, 0, 0.95  # draws of plants, their random seed, confidence level of intervals
ANSWERED = ("plant_id", "split", "label", "predicted")  # columns that every measurement reads


def resamples(plants: Sequence[str]) -> Resamples | None:
    """Draw plants with their images a thousand times; None for a single plant, whose draws cannot differ."""
    return Resamples(plants, N_RESAMPLES, SEED) if len(set(plants)) > 1 else None


def labelled(table: Rows, split: str) -> Rows:
    """Select the rows of a split that have a label."""
    chosen = [i for i, s in enumerate(table["split"]) if s == split and table["label"][i] is not None]
    return {name: [values[i] for i in chosen] for name, values in table.items()}


def labelled_columns(store: Store, spec: TableSpec, refs: Sequence[ArtifactRef], names: Sequence[str]) -> Rows:
    """Read some columns of the rows with a label, from a table of all dates.

    The table is read in batches, so that rows without a label are not held in memory.
    """
    whole: Rows = {name: [] for name in names}
    texts: dict[Any, Any] = {}  # repeated strings are stored once
    for ref in refs:
        for part in iter_table(store.open(ref), spec, names):
            chosen = [i for i, label in enumerate(part["label"]) if label is not None]
            for name in names:
                values = part[name]
                is_text = bool(values) and isinstance(values[0], str)
                whole[name] += [texts.setdefault(values[i], values[i]) if is_text else values[i] for i in chosen]
    return whole
