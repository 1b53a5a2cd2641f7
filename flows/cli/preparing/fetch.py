"""Download the files of a release that a campaign needs, write its campaign file, and print what was done."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tqdm import tqdm

from storage.errors import InputError
from storage.places.faults import free_bytes, size_text
from storage.places.files import remove_all, remove_if_empty, write_atomically
from storage.places.hub import HubDataset, HubError, describe_files, fetch_files, find_dataset, right_files
from tasks.ingest.checks import PAPER_DATES
from tasks.recognise.fetched import fetched_campaign
from tasks.sources.checks import join_dates, require_dates
from tasks.sources.fiftyone.release import (
    CARD,
    PAPER_FIELD,
    REPOSITORY,
    describe_drawn_splits,
    describe_terms,
    quote_licence,
)
from tasks.sources.fiftyone.samples import SAMPLES_FILE, Sample, dates_of, read_samples, splits_of_samples

ROOT = "GrowliFlower"  # folder of the release, beside the campaign file
N_NAMED = 3  # files of one kind that are named


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of the files that were asked for.

    Attributes
    ----------
    n_fetched : number of files that were downloaded.
    n_bytes : their size together.
    differing : names of those that were there with other bytes, and were replaced.
    n_kept : number of files that were there and right.
    absent : names that the release does not have.
    """

    n_fetched: int
    n_bytes: int
    differing: tuple[str, ...]
    n_kept: int
    absent: tuple[str, ...]


def fetch_growliflower(folder: Path, field: str, dates: Sequence[date]) -> dict[str, Any]:
    """Fetch the images of a field and some dates into a folder, and return what was done as JSON values.

    Sizes and terms are told on standard error before each download begins.

    Parameters
    ----------
    dates : acquisition dates; without any, the paper's four of its field, and all dates of another one.

    Raises
    ------
    InputError : the release has no such field or date, or the disk has no room.
    HubError : the hub cannot be reached, refuses a request, or lacks samples.json.
    WriteError : the disk is full or read-only.
    """
    root, campaign = folder / ROOT, folder / "campaign.toml"
    dataset = find_dataset(REPOSITORY)
    terms = describe_terms(dataset.licence)
    say(f"{dataset.name} on {dataset.endpoint}, revision {dataset.revision}", terms)
    lists = fetch_lists(dataset, root)
    samples, wanted = choose_samples(root, field, dates)
    names = sorted({one.path for one in samples if one.acquired in wanted})
    chosen = "" if dates else ", the default"
    images = fetch_missing(dataset, root, names, f"images of {field}, {join_dates(wanted)}{chosen}")
    remove_all(root / ".cache/huggingface")  # notes and killed downloads of the client; every file was checked
    remove_if_empty(root / ".cache")
    has_splits = bool(splits_of_samples(samples))
    text = fetched_campaign(ROOT, field, wanted, is_paper(field, wanted), has_splits, dataset.revision, terms)
    return {
        "folder": str(root),
        "repository": dataset.name,
        "revision": dataset.revision,
        "licence": dataset.licence or None,
        "field": field,
        "dates": [day.isoformat() for day in wanted],
        "n_images": images.n_kept + images.n_fetched,
        "n_fetched": lists.n_fetched + images.n_fetched,
        "bytes_fetched": lists.n_bytes + images.n_bytes,
        "n_kept": lists.n_kept + images.n_kept,
        "replaced": [*lists.differing, *images.differing],
        "absent": list(images.absent),
        "has_splits": has_splits,
        "campaign": str(campaign),
        "campaign_is_written": write_unless_there(campaign, text),
    }


def fetch_lists(dataset: HubDataset, root: Path) -> Fetched:
    """Fetch the list of samples and the card of the release, and tell what the card says of a licence.

    Raises
    ------
    HubError : the release has no samples.json, or the hub cannot be reached.
    """
    lists = fetch_missing(dataset, root, [SAMPLES_FILE, CARD], "lists of the release")
    if SAMPLES_FILE in lists.absent:
        found = f"{dataset.name} has no {SAMPLES_FILE} at revision {dataset.revision}"
        raise HubError(found, "look at the files of the data set, and at HF_ENDPOINT")
    card = "" if CARD in lists.absent else (root / CARD).read_text(encoding="utf-8", errors="replace")
    if quoted := quote_licence(card):
        say(f"its card, {root / CARD}, says:", *(f"  {line}" for line in quoted))
    else:
        say("its card says nothing of a licence")
    return lists


def is_paper(field: str, dates: Sequence[date]) -> bool:
    """Return whether field and dates are those of the paper's experiment."""
    return field == PAPER_FIELD and tuple(map(str, dates)) == PAPER_DATES


def say(*lines: str) -> None:
    """Print lines on standard error, so that standard output holds the result alone."""
    print(*lines, sep="\n", file=sys.stderr)


def choose_samples(root: Path, field: str, dates: Sequence[date]) -> tuple[list[Sample], tuple[date, ...]]:
    """Return all samples of a field, and the dates to fetch, ascending.

    Raises
    ------
    InputError : samples are malformed, or the field or a date has none.
    """
    samples, _, _ = read_samples(root.resolve(), field)
    paper = tuple(map(date.fromisoformat, PAPER_DATES))
    available = dates_of(samples)
    return samples, require_dates(dates or (paper if field == PAPER_FIELD else available), available)


def fetch_missing(dataset: HubDataset, root: Path, names: Sequence[str], what: str) -> Fetched:
    """Fetch those files that a folder does not hold byte for byte, after telling how large they are.

    Parameters
    ----------
    what : what the files are, for people.

    Raises
    ------
    InputError : the disk has no room.
    HubError, WriteError : as `fetch_files`.
    """
    described = describe_files(dataset, names)
    absent = tuple(name for name in names if name not in described)
    right = right_files(described.values(), root)
    files = [file for name, file in described.items() if name not in right]
    differing = tuple(file.name for file in files if (root / file.name).exists())
    n_bytes, n_free = sum(file.size for file in files), free_bytes(root)
    total = size_text(sum(file.size for file in described.values()))
    say(
        f"{what}: {len(described):,} files, {total}; {len(right):,} are there, {size_text(n_bytes)} to fetch "
        f"({size_text(n_free)} free)"
    )
    if differing:
        say(f"{count_named(differing, 'is', 'are')} there with other bytes than the release has: fetched again")
    if n_bytes > n_free:
        raise InputError(
            f"{what} need {size_text(n_bytes)}, and {root} has {size_text(n_free)} free",
            "The disk must have room for the files that are fetched",
            "make room, give a folder on another disk, or choose fewer dates with --date",
        )
    with tqdm(total=n_bytes, unit="B", unit_scale=True, disable=None) as bar:
        fetch_files(dataset, files, root, lambda file: bar.update(file.size))
    return Fetched(len(files), n_bytes, differing, len(right), absent)


def write_unless_there(path: Path, text: str) -> bool:
    """Write a campaign file unless another one stands there; return whether the file has this text."""
    if not path.exists():
        write_atomically(path, text.encode())
    return path.read_text(encoding="utf-8", errors="replace") == text


def count_named(names: Sequence[str], singular: str, plural: str) -> str:
    """Count files and name the first ones, with the verb that follows."""
    named = ", ".join(names[:N_NAMED]) + (", ..." if len(names) > N_NAMED else "")
    return f"{len(names)} file{'' if len(names) == 1 else 's'} ({named}) {singular if len(names) == 1 else plural}"


def print_fetched(found: dict[str, Any]) -> None:
    """Print what was fetched, what is left out, and what to do next."""
    print(
        f"{found['n_images']:,} images in {found['folder']}: {found['n_fetched']:,} files fetched "
        f"({size_text(found['bytes_fetched'])}), {found['n_kept']:,} were there; all checked by size and digest"
    )
    if found["absent"]:
        named = count_named(found["absent"], "is", "are")
        print(f"{named} in samples.json and not in the release; a run lists them as missing_file")
    if not found["has_splits"]:
        print(describe_drawn_splits(found["folder"]))
    if found["campaign_is_written"]:
        print(f"campaign file: {found['campaign']}")
    else:
        print(f"{found['campaign']} was there and stays as it is; remove it to have it written for these dates")
    print(f"next: harvest look {found['campaign']}")
