"""Time the documentation's queries over a million published rows each of `decided` and `reliability`.

The peer is DuckDB on the same rows, in files with pyarrow's default settings: one row group per date, and dictionaries
for numbers as well.
"""

import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.artifacts import Recipe, Store
from storage.published.publish import publish_table
from storage.tables import DECIDED, RELIABILITIES
from storage.tables.parquet import TableSpec, load_table, write_table
from tests.benchmarks.measure import Row, alternating, compare
from tests.support.markdown import blocks

CAMPAIGN, N_DATES, N_PLANTS = "field2-2021", 20, 50_000
PAGE = "docs/python.md"  # page of the queries
NAMES = ("a season, date by date", "a season joined with a second table", "a plant's season")


def table_rows() -> list[Row]:
    """Return a row for each query, with the times of some repetitions."""
    with tempfile.TemporaryDirectory() as folder:
        ours, peers = Path(folder) / "harvest-store", Path(folder) / "plain"
        publish_season(ours)
        for path in ours.glob("tables/**/*.parquet"):
            plain = peers / path.relative_to(ours)
            plain.parent.mkdir(parents=True)
            pq.write_table(load_table(path, _spec(path)), plain, compression="zstd")
        queries = [block.content for block in blocks("sql") if block.page == PAGE and "/tables/" in block.content]
        return [_compared(name, query, ours, peers) for name, query in zip(NAMES, queries, strict=True)]


def publish_season(store: Path) -> None:
    """Write and publish artefacts of every date with the code that publishes campaigns."""
    opened = Store(store)
    for i in range(N_DATES):
        day = date(2021, 8, 1) + timedelta(days=i)
        for spec in (DECIDED, RELIABILITIES):
            recipe = Recipe(spec.name, 1, {"date": day.isoformat()})
            with opened.create(recipe) as draft:
                write_table(draft, spec, random_rows(spec, i))
            publish_table(opened, spec, [recipe.ref], CAMPAIGN, day)


def random_rows(spec: TableSpec, seed: int) -> dict[str, Any]:
    """Draw rows of one date: values of a cluster repeat, values of a plant do not, and texts have few values."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(1, 9, N_PLANTS)
    share = rng.random(9)
    known = {
        "plant_id": [f"2021_Ref_Plot{1 + i // 10_000}_{i % 10_000:04d}" for i in range(N_PLANTS)],
        "method": ["gradcam"] * N_PLANTS,
        "cluster": cluster,
        "error_share": share[cluster],
        "reliability": 1 - share[cluster],
        "row": np.arange(N_PLANTS),
        "clusters": ["0123456789abcdef01234567"] * N_PLANTS,
        "decision": rng.choice(["harvest", "leave", "check"], N_PLANTS).tolist(),
        "check_reason": rng.choice(["", "unsure", "novel", "unsure novel"], N_PLANTS).tolist(),
    }
    return {column.name: known.get(column.name, _random(column.type, rng)) for column in spec.columns}


def _random(kind: pa.DataType, rng: np.random.Generator) -> NDArray[Any] | list[str]:
    if pa.types.is_string(kind):
        return ["some text"] * N_PLANTS
    if pa.types.is_boolean(kind):
        return rng.random(N_PLANTS) < 0.3
    return rng.random(N_PLANTS) if pa.types.is_floating(kind) else rng.integers(0, 2, N_PLANTS)


def _spec(path: Path) -> TableSpec:
    return next(spec for spec in (DECIDED, RELIABILITIES) if f"/{spec.name}/" in path.as_posix())


def _compared(name: str, query: str, ours: Path, peers: Path) -> Row:
    sql = query.replace("2021_Ref_Plot2_E18", "2021_Ref_Plot2_7000")
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        here, there = (sql.replace("harvest-store/", f"{store}/") for store in (ours, peers))
        found, expected = (database.sql(one).fetchall() for one in (here, there))
        if not found or len(found) != len(expected):
            raise ValueError(f"{name}: {len(found)} rows, not {len(expected)}")
        times = alternating(lambda: database.sql(here).fetchall(), lambda: database.sql(there).fetchall())
    rows = N_DATES * N_PLANTS * (2 if "join" in query else 1)
    return compare(
        f"DuckDB, {name}: {rows:,} rows", times[0], "a row group a date, all columns in dictionaries", times[1]
    )
