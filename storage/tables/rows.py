"""Rows of a campaign's tables as plain dictionaries.

A dictionary takes 1 to 3 kB, so tables of all dates are not read whole where they are counted (see `shared_rows`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from storage.artifacts import Artifact
from storage.tables.parquet import TableSpec, iter_table

Row = Mapping[str, Any]  # a row to read, by column


def rows_of(artifact: Artifact, spec: TableSpec, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """A table, or some columns of it, as one dictionary a row."""
    return list(iter_rows(artifact, spec, names))


def iter_rows(artifact: Artifact, spec: TableSpec, names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The same, one after another."""
    for part in iter_table(artifact, spec, names):
        for values in zip(*part.values(), strict=True):
            yield dict(zip(part, values, strict=True))


def shared_rows(artifacts: dict[str, Artifact], prefix: str, spec: TableSpec, names: Sequence[str]) -> list[Row]:
    """Some columns of a table's rows of every date, equal rows as one object, which nobody may change.

    For columns of few different values: then a row takes the 8 bytes of a reference, of however many dates.
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
    """Some columns, `split` and `label` among them, of the rows of every date in these splits that have a label."""
    return [
        row
        for day in days_of(artifacts, prefix)
        for row in iter_rows(artifacts[f"{prefix} {day}"], spec, names)
        if row["label"] is not None and row["split"] in splits
    ]


def days_of(artifacts: Mapping[str, Artifact], prefix: str) -> list[str]:
    """Dates of the roles `<prefix> <date>`, ascending."""
    return sorted(role.split()[-1] for role in artifacts if role.rpartition(" ")[0] == prefix)


def dated_rows(artifacts: dict[str, Artifact], prefix: str, spec: TableSpec) -> list[dict[str, Any]]:
    """A table's rows of every date, each with its date."""
    days = days_of(artifacts, prefix)
    return [{**row, "date": day} for day in days for row in rows_of(artifacts[f"{prefix} {day}"], spec)]
