"""Trace a classifier, and find the rule by which each node of its graph is computed in part."""

from torch import fx, nn

from tasks.explain.engine.forward import folded_copy
from tasks.explain.engine.rules import Convolution, Copy, Head, Pool, SpreadConvolution, Stem
from tasks.explain.engine.tracing import ADDITIONS, RELUS, module_of, traced
from tasks.explain.engine.winograd import is_plain, suits

# Modules of a classifier's end, which take little time and need not be computed in part.
ENDS = (nn.ReLU, nn.Identity, nn.AdaptiveAvgPool2d, nn.MaxPool2d, nn.AvgPool2d, nn.Flatten, nn.Linear, nn.Dropout)
# Least channels of a convolution with groups. Networks with fewer have so small layers that the time goes into indices:
# at 256 pixels, windows of a RegNetX-400MF (32 channels) and a MobileNetV2 took longer than whole passes.
MIN_GROUPED = 128


def image_graph(model: nn.Module) -> fx.GraphModule | None:
    """Return a traced copy of a model of images in evaluation mode, batch normalisation folded into convolutions.

    None if it cannot be traced, or takes more than images.
    """
    folded = None if model.training else folded_copy(model)
    graph = None if folded is None else traced(folded)
    if graph is None or folded is None or len(graph.find_nodes(op="placeholder")) != 1:
        return None
    return module_of(folded, graph)


def called(model: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls; None if it calls none."""
    return model.get_submodule(str(node.target)) if node.op == "call_module" else None


def is_relu(model: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node is a ReLU."""
    return isinstance(called(model, node), nn.ReLU) or (node.op == "call_function" and node.target in RELUS)


def is_identity(model: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node returns its input, as a folded normalisation does."""
    return isinstance(called(model, node), nn.Identity)


def is_addition(node: fx.Node) -> bool:
    """Return whether a node adds two different tensors."""
    is_sum = node.op == "call_function" and node.target in ADDITIONS and not node.kwargs
    return is_sum and len(node.all_input_nodes) == 2


def is_end(model: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node takes little time: a function, or a module that ends a classifier."""
    module = called(model, node)
    return module is None or isinstance(module, ENDS)


def head_of(model: fx.GraphModule, node: fx.Node, has_windows: bool) -> Head | None:
    """Return the rule of a node that starts a step; None if it has none, or gains nothing by it."""
    module = called(model, node)
    if isinstance(module, nn.Conv2d) and is_plain(module, grouped=True):
        if module.groups > 1:
            return Convolution(module) if _is_wide(module) else None
        source = node.all_input_nodes[0]
        is_stem = has_windows and source.op == "placeholder" and len(source.users) == 1
        if is_stem:
            return Stem(module)
        spreads = has_windows and module.stride == (1, 1) and suits(module.weight, 1)
        return SpreadConvolution(module) if spreads else Convolution(module)
    if isinstance(module, nn.MaxPool2d):
        return _pool(model, node, module)
    return Copy() if is_relu(model, node) or is_identity(model, node) or is_addition(node) else None


def _is_wide(convolution: nn.Conv2d) -> bool:
    is_depthwise = convolution.groups == convolution.in_channels
    return convolution.out_channels >= MIN_GROUPED and not is_depthwise


def _pool(model: fx.GraphModule, node: fx.Node, module: nn.MaxPool2d) -> Pool | None:
    sizes = (module.kernel_size, module.stride, module.padding)
    if module.ceil_mode or module.dilation != 1 or not all(isinstance(size, int) for size in sizes):
        return None
    # The zeros around an activation win no maximum where no value is negative.
    is_safe = module.padding == 0 or is_relu(model, node.all_input_nodes[0])
    return Pool(*sizes) if is_safe else None  # type: ignore[arg-type]
