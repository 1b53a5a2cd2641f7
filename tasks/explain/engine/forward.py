"""Speed up forward passes for saliency methods that run the classifier thousands of times per image.

Batch normalisation is folded into the convolutions. Tensors are laid out channels last, which oneDNN and cuDNN prefer.
On a CPU, 3x3 convolutions with many channels run as Winograd tiles. All three change numbers only by float rounding.
"""

import copy
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.fx.proxy import TraceError
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tasks.classify.model import Classifier, check_logits, pass_size
from tasks.explain.engine.winograd import with_winograd
from tasks.parameters import Runtime

Forward = Callable[[torch.Tensor], torch.Tensor]  # normalised inputs (n, 3, h, w) -> logits (n, n_classes) float32


def fast_model(classifier: Classifier, runtime: Runtime, tiled: bool = True, keep: str | None = None) -> nn.Module:
    """Copy the classifier's model for many forward passes, with the same modules under the same names.

    With `tiled` false, the convolutions are torch's own, as an independent reference. The layer `keep` keeps its
    output: a normalisation that follows it is not folded into it.
    """
    if isinstance(classifier.model, torch.export.UnflattenedModule):
        return classifier.model  # an exported program can be neither copied nor changed
    model = copy.deepcopy(classifier.model)
    for convolution, norm in folding_pairs(model):
        if keep is None or not (_is_within(convolution, keep) and not _is_within(norm, keep)):
            _replace(model, convolution, fuse_conv_bn_eval(*map(model.get_submodule, (convolution, norm))))  # type: ignore[type-var]
            _replace(model, norm, nn.Identity())
    if tiled and classifier.device.type == "cpu" and runtime.saliency_precision == "float32":
        model = with_winograd(model)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


TRACING = threading.Lock()  # allows one trace at a time, because the tracer keeps its patches in a global


class ThreadTracer(torch.fx.Tracer):
    """Tracer that records only the calls of its own thread.

    Tracing replaces `nn.Module.__call__` for the whole process. Without this class, a model that another task runs at
    that moment fails with `module is not installed as a submodule`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Record a call of the tracing thread, and run calls of other threads unchanged."""
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)


def folding_pairs(model: nn.Module) -> list[tuple[str, str]]:
    """Return the names of convolutions, each with that of the batch normalisation that alone uses its output.

    The list is empty if the model cannot be traced, because its control flow depends on values.
    """
    tracer = ThreadTracer()
    try:
        with TRACING:
            graph = tracer.trace(model)
    except (TraceError, TypeError, AttributeError, NotImplementedError):
        return []
    finally:
        # Tracer and proxies refer to each other. With the model in that cycle, it would stay in memory until Python's
        # next full collection. A process that explains task after task would hold several models, 400 MB each.
        vars(tracer).pop("root", None)
    modules, pairs = dict(model.named_modules()), list[tuple[str, str]]()
    for node in graph.nodes:
        if node.op == "call_module" and type(modules[node.target]) is nn.BatchNorm2d:
            source = node.args[0]
            if source.op == "call_module" and type(modules[source.target]) is nn.Conv2d and len(source.users) == 1:
                pairs.append((source.target, node.target))
    called = Counter(node.target for node in graph.nodes if node.op == "call_module")
    return [pair for pair in pairs if all(called[name] == 1 for name in pair)]


def _is_within(name: str, layer: str) -> bool:
    return f"{name}.".startswith(f"{layer}.")


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


def fast_forward(classifier: Classifier, runtime: Runtime, tiled: bool = True) -> Forward:
    """Return a function of normalised inputs that gives the classifier's logits, without gradients, by `fast_model`."""
    model = fast_model(classifier, runtime, tiled)

    def logits(inputs: torch.Tensor) -> torch.Tensor:
        size = pass_size(classifier.device.type, inputs.shape[2:], runtime.batch_size)
        with torch.inference_mode(), autocast(classifier, runtime):
            out = torch.cat([model(part.contiguous(memory_format=torch.channels_last)) for part in inputs.split(size)])
        check_logits(out, len(inputs), len(classifier.classes))
        return out.float()

    return logits


def autocast(classifier: Classifier, runtime: Runtime) -> AbstractContextManager[object]:
    """Return a context with bfloat16 where the runtime asks for it; TF32 is set for the process with the device."""
    if runtime.saliency_precision != "bfloat16":
        return nullcontext()
    return torch.autocast(classifier.device.type, dtype=torch.bfloat16)


def class_scores(logits: torch.Tensor, explained: int, score: str) -> torch.Tensor:
    """Return the score (n,) float64 of one class: its softmax probability, or its logit.

    The softmax is computed in float64. Near 0 and 1, a float32 probability loses the differences that make up a map.
    """
    wide = logits.double()
    return wide[:, explained] if score == "logit" else torch.softmax(wide, dim=1)[:, explained]
