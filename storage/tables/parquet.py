"""Parquet files of one schema each, checked on writing and on reading; `storage.tables` has the schemas."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.artifacts import Artifact, Draft
from storage.errors import ArtifactError
from storage.places.files import Place

VERSION_KEY = b"harvest_reliability.version"
TABLE_KEY = b"harvest_reliability.table"
# Of a row group. Measured on a million rows: with fewer a query over all of them is slower, with more one for a plant.
GROUP_ROWS = 16_384
ORDER = "plant_id"

Rows = dict[str, list[Any]]
ROWS_AT_ONCE = 8192  # of `iter_table`; as Python values a row of the widest table takes 2 kB


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, unit and meaning."""

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    nullable: bool = False


@dataclass(frozen=True)
class TableSpec:
    """One table. Raise `version` when a column changes its name, type or meaning.

    Attributes
    ----------
    partitioned_by : what the table's top folders are named by, as in `campaign=field2`.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    per_date: bool = True
    version: int = 1
    partitioned_by: str = "campaign"

    @property
    def is_fitted(self) -> bool:
        """Whether rows say which classifier or clusters made them, so that those of several fits can lie together."""
        return any(column.name in ("classifier", "clusters") for column in self.columns)

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema with meanings and units in its metadata."""
        fields = [
            pa.field(c.name, c.type, c.nullable, {b"meaning": c.meaning.encode(), b"unit": c.unit.encode()})
            for c in self.columns
        ]
        return pa.schema(fields, {TABLE_KEY: self.name.encode(), VERSION_KEY: str(self.version).encode()})


def rows_to_columns(spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Turn row dictionaries into columns in the schema's order."""
    return {column.name: [row[column.name] for row in rows] for column in spec.columns}


def write_table(draft: Draft, spec: TableSpec, columns: Mapping[str, Any]) -> None:
    """Write a table into a draft as `<name>.parquet`, with page checksums.

    Raises
    ------
    ValueError : missing or extra columns, a value of another type, a null where none may be, NaN or infinity.
    """
    draft.write_bytes(f"{spec.name}.parquet", table_bytes(spec, to_arrow(spec, columns)))


def to_arrow(spec: TableSpec, columns: Mapping[str, Any]) -> pa.Table:
    """Columns as an Arrow table of exactly this schema (see `write_table` for what is refused)."""
    names = [column.name for column in spec.columns]
    if sorted(columns) != sorted(names):
        raise ValueError(f"table {spec.name} has columns {names}, got {list(columns)}")
    arrays = [pa.array(columns[c.name], c.type) for c in spec.columns]
    for column, array in zip(spec.columns, arrays, strict=True):
        # Arrow cuts off the fraction of Python's floats without a word.
        if pa.types.is_integer(column.type) and not all(isinstance(v, Integral | None) for v in columns[column.name]):
            raise ValueError(f"column {spec.name}.{column.name} holds whole numbers, got others")
        if array.null_count and not column.nullable:
            raise ValueError(f"column {spec.name}.{column.name} may hold no null, got {array.null_count}")
        known = array.flatten().drop_null() if pa.types.is_list(column.type) else array.drop_null()
        if pa.types.is_floating(known.type) and not np.isfinite(known.to_numpy(zero_copy_only=False)).all():
            raise ValueError(f"column {spec.name}.{column.name} holds finite numbers, got NaN or infinite ones")
    return pa.Table.from_arrays(arrays, schema=spec.schema)


def table_bytes(spec: TableSpec, table: pa.Table) -> bytes:
    """An Arrow table of this schema as the content of a Parquet file.

    Rows stay in their order, which is by plant where an artefact has one row a plant: then the smallest and largest id
    of each row group, and of each page, tell a reader of one plant which to pass by. Texts are kept in dictionaries;
    numbers that rarely repeat would only fill theirs before being written a second time.
    """
    sink = pa.BufferOutputStream()
    by_plant = ORDER in table.column_names and is_by_plant(table.column(ORDER).to_pylist())
    with _writer(sink, spec, by_plant) as writer:
        writer.write_table(table.cast(spec.schema), GROUP_ROWS)
    return sink.getvalue().to_pybytes()


@contextmanager
def writing_table(draft: Draft, spec: TableSpec, by_plant: bool) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """Write a table into a draft some rows at a time: yields a function that takes the columns of the next ones.

    The file is that of `write_table`; in memory is a row group of it.

    Parameters
    ----------
    by_plant : whether the rows will come by plant (see `is_by_plant`).

    Raises
    ------
    ValueError : as of `write_table`.
    """
    waiting, n = spec.schema.empty_table(), 0
    with (
        (draft.folder / f"{spec.name}.parquet").open("xb") as stream,
        _writer(stream, spec, by_plant) as writer,
    ):

        def write(columns: Mapping[str, Any]) -> None:
            nonlocal waiting, n
            waiting = pa.concat_tables([waiting, to_arrow(spec, columns)])
            while waiting.num_rows >= GROUP_ROWS:
                writer.write_table(waiting.slice(0, GROUP_ROWS).combine_chunks())
                waiting, n = waiting.slice(GROUP_ROWS), n + GROUP_ROWS

        yield write
        if waiting.num_rows or not n:
            writer.write_table(waiting.combine_chunks())


def _writer(sink: Any, spec: TableSpec, by_plant: bool) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        sink,
        spec.schema,
        use_dictionary=[c.name for c in spec.columns if pa.types.is_string(c.type)] or False,  # pyright: ignore
        compression="zstd",
        write_statistics=True,
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=[pq.SortingColumn(spec.schema.names.index(ORDER))] if by_plant else None,
    )


def is_by_plant(ids: Sequence[str]) -> bool:
    """Whether rows of these plants are in the order of the ids, which their file then says."""
    return all(one <= after for one, after in pairwise(ids))


def read_table(artifact: Artifact, spec: TableSpec) -> Rows:
    """Read a table of an artefact as columns of Python values."""
    return load_table(artifact.file(f"{spec.name}.parquet"), spec).to_pydict()


def read_columns(artifact: Artifact, spec: TableSpec, names: Sequence[str]) -> Rows:
    """Some columns of a table as Python values, equal texts of some thousand rows as one object."""
    found: Rows = {name: [] for name in names}
    for part in iter_table(artifact, spec, names):
        for name, values in part.items():
            found[name] += values
    return found


def iter_table(artifact: Artifact, spec: TableSpec, names: Sequence[str] | None = None) -> Iterator[Rows]:
    """The same, or some columns of it, at most `ROWS_AT_ONCE` rows at a time: a date's table need not fit in memory.

    Equal texts of a part are one object, and so small.

    Raises
    ------
    ArtifactError : as of `load_table`.
    """
    with _opened(artifact.file(f"{spec.name}.parquet"), spec) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=None if names is None else list(names)):
            texts: dict[str, str] = {}
            yield {
                name: [v if v is None else texts.setdefault(v, v) for v in values.to_pylist()]
                if pa.types.is_string(values.type)
                else values.to_pylist()
                for name, values in zip(batch.schema.names, batch.columns, strict=True)
            }


def load_table(path: Place, spec: TableSpec) -> pa.Table:
    """Read a Parquet file that must have this schema and version.

    Raises
    ------
    ArtifactError : it cannot be read, or has another schema or version.
    """
    with _opened(path, spec) as file:
        return file.read()


@contextmanager
def _opened(path: Place, spec: TableSpec) -> Generator[pq.ParquetFile]:
    try:
        # ParquetFile, not a data set: a data set would add the columns `campaign` and `date` of the folders.
        source = path if isinstance(path, Path) else pa.BufferReader(path.read_bytes())
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            problem = schema_problem(file.schema_arrow, spec)
            if problem:
                raise ArtifactError(f"{path}: {problem}")
            yield file
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path} cannot be read as Parquet: {error}") from error


def schema_problem(found: pa.Schema, spec: TableSpec) -> str:
    """What distinguishes a schema from a table's; empty when nothing does."""
    metadata = found.metadata or {}
    version = metadata.get(VERSION_KEY, b"").decode()
    if version != str(spec.version):
        return f"table {spec.name} has version {version or 'none'}, this program reads {spec.version}"
    expected = {c.name: (c.type, c.nullable) for c in spec.columns}
    actual = {f.name: (f.type, f.nullable) for f in found}
    wrong = [
        f"{name} is {_describe(actual.get(name))}, expected {_describe(expected.get(name))}"
        for name in [*expected, *(n for n in actual if n not in expected)]
        if actual.get(name) != expected.get(name)
    ]
    return f"table {spec.name} has the wrong schema: " + "; ".join(wrong) if wrong else ""


def _describe(column: tuple[pa.DataType, bool] | None) -> str:
    return "absent" if column is None else f"{column[0]}{' (nullable)' if column[1] else ''}"
