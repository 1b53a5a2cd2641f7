"""Test JSON files whose lists are written and read item by item, against Python's encoder of the whole."""

import json
import tracemalloc
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.artifacts import Recipe, Store, Streamed, content_digest
from storage.artifacts.json_files import DIGEST_LENGTH, json_parts, read_streamed
from storage.errors import ArtifactError
from tests.support.local_stores import local

VALUES = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
NESTED = VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(st.text(max_size=2), VALUES, max_size=2)
OBJECTS = st.dictionaries(st.text(max_size=3), NESTED, max_size=3)
LISTS = st.dictionaries(st.sampled_from(["images", "left_out", "b\n"]), st.lists(OBJECTS, max_size=3))
FEW = settings(max_examples=50)


def streamed(lists: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: Streamed(items.__iter__) for name, items in lists.items()}


@FEW
@given(OBJECTS, LISTS)
def test_text_and_digest_are_those_of_the_whole(others: dict[str, Any], lists: dict[str, list[Any]]) -> None:
    whole, in_parts = others | lists, others | streamed(lists)
    written = b"".join(json_parts(in_parts)).decode()
    assert written == json.dumps(whole, indent=1, sort_keys=True) == b"".join(json_parts(whole)).decode()
    plain = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    assert content_digest(in_parts) == sha256(plain.encode()).hexdigest()[:DIGEST_LENGTH] == content_digest(whole)


@FEW
@given(OBJECTS, LISTS)
def test_a_file_is_read_back(others: dict[str, Any], lists: dict[str, list[Any]]) -> None:
    whole = others | lists
    content = b"".join(json_parts(others | streamed(lists)))
    found = read_streamed(lambda: BytesIO(content), "a.json", lists)
    for _ in range(2):  # every pass reads again
        assert {name: list(one) if isinstance(one, Streamed) else one for name, one in found.items()} == whole
    is_plain = {name for name, items in lists.items() if items and "\n" not in name}
    assert {name for name, one in found.items() if isinstance(one, Streamed)} == is_plain


@pytest.mark.parametrize(("damaged", "told"), [('  "a": 2,,', "an item of images"), (" ]\n", "has no end")])
def test_damage_is_told_where_it_is_met(tmp_path: Path, damaged: str, told: str) -> None:
    store, recipe = Store(tmp_path), Recipe("kind", 1)
    with store.create(recipe) as draft:
        draft.write_json("a.json", {"images": [{"a": 1}, {"a": 2}]})
    opened = store.open(recipe.ref)
    found = opened.read_json("a.json", "images")
    path = local(opened.file("a.json"))
    text = path.read_text()
    path.write_text(text.replace('  "a": 2', damaged) if "an item" in told else text.replace(damaged, ""))
    with pytest.raises(ArtifactError, match=told):
        list(found["images"])


def test_a_long_list_is_never_in_memory(tmp_path: Path) -> None:
    def digest_and_write(n: int) -> float:
        content = {"images": Streamed(lambda: ({"plant_id": f"p{i}", "path": "p" * 100} for i in range(n)))}
        tracemalloc.start()
        store, recipe = Store(tmp_path), Recipe("kind", 1, {"content": content_digest(content)})
        with store.create(recipe) as draft:
            draft.write_json("a.json", content)
        assert sum(1 for _ in store.open(recipe.ref).read_json("a.json", "images")["images"]) == n
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    small, large = digest_and_write(300), digest_and_write(3000)  # 0.04 and 0.4 MB of text
    assert large < small + 100_000
