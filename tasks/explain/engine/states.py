"""Compute the early layers of a classifier once for each state of the superpixels that a place sees.

Where superpixels are hidden at random, a value of an early layer depends only on those few of them that it sees. A
thousand versions of an image have three different values at a typical place after the first convolution of a ResNet,
and some fifty after its first stage. So these layers are computed for each state that occurs, and each version takes
its values from them. The result equals whole passes up to float rounding.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import fx, nn
from torch.nn.functional import max_pool2d

from tasks.batches import batches
from tasks.explain.engine.graphs import image_graph
from tasks.explain.engine.incremental import Network, Step
from tasks.explain.engine.joined import packed_model
from tasks.explain.engine.rows import Positions, Rectangles, Table, divided
from tasks.explain.engine.rules import Convolution
from tasks.explain.engine.tiles import Scratch
from tasks.explain.engine.winograd import LARGEST, tiling

MOST_SHARE = 0.25  # most rows of a layer, as a share of the values of all versions; with more, whole passes are as fast
MOST_VALUES = 2**25  # most numbers of a layer's table, 128 MiB, and of what the pixels of an image belong to
VALUES_AT_ONCE = 2**20  # numbers of a layer that are computed at once
LEAST_WORK = 100  # multiplications that must be saved for each value that a version gathers
MOST_MEMBERS = 40  # superpixels whose states are told apart; places that see more have a state for each version


class ImageTable(Table):
    """Pixels of an image (3, h, w) and of its hidden version, of which each version of the image takes some.

    Parameters
    ----------
    pair : (2, 3, h, w), the image, and what hides it.
    segments : (h, w) superpixel of each pixel.
    shown : (versions, superpixels) bool, which superpixels each version shows.
    """

    def __init__(self, pair: torch.Tensor, segments: torch.Tensor, shown: torch.Tensor) -> None:
        self.height, self.width = segments.shape
        self.segments, self.shown = segments, shown
        pixels = pair.flip(0).permute(0, 2, 3, 1).reshape(-1, pair.shape[1])
        self.table = torch.cat([pixels.new_zeros(1, pixels.shape[1]), pixels])

    def index(self, window: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
        """Return the rows of pixels, 0 outside the image."""
        is_inside, down, right = _inside(self, rows, cols)
        is_shown = self.shown[window, self.segments[down, right]]
        return torch.where(is_inside, 1 + down * self.width + right + is_shown * (self.height * self.width), 0)


def _inside(layer: Table, rows: torch.Tensor, cols: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return whether positions (a, b, n) are inside a layer, with their rows and columns moved inside."""
    down, right = rows.clamp(0, layer.height - 1)[:, None], cols.clamp(0, layer.width - 1)[None]
    return (down == rows[:, None]) & (right == cols[None]), down, right


class StateTable(Table):
    """Activation of a layer, with the rows of each state in which a square block of positions occurs.

    Parameters
    ----------
    seen : (superpixels, h, w) bool, what each position sees.
    shown : (versions, superpixels) bool, which superpixels each version shows.
    side : positions along a side of a block.
    channels : numbers at a position, of the type of `like`.

    Attributes
    ----------
    boxes : the block of each state, in the order of the rows; 0 is a row of zeros.
    versions : (states,) a version of the image in which each state occurs.
    """

    def __init__(self, seen: torch.Tensor, shown: torch.Tensor, side: int, channels: int, like: torch.Tensor) -> None:
        _, self.height, self.width = seen.shape
        blocks = _blocks(seen, side)
        self.side, self.across = side, blocks.shape[2]
        sets, self.group = torch.unique(blocks.flatten(1), dim=1, return_inverse=True)
        ranks, versions = zip(*(_states(shown[:, members]) for members in sets.t()), strict=True)
        self.ranks = torch.stack(ranks)
        n_states = torch.tensor([len(one) for one in versions])[self.group]
        corners = (torch.arange(0, n, side) for n in seen.shape[1:])
        top, left = (one.flatten() for one in torch.meshgrid(*corners, indexing="ij"))
        self.rows_each, self.cols_each = (self.height - top).clamp(max=side), (self.width - left).clamp(max=side)
        sizes = n_states * self.rows_each * self.cols_each
        self.start = 1 + sizes.cumsum(0) - sizes
        block = torch.repeat_interleave(torch.arange(len(self.group)), n_states)
        self.boxes = Rectangles(*(of[block] for of in (top, left, self.rows_each, self.cols_each)))
        self.versions = torch.cat([versions[one] for one in self.group.tolist()])
        self.table = like.new_zeros(1 + int(sizes.sum()), channels)

    def fill(self, step: Step, layers: Mapping[fx.Node, Table], scratch: Scratch) -> None:
        """Compute the rows of all states by a step from the layers that it reads."""
        boxes, end = self.boxes, 1
        n_each = max(1, VALUES_AT_ONCE // (self.side**2 * self.table.shape[1]))
        for part in batches(len(self.versions), n_each):
            some = Rectangles(*(of[part] for of in (boxes.top, boxes.left, boxes.rows, boxes.cols)))
            at = Positions(some, self.versions[part])
            start, end = end, end + at.count
            step.compute(layers, at, self.table[start:end], scratch)

    def index(self, window: torch.Tensor, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
        """Return the rows of the states of versions, 0 outside the layer."""
        is_inside, down, right = _inside(self, rows, cols)
        block = divided(down, self.side) * self.across + divided(right, self.side)
        state = self.ranks[self.group[block], window]
        within = (state * self.rows_each[block] + down % self.side) * self.cols_each[block] + right % self.side
        return torch.where(is_inside, self.start[block] + within, 0)


def _blocks(seen: torch.Tensor, side: int) -> torch.Tensor:
    """Return which superpixels the blocks of positions see, (superpixels, blocks down, blocks across) bool."""
    return max_pool2d(seen.float(), side, ceil_mode=True) > 0


def _states(shown: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Number the states in which some superpixels occur, for `shown` (versions, superpixels) bool.

    Returns
    -------
    (versions,) state of each version; (states,) a version for each state.
    """
    n, members = shown.shape
    if members > MOST_MEMBERS:
        return torch.arange(n), torch.arange(n)
    keys = shown.long() @ (1 << torch.arange(members))
    _, first, rank = np.unique(keys.numpy(), return_index=True, return_inverse=True)
    return torch.from_numpy(rank), torch.from_numpy(first)


def _best_side(step: Step, seen: torch.Tensor, n: int, channels: int) -> int | None:
    """Return the side of blocks with which a layer takes the fewest multiplications; None if its rows are too many.

    Rows are counted as if the superpixels were hidden independently, each in half of `n` versions.
    """
    is_tiled = isinstance(step.head, Convolution) and step.head.is_tiled
    most, least, best = min(MOST_SHARE * n * seen[0].numel(), MOST_VALUES / channels), math.inf, None
    for side in range(1, LARGEST + 1) if is_tiled else [1]:
        share = 0.5 ** _blocks(seen, side).sum(dim=0)  # of the versions that have one state
        n_states = float(((1 - (1 - share) ** n) / share).sum())
        cost = n_states * tiling(side, step.head.sizes[1]).seen ** 2
        if n_states * side**2 <= most and cost < least:
            least, best = cost, side
    return best


class SharedNetwork(Network):
    """Network of a classifier whose early layers the versions of an image share."""

    def __init__(self, model: fx.GraphModule) -> None:
        super().__init__(model, has_windows=False)
        self.last: tuple[list[fx.Node], nn.Module, list[fx.Node]] | None = None

    def packed_after(self, ends: list[fx.Node]) -> tuple[nn.Module, list[fx.Node]]:
        """Return what follows the steps with these ends, packed, and the nodes whose activations it takes.

        The last one is kept: the next image mostly shares as much, and packing transforms every kernel anew.
        """
        if self.last is None or self.last[0] != ends:
            tail, cut = self.after(ends)
            self.last = ends, packed_model(tail), cut
        return self.last[1:]


class SharedLayers:
    """Early layers of a network for all versions of an image, and the logits of each version.

    Parameters
    ----------
    network : the classifier.
    pair, segments, shown : the image and its versions, as of `ImageTable`.

    Attributes
    ----------
    multiplications : those of the shared layers for one version.
    tail, layers : graph of the layers that are not shared, and what it reads of those that are.
    """

    def __init__(self, network: SharedNetwork, pair: torch.Tensor, segments: torch.Tensor, shown: torch.Tensor) -> None:
        layers: dict[fx.Node, Table] = {network.image: ImageTable(pair, segments, shown)}
        seen = {network.image: segments == torch.arange(shown.shape[1])[:, None, None]}
        scratch, ends, self.multiplications = Scratch(), list[fx.Node](), 0
        for number, step in enumerate(network.steps):
            here = seen[step.end] = step.sees(seen)
            channels = step.head.n_outputs or layers[step.source].table.shape[1]
            side = _best_side(step, here, len(shown), channels)
            if side is None:
                break
            layer = layers[step.end] = StateTable(here, shown, side, channels, like=pair)
            layer.fill(step, layers, scratch)
            ends.append(step.end)
            if isinstance(step.head, Convolution):
                self.multiplications += step.head.weight.numel() * here[0].numel()
            read = {node for later in network.steps[number + 1 :] for node in (later.source, *later.follow)}
            layers = {node: one for node, one in layers.items() if node in read or node in network.cut}
        self.tail, cut = network.packed_after(ends)
        self.layers = [layers[node] for node in cut]

    @property
    def pays(self) -> bool:
        """Return whether the layers save more than it takes to gather their values for each version."""
        n_values = sum(one.height * one.width * one.table.shape[1] for one in self.layers)
        return self.multiplications > LEAST_WORK * n_values

    def logits(self, versions: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, classes) of some versions (n,)."""
        return self.tail(*(one.whole(versions) for one in self.layers))


def shared_layers(
    network: SharedNetwork, pair: torch.Tensor, segments: torch.Tensor, shown: torch.Tensor
) -> SharedLayers | None:
    """Return the shared layers of an image; None if they do not pay, or if it has too many superpixels."""
    if shown.shape[1] * segments.numel() > MOST_VALUES:
        return None
    layers = SharedLayers(network, pair, segments, shown)
    return layers if layers.pays else None


def shared_network(model: nn.Module) -> SharedNetwork | None:
    """Return the network of a classifier for `shared_layers`; None if it cannot be taken apart."""
    graph = image_graph(model)
    return None if graph is None else SharedNetwork(graph)
