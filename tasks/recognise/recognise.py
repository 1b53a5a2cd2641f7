"""Recognise the source of a campaign in a folder, and say what was found, what is not used, and what is undecided.

Recognition reads names, headers, tables and samples of pixels. It writes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NoReturn

from storage.errors import InputError
from tasks.recognise.field import recognise_field
from tasks.recognise.folder_files import FolderFiles, describe_unused, find_files
from tasks.recognise.keys import KINDS, Kind, NotThere, Recognised
from tasks.recognise.photographs import recognise_photographs
from tasks.recognise.releases import recognise_fiftyone, recognise_growliflower

RECOGNISERS: dict[Kind, Callable[[FolderFiles], Recognised | NotThere]] = {
    "fiftyone": recognise_fiftyone,
    "growliflower": recognise_growliflower,
    "field": recognise_field,
    "folder": recognise_photographs,
}


@dataclass(frozen=True, slots=True)
class Found:
    """The source that was taken, and what else was seen.

    Attributes
    ----------
    others : kinds of sources that were recognised too, with what each of them is.
    nearly : kinds that would come before the one that was taken, with what is missing.
    unused : files that the source does not read, and why.
    """

    taken: Recognised
    others: dict[Kind, str]
    nearly: dict[Kind, str]
    unused: tuple[str, ...]


def recognise(root: Path, kind: Kind | None, day: date | None, own: Path) -> Found:
    """Recognise the source of a campaign in a folder.

    Of several kinds of sources the first is taken of `KINDS`: those whose files name themselves more exactly come
    first.

    Parameters
    ----------
    root : resolved path of the folder.
    kind : kind of source that is asked for; None takes the first that is there.
    day : acquisition date of images that state none.
    own : campaign file to be written, which is no file of the source.

    Raises
    ------
    InputError : the folder holds no file, or no source, or not the one that is asked for.
    """
    files = find_files(root, day, own)
    looked: dict[Kind, Recognised | NotThere] = {one: RECOGNISERS[one](files) for one in KINDS}
    found: dict[Kind, Recognised] = {one: it for one, it in looked.items() if isinstance(it, Recognised)}
    missing: dict[Kind, NotThere] = {one: it for one, it in looked.items() if isinstance(it, NotThere) and it.found}
    if kind is not None and kind not in found:
        refuse(files, {kind: missing[kind]} if kind in missing else {}, f"no source of the kind {kind}")
    if not found:
        refuse(files, missing, "no source of images")
    taken = found[kind or next(iter(found))]
    before = KINDS[: KINDS.index(taken.kind)]
    others: dict[Kind, str] = {one: it.said[0] for one, it in found.items() if one != taken.kind}
    nearly: dict[Kind, str] = {one: it.found for one, it in missing.items() if one in before}
    reasons = {**files.reasons, **taken.reasons}
    return Found(taken, others, nearly, tuple(describe_unused(files, taken.used, reasons)))


def refuse(files: FolderFiles, near: dict[Kind, NotThere], what: str) -> NoReturn:
    """Raise InputError that a folder holds no source, with what speaks for each kind and what is missing."""
    seen = "".join(f"\n    {kind}: {one.found}" for kind, one in near.items())
    unused = "".join(f"\n    not used: {line}" for line in describe_unused(files, frozenset(), files.reasons))
    remedies = "; or ".join(one.remedy for one in near.values())
    raise InputError(
        f"{files.root} holds {what}{seen or unused}",
        "A source is orthophotos with dates and a file of plant positions, a GrowliFlower release, samples.json, or "
        "photographs in folders of splits or with a manifest",
        remedies or "name the folder that holds these files",
    )
