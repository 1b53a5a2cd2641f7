"""Tiles that cover rectangles: every output once, as few multiplications as any other division takes."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.explain.engine.cover import Cover
from tasks.explain.engine.rows import Positions, Rectangles
from tasks.explain.engine.winograd import LARGEST, tiling

SIDES = st.integers(0, 20)


def rectangles(boxes: list[tuple[int, int, int, int]]) -> Rectangles:
    return Rectangles(*(torch.tensor(values) for values in zip(*boxes, strict=True)))


@given(st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_every_output_of_every_rectangle_has_one_row_of_one_tile(boxes: list[tuple[int, int, int, int]]) -> None:
    at = Positions(rectangles(boxes), names=torch.arange(len(boxes)) + 10)
    if at.count == 0:
        return
    cover, found = Cover(at), list[tuple[int, int, int]]()
    for rows, cols, part in cover.shapes:
        assert 1 <= rows <= LARGEST and 1 <= cols <= LARGEST
        for down in range(rows):
            for right in range(cols):
                columns = (cover.window[part], cover.row[part] + down, cover.col[part] + right)
                found += zip(*(of.tolist() for of in columns), strict=True)
    expected = list(zip(at.window.tolist(), at.row.tolist(), at.col.tolist(), strict=True))
    assert [found[row] for row in cover.places().tolist()] == expected and len(found) == len(expected)


@given(
    st.lists(st.tuples(SIDES, SIDES, st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=6),
    st.integers(1, 3),
    st.integers(0, 24),
    st.integers(0, 24),
)
@settings(max_examples=100, deadline=None)
def test_outputs_of_tiles_of_inputs_are_found_or_outside(
    boxes: list[tuple[int, int, int, int]], padding: int, height: int, width: int
) -> None:
    inputs = Positions(rectangles(boxes))
    outputs = Positions(inputs.rectangles.through(3, 1, padding, height, width))
    cover, expected, before = Cover(inputs), list[int](), 2 - padding
    columns = (of.tolist() for of in (outputs.window, outputs.row, outputs.col))
    places = {place: i for i, place in enumerate(zip(*columns, strict=True))}
    for rows, cols, part in cover.shapes:
        for down in range(rows + 2):
            for right in range(cols + 2):
                at = (cover.window[part], cover.row[part] + down - before, cover.col[part] + right - before)
                expected += [places.get(place, -1) for place in zip(*(of.tolist() for of in at), strict=True)]
    assert cover.reached(outputs, before).tolist() == expected
    assert set(expected) >= set(range(outputs.count))  # every output that sees a change


@cache
def least(length: int, stride: int) -> int:
    """The fewest multiplications along a side, by trying every division into tiles."""
    if length == 0:
        return 0
    return min(tiling(s, stride).seen + least(length - s, stride) for s in range(1, min(length, LARGEST) + 1))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("length", range(1, 25))
def test_no_division_of_a_side_takes_fewer_multiplications(length: int, stride: int) -> None:
    cover = Cover(Positions(rectangles([(0, 0, length, 1)])))
    sides = [rows for rows, _, at in cover.shapes for _ in range(at.stop - at.start)]
    assert sum(tiling(side, stride).seen for side in sides) == least(length, stride)
    assert max(sides) - min(sides) <= 1  # smaller tiles round less
