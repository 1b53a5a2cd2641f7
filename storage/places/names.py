"""Refuse names that lead elsewhere, or that no file can have, before anything is read or written under them."""

from typing import Annotated

from pydantic import AfterValidator

# Longest part of a path, bytes, and longest name of a file below its folder, characters. File systems take 255 bytes,
# and 4,096 with the folders above. Files are first written under longer names.
MAX_PART, MAX_NAME = 220, 1000


def inside(name: str) -> str:
    """Return the name of a file below a folder; ValueError for one that leads elsewhere, or is no name."""
    if ".." in name.split("/") or name.startswith("/") or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} does not lie below its folder; a manifest names only files below its own folder")
    if len(name) > MAX_NAME or any(_is_long(part) for part in name.split("/")):
        raise ValueError(f"{name[:50]!r}... is longer than names of files can be")
    return name


# Name of a file below a folder, with `/`. A manifest that names files elsewhere is refused: they could be read into a
# report, overwritten or deleted.
FileName = Annotated[str, AfterValidator(inside)]


def is_part(name: str) -> bool:
    """Return whether a name can be one part of a path, which then leads nowhere else."""
    return name not in ("", ".", "..") and not any(sign in name for sign in "/\\\0") and not _is_long(name)


def _is_long(part: str) -> bool:
    return len(part.encode(errors="replace")) > MAX_PART


def _one_part(name: str) -> str:
    if not is_part(name):
        raise ValueError(f"{name[:50]!r} is no name of one file or folder")
    return name


# Name that becomes one part of a path, such as that of a campaign.
PartName = Annotated[str, AfterValidator(_one_part)]
