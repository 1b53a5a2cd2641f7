"""Define the columns in which people write what they found at a plant. They are in the files that go to the field."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa

from storage.tables.columns import TEXT
from storage.tables.parquet import Column, TableSpec

CHECKED_READY, CHECKED_CLASS = "checked_ready", "checked_class"  # columns for what was found, by the classes
BY, AT, REMARK = "checked_by", "checked_at", "remark"
YES, NO = "yes", "no"  # words of the column `CHECKED_READY`


class Form(NamedTuple):
    """What people fill in about a plant.

    Attributes
    ----------
    column : column for what was found: `CHECKED_READY` or `CHECKED_CLASS`.
    words : class name by the word that stands for it, in the order in which words are offered.
    """

    column: str
    words: Mapping[str, str]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return the columns to fill in, which are empty when a file is written."""
        meaning = (
            "what a person found at the plant: yes (it is ready) or no; empty where nobody looked"
            if self.column == CHECKED_READY
            else "name of the class that a person found at the plant; empty where nobody looked"
        )
        return (
            Column(self.column, TEXT, meaning, nullable=True),
            Column(BY, TEXT, "name of the person who looked at the plant", nullable=True),
            Column(AT, pa.timestamp("us"), "when the person looked at the plant", nullable=True),
            Column(REMARK, TEXT, "anything the person wants to say about the plant", nullable=True),
        )

    def added_to(self, spec: TableSpec) -> TableSpec:
        """Return a schema with the columns to fill in after its own."""
        return replace(spec, columns=(*spec.columns, *self.columns))

    def blank(self, n: int) -> dict[str, list[Any]]:
        """Return n empty cells for each of the columns to fill in."""
        return {column.name: [None] * n for column in self.columns}
