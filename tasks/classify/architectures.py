"""Models of torchvision, untrained or with its weights. No Prefect.

A module of its own because torchvision takes as long to import as torch itself: a run that sends its classifier's work
elsewhere begins without it, so it is imported where a model is made.
"""

from typing import Literal, cast
from urllib.error import URLError

import torch
from torch import nn

from storage.errors import InputError

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    raise InputError(
        f"torchvision cannot be imported beside torch {torch.__version__}: {error}",
        "torch and torchvision must be builds of the same kind",
        "install both together from the default index: pip install --force-reinstall torch torchvision",
    ) from error


def build_model(architecture: str, n_classes: int, weights: Literal["none", "imagenet"], seed: int) -> nn.Module:
    """A torchvision model with `n_classes` outputs.

    Raises
    ------
    InputError : unknown name; ImageNet weights that cannot be had; no linear head to replace.
    """
    if architecture not in torchvision.models.list_models(module=torchvision.models):
        raise InputError(
            repr(architecture),
            "train.architecture is the name of a torchvision classifier",
            "use for example resnet18, resnet50 or mobilenet_v3_small",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if weights == "none":
            return torchvision.models.get_model(architecture, weights=None, num_classes=n_classes)
        return _replace_head(_imagenet_model(architecture), n_classes)


def _imagenet_model(architecture: str) -> nn.Module:
    try:
        return torchvision.models.get_model(architecture, weights="DEFAULT")
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"{architecture}: {error}",
            "train.weights = imagenet needs torchvision's weights in its cache or from its server",
            "connect to the internet once, fill torch's hub cache (TORCH_HOME), or use train.weights = none",
        ) from error


def _replace_head(model: nn.Module, n_classes: int) -> nn.Module:
    """Replace the last linear layer, which in every torchvision classifier is the head."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError("none", "The model must end in a linear layer", "use another train.architecture")
    parent, _, name = linear[-1].rpartition(".")
    head = cast(nn.Linear, model.get_submodule(linear[-1]))
    setattr(model.get_submodule(parent), name, nn.Linear(head.in_features, n_classes))
    return model
