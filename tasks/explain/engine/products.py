"""Multiply many rows with matrices that stay, by the faster of two libraries."""

import torch

from tasks.explain.engine.measured import is_faster, measured_once

TYPICAL_ROWS = 128  # rows of a product, from which oneDNN chooses its layout, and that are measured
TYPICAL_MATRICES = 4  # matrices that are measured, so that they do not all stay in the processor's cache
# From so many channels on, matrices are packed unless that is slower by the gain below; with fewer, plain ones are
# used unless packing is faster by it. Packed products of 256 and 512 channels were 1.1 to 1.2 times as fast on an AMD
# core, and 1.4 times on an Intel core. With 64 and 128, they were 0.5 to 1.1 times as fast, or up to 4 times.
MANY_CHANNELS = 256
NEEDED_GAIN = 1.25  # far enough from what was measured, so that noise does not choose


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

    def times(self, rows: torch.Tensor, out: torch.Tensor, first: int = 0) -> None:
        """Write rows (p, n, in) @ matrices + bias into `out` (p, n, out), with p matrices from the first on."""
        some = slice(first, first + len(rows))
        if self.plain is None:
            for part, matrix, target in zip(rows, self.packed[some], out, strict=True):
                target.copy_(_packed_product(part, matrix, self.bias))
        elif self.bias is None:
            torch.bmm(rows, self.plain[some], out=out)
        else:
            torch.baddbmm(self.bias, rows, self.plain[some], out=out)


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

    def by_plain() -> None:
        torch.bmm(rows, matrices, out=out)

    if min(n_in, n_out) >= MANY_CHANNELS:
        return not is_faster(by_plain, by_packed, NEEDED_GAIN)
    return is_faster(by_packed, by_plain, NEEDED_GAIN)


def _packed(matrix: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(matrix.detach().t().contiguous(), TYPICAL_ROWS)


def _packed_product(rows: torch.Tensor, packed: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
