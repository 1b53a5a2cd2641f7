"""Weights find their place under other names, and what does not fit is refused by its cause."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from storage.errors import InputError
from tasks.classify.given import read_model
from tasks.classify.weight_names import Weights, fit_weights
from tests.support.classifiers import ARCHITECTURE, saved, torchvision_model

pytestmark = pytest.mark.usefixtures("one_thread")
MODEL = torchvision_model()
WEIGHTS: Weights = {name: tensor.clone() for name, tensor in MODEL.state_dict().items()}
IMAGES = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def with_prefix(prefix: str, weights: Weights = WEIGHTS) -> Weights:
    return {prefix + name: tensor for name, tensor in weights.items()}


def without(weights: Weights, ending: str) -> Weights:
    return {name: tensor for name, tensor in weights.items() if not name.endswith(ending)}


def read(weights: Weights, architecture: str = ARCHITECTURE, n_classes: int = 2) -> nn.Module:
    return read_model(saved(weights), architecture, n_classes, "given.pt")().eval()


ACCEPTED: dict[str, Weights] = {
    "no prefix": WEIGHTS,
    "DataParallel": with_prefix("module."),
    "torch.compile": with_prefix("_orig_mod."),
    "Lightning": with_prefix("model."),
    "Lightning with a weighted loss": {**with_prefix("model."), "criterion.weight": torch.ones(2)},
    "Lightning with a confusion matrix": {**with_prefix("model."), "val.confmat": torch.ones(2, 2, dtype=torch.int64)},
    "DataParallel of torch.compile": with_prefix("module._orig_mod."),
    "torch.compile in Lightning": with_prefix("model._orig_mod."),
    "a compiled layer": {name.replace("stage2.", "stage2._orig_mod."): tensor for name, tensor in WEIGHTS.items()},
    "a name of somebody's own": with_prefix("net.backbone."),
    "a copy with averaged weights": {**with_prefix("model."), **with_prefix("ema_model.module.")},
    "without counters": without(WEIGHTS, "num_batches_tracked"),
    "profiled by thop": {**WEIGHTS, "total_ops": torch.zeros(1), "fc.total_params": torch.zeros(1)},
    "double precision": {name: t.double() if t.is_floating_point() else t for name, t in WEIGHTS.items()},
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_weights_under_usual_names_give_the_models_answers(name: str) -> None:
    with torch.no_grad():
        torch.testing.assert_close(read(ACCEPTED[name])(IMAGES), MODEL(IMAGES), rtol=1e-4, atol=1e-5)


HEAD = torch.zeros(7, 1024)
REFUSED: dict[str, tuple[Weights, str, str]] = {
    "two models": ({**with_prefix("student."), **with_prefix("teacher.")}, "2 models", "save the one to use alone"),
    "a further head": (
        {**with_prefix("model."), "head.weight": torch.zeros(2, 2)},
        "1 tensors that",
        "export the whole",
    ),
    "a further layer": ({**WEIGHTS, "fc.2.weight": torch.zeros(2)}, "fc.2.weight", "export the whole model"),
    "no head": (without(WEIGHTS, "fc.weight"), "lacks 1 of the", "classifier.architecture"),
    "another model": ({"layer1.0.conv1.weight": torch.zeros(2)}, "it holds layer1.0.conv1.weight", "architecture"),
    "three classes": (
        {**WEIGHTS, "fc.weight": torch.zeros(3, 1024), "fc.bias": torch.zeros(3)},
        "3 outputs",
        "each class",
    ),
    "one output": ({**WEIGHTS, "fc.weight": HEAD[:1], "fc.bias": torch.zeros(1)}, "1 output in fc.weight", "one_logit"),
    "grey images": (
        {**WEIGHTS, "conv1.0.weight": torch.zeros(24, 1, 3, 3)},
        "(24, 1, 3, 3)",
        "classifier.architecture",
    ),
    "timm's VGG": (
        {"features.0.weight": torch.zeros(64, 3, 3, 3), "pre_logits.fc1.weight": torch.zeros(4096, 512, 7, 7)},
        "a model of timm",
        "export the model as a program",
    ),
    "timm's names": (
        {"conv_stem.weight": torch.zeros(32, 3, 3, 3), "blocks.0.0.conv_dw.weight": torch.zeros(32, 1, 3, 3)},
        "a model of timm",
        "export the model as a program",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_weights_that_do_not_fit_are_refused_by_their_cause(name: str) -> None:
    weights, found, remedy = REFUSED[name]
    with pytest.raises(InputError, match=r"classifier\.path must hold weights of") as caught:
        read(weights)
    assert found in caught.value.found and "given.pt" in caught.value.found
    assert remedy in caught.value.remedy and len(str(caught.value)) < 500


def test_an_unknown_architecture_names_its_own_key() -> None:
    with pytest.raises(InputError, match=r"classifier\.architecture must be") as caught:
        read(WEIGHTS, "resnet18.a1_in1k")
    assert "train" not in str(caught.value)


def vit_of_timm(weights: Weights, images: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Compute a Vision Transformer from timm's names, written from the paper (Dosovitskiy et al. 2021)."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    kernel, bias = weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"]
    patches = nn.functional.conv2d(images, kernel, bias, stride=kernel.shape[-1]).flatten(2).transpose(1, 2)
    x = torch.cat([weights["cls_token"].expand(len(images), -1, -1), patches], 1) + weights["pos_embed"]
    for i in range(sum(name.endswith("attn.qkv.weight") for name in weights)):
        qkv = linear(norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv")
        q, k, v = qkv.unflatten(-1, (3, n_heads, -1)).permute(2, 0, 3, 1, 4)  # timm: three, then heads
        attention = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v
        x = x + linear(attention.transpose(1, 2).flatten(2), f"blocks.{i}.attn.proj")
        hidden = nn.functional.gelu(linear(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1"))
        x = x + linear(hidden, f"blocks.{i}.mlp.fc2")
    return linear(norm(x, "norm")[:, 0], "head")


def vit_weights_of_timm(width: int = 8, depth: int = 2) -> Weights:
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 5, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        **{f"norm.{kind}": (width,) for kind in ("weight", "bias")},
        "head.weight": (2, width),
        "head.bias": (2,),
    }
    for i in range(depth):
        layers = {
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.fc1": (16, width),
            "mlp.fc2": (width, 16),
        }
        for name, shape in layers.items():
            shapes |= {f"blocks.{i}.{name}.weight": shape, f"blocks.{i}.{name}.bias": shape[:1]}
        shapes |= {f"blocks.{i}.norm{n}.{kind}": (width,) for n in (1, 2) for kind in ("weight", "bias")}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_a_vision_transformer_of_timm_gives_the_same_answers(prefix: str) -> None:
    weights = vit_weights_of_timm()
    model = VisionTransformer(32, 16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=2).eval()
    model.load_state_dict(fit_weights(with_prefix(prefix, weights), model, "vit", "given.pt", "the rule"))
    images = IMAGES[:, :, :32, :32]
    with torch.no_grad():
        found, expected = model(images), vit_of_timm(weights, images, n_heads=2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert expected.std(0).min() > 0.01
