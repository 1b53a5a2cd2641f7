"""Estimate the size of a table's row on disk and in memory, to plan a campaign before it runs."""

import pyarrow as pa

from storage.tables import TABLES

TEXT_BYTES = 32  # bytes of a text on disk; ids are shorter, and a repeated digest is stored once per file
CHECKSUM_BYTES = 64  # bytes of a SHA-256 checksum in hex
LIST_LENGTH = 2  # values of a list: one for each class
VALUE_BYTES = 80  # bytes of a Python value that `read_table` returns, with its reference


def row_bytes(table: str) -> int:
    """Return the bytes of one row of a table in a file, before encoding and compression."""
    return sum(CHECKSUM_BYTES if c.name == "sha256" else _width(c.type) for c in TABLES[table].columns)


def row_in_memory(table: str) -> int:
    """Return the bytes of one row of a table in memory, read as Python values."""
    return VALUE_BYTES * len(TABLES[table].columns)


def _width(kind: pa.DataType) -> int:
    if pa.types.is_list(kind):
        return LIST_LENGTH * _width(kind.value_type)
    return TEXT_BYTES if pa.types.is_string(kind) else max(1, kind.bit_width // 8)
