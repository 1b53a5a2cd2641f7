"""Write the campaign file of a folder, load it as `harvest run` does, list its images, and say what was found."""

import os
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from flows.cli.checks.early import check_dates
from flows.cli.run_file import load_run_file
from flows.parameters import CampaignParams
from flows.running.names import is_name
from storage.errors import InputError
from tasks.recognise.keys import Kind
from tasks.sources.files import is_utf8

if TYPE_CHECKING:  # what reads rasters takes longer to import than to refuse a folder
    from tasks.recognise.keys import Key
    from tasks.recognise.recognise import Found
    from tasks.sources.contract import SourceListing

MOST_CROPS = 20_000  # crops of orthophotos up to which images are listed, which reads their masks
NAMED_KEY = re.compile(r"\b(source(?:\.[a-z_]+)+)")


def check_places(folder: Path, path: Path) -> None:
    """Refuse a folder that is none, and a campaign file that exists or cannot be written.

    Raises
    ------
    InputError : one of the places is wrong.
    """
    if not folder.is_dir():
        found = "is a file" if folder.is_file() else "does not exist"
        raise InputError(
            f"{folder} {found}", "harvest init looks at a folder", "give the folder that holds the images of a season"
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(
            f"{folder} may not be read", "harvest init looks at a folder", "give this user the right to read it"
        )
    if not is_utf8(str(folder.resolve())):
        raise InputError(
            f"The path of {os.fsencode(folder).decode(errors='backslashreplace')} is not UTF-8",
            "A campaign file is text in UTF-8",
            "rename the folder",
        )
    if path.exists() or path.is_symlink():
        raise InputError(
            f"{path} exists", "harvest init overwrites no file", "give another file with --out, or move this one away"
        )
    if not path.parent.is_dir():
        raise InputError(
            f"There is no folder {path.parent}", "A campaign file is written into a folder that exists", "correct --out"
        )
    if not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{path.parent} may not be written to",
            "The campaign file is written there",
            "give another file with --out, for example --out campaign.toml",
        )


def write_init(folder: Path, path: Path, kind: Kind | None, day: date | None) -> dict[str, Any]:
    """Recognise the source in a folder, write its campaign file, and return what was found as JSON values.

    Raises
    ------
    InputError : the folder holds no source; or the file is written and its images cannot be listed.
    """
    from tasks.recognise.campaign_file import find_questions, write_campaign
    from tasks.recognise.keys import content_of
    from tasks.recognise.recognise import recognise

    root = folder.resolve()
    own = path.parent.resolve() / path.name
    found = recognise(root, kind, day, own)
    keys = with_root(found.taken.keys, root, own, folder)
    content = content_of(keys)
    content["source"]["root"] = str(root)
    refuse_useless_date(day, content["dates"])
    listing, refused = list_images(content, found.taken.n_crops)
    keys = with_notes(keys, listing.notes if listing else ())
    text = write_campaign(head_of(folder, found, refused), keys)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    params, _ = load_run_file(path)
    if refused is None:
        check_dates(params.source, params.dates)
    else:
        raise InputError(
            f"{path} is written, and its images cannot be listed: {refused.found}",
            refused.rule,
            f"{refused.remedy}; then try harvest look {path}",
        )
    return {
        "file": str(path),
        "source": found.taken.kind,
        "recognised": list(found.taken.said),
        "also": [{"source": one, "said": said} for one, said in found.others.items()],
        "nearly": [{"source": one, "said": said} for one, said in found.nearly.items()],
        "unused": list(found.unused),
        "questions": [{"line": line, "text": asked} for line, asked in find_questions(text)],
        "dates": content["dates"],
        "n_crops": found.taken.n_crops,
        "listed": None if listing is None else count_images(listing),
        "notes": list(listing.notes) if listing else [],
    }


def refuse_useless_date(day: date | None, found: Sequence[str]) -> None:
    """Raise InputError if a date is given, and names or tables state the dates of the images."""
    if day is not None and list(found) != [day.isoformat()]:
        raise InputError(
            f"--date is {day}, and the images have the dates {', '.join(found)}",
            "--date is for images whose names and tables state no date",
            "leave out --date; the key `dates` of the campaign file can be shortened",
        )


def head_of(folder: Path, found: "Found", refused: InputError | None) -> list[str]:
    """Return the sentences at the top of the file."""
    head = [
        f"Campaign file that `harvest init` wrote for {folder.resolve().name}. Every value has a comment that says "
        "where it is from. Lines that begin with # ? ask what could not be decided. Every key: "
        "docs/reference/parameters.md",
        *(f"{line}." for line in found.taken.said),
    ]
    for kind, said in found.others.items():
        head.append(
            f"Also recognised as the source {kind} ({said}). The source {found.taken.kind} was taken, because its "
            "files name themselves more exactly, or it was asked for. "
            f"`harvest init --source {kind}` takes the other one."
        )
    head += [f"Not taken as the source {kind}: {said}." for kind, said in found.nearly.items()]
    if refused is not None:
        head.append(f"The images cannot be listed yet: {refused.found.splitlines()[0]}. Remedy: {refused.remedy}.")
    return head


def with_root(keys: "Sequence[Key]", root: Path, own: Path, folder: Path) -> "list[Key]":
    """Return the keys with the campaign's name at the top, and the source's root after its kind."""
    from tasks.recognise.keys import Key

    name = re.sub(r"[^a-z0-9._-]+", "-", root.name.lower()).lstrip("._-")[:64]
    name = name if is_name(name) else "field"
    relative = os.path.relpath(root, own.parent)
    is_home = relative.startswith("~")  # a loader takes it for the folder of a user
    found = [Key("", "campaign", name, f"Name of the folder {root.name}, in tables and paths.")]
    for key in keys:
        found.append(key)
        if key.place == "source.kind":
            why = "The folder that was looked at, relative to this file."
            found.append(Key("source", "root", str(root) if is_home else relative, why))
    return found


def list_images(content: dict[str, Any], n_crops: int) -> "tuple[SourceListing | None, InputError | None]":
    """Return the listing of a campaign's images, or why they cannot be listed.

    Both are None where there are more than `MOST_CROPS` crops, and where the loader of the file will say what is wrong.
    """
    try:
        params = CampaignParams.model_validate(content)
        return (params.source.list_images(params.dates), None) if n_crops <= MOST_CROPS else (None, None)
    except ValidationError:
        return None, None
    except InputError as error:
        return None, error


def with_notes(keys: "Sequence[Key]", notes: Sequence[str]) -> "list[Key]":
    """Return the keys with a question at each key that a note of the listing names."""
    from tasks.recognise.keys import Key

    found = list(keys)
    places = [key.place for key in found]
    for note in notes:
        for place in dict.fromkeys(NAMED_KEY.findall(note)):
            why = f"Listing the images says: {note}."
            if place in places:
                i = places.index(place)
                found[i] = replace(found[i], why=f"{found[i].why} {why}", is_question=True)
            elif place == "source.nodata":
                i = max(i for i, key in enumerate(found) if key.table == "source") + 1
                found.insert(i, Key("source", "nodata", "mask", why, is_question=True, others=(("ignore", ""),)))
                places = [key.place for key in found]
    return found


def count_images(listing: "SourceListing") -> dict[str, Any]:
    """Return the numbers of images and plants, of images by split, and of plants with a label or a record."""
    images = listing.images
    return {
        "n_images": len(images),
        "n_plants": len({one.plant_id for one in images}),
        "n_left_out": len(listing.left_out),
        "splits": dict(sorted(Counter(one.split for one in images).items())),
        "n_labelled": sum(one.label is not None or one.harvest is not None for one in images),
    }


def print_init(found: dict[str, Any]) -> None:
    """Print what was recognised, what is not used, the questions, and what comes next."""
    print(f"source: {found['source']}")
    for line in found["recognised"]:
        print(f"  {line}")
    for one in found["also"]:
        print(f"also recognised: {one['source']} ({one['said']}); --source {one['source']} takes it")
    for one in found["nearly"]:
        print(f"not taken: {one['source']}: {one['said']}")
    if found["unused"]:
        print("not used:", *found["unused"], sep="\n  ")
    print_images(found)
    print(f"written: {found['file']}")
    if found["questions"]:
        print("questions that could not be decided:")
    for one in found["questions"]:
        print(f"  line {one['line']}: {one['text']}")
    file = shlex.quote(found["file"])
    is_labelled = found["listed"] is None or found["listed"]["n_labelled"] > 0
    run = f"harvest run {file}" if is_labelled else "labels, without which harvest run cannot train"
    print("next:", f"harvest look {file}", run, sep="\n  ")


def print_images(found: dict[str, Any]) -> None:
    """Print dates, numbers of images, and notes of the listing."""
    print(f"dates: {', '.join(found['dates'])}")
    listed = found["listed"]
    if listed is None:
        print(f"images: {found['n_crops']:,} crops, too many to list here; harvest look lists them")
        return
    splits = ", ".join(f"{n:,} {split}" for split, n in listed["splits"].items())
    print(
        f"images: {listed['n_images']:,} of {listed['n_plants']:,} plants ({splits}); {listed['n_labelled']:,} have a "
        f"label or a harvest record; {listed['n_left_out']:,} left out"
    )
    for note in found["notes"]:
        print(f"  note: {note}")
