"""Minimal filtering along one side against convolutions that are written out."""

import numpy as np
import pytest
import torch
from torch import nn

from tasks.explain.engine.winograd import LARGEST, MIN_CHANNELS, is_plain, kernel_transform, suits, tiling


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", range(1, LARGEST + 1))
def test_every_side_filters_as_a_convolution_with_the_kernel_of_the_largest(side: int, stride: int) -> None:
    generator = np.random.default_rng(0)
    one, (rows, kinds) = tiling(side, stride), kernel_transform(LARGEST, stride)
    inputs, taps = generator.normal(size=one.seen), generator.normal(size=3)
    expected = [inputs[stride * i : stride * i + 3] @ taps for i in range(side)]
    found = one.outputs @ ((rows @ taps)[kinds[: one.seen]] * (one.inputs @ inputs))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_multiplications_are_those_of_the_source() -> None:
    """Lavin & Gray 2016, section 4.1: m + r - 1 for m outputs of r taps; F(4, 3) takes 6, F(2, 2) and two more 5."""
    assert [tiling(side, 1).seen for side in (1, 2, 4, 6)] == [3, 4, 6, 8]
    assert [tiling(side, 2).seen for side in (1, 2, 4, 6)] == [3, 5, 9, 13]


@pytest.mark.parametrize(
    ("options", "plain"),
    [({}, True), ({"groups": 2}, False), ({"dilation": 2}, False), ({"padding_mode": "reflect", "padding": 1}, False)],
)
def test_convolutions_of_other_kinds_are_left_alone(options: dict[str, object], plain: bool) -> None:
    convolution = nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, 3, **options)  # type: ignore[arg-type]
    assert is_plain(convolution) == plain


def test_what_gains_by_tiles() -> None:
    wide = torch.zeros(MIN_CHANNELS, MIN_CHANNELS, 3, 3)
    assert suits(wide, 1) and suits(wide, 2) and not suits(wide, 1, least=MIN_CHANNELS + 1)
    assert not suits(wide, 3) and not suits(wide[:, :3], 1) and not suits(wide[..., :1], 1)
