"""Products with prepared matrices against plain ones, by either library."""

import pytest
import torch

from tasks.explain.engine import products
from tasks.explain.engine.products import Matrices

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("is_biased", [True, False])
def test_products_are_the_same_by_either_library(
    is_packed: bool, is_biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "packing_pays", lambda *_: is_packed)
    generator = torch.Generator().manual_seed(0)
    rows, matrices = torch.randn(3, 5, 16, generator=generator), torch.randn(3, 16, 8, generator=generator)
    bias = torch.randn(8, generator=generator) if is_biased else None
    out, prepared = torch.empty(3, 5, 8), Matrices(matrices, bias)
    with torch.inference_mode():
        prepared.times(rows, out)
    assert (prepared.plain is None) == is_packed
    expected = rows.double() @ matrices.double() + (0 if bias is None else bias)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
