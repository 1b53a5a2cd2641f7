"""Read `samples.json` of the FiftyOne export: one record per reference sample, and the splits that they state."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.checks import SPLIT_WORDS, counts_table, refuse_two_splits
from tasks.sources.files import is_utf8, resolve_inside
from tasks.sources.growliflower.coordinates import SplitPlant
from tasks.sources.text_tables import parse_date, read_text

SAMPLES_FILE = "samples.json"
REQUIRED = ("plant_id", "field", "acquisition_date", "filepath", "in_situ_harvested")


@dataclass(frozen=True, slots=True)
class Sample:
    """One reference sample.

    Attributes
    ----------
    harvested : flag as JSON states it, or a word or date; empty if it is null.
    comment : empty if it is null.
    """

    plant_id: str
    acquired: date
    path: str
    harvested: str | bool
    comment: str
    split_words: tuple[str, ...]


def dates_of(samples: Sequence[Sample]) -> tuple[date, ...]:
    """Return the acquisition dates of samples, ascending."""
    return tuple(sorted({one.acquired for one in samples}))


def read_samples(root: Path, field_name: str) -> tuple[list[Sample], frozenset[str], list[str]]:
    """Read the reference samples of a field.

    Returns
    -------
    samples : reference samples of the field.
    files : paths of the files of all samples, also of those that are skipped.
    notes : numbers of skipped samples.

    Raises
    ------
    InputError : the JSON or a sample is malformed, or the field has no reference sample.
    """
    samples: list[Sample] = []
    files: set[str] = set()
    passed_by: Counter[str] = Counter()
    for number, entry in enumerate(load_entries(root / SAMPLES_FILE)):
        values = require_keys(entry, number, ("task",))
        files.add(PurePosixPath(str(values.get("filepath"))).as_posix())
        if values["task"] != "reference":
            passed_by[f"task {values['task']}"] += 1
        elif require_keys(entry, number, REQUIRED)["field"] != field_name:
            passed_by[f"field {values['field']}"] += 1
        else:
            samples.append(read_sample(values, number, root))
    if not samples:
        raise InputError(
            f"samples.json has no reference sample of {field_name}" + counts_table("skipped", passed_by),
            "The field must have reference samples",
            "correct `field`",
        )
    return samples, frozenset(files), [f"{n} samples of {what} passed by" for what, n in sorted(passed_by.items())]


def load_entries(path: Path) -> list[Any]:
    """Return the list of samples of a JSON file, or raise InputError."""
    try:
        # pandas writes NaN for a missing value, which is no JSON.
        content: Any = json.loads(read_text(path), parse_constant=lambda _: None)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} cannot be read as JSON: {error}", "samples.json must be JSON", "fetch the file again"
        ) from error
    entries: Any = cast(dict[str, Any], content).get("samples") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise InputError(
            f"{path} has no list of samples",
            'samples.json must have the structure {"samples": [...]}',
            "fetch the file again",
        )
    return cast(list[Any], entries)


def require_keys(entry: Any, number: int, keys: Sequence[str]) -> dict[str, Any]:
    """Return a sample as a dictionary that has these keys, or raise InputError."""
    if not isinstance(entry, dict):
        raise InputError(
            f"sample {number} of samples.json is of type {type(entry).__name__}",
            "Every sample must be a JSON object",
            "fetch the file again",
        )
    values = cast(dict[str, Any], entry)
    missing = [key for key in keys if key not in values]
    if missing:
        raise InputError(
            f"sample {number} of samples.json has no {', '.join(missing)}",
            f"A sample must have the keys {', '.join(keys)}",
            "export the samples again",
        )
    return values


def read_sample(values: Mapping[str, Any], number: int, root: Path) -> Sample:
    """Read one reference sample from a dictionary that has the required keys, or raise InputError."""
    plant_id, file, comment = values["plant_id"], values["filepath"], values.get("in_situ_comment")
    acquired, harvested = (
        parse_date(str(plain_value(values["acquisition_date"]))),
        plain_value(values["in_situ_harvested"]),
    )
    texts = all(isinstance(text, str) and text and is_utf8(text) and "\0" not in text for text in (plant_id, file))
    is_known = harvested is None or isinstance(harvested, str | bool)
    if not texts or acquired is None or not is_known or not (comment is None or isinstance(comment, str)):
        found = {key: values.get(key) for key in (*REQUIRED, "in_situ_comment")}
        raise InputError(
            f"sample {number} of samples.json holds {found}",
            "A sample must have text as plant_id and filepath, an ISO acquisition_date, and text or null as in_situ_*; "
            'in_situ_harvested may be true or false, and dates may be {"$date": ...}',
            "export the samples again",
        )
    path = resolve_inside(root, file, "samples.json").relative_to(root).as_posix()
    harvested = harvested.strip() if isinstance(harvested, str) else harvested
    return Sample(
        plant_id, acquired, path, "" if harvested is None else harvested, comment or "", find_split_words(values)
    )


def plain_value(value: Any) -> Any:
    """Return a value of a JSON export of MongoDB without its wrapper: `{"$date": ...}` becomes an ISO date.

    A `$date` is ISO text, or milliseconds since 1970 as a number or `{"$numberLong": text}`. FiftyOne keeps times in
    UTC. Values without such a wrapper are returned as they are.
    """
    if not isinstance(value, dict) or set(cast(dict[str, Any], value)) != {"$date"}:
        return value
    stated: Any = cast(dict[str, Any], value)["$date"]
    if isinstance(stated, dict):
        stated = cast(dict[str, Any], stated).get("$numberLong")
    try:
        if isinstance(stated, str) and not stated.lstrip("-").isdigit():
            moment = datetime.fromisoformat(stated)
            return (moment.astimezone(UTC) if moment.tzinfo else moment).date().isoformat()
        return datetime.fromtimestamp(int(stated) / 1000, UTC).date().isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return value


def find_split_words(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sample's `split` and its tags that name a split, in lower case."""
    split: Any = values.get("split")
    tags = cast(list[Any], values.get("tags") or [])
    named = [word for tag in tags if (word := str(tag).lower()) in SPLIT_WORDS and word != "new"]
    return tuple(named + ([str(split).lower()] if split else []))


def splits_of_samples(samples: Sequence[Sample]) -> dict[str, SplitPlant]:
    """Return the split of each plant as its samples state it; empty if no sample states a split.

    Raises
    ------
    InputError : a word is unknown (the message lists all words), or a plant is in two splits.
    """
    counts = Counter(word for one in samples for word in one.split_words)
    if counts.keys() - (SPLIT_WORDS.keys() - {"new"}):
        raise InputError(
            "samples.json has unknown splits" + counts_table("split", counts),
            "A sample's split must be train, val or test",
            "correct the samples",
        )
    pairs: set[tuple[str, Split]] = {(one.plant_id, SPLIT_WORDS[word]) for one in samples for word in one.split_words}
    refuse_two_splits(pairs)
    return {plant_id: SplitPlant(split, "samples") for plant_id, split in pairs}


def draw_splits(plant_ids: set[str], seed: int) -> dict[str, SplitPlant]:
    """Draw 60 % of the plants for training and 20 % each for validation and test; equal seeds give equal splits."""
    import numpy as np

    order = [sorted(plant_ids)[i] for i in np.random.default_rng(seed).permutation(len(plant_ids))]
    n_train, n_val = round(0.6 * len(order)), round(0.2 * len(order))
    plants = {plant_id: SplitPlant("train", "own") for plant_id in order[:n_train]}
    plants |= {plant_id: SplitPlant("val", "own") for plant_id in order[n_train : n_train + n_val]}
    return plants | {plant_id: SplitPlant("test", "own") for plant_id in order[n_train + n_val :]}
