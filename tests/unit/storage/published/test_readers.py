"""Check that other programs read the folder of a table, of a campaign and of a date, and count every plant once."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import dask.dataframe
import duckdb
import pandas
import polars
import pyarrow.dataset
import pytest

from storage.artifacts import Recipe, Store
from storage.published.publish import publish_table
from storage.tables import DECIDED, METRICS
from storage.tables.parquet import TableSpec, write_table
from tests.unit.storage.tables.test_tables import columns

# Dask's own call, which pandas 3.1 announces to refuse one day.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")

DAYS = date(2021, 8, 23), date(2021, 8, 30)
FITS = ("1" * 24, "2" * 24)


def by_pandas(folder: Path) -> pandas.DataFrame:
    return pandas.read_parquet(folder)


def by_pyarrow(folder: Path) -> pandas.DataFrame:
    return pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive").to_table().to_pandas()


def by_duckdb(folder: Path) -> pandas.DataFrame:
    with duckdb.connect() as database:
        return database.sql(f"from read_parquet('{folder}/**/*.parquet', hive_partitioning = true)").df()


def by_dask(folder: Path) -> pandas.DataFrame:
    return dask.dataframe.read_parquet(folder).compute(scheduler="synchronous")


def by_polars(folder: Path) -> pandas.DataFrame:
    return polars.scan_parquet(folder, hive_partitioning=True).collect().to_pandas()


READERS: list[Callable[[Path], Any]] = [by_pandas, by_pyarrow, by_polars, by_duckdb, by_dask]


def publish(store: Store, spec: TableSpec, campaign: str, day: date | None, clusters: str) -> None:
    recipe = Recipe("rows", 1, {"table": spec.name, "campaign": campaign, "day": str(day), "clusters": clusters})
    if not store.holds(recipe.ref):
        with store.create(recipe) as draft:
            write_table(draft, spec, {**columns(spec), "clusters": [clusters] * 3})
    publish_table(store, spec, [recipe.ref], campaign, day)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two campaigns; the second date of the first was scored, and later decided again by another fit."""
    store = Store(tmp_path_factory.mktemp("readers"))
    for campaign in ("field1", "field2"):
        publish(store, METRICS, campaign, None, FITS[0])
        for day in DAYS:
            publish(store, DECIDED, campaign, day, FITS[0])
    publish(store, DECIDED, "field1", DAYS[1], FITS[1])
    assert isinstance(store.root, Path)
    return store.root / "tables"


@pytest.mark.parametrize("read", READERS)
def test_the_folder_of_a_table(read: Callable[[Path], pandas.DataFrame], tables: Path) -> None:
    found = read(tables / "decided")
    assert found.columns.tolist() == [*(column.name for column in DECIDED.columns), "campaign", "date"]
    counted = found.groupby([found.campaign.astype(str), found.date.astype(str).str[:10]]).plant_id
    assert counted.count().to_dict() == {(name, str(day)): 3 for name in ("field1", "field2") for day in DAYS}
    assert counted.nunique().to_dict() == {(name, str(day)): 3 for name in ("field1", "field2") for day in DAYS}


@pytest.mark.parametrize("read", READERS)
def test_the_folder_of_a_campaign(read: Callable[[Path], pandas.DataFrame], tables: Path) -> None:
    found = read(tables / "decided/campaign=field1")
    assert found.groupby(found.date.astype(str).str[:10]).clusters.unique().str[0].to_dict() == {
        str(day): fit for day, fit in zip(DAYS, FITS, strict=True)
    }
    assert len(found) == 6


@pytest.mark.parametrize("read", READERS)
def test_the_folder_of_a_date(read: Callable[[Path], pandas.DataFrame], tables: Path) -> None:
    found = read(tables / f"decided/campaign=field1/date={DAYS[1]}")
    assert found.clusters.tolist() == [FITS[1]] * 3 and len(set(found.plant_id)) == 3


@pytest.mark.parametrize("read", READERS)
def test_a_table_without_dates(read: Callable[[Path], pandas.DataFrame], tables: Path) -> None:
    found = read(tables / "metrics")
    assert found.campaign.astype(str).value_counts().to_dict() == {"field1": 3, "field2": 3}
    assert len(read(tables / "metrics/campaign=field2")) == 3


def test_a_partition_holds_a_table_and_nothing_else(tables: Path) -> None:
    """Readers that take every file of a folder, whatever its name, find tables alone."""
    assert {path.name for path in tables.rglob("*") if path.is_file()} == {"part-0.parquet"}
