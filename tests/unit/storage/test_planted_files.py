"""A store is data: whatever lies in place of a file is read, or refused with the file's name, and never obeyed."""

import random
from collections import Counter

import pytest

from tests.support.planted_store import PlantedStore

READERS = ("read", "rows", "damage", "whole")  # of one file
WHOLE = ("verify", "gc", "list")  # of all files of a store
KINDS = (
    *("campaign", "scored date", "review", "checks", "arrival", "notices", "cached result", "manifest"),
    *("report's manifest", "table's manifest", "listing", "table", "array", "shard"),
)
IN_WORDS = {"read", "refused"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PlantedStore:
    return PlantedStore(tmp_path_factory.mktemp("planted"))


def tried(planted: PlantedStore, kind: str, readers: tuple[str, ...], n: int, most: int | None = None) -> Counter[str]:
    return Counter(what for _, what in planted.try_all(kind, readers, random.Random(n), n, most))


def test_every_kind_of_file_is_tried(planted: PlantedStore) -> None:
    assert set(planted.files) == set(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "notices"])
def test_what_is_planted_is_read_or_refused(planted: PlantedStore, kind: str) -> None:
    found = tried(planted, kind, READERS, 10)
    assert set(found) <= IN_WORDS, found
    assert kind == "arrival" or found["refused"] >= 10  # an arrival that cannot be read counts as none


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_stops_nothing_that_reads_a_whole_store(planted: PlantedStore, kind: str) -> None:
    """`harvest verify`, `harvest gc` and `harvest list`, which may refuse as well."""
    assert set(tried(planted, kind, WHOLE, 10, most=2)) <= IN_WORDS


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_many_changes_by_chance(planted: PlantedStore, kind: str) -> None:
    assert set(tried(planted, kind, (*READERS, "list"), 1000)) <= IN_WORDS
