"""Check that a record of a cached result is read as data, and is refused if it is anything but its own references."""

import json
from pathlib import Path

import pytest

from storage.artifacts import Recipe, Store
from storage.records.results import RefusedRecordError, read_references, record_name, refused_records
from storage.verify import verify_store
from tests.support.planted_records import (
    DECODER,
    ENCODER,
    FOREIGN_RECORDS,
    OTHER,
    REF,
    SEVERAL,
    plant,
    reference,
    true_record,
)

NAME = "predictions-" + "1" * 24


def test_names() -> None:
    assert record_name([REF]) == NAME
    several = record_name(SEVERAL)
    assert several.startswith("shard-") and several != record_name(SEVERAL[::-1]) != record_name(SEVERAL[:1])


@pytest.mark.parametrize("tag", ["storage.artifacts.store.ArtifactRef", "storage.artifacts.ArtifactRef"])
def test_references_are_read(tag: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    plant(store, NAME, true_record(json.dumps(reference(REF, tag))))
    several = record_name(SEVERAL)
    plant(store, several, true_record(json.dumps([reference(one, tag) for one in SEVERAL])))
    assert read_references(store, NAME) == REF and read_references(store, several) == SEVERAL
    assert refused_records(store) == []


def test_the_encoder_and_decoder_are_those_of_prefect() -> None:
    from prefect.serializers import JSONSerializer

    said = JSONSerializer().model_dump()
    assert (said["object_encoder"], said["object_decoder"]) == (ENCODER, DECODER)


@pytest.mark.parametrize("kind", FOREIGN_RECORDS)
def test_other_records_are_refused_and_named(kind: str, tmp_path: Path) -> None:
    store, executed = Store(tmp_path / "store"), tmp_path / "executed"
    plant(store, NAME, FOREIGN_RECORDS[kind](executed))
    with pytest.raises(RefusedRecordError, match=f"The record prefect-results/{NAME} of a cached result was not read"):
        read_references(store, NAME)
    (problem,) = refused_records(store)
    assert "\n" not in problem and len(problem) < 500 and "Find out who wrote it" in problem
    assert not executed.exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("pickle", 'it names the serializer {"type": "pickle"'),
        ("foreign class", "it names the class subprocess.Popen"),
        ("error", 'it holds {"__exc_type__"'),
        ("another artefact", f"it refers to {OTHER}"),
    ],
)
def test_the_message_says_what_was_found(kind: str, said: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    plant(store, NAME, FOREIGN_RECORDS[kind](tmp_path / "executed"))
    with pytest.raises(RefusedRecordError) as refused:
        read_references(store, NAME)
    assert said in str(refused.value)


def test_a_missing_record_is_not_a_refused_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert refused_records(store) == []
    with pytest.raises(FileNotFoundError):
        read_references(store, NAME)


def test_verify_names_refused_records_and_passes_over_errors_of_failed_tasks(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    recipe = Recipe("predictions", 1)
    with store.create(recipe) as draft:
        draft.write_json("card.json", {})
    plant(store, record_name([recipe.ref]), true_record(json.dumps(reference(recipe.ref))))
    plant(store, "0f8fad5b-d9cb-469f-a165-70867728950e", FOREIGN_RECORDS["error"](tmp_path))
    plant(store, ".tmp-" + NAME, b"half")
    assert verify_store(store).problems == []
    plant(store, NAME, FOREIGN_RECORDS["pickle"](tmp_path / "executed"))
    (problem,) = verify_store(store).problems
    assert problem.startswith(f"The record prefect-results/{NAME} of a cached result was not read")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_cut_record_is_refused(cut: int, tmp_path: Path) -> None:
    store = Store(tmp_path)
    plant(store, NAME, true_record(json.dumps(reference(REF)))[:cut])
    with pytest.raises(RefusedRecordError):
        read_references(store, NAME)
