"""Write and read JSON objects with lists that are longer than memory: item by item.

A file has one member a line and one item after another, indented by one space a level. So an item is found without
parsing the others.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import IO, Any, cast

from storage.errors import ArtifactError

DIGEST_LENGTH = 24  # hex digits of a digest: 96 bits exclude chance collisions and are still readable
LIST_START, LIST_END = b'": [\n', b" ]"  # end of the first, and begin of the last line of a list in the whole
ITEM_END = (b"  }", b"  {}")  # begins of the last line of an item


class Streamed(Iterable[Any]):
    """List of JSON objects that are made anew at every pass, so that they are never in memory together.

    Parameters
    ----------
    make : returns an iterator over the items, equal at every call.
    """

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return self._make()


def content_digest(content: Any) -> str:
    """Return the digest of a JSON value (`DIGEST_LENGTH` hex digits of SHA-256), independent of key order.

    A `Streamed` member of an object has the digest of the list of its items.
    """
    digest = hashlib.sha256()
    for part in _texts(content, json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)):
        digest.update(part.encode())
    return digest.hexdigest()[:DIGEST_LENGTH]


def json_parts(content: Any) -> Iterator[bytes]:
    """Yield a JSON value with sorted keys, indented by one space a level, in parts; it may have `Streamed` members."""
    for part in _texts(content, json.JSONEncoder(indent=1, sort_keys=True, allow_nan=False), "\n"):
        yield part.encode()


def _texts(content: Any, encoder: json.JSONEncoder, newline: str = "") -> Iterator[str]:
    """Yield the text of a value in parts; lines begin with `newline`, and a space for every level."""
    if not isinstance(content, dict) or not any(isinstance(one, Streamed) for one in content.values()):
        yield encoder.encode(content)
        return
    level, deeper = (f"{newline} ", f"{newline}  ") if newline else ("", "")
    members, before = cast(dict[str, Any], content), "{"
    for name in sorted(members):
        yield f"{before}{level}{encoder.encode(name)}{encoder.key_separator}"
        value, before = members[name], ","
        if isinstance(value, Streamed):
            opened = "["
            for item in value:
                yield f"{opened}{deeper}{_indented(encoder.encode(item), newline, deeper)}"
                opened = ","
            yield "[]" if opened == "[" else f"{level}]"
        else:
            yield _indented(encoder.encode(value), newline, level)
    yield f"{newline}}}"


def _indented(text: str, newline: str, level: str) -> str:
    # JSON escapes line breaks in texts, so those that it has are its own.
    return text.replace(newline, level) if newline else text


def read_streamed(open_file: Callable[[], IO[bytes]], where: str, lists: Collection[str]) -> dict[str, Any]:
    """Read a JSON object that `json_parts` wrote, without the items of some of its lists of objects.

    Parameters
    ----------
    open_file : opens the file; every pass over a list opens it again.
    where : name of the file, for messages.
    lists : names of the lists, which become `Streamed`. One that is laid out in another way is read as a whole.

    Raises
    ------
    ValueError : the content is no JSON.
    ArtifactError : in a pass over a list, an item is no JSON or the end is missing.
    """
    outside: list[bytes] = []
    streamed: list[str] = []
    with open_file() as stream:
        for line in stream:
            outside.append(line)
            if (name := _opened_list(line)) is not None and name in lists:
                streamed.append(name)
                outside += itertools.islice((one for one in stream if one.startswith(LIST_END)), 1)
    made = {name: Streamed(partial(_items, open_file, where, name)) for name in streamed}
    return json.loads(b"".join(outside)) | made


def _items(open_file: Callable[[], IO[bytes]], where: str, name: str) -> Iterator[Any]:
    item: list[bytes] = []
    with open_file() as stream:
        for line in stream:
            if _opened_list(line) == name:
                break
        for line in stream:
            if line.startswith(LIST_END):
                return
            item.append(line)
            if line.startswith(ITEM_END):
                try:
                    yield json.loads(b"".join(item).decode().rstrip(",\n"))
                except ValueError as error:
                    raise ArtifactError(f"{where} cannot be read as JSON: an item of {name}: {error}") from None
                item.clear()
    raise ArtifactError(f"{where} cannot be read as JSON: the list {name} has no end")


def _opened_list(line: bytes) -> str | None:
    """Return the name of the list that begins after a line; None if none does."""
    if not line.startswith(b' "') or not line.endswith(LIST_START):
        return None
    return line[2 : -len(LIST_START)].decode(errors="replace")
