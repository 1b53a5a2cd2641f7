"""Records of cached results as somebody may plant them in a store; those that Prefect would obey create a file."""

import json
import lzma
import os
import pickle
from base64 import encodebytes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage.artifacts import ArtifactRef, Store
from tests.support.local_stores import local

REF, OTHER = (ArtifactRef(kind="predictions", digest=digit * 24) for digit in "12")
SEVERAL = [ArtifactRef(kind="shard", digest=digit * 24) for digit in "34"]
ENCODER = "prefect.serializers.prefect_json_object_encoder"
DECODER = "prefect.serializers.prefect_json_object_decoder"
PLAIN = {
    "type": "json",
    "jsonlib": "json",
    "object_encoder": ENCODER,
    "object_decoder": DECODER,
    "dumps_kwargs": {},
    "loads_kwargs": {},
}


def reference(ref: ArtifactRef, tag: str = "storage.artifacts.store.ArtifactRef") -> dict[str, Any]:
    """Return a reference as Prefect's JSON serializer writes it."""
    return {"__class__": tag, "data": ref.model_dump()}


def true_record(result: Any, serializer: Any = PLAIN, **more: Any) -> bytes:
    """Return a record as Prefect 3.9 writes it."""
    metadata = {
        "storage_key": "/srv/store/prefect-results/one",
        "expiration": None,
        "serializer": serializer,
        "prefect_version": "3.9.1",
        "storage_block_id": None,
    }
    return json.dumps({"metadata": metadata, "result": result, **more}).encode()


class Deed:
    """An object whose unpickling makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.place),)


def pickled(place: Path) -> str:
    """Return the text of a pickle that makes a folder, as Prefect's serializer would write it."""
    return encodebytes(pickle.dumps(Deed(place))).decode()


def _of_class(tag: str, content: Any) -> bytes:
    return true_record(json.dumps({"__class__": tag, "data": content}))


GOOD = json.dumps(reference(REF))
# What each foreign record holds, made with the place that it would create if it were obeyed.
FOREIGN_RECORDS: dict[str, Callable[[Path], bytes]] = {
    "pickle": lambda place: true_record(pickled(place), {"type": "pickle", "picklelib": "cloudpickle"}),
    "pickle of the old format": lambda place: json.dumps(
        {"serializer": {"type": "pickle"}, "data": pickled(place), "prefect_version": "2.20"}
    ).encode(),
    "compressed pickle": lambda place: true_record(
        encodebytes(lzma.compress(pickled(place).encode())).decode(), {"type": "compressed/pickle"}
    ),
    "compressor that is a program": lambda place: true_record(
        GOOD, {"type": "compressed", "serializer": "json", "compressionlib": "os"}
    ),
    "pickle without a record": lambda place: encodebytes(pickle.dumps(Deed(place))),
    "raw pickle": lambda place: pickle.dumps(Deed(place)),
    "other JSON library": lambda place: true_record(GOOD, {**PLAIN, "jsonlib": "cloudpickle"}),
    "other decoder": lambda place: true_record(GOOD, {**PLAIN, "object_decoder": "os.system"}),
    "decoder of numbers": lambda place: true_record(GOOD, {**PLAIN, "loads_kwargs": {"parse_int": "eval"}}),
    "unknown serializer": lambda place: true_record(GOOD, {**PLAIN, "type": "yaml"}),
    "no serializer": lambda place: true_record(GOOD, None),
    "serializer of two names": lambda place: true_record(GOOD).replace(
        b'"type": "json"', b'"type": "json", "type": "pickle"'
    ),
    "foreign class": lambda place: _of_class("subprocess.Popen", ["mkdir", str(place)]),
    "foreign class in a list": lambda place: true_record(json.dumps([reference(REF), {"__class__": "os.system"}])),
    "class below a reference": lambda place: _of_class(
        "storage.artifacts.store.ArtifactRef", {"kind": {"__class__": "os.system", "data": 1}, "digest": "1" * 24}
    ),
    "class of this program": lambda place: _of_class("storage.artifacts.store.Store", {"root": str(place)}),
    "class that is a list": lambda place: true_record(json.dumps({"__class__": ["os"], "data": {}})),
    "error": lambda place: true_record(json.dumps({"__exc_type__": "builtins.SystemExit", "message": "0"})),
    "another artefact": lambda place: true_record(json.dumps(reference(OTHER))),
    "one artefact too many": lambda place: true_record(json.dumps([reference(REF), reference(OTHER)])),
    "no reference": lambda place: true_record("[]"),
    "reference without a tag": lambda place: true_record(json.dumps(REF.model_dump())),
    "reference with another field": lambda place: _of_class(
        "storage.artifacts.store.ArtifactRef", {**REF.model_dump(), "place": str(place)}
    ),
    "number as a digest": lambda place: _of_class(
        "storage.artifacts.store.ArtifactRef", {"kind": "predictions", "digest": 1}
    ),
    "result that is no text": lambda place: true_record(reference(REF)),
    "result that is null": lambda place: true_record("null"),
    "result that is not JSON": lambda place: true_record("predictions"),
    "additional field": lambda place: true_record(GOOD, data="x"),
    "metadata that are a list": lambda place: json.dumps({"metadata": [], "result": GOOD}).encode(),
    "list": lambda place: b"[]",
    "empty file": lambda place: b"",
    "text that is not UTF-8": lambda place: b"\xff\xfe{}",
    "deep nesting": lambda place: b"[" * 100_000,
    "deep nesting of a result": lambda place: true_record("[" * 100_000),
    "number of 10,000 digits": lambda place: b"9" * 10_000,
}


def plant(store: Store, name: str, content: bytes) -> Path:
    """Put a record into a store in a folder; return its path."""
    path = local(store.results_folder / name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
