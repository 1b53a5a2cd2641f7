"""Write and read Parquet files, checked against the schemas of `storage.tables` on both ways."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.artifacts import Artifact, Draft
from storage.errors import ArtifactError, OutdatedError
from storage.places.files import Place, open_file

VERSION_KEY = b"harvest_reliability.version"  # key of the schema's version in the metadata of a file
TABLE_KEY = b"harvest_reliability.table"  # key of the table's name in the metadata of a file
# Rows per row group, chosen by queries on a million rows. Smaller groups slow a query over all rows, larger ones a
# query for one plant.
GROUP_ROWS = 16_384
ORDER = "plant_id"  # column by which rows are sorted, where an artefact has one row per plant

Rows = dict[str, list[Any]]
ROWS_AT_ONCE = 8192  # rows per batch of `iter_table`; as Python values, a row of the widest table takes 2 kB


@dataclass(frozen=True)
class Column:
    """One column of a table: its Arrow type, meaning and unit.

    Attributes
    ----------
    since : version of the table's schema that has it first. Read from a file of an earlier version, it is null.
    """

    name: str
    type: pa.DataType
    meaning: str
    unit: str = ""
    nullable: bool = False
    since: int = 1


@dataclass(frozen=True)
class TableSpec:
    """Schema and meaning of one table.

    Attributes
    ----------
    per_date : whether the table is published per acquisition date.
    version : version of the schema; raise it when a column changes its name, type or meaning, or is added. Files of an
        earlier version are read if all versions since have only added nullable columns, each with `since`.
    partitioned_by : column in the names of the table's top folders, such as `campaign` in `campaign=field2`.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    per_date: bool = True
    version: int = 1
    partitioned_by: str = "campaign"

    @property
    def schema(self) -> pa.Schema:
        """Return the Arrow schema with meanings and units in its metadata."""
        fields = [
            pa.field(c.name, c.type, c.nullable, {b"meaning": c.meaning.encode(), b"unit": c.unit.encode()})
            for c in self.columns
        ]
        return pa.schema(fields, {TABLE_KEY: self.name.encode(), VERSION_KEY: str(self.version).encode()})

    def columns_of(self, version: int) -> tuple[Column, ...] | None:
        """Return the columns of a file of a version, or None if such a file is not read."""
        added = {column.since for column in self.columns if column.nullable and column.since > version}
        if version > self.version or added != set(range(version + 1, self.version + 1)):
            return None
        return tuple(column for column in self.columns if column.since <= version)


def rows_to_columns(spec: TableSpec, rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Turn row dictionaries into columns in the schema's order."""
    return {column.name: [row[column.name] for row in rows] for column in spec.columns}


def write_table(draft: Draft, spec: TableSpec, columns: Mapping[str, Any]) -> None:
    """Write a table into a draft as `<name>.parquet`, with page checksums.

    Raises
    ------
    ValueError : columns are missing or unknown, or a value has another type, is NaN or infinite, or is a null in a
        column that allows none.
    """
    draft.write_bytes(f"{spec.name}.parquet", table_bytes(spec, to_arrow(spec, columns)))


def to_arrow(spec: TableSpec, columns: Mapping[str, Any]) -> pa.Table:
    """Convert columns to an Arrow table of exactly this schema; `write_table` says what is refused."""
    names = [column.name for column in spec.columns]
    if sorted(columns) != sorted(names):
        raise ValueError(f"table {spec.name} got columns {list(columns)}; it must have {names}")
    arrays = [pa.array(columns[c.name], c.type) for c in spec.columns]
    for column, array in zip(spec.columns, arrays, strict=True):
        # Arrow silently truncates Python floats to whole numbers.
        if pa.types.is_integer(column.type) and not all(isinstance(v, Integral | None) for v in columns[column.name]):
            raise ValueError(f"column {spec.name}.{column.name} got other values than whole numbers")
        if array.null_count and not column.nullable:
            raise ValueError(f"column {spec.name}.{column.name} got {array.null_count} nulls, but may hold none")
        known = array.flatten().drop_null() if pa.types.is_list(column.type) else array.drop_null()
        if pa.types.is_floating(known.type) and not np.isfinite(known.to_numpy(zero_copy_only=False)).all():
            raise ValueError(
                f"column {spec.name}.{column.name} got NaN or infinite values, but must hold finite numbers"
            )
    return pa.Table.from_arrays(arrays, schema=spec.schema)


def table_bytes(spec: TableSpec, table: pa.Table) -> bytes:
    """Return an Arrow table of this schema as the content of a Parquet file.

    Rows keep their order. Where an artefact has one row per plant, that order is by plant, and readers of one plant
    skip row groups and pages by their smallest and largest id. Only texts are dictionary-encoded: numbers rarely
    repeat, so their dictionaries would overflow and the values would be written a second time.
    """
    sink = pa.BufferOutputStream()
    by_plant = ORDER in table.column_names and is_by_plant(table.column(ORDER).to_pylist())
    with _writer(sink, spec, by_plant) as writer:
        writer.write_table(table.cast(spec.schema), GROUP_ROWS)
    return sink.getvalue().to_pybytes()


@contextmanager
def writing_table(draft: Draft, spec: TableSpec, by_plant: bool) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """Write a table into a draft in batches of rows; yields a function that takes the columns of the next batch.

    The file equals that of `write_table`, but only one row group is in memory.

    Parameters
    ----------
    by_plant : whether the rows will come in the order of the plants' ids (see `is_by_plant`).

    Raises
    ------
    ValueError : a batch does not fit the schema; `write_table` gives the reasons.
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


def write_rows(draft: Draft, spec: TableSpec, rows: Iterable[Mapping[str, Any]], by_plant: bool) -> None:
    """Write a table from rows that are made one after another (see `writing_table`)."""
    rest = iter(rows)
    with writing_table(draft, spec, by_plant) as write:
        while part := list(islice(rest, ROWS_AT_ONCE)):
            write(rows_to_columns(spec, part))


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


def is_by_plant(ids: Iterable[str]) -> bool:
    """Return whether the ids of rows are in ascending order, which their file then declares."""
    return all(one <= after for one, after in pairwise(ids))


def read_table(artifact: Artifact, spec: TableSpec) -> Rows:
    """Read a table of an artefact as columns of Python values."""
    return load_table(artifact.file(f"{spec.name}.parquet"), spec).to_pydict()


def read_columns(artifact: Artifact, spec: TableSpec, names: Sequence[str]) -> Rows:
    """Read some columns of a table as Python values; strings repeated within a batch are stored once."""
    found: Rows = {name: [] for name in names}
    for part in iter_table(artifact, spec, names):
        for name, values in part.items():
            found[name] += values
    return found


def iter_table(artifact: Artifact, spec: TableSpec, names: Sequence[str] | None = None) -> Iterator[Rows]:
    """Yield a table, or some columns of it, in batches of at most `ROWS_AT_ONCE` rows.

    A date's table therefore need not fit in memory. Strings repeated within a batch are stored once.

    Raises
    ------
    ArtifactError : the table cannot be read, or has another schema or version.
    """
    with _opened(artifact.file(f"{spec.name}.parquet"), spec) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=None if names is None else list(names)):
            texts: dict[str, str] = {}
            part: Rows = {
                name: [v if v is None else texts.setdefault(v, v) for v in values.to_pylist()]
                if pa.types.is_string(values.type)
                else values.to_pylist()
                for name, values in zip(batch.schema.names, batch.columns, strict=True)
            }
            later = {name: [None] * batch.num_rows for name in names or spec.schema.names if name not in part}
            yield {**part, **later}


def load_table(path: Place, spec: TableSpec) -> pa.Table:
    """Read a Parquet file and check its schema and version; columns that later versions have added are null.

    Raises
    ------
    ArtifactError : the file cannot be read, or has another schema or version.
    """
    with _opened(path, spec) as file:
        table = file.read()
        table.validate(full=True)  # else a text that is not UTF-8 is found only where it is used
    if len(table.schema) == len(spec.columns):
        return table
    found = {name: table.column(name) for name in table.schema.names}
    arrays = [found.get(c.name, pa.nulls(table.num_rows, c.type)) for c in spec.columns]
    return pa.Table.from_arrays(arrays, schema=spec.schema)


@contextmanager
def _opened(path: Place, spec: TableSpec) -> Generator[pq.ParquetFile]:
    try:
        # Not as a data set, which would add the columns `campaign` and `date` from the folders' names.
        if isinstance(path, Path):
            open_file(path).close()  # refuses what is no file
        source = path if isinstance(path, Path) else pa.BufferReader(path.read_bytes())
        with pq.ParquetFile(source, page_checksum_verification=True) as file:
            problem = schema_problem(file.schema_arrow, spec)
            if problem and is_outdated(file.schema_arrow, spec):
                raise OutdatedError(
                    f"{path}: {problem}. An earlier version of the program wrote it: run the campaign again with "
                    "`harvest run`; images, classifier and maps are cached"
                )
            if problem:
                raise ArtifactError(f"{path}: {problem}")
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a text that is not UTF-8
        raise ArtifactError(f"{path} cannot be read as Parquet: {error}") from error


def is_outdated(found: pa.Schema, spec: TableSpec) -> bool:
    """Return whether a file has an earlier version of a table's schema."""
    return stated_version(found) in {str(version) for version in range(spec.version)}


def stated_version(found: pa.Schema) -> str:
    """Return the version of its table's schema that a file states; empty if it states none."""
    return (found.metadata or {}).get(VERSION_KEY, b"").decode(errors="replace")


def schema_problem(found: pa.Schema, spec: TableSpec) -> str:
    """Return how a schema differs from that of a table; empty if it does not differ."""
    version = stated_version(found)
    columns = spec.columns_of(int(version)) if version.isdecimal() and len(version) < 10 else None
    if columns is None:
        return f"table {spec.name} has version {version[:20] or 'none'}, this program reads {spec.version}"
    expected = {c.name: (c.type, c.nullable) for c in columns}
    actual = {f.name: (f.type, f.nullable) for f in found}
    wrong = [
        f"{name} is {_describe(actual.get(name))}, expected {_describe(expected.get(name))}"
        for name in [*expected, *(n for n in actual if n not in expected)]
        if actual.get(name) != expected.get(name)
    ]
    return f"table {spec.name} has the wrong schema: " + "; ".join(wrong) if wrong else ""


def _describe(column: tuple[pa.DataType, bool] | None) -> str:
    return "absent" if column is None else f"{column[0]}{' (nullable)' if column[1] else ''}"
