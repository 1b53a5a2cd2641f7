"""Build torchvision models, untrained or with ImageNet weights. No Prefect.

This is a separate module because importing torchvision takes as long as importing torch. A run whose classifier works
in other processes does not need it, so it is imported only where a model is built.
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
        "torch and torchvision must be matching builds",
        "install both together from the default index: pip install --force-reinstall torch torchvision",
    ) from error


def build_model(
    architecture: str,
    n_classes: int,
    weights: Literal["none", "imagenet"],
    seed: int,
    key: str = "train.architecture",
) -> nn.Module:
    """Build a torchvision model with `n_classes` outputs.

    Parameters
    ----------
    key : name of the key that the architecture was given with, for error messages.

    Raises
    ------
    InputError : the name is unknown, ImageNet weights cannot be loaded, or the model has no linear layer to replace.
    """
    if architecture not in torchvision.models.list_models(module=torchvision.models):
        raise InputError(
            f"{key} is {architecture!r}",
            f"{key} must be the name of a torchvision classifier",
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
            f"The ImageNet weights of {architecture} cannot be loaded: {error}",
            "With train.weights = imagenet, torchvision's weights must be in its cache or on its server",
            "connect to the internet once, fill torch's hub cache (TORCH_HOME), or use train.weights = none",
        ) from error


def _replace_head(model: nn.Module, n_classes: int) -> nn.Module:
    """Replace the last linear layer, which in every torchvision classifier is the head."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(
            "The model of train.architecture has no linear layer",
            "The model must end in a linear layer",
            "use another train.architecture",
        )
    parent, _, name = linear[-1].rpartition(".")
    head = cast(nn.Linear, model.get_submodule(linear[-1]))
    setattr(model.get_submodule(parent), name, nn.Linear(head.in_features, n_classes))
    return model
