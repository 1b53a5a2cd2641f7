"""How much a row of a table takes, for planning a store and a machine before there are rows."""

import pyarrow as pa

from storage.tables import TABLES

TEXT_BYTES = 32  # of a value: ids are shorter, and a digest is stored once a file
CHECKSUM_BYTES = 64
LIST_LENGTH = 2  # values of a list: one for each class
VALUE_BYTES = 80  # of a Python object in a column as `read_table` gives it: a short text or a number, and its place


def row_bytes(table: str) -> int:
    """Bytes of one row of a table in a file, before encoding and compression."""
    return sum(CHECKSUM_BYTES if c.name == "sha256" else _width(c.type) for c in TABLES[table].columns)


def row_in_memory(table: str) -> int:
    """Bytes of one row of a table that was read as Python values."""
    return VALUE_BYTES * len(TABLES[table].columns)


def _width(kind: pa.DataType) -> int:
    if pa.types.is_list(kind):
        return LIST_LENGTH * _width(kind.value_type)
    return TEXT_BYTES if pa.types.is_string(kind) else max(1, kind.bit_width // 8)
