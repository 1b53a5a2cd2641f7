"""Run convolutions with weights that oneDNN has laid out once, and what follows them in the same call.

Torch's own convolution packs its weights again at every call, and an activation after it reads and writes the whole
output once more. Torch's compiler uses the same calls of oneDNN. They need no compiler and no time to compile.

Which convolutions gain by Winograd's tiles depends on the processor. On an AMD core most did, on an Intel core only
those of passes of many images. So both ways are timed at the first pass of a shape, once in a process. They are equal
up to float rounding.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional

from tasks.batches import batches
from tasks.explain.engine.cover import Cover
from tasks.explain.engine.measured import is_faster, measured_once
from tasks.explain.engine.rows import Positions, Rectangles
from tasks.explain.engine.tiles import Scratch, TileKernel, Tiles, convolve_tiles
from tasks.explain.engine.winograd import LARGEST, is_plain, suits

# Activations that oneDNN applies with a convolution: its name and numbers for each, and the function itself.
Activation = tuple[str, tuple[float, ...], Callable[[torch.Tensor], torch.Tensor]]
RELU: Activation = ("relu", (), functional.relu_)
ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: RELU,
    nn.ReLU6: ("hardtanh", (0.0, 6.0), functional.relu6),
    nn.Hardswish: ("hardswish", (), functional.hardswish),
    nn.SiLU: ("swish", (), functional.silu),
}
MAX_TILES = 256  # tiles of whole activations in one product; with more, these leave the processor's cache
TIMED_WORK = 1e9  # FLOP of a convolution from which both ways are timed; a call of less takes a few milliseconds
# Least channels of whole activations for tiles. With 64, tiles gained up to a sixth on an AMD core and nothing beside
# other work, so noise would choose; on an Intel core they were slower.
MIN_WHOLE = 128
TILES_GAIN = 1.1  # tiles must be so many times faster than the packed convolution


class WinogradConvolution:
    """3x3 convolution over whole activations in tiles, which one thread at a time may run; it has no gradient."""

    def __init__(self, convolution: nn.Conv2d, scratch: Scratch) -> None:
        bias = None if convolution.bias is None else convolution.bias.detach()
        self.kernel = TileKernel(convolution.weight.detach(), convolution.stride[0], bias)
        self.scratch, self.padding = scratch, int(convolution.padding[0])

    def __call__(
        self, inputs: torch.Tensor, added: torch.Tensor | None = None, activation: Activation | None = None
    ) -> torch.Tensor:
        """Convolve (n, in, h, w), add (n, out, h', w') and apply the activation."""
        n, _, *sides = inputs.shape
        height, width = ((side + 2 * self.padding - 3) // self.kernel.stride + 1 for side in sides)
        padded = nn.functional.pad(inputs.permute(0, 2, 3, 1), (0, 0, *[self.padding] * 4))
        whole = inputs.new_empty(n, height, width, self.kernel.n_outputs)
        for part in batches(n, images_at_once(height, width)):
            some, out = padded[part], whole[part]
            tiles, places = whole_tiles(len(out), (height, width), some.shape[1:3], self.kernel.stride, inputs.device)
            found = convolve_tiles(some.reshape(-1, some.shape[3]), tiles, self.kernel, self.scratch)
            torch.index_select(found, 0, places, out=out.view(len(places), -1))
            if added is not None:
                out += added[part].permute(0, 2, 3, 1)
            if activation is not None:
                out.copy_(activation[2](out))  # some activations work in place
        return whole.permute(0, 3, 1, 2)


def images_at_once(height: int, width: int) -> int:
    """Return how many images' outputs are convolved at once."""
    return max(1, MAX_TILES // (-(-height // LARGEST) * -(-width // LARGEST)))


@lru_cache(maxsize=64)
def whole_tiles(
    n: int, outputs: tuple[int, int], inputs: tuple[int, int], stride: int, device: torch.device
) -> tuple[list[Tiles], torch.Tensor]:
    """Return tiles that cover n whole outputs (h, w) of padded inputs, and the row of each output among theirs."""
    start = torch.zeros(n, dtype=torch.int64, device=device)
    cover = Cover(Positions(Rectangles(start, start, start + outputs[0], start + outputs[1])))

    def index(image: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
        return ((image * inputs[0] + rows) * inputs[1])[:, None] + cols[None]

    return cover.tiles(index, stride, padding=0), cover.places()


class PackedConvolution(nn.Module):
    """Convolution in float32 on a CPU, with an addition and an activation where they follow; it has no gradient."""

    def __init__(self, convolution: nn.Conv2d, activation: Activation | None, scratch: Scratch) -> None:
        super().__init__()
        self.plain, self.activation = convolution, activation
        can_tile = is_plain(convolution) and convolution.stride[0] == 1 and suits(convolution.weight, 1, MIN_WHOLE)
        self.tiles = WinogradConvolution(convolution, scratch) if can_tile else None
        self.packed: torch.Tensor | None = None

    def forward(self, inputs: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """Convolve (n, in, h, w), add (n, out, h', w') and apply the activation."""
        if self.tiles is not None and gains_by_tiles(self.plain.out_channels, self.tiles.padding, inputs.shape):
            return self.tiles(inputs, added, self.activation)
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
