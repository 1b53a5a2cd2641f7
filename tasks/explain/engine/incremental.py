"""Compute a network's logits for an image with a window hidden, in each layer only where the window changes it.

The result is exact up to float rounding. In every layer, the rectangle that a window can change is computed again, with
the halo it sees. Everything outside is taken from the image without a window. For a ResNet18 at 256x256 pixels and a
patch of 11, this leaves 1/41 of the work in the first stage, 1/10 in the second, 1/3 in the third and 1/1.2 in the
fourth. In addition, 3x3 convolutions with many channels run as Winograd tiles. With stride 1, these convolve only what
the window adds to their inputs, whose outputs are added to those of the image without a window.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import fx, nn

from tasks.explain.engine.graphs import head_of, image_graph, is_addition, is_end, is_relu
from tasks.explain.engine.rows import Layer, Positions, Rectangles, Table
from tasks.explain.engine.rules import Copy, Head
from tasks.explain.engine.tiles import Scratch
from tasks.explain.engine.tracing import module_of


@dataclass
class Step:
    """Head with the ReLUs and additions that follow it, which change its rows in place.

    Attributes
    ----------
    head, source : first operation, and the node that it reads.
    end : node of the graph that has the step's output.
    follow : nodes whose rows are added, and None for a ReLU, in their order.
    """

    head: Head
    source: fx.Node
    end: fx.Node
    follow: list[fx.Node | None] = field(default_factory=list[fx.Node | None])

    def fill(self, layers: dict[fx.Node, Layer], scratch: Scratch) -> None:
        """Fill the changed rows of the step's layer from those of its source."""
        source, target = layers[self.source], layers[self.end]
        rectangles = self.head.reached(source, target.height, target.width)
        for added in self.follow:
            if added is not None:
                rectangles = rectangles.union(layers[added].positions.rectangles)
        at = self.head.positions(source, rectangles)
        out = target.change(at)
        if at.count:
            self.compute(layers, at, out, scratch)

    def sees(self, seen: Mapping[fx.Node, torch.Tensor]) -> torch.Tensor:
        """Return which things each output position sees, (things, h, w) bool, from what those of each source see."""
        kernel, stride, padding = self.head.sizes
        padded = nn.functional.pad(seen[self.source].float(), [padding] * 4)
        found = nn.functional.max_pool2d(padded, kernel, stride) > 0
        for added in self.follow:
            if added is not None:
                found |= seen[added]
        return found

    def compute(self, layers: Mapping[fx.Node, Table], at: Positions, out: torch.Tensor, scratch: Scratch) -> None:
        """Write the output rows at some positions into `out` (count, channels)."""
        self.head.changed(layers[self.source], at, out, scratch)
        for added in self.follow:
            if added is None:
                out.relu_()
            else:
                out += layers[added].rows(at, scratch)


class Network:
    """Steps of a network that are computed for rows, and graphs of all that follows them.

    Parameters
    ----------
    model : traced network, whose only input is `image`.
    has_windows : windows are hidden in the image, for which its first convolution has a rule of its own.

    Attributes
    ----------
    steps : the steps, in an order in which each comes after its sources.
    tail, cut : graph of all that follows the steps, and the nodes whose whole activations it takes.
    """

    def __init__(self, model: fx.GraphModule, has_windows: bool = True) -> None:
        self.model, nodes = model, list(model.graph.nodes)
        self.image = nodes[0]
        open_steps, local = dict[fx.Node, Step](), {self.image}
        for node in nodes:
            if node.all_input_nodes and local.issuperset(node.all_input_nodes):
                step = _step(model, node, open_steps, has_windows)
                if step is not None:
                    open_steps[node] = step
                    local.add(node)
        self.steps = [open_steps[node] for node in nodes if node in open_steps]
        self.tail, self.cut = self.after(step.end for step in self.steps)

    def after(self, ends: Iterable[fx.Node]) -> tuple[fx.GraphModule, list[fx.Node]]:
        """Return a graph of what follows the steps with these ends, and the nodes whose activations it takes."""
        done, needed = {self.image, *ends}, set(self.model.graph.find_nodes(op="output"))
        for node in reversed(self.model.graph.nodes):
            if node in needed and node not in done:
                needed.update(node.all_input_nodes)
        cut = [node for node in self.model.graph.nodes if node in needed and node in done]
        graph = fx.Graph()
        copies = {node: graph.placeholder(node.name) for node in cut}
        for node in self.model.graph.nodes:
            if node in needed and node not in done:
                copies[node] = graph.node_copy(node, copies.__getitem__)
        return module_of(self.model, graph), cut


def _step(model: fx.GraphModule, node: fx.Node, steps: dict[fx.Node, Step], has_windows: bool) -> Step | None:
    """Return the step that ends with a node: a new one, or one of the open ones, taken from them.

    None if no rule computes the node in part.
    """
    head, inputs = head_of(model, node, has_windows), node.all_input_nodes
    if head is None:
        return None
    if not isinstance(head, Copy):
        return Step(head, inputs[0], node)
    # Only what nothing else reads can be changed in place.
    first = next((one for one in inputs if one in steps and len(one.users) == 1), None)
    step = Step(head, inputs[0], node) if first is None else steps.pop(first)
    step.end = node
    if is_addition(node):
        step.follow += [one for one in inputs if one is not (first or inputs[0])]
    elif is_relu(model, node):
        step.follow.append(None)
    return step


def take_apart(model: nn.Module) -> Network | None:
    """Return the `Network` of a classifier; None if more than its pooling and linear layers takes whole passes.

    With squeeze-and-excitation, a mean of all positions scales each of them. So most of the network sees the whole
    image. Concatenations, depthwise convolutions and few channels would take longer than whole passes.
    """
    graph = image_graph(model)
    if graph is None:
        return None
    network = Network(graph)
    return network if network.steps and all(is_end(graph, node) for node in network.tail.graph.nodes) else None


class Recorder(fx.Interpreter):
    """Run of a network for one image that keeps the activations of some nodes as layers."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.model)
        self.layers = dict[fx.Node, Layer]()
        self.kept = {network.image, *(step.end for step in network.steps)}

    def run_node(self, n: fx.Node) -> object:
        """Run a node, and keep its output before another node changes it in place."""
        found = super().run_node(n)
        if n in self.kept:
            self.layers[n] = Layer(found[0])
        return found


class OccludedImage:
    """Normalised image (1, 3, h, w) whose activations are kept, for the logits of its occluded versions."""

    def __init__(self, network: Network, image: torch.Tensor) -> None:
        recorder = Recorder(network)
        recorder.run(image)
        self.network, self.layers, self.scratch = network, recorder.layers, Scratch()

    def logits(self, corners: torch.Tensor, patch: int) -> torch.Tensor:
        """Return logits (n, classes) with a square of side `patch` hidden at each upper left corner (n, 2)."""
        side, windows = torch.full_like(corners[:, 0], patch), torch.arange(len(corners), device=corners.device)
        hidden = Positions(Rectangles(corners[:, 0], corners[:, 1], side, side))
        self.layers[self.network.image].change(hidden).zero_()  # 0 is the mean colour
        for step in self.network.steps:
            step.fill(self.layers, self.scratch)
        return self.network.tail(*(self.layers[node].whole(windows) for node in self.network.cut))
