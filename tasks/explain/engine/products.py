"""Multiply many rows with matrices that stay, by the faster of two libraries."""

import torch

from tasks.explain.engine.measured import is_faster, measured_once

TYPICAL_ROWS = 128  # rows of a product, from which oneDNN chooses its layout, and that are measured
TYPICAL_MATRICES = 4  # matrices that are measured, so that they do not all stay in the processor's cache
NEEDED_GAIN = 1.25  # packing must be so many times faster; on an AMD core it was 0.6 to 1.17 times as fast


class Matrices:
    """Matrices (p, in, out) for repeated products with rows (p, n, in), with an optional bias (out,) for all.

    On a CPU in float32, oneDNN can keep a matrix in its own layout, while plain products (MKL, OpenBLAS) pack it each
    time. Which is faster depends on the processor and the shape, so it is measured once per shape and process.
    """

    def __init__(self, matrices: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        self.plain: torch.Tensor | None = matrices
        self.bias, self.packed = bias, list[torch.Tensor]()
        if matrices.device.type == "cpu" and matrices.dtype == torch.float32 and packing_pays(*matrices.shape[1:]):
            self.packed = [_packed(matrix) for matrix in matrices]
            self.plain = None  # saves memory: the matrices of a ResNet18 take 160 MB

    def times(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        """Write rows @ matrices + bias into `out` (p, n, out)."""
        if self.plain is None:
            for some, matrix, target in zip(rows, self.packed, out, strict=True):
                target.copy_(_packed_product(some, matrix, self.bias))
        elif self.bias is None:
            torch.bmm(rows, self.plain, out=out)
        else:
            torch.baddbmm(self.bias, rows, self.plain, out=out)


@measured_once
def packing_pays(n_in: int, n_out: int) -> bool:
    """Return whether products with matrices (n_in, n_out) on this processor are faster by oneDNN's own layout."""
    if not torch.backends.mkldnn.is_available():
        return False
    matrices, rows = torch.ones(TYPICAL_MATRICES, n_in, n_out), torch.ones(TYPICAL_MATRICES, TYPICAL_ROWS, n_in)
    out, packed = torch.empty(TYPICAL_MATRICES, TYPICAL_ROWS, n_out), [_packed(matrix) for matrix in matrices]

    def by_packed() -> None:
        for some, matrix, target in zip(rows, packed, out, strict=True):
            target.copy_(_packed_product(some, matrix, None))

    return is_faster(by_packed, lambda: torch.bmm(rows, matrices, out=out), NEEDED_GAIN)


def _packed(matrix: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(matrix.detach().t().contiguous(), TYPICAL_ROWS)


def _packed_product(rows: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
