"""Compute a ResNet's logits for an image with a window hidden, in each layer only where the window changes it.

The result is exact up to float rounding. In every layer, the rectangle that a window can change is computed again, with
the halo it sees. Everything outside is taken from the image without a window. At 256x256 pixels and a patch of 11, this
leaves 1/41 of the work in the first stage, 1/10 in the second, 1/3 in the third and 1/1.2 in the fourth. In addition,
3x3 convolutions with many channels run as Winograd tiles.
"""

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tasks.explain.engine.products import Matrices
from tasks.explain.engine.rows import Layer, Positions, Rectangles, divided
from tasks.explain.engine.winograd import SIDES, Scratch, TileKernel, convolve_tiles, is_plain, suits, tiling

if TYPE_CHECKING:
    from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


POOL = (3, 2, 1)  # kernel, stride and padding of a ResNet's max pooling


class Convolution:
    """Square convolution with its batch normalisation folded in."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        fused = fuse_conv_bn_eval(cast(nn.Conv2d, convolution), cast(nn.BatchNorm2d, norm))
        assert fused.bias is not None
        self.weight, self.bias = fused.weight.detach(), fused.bias.detach()
        self.kernel, self.stride, self.padding = fused.kernel_size[0], fused.stride[0], int(fused.padding[0])
        self.is_pointwise = self.kernel == self.stride == 1
        self.is_tiled = suits(self.weight, self.stride) and self.padding == 1
        self.kernels = dict[int, TileKernel]()
        if not self.is_tiled:  # rows of the matrix have the order of gathered inputs: row, column, channel
            self.matrix = Matrices(self.weight.permute(2, 3, 1, 0).flatten(0, 2)[None], self.bias)

    def whole(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the output for whole activations (n, in, h, w)."""
        return functional.conv2d(inputs, self.weight, self.bias, self.stride, self.padding)

    def reached(self, source: Layer, height: int, width: int) -> Positions:
        """Return the positions of the output, `height` x `width`, that changes of the input reach."""
        if self.is_pointwise:
            return source.positions
        rectangles = source.positions.rectangles.through(self.kernel, self.stride, self.padding, height, width)
        if not self.is_tiled:
            return Positions(rectangles)
        sides = SIDES[self.stride]
        costs = [self._multiplications(rectangles, side) for side in sides] if len(sides) > 1 else [0]
        return Positions(rectangles, sides[costs.index(min(costs))])

    def _multiplications(self, rectangles: Rectangles, side: int) -> int:
        down, across = (divided(length + side - 1, side) for length in (rectangles.rows, rectangles.cols))
        return int((down * across).sum()) * tiling(side, self.stride).seen ** 2

    def changed(self, source: Layer, at: Positions, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the output rows at these positions into `out` (count, channels)."""
        if self.is_tiled:
            if at.tile not in self.kernels:
                self.kernels[at.tile] = TileKernel(self.weight, at.tile, self.stride, self.bias)
            kernel = self.kernels[at.tile]
            index = source.index(at.window, *at.grid(kernel.tiling.seen, self.stride, self.padding))
            convolve_tiles(source.gather(index.view(-1, len(at.window)), scratch), kernel, scratch, out)
        elif self.is_pointwise:
            self.matrix.times(source.changed[None], out[None])
        else:
            index = source.index(at.window, *at.grid(self.kernel, self.stride, self.padding)).permute(2, 0, 1)
            self.matrix.times(source.gather(index, scratch).view(1, len(at.window), -1), out[None])


class Block:
    """Residual block: convolutions with ReLU between them, and the input added before the last ReLU."""

    def __init__(self, block: "BasicBlock | Bottleneck") -> None:
        from torchvision.models.resnet import Bottleneck

        pairs = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
        if isinstance(block, Bottleneck):
            pairs.append((block.conv3, block.bn3))
        self.convolutions = [Convolution(*pair) for pair in pairs]
        self.shortcut = None if block.downsample is None else Convolution(*cast(nn.Sequential, block.downsample))

    def whole(self, inputs: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return the activations (1, channels, h, w) after each convolution, and what the shortcut adds."""
        made = [inputs]
        for convolution in self.convolutions[:-1]:
            made.append(convolution.whole(made[-1]).relu_())
        added = inputs if self.shortcut is None else self.shortcut.whole(inputs)
        made.append(self.convolutions[-1].whole(made[-1]).add_(added).relu_())
        return made[1:], added

    def changed(self, layers: list[Layer], added: Layer, scratch: Scratch) -> None:
        """Fill the changed rows of the block's layers from those of its input, which is the first of `layers`.

        `added` is what the shortcut adds: the input itself, or a separate layer, which is filled too.
        """
        for source, target, convolution in zip(layers, layers[1:], self.convolutions, strict=False):
            _fill(convolution, source, target, scratch)
            if target is not layers[-1]:
                target.changed.relu_()
        if self.shortcut is not None:
            _fill(self.shortcut, layers[0], added, scratch)
        at = layers[-1].positions
        rows = added.gather(added.index(at.window, *at.grid(at.tile)).view(-1), scratch)
        layers[-1].changed.add_(rows).relu_()


def _fill(convolution: Convolution, source: Layer, target: Layer, scratch: Scratch) -> None:
    at = convolution.reached(source, target.height, target.width)
    convolution.changed(source, at, target.change(at), scratch)


class Network:
    """Parts of a torchvision ResNet; its layers are the stem, the pooled stem and those of every block."""

    def __init__(self, model: "ResNet") -> None:
        self.stem = Convolution(model.conv1, model.bn1)
        self.stem_matrix = self.stem.weight.flatten(1).t().contiguous()  # rows in the order of functional.unfold
        stages = (model.layer1, model.layer2, model.layer3, model.layer4)
        self.blocks = [Block(cast("BasicBlock | Bottleneck", block)) for stage in stages for block in stage]
        self.head = model.fc


def can_take_apart(model: nn.Module) -> bool:
    """Return whether a model is a plain torchvision ResNet (18 to 152, or wide) that a `Network` can be made of."""
    from torchvision.models.resnet import ResNet

    if type(model) is not ResNet:
        return False
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    # Other normalisations cannot be folded, and a classifier in training mode normalises by its batch.
    is_foldable = len(norms) == len(convolutions) and not model.training
    return is_foldable and all(map(is_plain, convolutions))


def take_apart(model: nn.Module) -> Network | None:
    """Return the `Network` of a plain torchvision ResNet; None for any other model."""
    return Network(cast("ResNet", model)) if can_take_apart(model) else None


class OccludedImage:
    """Normalised image (1, 3, h, w) whose activations are kept, for the logits of its occluded versions."""

    def __init__(self, network: Network, image: torch.Tensor) -> None:
        stem = network.stem
        first = stem.whole(image).relu_()
        last = functional.max_pool2d(first, *POOL)
        self.network, self.scratch = network, Scratch()
        self.layers, self.added = [Layer(first[0]), Layer(last[0])], list[Layer]()
        for block in network.blocks:
            made, added = block.whole(last)
            self.added.append(self.layers[-1] if block.shortcut is None else Layer(added[0]))
            self.layers += [Layer(activation[0]) for activation in made]
            last = made[-1]
        patches = functional.unfold(image, stem.kernel, padding=stem.padding, stride=stem.stride)
        self.patches = patches[0].t().contiguous()  # (positions, 3 * kernel * kernel)

    def logits(self, corners: torch.Tensor, patch: int) -> torch.Tensor:
        """Return logits (n, classes) with a square of side `patch` hidden at each upper left corner (n, 2)."""
        side = torch.full_like(corners[:, 0], patch)
        self._stem(Rectangles(corners[:, 0], corners[:, 1], side, side), patch)
        self._pool()
        start = 1
        for block, added in zip(self.network.blocks, self.added, strict=True):
            end = start + len(block.convolutions)
            block.changed(self.layers[start : end + 1], added, self.scratch)
            start = end
        return self.network.head(self._features(len(corners)))

    def _stem(self, window: Rectangles, patch: int) -> None:
        stem, layer = self.network.stem, self.layers[0]
        at = Positions(window.through(stem.kernel, stem.stride, stem.padding, layer.height, layer.width))
        rows, cols = at.grid(stem.kernel, stem.stride, stem.padding)
        down, right = rows - window.top[at.window], cols - window.left[at.window]
        is_hidden = ((down >= 0) & (down < patch))[:, None] & ((right >= 0) & (right < patch))[None]
        patches = torch.index_select(self.patches, 0, at.row * layer.width + at.col).view(at.count, 3, -1)
        patches.masked_fill_(is_hidden.view(-1, at.count).t()[:, None], 0)  # 0 is the mean colour
        torch.addmm(stem.bias, patches.flatten(1), self.network.stem_matrix, out=layer.change(at)).relu_()

    def _pool(self) -> None:
        source, target = self.layers[:2]
        at = Positions(source.positions.rectangles.through(*POOL, target.height, target.width))
        # The zeros of the border never win, because pooled values have passed a ReLU.
        index = source.index(at.window, *at.grid(*POOL))
        torch.amax(source.gather(index.view(-1, at.count), self.scratch), dim=0, out=target.change(at))

    def _features(self, n: int) -> torch.Tensor:
        """Return the mean of the last activation of every window, (n, channels)."""
        last = self.layers[-1]
        window = torch.arange(n, device=last.table.device)
        rows = torch.arange(last.height, device=window.device)[:, None].expand(-1, n)
        cols = torch.arange(last.width, device=window.device)[:, None].expand(-1, n)
        return last.gather(last.index(window, rows, cols).view(-1, n), self.scratch).mean(dim=0)
