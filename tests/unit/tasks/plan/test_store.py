"""Test planned bytes by hand; tests/integration/test_plan.py compares them with the files of a campaign that ran."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from storage.tables import TABLES
from storage.tables.parquet import table_bytes, to_arrow
from storage.tables.widths import row_bytes
from tasks.explain.methods import ExplainParams
from tasks.parameters import Runtime
from tasks.plan.store import DATE_BYTES, SHARD_BYTES, WAITING, plan_store
from tests.support.planned import DATES, workload
from tests.unit.storage.tables.test_tables import columns

ALL = ExplainParams(methods=("gradcam", "occlusion", "lime"))


def planned(share: float = 1, **changes: Any) -> Counter[str]:
    found = Counter[str]()
    for size in plan_store(workload(**changes), share):
        found[f"{size.kind} {size.method or ''}".strip()] += size.bytes
    return found


def test_images_are_their_pixels() -> None:
    """931 images have 256 x 256 pixels in three colours, and 16 bytes each in a shard's index."""
    assert planned()["images"] == 931 * (196_608 + 16)
    assert planned(share=0.5)["images"] == 931 * (98_304 + 16)


def test_maps_are_two_bytes_a_pixel_at_native_resolution() -> None:
    """390 maps have 8 x 8, 123 x 123 or 256 x 256 values.

    Peak, row and class of each are 10 bytes, in its shard and for the date. A plant's id is 24.
    """
    found = planned(explain=ALL)
    # A date of 120, 120, 90 and 60 maps has one shard of up to 512, or 8, 8, 6 and 4 of up to 16.
    for method, pixels, n_shards in (("gradcam", 64, 4), ("occlusion", 15_129, 26), ("lime", 65_536, 26)):
        assert (
            found[f"saliency {method}"] == 390 * (2 * pixels + 16 + 20 + 24) + n_shards * SHARD_BYTES + 4 * DATE_BYTES
        )


def test_a_given_classifier_has_no_checkpoint() -> None:
    assert planned()["checkpoint"] == 3 * planned()["classifier"]
    assert "checkpoint" not in planned(train=None, n_samples=0)


def test_crops_wait_in_as_many_dates_as_are_read_in_parallel() -> None:
    """Read dates of 100, 300 and 200 crops two at a time: at most 500 images of 256 x 256 pixels, three bytes each."""
    assert WAITING not in planned()
    crops = (100, 300, 200, 0)
    dates = tuple(replace(day, n_crops=n) for day, n in zip(DATES, crops, strict=True))
    assert planned(dates=dates, runtime=Runtime(workers=2), share=0.5)[WAITING] == 500 * 196_608
    assert planned(dates=dates, runtime=Runtime(workers=8))[WAITING] == 600 * 196_608


@pytest.mark.parametrize("factor", [2, 10])
def test_the_store_goes_with_the_images(factor: int) -> None:
    """Some bytes do not grow with the images: classifier, checkpoint, axes, prototypes and the report's page."""
    many = tuple(replace(day, n_images=factor * day.n_images, n_explained=factor * day.n_explained) for day in DATES)
    for name in ("images", "listings", "predictions"):
        assert planned(dates=many)[name] == factor * planned()[name]


@pytest.mark.parametrize("table", ["observations", "predictions", "assignments", "reliability", "adjusted", "crossfit"])
def test_a_table_is_no_larger_than_planned(table: str) -> None:
    """Numbers and ids that do not repeat cannot be encoded much smaller, so the plan must be close."""
    n, spec, rng = 20_000, TABLES[table], np.random.default_rng(0)
    rows: dict[str, Any] = {name: values[1:2] * n for name, values in columns(spec).items()}
    for column in spec.columns:
        if str(column.type) == "double":
            rows[column.name] = rng.random(n)
        elif str(column.type) in ("int16", "int32"):
            rows[column.name] = rng.integers(0, 30_000, n)
    for name in {"plant_id", "path", "sha256"} & rows.keys():
        rows[name] = [rng.bytes(32 if name == "sha256" else 8).hex() for _ in range(n)]
    written = len(table_bytes(spec, to_arrow(spec, rows)))
    assert 0.15 * n * row_bytes(table) < written < n * row_bytes(table)
