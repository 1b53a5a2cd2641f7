"""Tiles of several shapes that are convolved together, against torch's convolution of each."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tasks.explain.engine import products, tiles
from tasks.explain.engine.tiles import Scratch, SpreadKernel, TileKernel, Tiles, convolve_tiles, joined
from tasks.explain.engine.winograd import LARGEST, tiling

pytestmark = pytest.mark.usefixtures("one_thread")
SIDES = st.integers(1, LARGEST)
SHAPES = [(6, 6, 2), (6, 4, 3), (4, 4, 1), (2, 5, 2), (1, 1, 4)]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def assert_convolved(shapes: list[tuple[int, int, int]], stride: int, dtype: torch.dtype, error: float) -> None:
    """Convolve n tiles of rows x cols outputs for each shape, which all see rows of one table in random order."""
    weight, bias = noise(7, 5, 3, 3, seed=1, dtype=dtype), noise(7, seed=2, dtype=dtype)
    seen = [(n, tiling(rows, stride).seen, tiling(cols, stride).seen) for rows, cols, n in shapes]
    table = noise(max(n * rows * cols for n, rows, cols in seen), 5, dtype=dtype)
    order = [torch.randperm(len(table), generator=torch.Generator().manual_seed(i)) for i in range(len(shapes))]
    groups, start = [], 0
    for (rows, cols, n), (_, down, across), rows_of in zip(shapes, seen, order, strict=True):
        index = rows_of[: down * across * n].view(down, across, n)
        groups.append(Tiles(rows, cols, slice(start, start + n), index))
        start += n
    found = convolve_tiles(table, groups, TileKernel(weight, stride, bias), Scratch())
    parts = found.split([rows * cols * n for rows, cols, n in shapes])
    for one, part in zip(groups, parts, strict=True):
        inputs = table[one.seen].permute(2, 3, 0, 1)
        expected = functional.conv2d(inputs, weight, bias, stride)
        torch.testing.assert_close(
            part.view(one.rows, one.cols, -1, 7).permute(2, 3, 0, 1), expected, rtol=0, atol=error
        )


@given(st.lists(st.tuples(SIDES, SIDES, st.integers(1, 3)), min_size=1, max_size=5), st.sampled_from([1, 2]))
@settings(max_examples=60, deadline=None)
def test_tiles_of_any_shapes_are_convolved_as_torch_does(shapes: list[tuple[int, int, int]], stride: int) -> None:
    assert_convolved(shapes, stride, torch.float64, 1e-11)


def assert_spread(shapes: list[tuple[int, int, int]], dtype: torch.dtype, error: float) -> None:
    """Spread n tiles of rows x cols inputs for each shape, and compare with the convolution of each inside zeros."""
    weight, groups, start = noise(7, 5, 3, 3, seed=1, dtype=dtype), list[Tiles](), 0
    table = noise(sum(rows * cols * n for rows, cols, n in shapes), 5, dtype=dtype)
    order = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))
    for rows, cols, n in shapes:
        index, order = order[: rows * cols * n].view(rows, cols, n), order[rows * cols * n :]
        groups.append(Tiles(rows, cols, slice(start, start + n), index))
        start += n
    found = convolve_tiles(table, groups, SpreadKernel(weight), Scratch())
    for one, part in zip(groups, found.split([(r + 2) * (c + 2) * n for r, c, n in shapes]), strict=True):
        expected = functional.conv2d(table[one.seen].permute(2, 3, 0, 1), weight, padding=2)
        torch.testing.assert_close(
            part.view(one.rows + 2, one.cols + 2, -1, 7).permute(2, 3, 0, 1), expected, rtol=0, atol=error
        )


@given(st.lists(st.tuples(SIDES, SIDES, st.integers(1, 3)), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_tiles_of_inputs_give_all_outputs_that_see_them(shapes: list[tuple[int, int, int]]) -> None:
    assert_spread(shapes, torch.float64, 1e-11)


@pytest.mark.parametrize("by_sides", [True, False])
@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("at_once", [200, 2**19])
def test_every_way_of_computing_gives_the_same(
    by_sides: bool, is_packed: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "sides_pay", lambda *_: by_sides)
    monkeypatch.setattr(products, "packing_pays", lambda *_: is_packed)
    monkeypatch.setattr(tiles, "VALUES_AT_ONCE", at_once)
    for stride in (1, 2):
        assert_convolved(SHAPES, stride, torch.float32, 2e-4)
    assert_spread(SHAPES, torch.float32, 2e-4)


def test_a_kernel_that_copies_its_centre() -> None:
    weight, table = torch.zeros(1, 1, 3, 3), torch.arange(36.0).view(36, 1)
    weight[0, 0, 1, 1] = 1
    found = convolve_tiles(
        table, [Tiles(4, 4, slice(0, 1), torch.arange(36).view(6, 6, 1))], TileKernel(weight), Scratch()
    )
    torch.testing.assert_close(found.view(4, 4), table.view(6, 6)[1:5, 1:5], rtol=0, atol=1e-4)


def test_slices_without_a_gap_are_joined() -> None:
    assert joined([slice(0, 2), slice(2, 5), slice(6, 7), slice(7, 7)]) == [slice(0, 5), slice(6, 7)]
    assert joined([]) == []


def test_scratch_is_not_shared_between_blocks() -> None:
    scratch, like = Scratch(), torch.zeros(1)
    first, second = scratch.take(0, like, 2, 3).fill_(1), scratch.take(1, like, 6).fill_(2)
    assert first.sum() == 6 and second.sum() == 12
    assert scratch.take(0, like, 3).data_ptr() == first.data_ptr()  # memory is used again
