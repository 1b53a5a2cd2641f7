"""Run convolutions with weights that oneDNN has laid out once, and what follows them in the same call.

Torch's own convolution packs its weights again at every call, and an activation after it reads and writes the whole
output once more. Torch's compiler uses the same calls of oneDNN. They need no compiler and no time to compile.

Which convolutions gain by Winograd's tiles depends on the processor. On an AMD core most did, on an Intel core only
those of passes of many images. So both ways are timed at the first pass of a shape, once in a process. They are equal
up to float rounding.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from tasks.explain.engine.measured import is_faster, measured_once
from tasks.explain.engine.winograd import Scratch, WinogradConvolution, is_plain, suits

# Activations that oneDNN applies with a convolution: its name and numbers for each, and the function itself.
Activation = tuple[str, tuple[float, ...], Callable[[torch.Tensor], torch.Tensor]]
RELU: Activation = ("relu", (), functional.relu_)
ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: RELU,
    nn.ReLU6: ("hardtanh", (0.0, 6.0), functional.relu6),
    nn.Hardswish: ("hardswish", (), functional.hardswish),
    nn.SiLU: ("swish", (), functional.silu),
}
TIMED_WORK = 1e9  # FLOP of a convolution from which both ways are timed; a call of less takes a few milliseconds
TILES_GAIN = 1.1  # tiles must be so many times faster than the packed convolution


class PackedConvolution(nn.Module):
    """Convolution in float32 on a CPU, with an addition and an activation where they follow; it has no gradient."""

    def __init__(self, convolution: nn.Conv2d, activation: Activation | None, scratch: Scratch) -> None:
        super().__init__()
        self.plain, self.activation = convolution, activation
        can_tile = is_plain(convolution) and convolution.stride[0] == 1 and suits(convolution.weight, 1)
        self.tiles = WinogradConvolution(convolution, scratch) if can_tile else None
        self.packed: torch.Tensor | None = None

    def forward(self, inputs: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """Convolve (n, in, h, w), add (n, out, h', w') and apply the activation."""
        if self.tiles is not None and gains_by_tiles(self.plain.out_channels, self.tiles.padding, inputs.shape):
            out = self.tiles(inputs)
            out = out if added is None else out.add_(added)
            return out if self.activation is None else self.activation[2](out)
        return self._packed(inputs, added)

    def _packed(self, inputs: torch.Tensor, added: torch.Tensor | None) -> torch.Tensor:
        plain = self.plain
        options = (plain.padding, plain.stride, plain.dilation, plain.groups)
        if self.packed is None:
            weight = plain.weight.detach()
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(weight, *options, inputs.shape)
        name, numbers, _ = self.activation or ("none", (), None)
        convolved = (self.packed, plain.bias, *options)
        if added is None:
            return torch.ops.mkldnn._convolution_pointwise(inputs, *convolved, name, numbers, "")
        if self.activation in (None, RELU):
            after = None if self.activation is None else name
            return torch.ops.mkldnn._convolution_pointwise.binary(inputs, added, *convolved, "add", 1.0, after, [], "")
        out = torch.ops.mkldnn._convolution_pointwise.binary(inputs, added, *convolved, "add", 1.0, None, [], "")
        return self.activation[2](out)  # after a sum, oneDNN's call knows only ReLU


def gains_by_tiles(outputs: int, padding: int, shape: torch.Size) -> bool:
    """Return whether this processor computes a 3x3 convolution of stride 1 faster by tiles, for inputs (n, in, h, w).

    Small convolutions are never tiled.
    """
    return 2 * 9 * outputs * shape.numel() >= TIMED_WORK and _tiles_pay(outputs, padding, shape)


@measured_once
def _tiles_pay(outputs: int, padding: int, shape: torch.Size) -> bool:
    convolution = nn.Conv2d(shape[1], outputs, 3, padding=padding)
    tiles, whole = WinogradConvolution(convolution, Scratch()), PackedConvolution(convolution, None, Scratch())
    whole.tiles = None
    inputs = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    return is_faster(lambda: tiles(inputs), lambda: whole(inputs), TILES_GAIN)
