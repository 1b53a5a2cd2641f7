"""Join the convolutions of a model's graph with what follows them."""

import operator

import torch
from torch import nn
from torch.fx import Graph, Node

from tasks.explain.engine.packed import ACTIVATIONS, RELU, Activation, PackedConvolution
from tasks.explain.engine.tiles import Scratch
from tasks.explain.engine.tracing import ADDITIONS, KEPT, RELUS, Kept, module_of, traced


def packed_model(model: nn.Module, keep: str | None = None) -> nn.Module:
    """Return a model in evaluation mode as a graph with packed convolutions, for one thread at a time.

    Convolutions above the layer `keep` stay as they are, because packed ones have no gradient. The layer's output is
    that of another module (see `kept_name`). A model that cannot be traced, or has nothing to pack, is returned itself.
    """
    graph = traced(model, keep)
    if graph is None:
        return model
    modules, scratch = dict(model.named_modules()), Scratch()
    for node in graph.nodes:
        if type(_module(node, modules)) in (nn.Identity, nn.Dropout):  # a folded normalisation
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    above = _above_kept(graph)
    convolutions = [node for node in graph.nodes if node not in above and _can_pack(_module(node, modules))]
    for number, node in enumerate(convolutions):
        joined, added, activation = _followers(node, modules, above)
        model.add_module(f"packed_{number}", PackedConvolution(modules[str(node.target)], activation, scratch))  # type: ignore[arg-type]
        with graph.inserting_before(joined[-1]):
            inputs = (node.args[0],) if added is None else (node.args[0], added)
            packed = graph.call_module(f"packed_{number}", inputs)
        joined[-1].replace_all_uses_with(packed)
        for done in reversed(joined):
            graph.erase_node(done)
    if not convolutions:
        return model
    model.add_module(KEPT, Kept())
    return module_of(model, graph)


def _module(node: Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules.get(str(node.target)) if node.op == "call_module" else None


def _can_pack(module: nn.Module | None) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
        and module.weight.dtype == torch.float32
    )


def _above_kept(graph: Graph) -> set[Node]:
    """Return the nodes that use the kept output, which need a gradient."""
    above = set[Node]()
    for node in graph.nodes:
        if node.target == KEPT or not above.isdisjoint(node.all_input_nodes):
            above.add(node)
    return above


def _followers(
    node: Node, modules: dict[str, nn.Module], above: set[Node]
) -> tuple[list[Node], Node | None, Activation | None]:
    """Return a convolution's node with those that join it, what they add to its output, and their activation."""
    joined, added = [node], None
    user = _only_user(node)
    if user is not None and user not in above and _adds_to(user, node):
        (added,) = set(user.all_input_nodes) - {node}
        joined.append(user)
        user = _only_user(user)
    activation = None if user is None else _activation(user, modules)
    return joined if activation is None else [*joined, user], added, activation  # type: ignore[list-item]


def _only_user(node: Node) -> Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _adds_to(user: Node, node: Node) -> bool:
    """Return whether a node adds another tensor to this one, and changes no other in place."""
    if user.op != "call_function" or user.target not in ADDITIONS or user.kwargs or len(user.all_input_nodes) != 2:
        return False
    return user.target is not operator.iadd or user.args[0] is node


def _activation(node: Node, modules: dict[str, nn.Module]) -> Activation | None:
    if node.op == "call_function" and node.target in RELUS:
        return RELU
    module = _module(node, modules)
    return None if module is None else ACTIVATIONS.get(type(module))
