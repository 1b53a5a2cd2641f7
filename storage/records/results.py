"""Name and read the records of cached tasks' results, which are data: a record holds references and nothing else.

Prefect obeys the serializer that a record names, and imports the classes that it names. A record of whoever may write
to the store could so run code as the user of a worker. Records are therefore read here, as plain JSON, and Prefect is
only given the references in them.
"""

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from storage.artifacts import ArtifactRef, Store, content_digest
from storage.errors import ArtifactError
from storage.places.files import AT_ONCE, list_files, read_file

# The class of references as records name it: here, and in stores of version 0.1.0.
REFERENCE_CLASSES = (f"{ArtifactRef.__module__}.{ArtifactRef.__qualname__}", "storage.artifacts.ArtifactRef")
JSON_SERIALIZER = {  # the only serializer that a record may name, as Prefect writes it into records
    "type": "json",
    "jsonlib": "json",
    "object_encoder": "prefect.serializers.prefect_json_object_encoder",
    "object_decoder": "prefect.serializers.prefect_json_object_decoder",
    "dumps_kwargs": {},
    "loads_kwargs": {},
}
# Names under which tasks look for results. Prefect writes the errors of failed tasks under other names.
NAME = re.compile(r"[a-z_]+-[0-9a-f]{24}")
SHOWN = 80  # longest part of a record that a message quotes, in characters


class RefusedRecordError(ArtifactError):
    """Report a record of a cached result that holds something other than references to its own artefacts."""


def record_name(refs: list[ArtifactRef]) -> str:
    """Return the name of a task's cached result: the name of its only artefact, or a digest of several names."""
    digest = refs[0].digest if len(refs) == 1 else content_digest([str(ref) for ref in refs])
    return f"{refs[0].kind}-{digest}"


def read_references(store: Store, name: str) -> ArtifactRef | list[ArtifactRef]:
    """Read the reference, or the list of references, in the record of a cached result.

    Raises
    ------
    FileNotFoundError, OSError : there is no such record, or it cannot be read.
    RefusedRecordError : the record is not JSON of this program's references, or belongs to other artefacts.
    """
    path = store.results_folder / name
    try:
        found = _references(read_file(path))
        refs = found if isinstance(found, list) else [found]
        _refuse(not refs or record_name(refs) != name, f"it refers to {', '.join(map(str, refs)) or 'nothing'}")
    except (ValueError, RecursionError) as error:  # not JSON, or other JSON
        raise RefusedRecordError(
            f"The record {store.name_of(path)} of a cached result was not read: {_shortened(error)}. A record must be "
            "JSON and hold only references to the artefacts that it is named after. Find out who wrote it. The next "
            "run of its task replaces it"
        ) from None
    return found


def _references(content: bytes) -> ArtifactRef | list[ArtifactRef]:
    record = _fields(json.loads(content), {"metadata", "result"})
    metadata = record["metadata"]
    named = metadata.get("serializer") if isinstance(metadata, dict) else None
    _refuse(named != JSON_SERIALIZER, f"it names the serializer {json.dumps(named)}")
    _refuse(not isinstance(record["result"], str), "its result is not a text")
    result = json.loads(record["result"])
    return [_reference(one) for one in result] if isinstance(result, list) else _reference(result)


def _reference(tagged: Any) -> ArtifactRef:
    fields = _fields(tagged, {"__class__", "data"})
    _refuse(fields["__class__"] not in REFERENCE_CLASSES, f"it names the class {fields['__class__']}")
    return ArtifactRef.model_validate(fields["data"], strict=True)


def _fields(value: Any, names: set[str]) -> Mapping[str, Any]:
    _refuse(not isinstance(value, dict) or value.keys() != names, f"it holds {json.dumps(value)}")
    return cast(Mapping[str, Any], value)


def _refuse(is_wrong: bool, why: str) -> None:
    if is_wrong:
        raise ValueError(why)


def _shortened(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def refused_records(store: Store) -> list[str]:
    """List the records of cached results that are refused, one message each."""
    names = [name for name in list_files(store.results_folder) if NAME.fullmatch(name)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [problem for problem in pool.map(lambda name: _problem(store, name), names) if problem]


def _problem(store: Store, name: str) -> str | None:
    try:
        read_references(store, name)
    except RefusedRecordError as error:
        return str(error)
    except FileNotFoundError:  # a run has just deleted it
        return None
    return None
