"""Read rows of a campaign's tables as plain dictionaries.

A dictionary takes 1 to 3 kB. Code that only counts rows over all dates therefore uses `shared_rows`, and code that
keeps the rows of a date `ColumnRows`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from storage.artifacts import Artifact
from storage.tables.parquet import ORDER, Rows, TableSpec, iter_table

Row = Mapping[str, Any]  # read-only row: values by column


class ColumnRows(Sequence[Row]):
    """Rows that are held as columns; one becomes a dictionary when it is read. A row of 25 columns takes 0.4 kB.

    Parameters
    ----------
    columns : values by column, all of one length.
    order : numbers of the rows in the order in which they are read; None: all, in the order of the columns.
    """

    def __init__(self, columns: Rows, order: Sequence[int] | None = None) -> None:
        self._columns = columns
        self._order = range(len(next(iter(columns.values()), ()))) if order is None else order

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "ColumnRows":
        """Collect rows that are made one after another and have the same columns; equal texts are stored once."""
        columns: Rows = {}
        texts: dict[str, str] = {}
        for row in rows:
            for name, value in row.items():
                shared = texts.setdefault(value, value) if isinstance(value, str) and name != ORDER else value
                columns.setdefault(name, []).append(shared)
        return cls(columns)

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Row]:
        for i in self._order:
            yield {name: values[i] for name, values in self._columns.items()}

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> "ColumnRows": ...
    def __getitem__(self, at: int | slice) -> "Row | ColumnRows":
        if isinstance(at, slice):
            return ColumnRows(self._columns, self._order[at])
        i = self._order[at]
        return {name: values[i] for name, values in self._columns.items()}

    def column(self, name: str) -> list[Any]:
        """Return the values of a column, in the order of the rows."""
        return [self._columns[name][i] for i in self._order]

    def take(self, numbers: Iterable[int]) -> "ColumnRows":
        """Return some of the rows by their numbers, in the order of these."""
        return ColumnRows(self._columns, [self._order[i] for i in numbers])

    def having(self, columns: Rows) -> "ColumnRows":
        """Return the rows with further columns, or other values of some, given in the order of the rows."""
        kept = {name: self.column(name) for name in self._columns if name not in columns}
        return ColumnRows({**kept, **columns})


def rows_of(artifact: Artifact, spec: TableSpec, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Read a table, or some columns of it, as one dictionary per row."""
    return list(iter_rows(artifact, spec, names))


def iter_rows(artifact: Artifact, spec: TableSpec, names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, or some columns of them, as one dictionary per row."""
    for part in iter_table(artifact, spec, names):
        for values in zip(*part.values(), strict=True):
            yield dict(zip(part, values, strict=True))


def shared_rows(artifacts: dict[str, Artifact], prefix: str, spec: TableSpec, names: Sequence[str]) -> list[Row]:
    """Read some columns of a table on every date; equal rows are one shared object, which must not be changed.

    Use it for columns with few different values. A row then takes only the 8 bytes of a reference.
    """
    known: dict[tuple[Any, ...], Row] = {}
    rows: list[Row] = []
    for day in days_of(artifacts, prefix):
        for part in iter_table(artifacts[f"{prefix} {day}"], spec, names):
            for values in zip(*(part[name] for name in names), strict=True):
                row = known.get(values)
                if row is None:
                    row = known[values] = dict(zip(names, values, strict=True))
                rows.append(row)
    return rows


def labelled_rows(
    artifacts: dict[str, Artifact], prefix: str, spec: TableSpec, splits: Sequence[str], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Read some columns, including `split` and `label`, of all labelled rows of every date in these splits."""
    return [
        row
        for day in days_of(artifacts, prefix)
        for row in iter_rows(artifacts[f"{prefix} {day}"], spec, names)
        if row["label"] is not None and row["split"] in splits
    ]


def days_of(artifacts: Mapping[str, object], prefix: str) -> list[str]:
    """List the dates of the roles `<prefix> <date>`, ascending."""
    return sorted(role.split()[-1] for role in artifacts if role.rpartition(" ")[0] == prefix)


def dated_rows(artifacts: dict[str, Artifact], prefix: str, spec: TableSpec) -> list[dict[str, Any]]:
    """Read a table's rows of every date and add the column `date` to each."""
    days = days_of(artifacts, prefix)
    return [{**row, "date": day} for day in days for row in rows_of(artifacts[f"{prefix} {day}"], spec)]


def unlabelled(predictions: Rows) -> list[int]:
    """Return the rows of a table of predictions that are explained although they have no label."""
    return [
        i
        for i, (label, split) in enumerate(zip(predictions["label"], predictions["split"], strict=True))
        if label is None and split != "train"
    ]
