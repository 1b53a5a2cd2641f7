"""Trace a model's graph while other threads run models, with a mark at the output of one layer."""

import operator
import threading
from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.fx import Graph, GraphModule
from torch.fx.proxy import Proxy, TraceError
from torch.nn import functional

RELUS = (functional.relu, torch.relu)
ADDITIONS = (operator.add, operator.iadd, torch.add)
TRACING = threading.Lock()  # allows one trace at a time, because the tracer keeps its patches in a global
KEPT = "kept_output"  # module of a packed model that returns the output of the layer to keep


class Kept(nn.Identity):
    """Mark the output of a layer in a graph, in which the layer itself is no module."""


class ThreadTracer(torch.fx.Tracer):
    """Tracer that records only the calls of its own thread, and marks the output of the layer `keep`.

    Tracing replaces `nn.Module.__call__` and `__getattr__` for the whole process. Without this class, a model that
    another task runs at that moment fails with `module is not installed as a submodule`, and one that shares weights
    with the traced model computes with the trace's stand-ins for them.
    """

    def __init__(self, keep: str | None = None) -> None:
        super().__init__()
        self.thread, self.keep = threading.get_ident(), keep

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Proxy]) -> Any:
        """Return a stand-in for a weight to the tracing thread, and the weight itself to other threads."""
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Record a call of the tracing thread, and run calls of other threads unchanged."""
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        output = super().call_module(m, forward, args, kwargs)
        if self.keep is None or not isinstance(output, Proxy) or self.path_of_module(m) != self.keep:
            return output
        return self.create_proxy("call_module", KEPT, (output,), {})


def traced(model: nn.Module, keep: str | None = None) -> Graph | None:
    """Return a model's graph; None if it cannot be traced, because its control flow depends on values."""
    tracer = ThreadTracer(keep)
    try:
        with TRACING:
            return tracer.trace(model)
    except (TraceError, TypeError, AttributeError, NotImplementedError):
        return None
    finally:
        # Tracer and proxies refer to each other. With the model in that cycle, it would stay in memory until Python's
        # next full collection. A process that explains task after task would hold several models, 400 MB each.
        vars(tracer).pop("root", None)


def folding_pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Return the names of convolutions, each with that of the batch normalisation that alone uses its output.

    The list is empty if the model cannot be traced.
    """
    graph = traced(model)
    if graph is None:
        return []
    modules, pairs = dict(model.named_modules()), list[tuple[str, str]]()
    for node in graph.nodes:
        if node.op == "call_module" and type(modules[node.target]) is nn.BatchNorm2d:
            source = node.args[0]
            if source.op == "call_module" and type(modules[source.target]) is nn.Conv2d and len(source.users) == 1:
                pairs.append((source.target, node.target))
    called = Counter(node.target for node in graph.nodes if node.op == "call_module")
    return [pair for pair in pairs if all(called[name] == 1 for name in pair)]


def kept_name(model: nn.Module, layer: str) -> str:
    """Return the name of the module whose output is that of the kept layer: another one in a packed model."""
    return next((name for name, module in model.named_modules() if isinstance(module, Kept)), layer)


def module_of(model: nn.Module, graph: Graph) -> GraphModule:
    """Return a module that runs a graph with a model's modules, and is gone with its last user."""
    made = GraphModule(model, graph)
    made.graph.owning_module = None  # breaks the cycle of both, as in `traced`
    return made
