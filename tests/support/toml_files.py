"""TOML files of commands, and what their loaders say of wrong ones."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.errors import InputError


def write_file(folder: Path, text: str, name: str) -> Path:
    """Write a text file, and the folders above it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(load: Callable[[Path], Any], path: Path) -> InputError:
    """Return the error of a loader that must refuse a file."""
    with pytest.raises(InputError) as refused:
        load(path)
    return refused.value


def problems(load: Callable[[Path], Any], path: Path) -> list[str]:
    """Return the lines of a refusal below its headline, one for each key, without the numbers of the file's lines."""
    headline, *lines = refusal(load, path).found.splitlines()
    assert headline.endswith(".toml has wrong keys or values:")
    return [re.sub(r"^line \d+: ", "", line.strip()) for line in lines]
