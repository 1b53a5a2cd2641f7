"""Rows of changed positions against an image that is occluded and convolved as a whole."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tasks.explain.engine.rows import Layer, Positions, Rectangles
from tasks.explain.engine.tiles import Scratch


def rectangle(top: int, left: int, rows: int, cols: int) -> Rectangles:
    return Rectangles(*(torch.tensor([value]) for value in (top, left, rows, cols)))


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_rectangle_holds_every_output_that_a_change_reaches_and_no_more_than_it_could(data: st.DataObject) -> None:
    kernel, stride = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 3))
    padding, side = data.draw(st.integers(0, kernel // 2)), data.draw(st.integers(kernel, 20))
    top, left = data.draw(st.integers(0, side - 1)), data.draw(st.integers(0, side - 1))
    rows, cols = data.draw(st.integers(1, side - top)), data.draw(st.integers(1, side - left))
    changed = torch.zeros(1, 1, side, side)
    changed[..., top : top + rows, left : left + cols] = 1
    reached = functional.conv2d(changed, torch.ones(1, 1, kernel, kernel), stride=stride, padding=padding)[0, 0] > 0
    found = rectangle(top, left, rows, cols).through(kernel, stride, padding, *reached.shape)
    expected = torch.zeros_like(reached)
    expected[found.top : found.top + found.rows, found.left : found.left + found.cols] = True
    assert torch.equal(reached, expected)


def test_every_position_of_every_window_has_a_row_of_its_own() -> None:
    values = ([0, 2, 5], [1, 0, 3], [5, 4, 1], [3, 8, 2])
    rectangles = Rectangles(*(torch.tensor(v) for v in values))
    layer = Layer(torch.zeros(2, 9, 9))
    positions = Positions(rectangles)
    rows = layer.change(positions)
    found: list[int] = []
    for window in range(3):
        top, left, n_rows, n_cols = (int(v[window]) for v in values)
        down = torch.arange(top, top + n_rows)[:, None]
        across = torch.arange(left, left + n_cols)[:, None]
        index = layer.index(torch.tensor([window]), down, across)
        found += index.flatten().tolist()
    assert len(set(found)) == len(found) == sum(r * c for r, c in zip(values[2], values[3], strict=True))
    assert min(found) >= layer.n_base and max(found) < layer.n_base + len(rows)


def test_a_position_is_read_from_its_window_the_image_or_the_border() -> None:
    base = torch.arange(1.0, 31.0).view(1, 5, 6)
    layer = Layer(base)
    positions = Positions(rectangle(1, 2, 2, 3))
    out = layer.change(positions)
    out[:] = -(positions.row * 10 + positions.col)[:, None].float()
    whole = layer.gather(
        layer.index(torch.tensor([0]), torch.arange(-2, 7)[:, None], torch.arange(-2, 8)[:, None]), Scratch()
    ).view(9, 10)
    expected = torch.zeros(9, 10)
    expected[2:7, 2:8] = base[0]
    for row in (1, 2):
        for col in (2, 3, 4):
            expected[row + 2, col + 2] = -(row * 10 + col)
    assert torch.equal(whole, expected)


def test_the_image_stays_when_a_table_grows() -> None:
    layer = Layer(torch.ones(1, 2, 2))
    layer.change(Positions(rectangle(0, 0, 1, 1)))[:] = 5
    layer.change(Positions(rectangle(0, 0, 2, 2)))[:] = 7
    everything = torch.arange(2)[:, None]
    assert layer.table[: layer.n_base].sum() == 4
    assert torch.equal(
        layer.gather(layer.index(torch.tensor([0]), everything, everything), Scratch()).flatten(), torch.full((4,), 7.0)
    )


def test_differences_are_what_windows_add_and_what_is_kept_is_computed_once() -> None:
    base, calls = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0)), list[int]()
    layer = Layer(base)
    positions = Positions(Rectangles(*(torch.tensor(v) for v in ([0, 2], [1, 3], [2, 3], [4, 2]))))
    layer.change(positions).copy_(base[:, positions.row, positions.col].t() + positions.window[:, None])
    added = positions.window[:, None].expand(-1, 2).float()
    torch.testing.assert_close(layer.differences(Scratch()), added, rtol=0, atol=1e-6)

    def double(whole: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return 2 * whole

    for reader in ("first", "first", "second"):
        assert torch.equal(layer.kept(reader, double), 2 * base[None])
    assert len(calls) == 2
