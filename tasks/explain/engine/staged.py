"""Run the early layers of a model on few images at once, and the late ones on many.

Early activations are large: those of many images fit neither into the processor's cache nor into the memory that the
allocator keeps. Late ones are small, and the matrix products of their Winograd tiles need many images.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Interpreter, Node

from tasks.classify.model import CPU_PIXELS, pass_size
from tasks.explain.engine.tracing import KEPT, module_of

LATE_PASSES = 4  # images of a pass of the late layers, as a multiple of those of a whole pass


def late_pass(shape: Sequence[int], batch_size: int) -> int:
    """Return the number of images (h, w) that pass late layers at once on a CPU, at most `batch_size`."""
    return min(batch_size, LATE_PASSES * pass_size("cpu", shape, batch_size))


class StagedModel(nn.Module):
    """Model in two parts, which gives the same answers as in one."""

    def __init__(self, early: nn.Module, late: nn.Module) -> None:
        super().__init__()
        self.early, self.late = early, late

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the late part's output for images (n, 3, h, w), of which the early part takes a few at a time."""
        size = max(1, CPU_PIXELS // math.prod(inputs.shape[2:]))
        return self.late(torch.cat([self.early(part) for part in inputs.split(size)]))


class SizeReader(Interpreter):
    """Interpreter of a graph that notes how many numbers each node gives."""

    def __init__(self, model: GraphModule) -> None:
        super().__init__(model)
        self.numbers: dict[Node, int] = {}

    def run_node(self, n: Node) -> Any:
        """Run a node and note the size of its output."""
        output = super().run_node(n)
        if isinstance(output, torch.Tensor):
            self.numbers[n] = output.numel()
        return output


def staged(model: GraphModule, image: torch.Tensor) -> nn.Module:
    """Cut a model where it first holds fewer numbers than its input, an image (1, 3, h, w).

    A cut has one tensor alone, and lies below the kept output. A model without such a place is returned itself.
    """
    reader, nodes = SizeReader(model), list(model.graph.nodes)
    reader.run(image)
    at = next((i for i in single_values(nodes) if reader.numbers.get(nodes[i], math.inf) < image.numel()), None)
    if at is None:
        return model
    early, late = Graph(), Graph()
    copies: dict[Node, Node] = {}
    for node in nodes[: at + 1]:
        copies[node] = early.node_copy(node, copies.__getitem__)
    early.output(copies[nodes[at]])
    copies = {nodes[at]: late.placeholder("early")}
    for node in nodes[at + 1 :]:
        copies[node] = late.node_copy(node, copies.__getitem__)
    return StagedModel(module_of(model, early), module_of(model, late))


def single_values(nodes: list[Node]) -> list[int]:
    """Return the positions of nodes after which no output but their own is used, up to the kept output."""
    position = {node: i for i, node in enumerate(nodes)}
    singles, last_use = list[int](), 0
    for i, node in enumerate(nodes[:-1]):  # the last is the model's output
        if node.target == KEPT:
            break
        if last_use <= i:
            singles.append(i)
        last_use = max(last_use, *(position[user] for user in node.users), i)
    return singles
