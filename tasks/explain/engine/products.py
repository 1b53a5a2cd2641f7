"""Multiply many rows with one matrix, which is prepared once."""

import torch

ROWS_HINT = 512  # rows of a typical product, from which oneDNN chooses its layout


class PreparedMatrix:
    """Matrix (in, out) for repeated products with rows (n, in), with an optional bias (out,).

    On a CPU in float32, oneDNN keeps the matrix in its own layout, as it does for torch's compiler. Plain products pack
    it again each time, which was measured to cost a tenth of the time. Elsewhere products are plain.
    """

    def __init__(self, matrix: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        self.matrix, self.bias = matrix, bias
        self.is_packed = (
            matrix.device.type == "cpu" and matrix.dtype == torch.float32 and torch.backends.mkldnn.is_available()
        )
        if self.is_packed:  # replaces the plain matrix to save memory: those of a ResNet18 take 160 MB
            self.matrix = torch.ops.mkldnn._reorder_linear_weight(matrix.detach().t().contiguous(), ROWS_HINT)

    def times(self, rows: torch.Tensor, out: torch.Tensor) -> None:
        """Write rows @ matrix + bias into `out` (n, out)."""
        if self.is_packed:
            out.copy_(torch.ops.mkldnn._linear_pointwise(rows, self.matrix, self.bias, "none", [], ""))
        elif self.bias is not None:
            torch.addmm(self.bias, rows, self.matrix, out=out)
        else:
            torch.mm(rows, self.matrix, out=out)
