"""Rows of a campaign's tables as plain dictionaries."""

from typing import Any

from storage.artifacts import Artifact
from storage.parquet import TableSpec, read_table

Row = dict[str, Any]


def rows_of(artifact: Artifact, spec: TableSpec) -> list[Row]:
    """A table as one dictionary a row."""
    columns = read_table(artifact, spec)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def days_of(artifacts: dict[str, Artifact], prefix: str) -> list[str]:
    """Dates of the roles `<prefix> <date>`, ascending."""
    return sorted(role.split()[-1] for role in artifacts if role.rpartition(" ")[0] == prefix)


def dated_rows(artifacts: dict[str, Artifact], prefix: str, spec: TableSpec) -> list[Row]:
    """A table's rows of every date, each with its date."""
    days = days_of(artifacts, prefix)
    return [{**row, "date": day} for day in days for row in rows_of(artifacts[f"{prefix} {day}"], spec)]
