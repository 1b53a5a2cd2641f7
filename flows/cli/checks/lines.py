"""Find the line of a TOML file on which a key stands. The parser of Python's library does not tell it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

Place = tuple[str | int, ...]  # keys and indices from the top of a file to a value

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_NAME = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE = re.compile(rf"^\s*(\[\[?)\s*({_NAME})\s*\]")
_KEY = re.compile(rf"^\s*({_NAME})\s*=")
_INLINE_KEY = re.compile(rf"(?<=[{{,])\s*({_NAME})\s*=")


def key_lines(text: str) -> dict[Place, int]:
    """Return the line, counted from 1, of every key and table of a TOML file.

    Keys of tables in braces have the line of the brace's key. A line inside a text over several lines may be taken for
    a key of its own, which hides no other.
    """
    found: dict[Place, int] = {}
    table: Place = ()
    lists: Counter[Place] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if head := _TABLE.match(line):
            table = _parts(head[2])
            if head[1] == "[[":
                table = (*table, lists[table])
                lists[table[:-1]] += 1
            elif lists[table[:1]]:  # a table of the last item of a list: [seasons.source]
                table = (*table[:1], lists[table[:1]] - 1, *table[1:])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            path = (*table, *_parts(key[1]))
            found.setdefault(path, number)
            for inner in _INLINE_KEY.finditer(line, key.end()):
                found.setdefault((*path, *_parts(inner[1])), number)
    return found


def line_of(lines: Mapping[Place, int], path: Sequence[str | int]) -> int | None:
    """Return the line of a value, or of the nearest table or list around it that the file names; None if none does."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(tuple(path[:length]))) is not None:
            return line
    return None


def _parts(name: str) -> Place:
    return tuple(part.strip("\"'") for part in re.findall(_PART, name))
