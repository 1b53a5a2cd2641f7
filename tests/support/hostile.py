"""Contents of files as somebody may plant them in a store, or as a fault may leave them."""

import copy
import json
import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.planted_records import Deed

DEPTH = 100_000  # levels of nesting, far more than Python's stack has
VALUES: tuple[Any, ...] = (
    *(None, [], {}, "", " ", "x", 1, -1, 1.5, True, 1e308, 10**30, float("nan"), float("inf"), "9" * 5000),
    *("../../outside/secret", "/etc/passwd", "..", ".", "a/b", "a\\b", "a\0b", "\ud800", "x  y", "2021-02-30"),
    *(["x"] * 3, {"__class__": "os.system"}, [[]] * 2, 2**62, 2**70, [2**40] * 4, {"name": "numcodecs.pickle"}),
)
Content = tuple[str, bytes]
"""What a content is, in words, and the content."""


def hostile_texts(raw: bytes, executed: Path) -> Iterator[Content]:
    """Yield contents in place of a JSON text; the pickle makes a folder where it is obeyed."""
    yield from hostile_bytes(raw, executed)
    yield "NUL within", raw[:10] + b"\0" + raw[10:]
    yield "no UTF-8", raw[:20] + b"\xff\xfe" + raw[20:]
    yield "UTF-16", raw.decode().encode("utf-16")
    yield "mark of UTF-8", b"\xef\xbb\xbf" + raw
    yield "nested lists", b"[" * DEPTH + b"]" * DEPTH
    yield "nested objects", b'{"a":' * DEPTH
    yield "number of 10,000 digits", b"9" * 10_000
    for text in ("NaN", "null", "[]", '"x"', "1", "{}"):
        yield text, text.encode()


def hostile_bytes(raw: bytes, executed: Path) -> Iterator[Content]:
    """Yield contents in place of any file; the pickle makes a folder where it is obeyed."""
    yield "empty", b""
    yield "half", raw[: len(raw) // 2]
    yield "zeros", bytes(len(raw))
    yield "pickle", pickle.dumps(Deed(executed))
    yield "web page", b"<!doctype html><title>Log in</title>"


def changed_texts(raw: bytes, chance: random.Random, n: int) -> Iterator[Content]:
    """Yield a JSON text n times, each time with another value, without one, with another name or a name twice."""
    whole = json.loads(raw)
    places = [place for place in _places(whole) if place]
    for _ in range(n):
        place, draw = chance.choice(places), chance.random()
        value = chance.choice(VALUES)
        changed = copy.deepcopy(whole)
        within = changed
        for key in place[:-1]:
            within = within[key]
        if draw < 0.7:
            within[place[-1]] = value
        elif draw < 0.8:
            del within[place[-1]]
        elif isinstance(within, dict):
            within[str(value)] = within.pop(place[-1])
        text = json.dumps(changed)
        if draw > 0.97 and isinstance(whole, dict):
            text = f"{text[:-1]}, {json.dumps(whole)[1:]}"
        yield f"{place}: {str(value)[:40]!r}", text.encode()


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in pairs:
        yield from _places(one, (*above, key))


def changed_bytes(raw: bytes, chance: random.Random, n: int) -> Iterator[Content]:
    """Yield a file n times, each time with other bytes, cut off, or with bytes put in; mostly near its end."""
    for number in range(n):
        at = len(raw) - 1 - min(int(chance.expovariate(1 / 500)), len(raw) - 1)
        if number % 3 == 0:
            changed = bytearray(raw)
            for _ in range(chance.choice((1, 1, 4, 32))):
                changed[max(0, at - chance.randrange(64))] = chance.randrange(256)
            yield f"other bytes at {at}", bytes(changed)
        elif number % 3 == 1:
            yield f"cut at {at}", raw[:at]
        else:
            yield f"put in at {at}", raw[:at] + chance.randbytes(8) + raw[at:]


def put_link(path: Path, secret: Path) -> None:
    """Put a link to a file elsewhere in place of a file."""
    path.symlink_to(secret)


def put_endless_link(path: Path, _secret: Path) -> None:
    """Put a link to a device that never ends."""
    path.symlink_to("/dev/zero")


def put_circle(path: Path, _secret: Path) -> None:
    """Put a link to itself."""
    path.symlink_to(path)


def put_pipe(path: Path, _secret: Path) -> None:
    """Put a pipe, whose reader waits until somebody writes."""
    os.mkfifo(path)


def put_folder(path: Path, _secret: Path) -> None:
    """Put a folder."""
    path.mkdir()


NO_FILES = (put_link, put_endless_link, put_circle, put_pipe, put_folder)
