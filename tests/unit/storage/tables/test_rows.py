"""Test rows that are held as columns against a list of dictionaries."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storage.tables.rows import ColumnRows

ROWS = st.lists(st.fixed_dictionaries({"plant_id": st.text("ab"), "n": st.integers(), "word": st.sampled_from("xy")}))


@given(ROWS, st.data())
def test_they_are_a_sequence_of_the_same_rows(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    found = ColumnRows.of(iter(rows))
    assert list(found) == rows and [found[i] for i in range(len(found))] == rows
    assert [found.column(name) for name in ("plant_id", "n")] == [
        [row[name] for row in rows] for name in ("plant_id", "n")
    ]
    order = data.draw(st.permutations(range(len(rows))).map(lambda all_: all_[: len(rows) // 2 + 1]))
    taken = found.take(order)
    assert list(taken) == [rows[i] for i in order]
    assert list(taken[1:]) == [rows[i] for i in order[1:]]
    numbers = list(range(len(order)))
    assert list(taken.take(numbers[::-1])) == [rows[i] for i in order[::-1]]
    assert list(taken.having({"n": numbers})) == [rows[i] | {"n": k} for k, i in enumerate(order)]


def test_equal_texts_are_stored_once() -> None:
    words = [f"wo{'rd'}{i % 2}" for i in range(4)]
    found = ColumnRows.of([{"plant_id": "a", "word": "".join(word)} for word in words])
    assert len({id(row["word"]) for row in found}) == 2
