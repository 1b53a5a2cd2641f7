"""Test torchvision models: names, seeds, weights and heads."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from storage.errors import InputError
from tasks.classify.architectures import _replace_head, build_model  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("name", ["resnet19", "ResNet18 ", "fcn_resnet50", "fasterrcnn_resnet50_fpn", ""])
def test_an_unknown_architecture_or_one_that_does_not_classify_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"train\.architecture") as caught:
        build_model(name, 2, "none", seed=0)
    assert repr(name) in caught.value.found and "resnet18" in caught.value.remedy


def test_the_seed_decides_the_initial_weights_and_nothing_else() -> None:
    before = torch.get_rng_state()
    first, again, other = (build_model("mobilenet_v3_small", 3, "none", seed).state_dict() for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.3.weight"], other["classifier.3.weight"])


def test_weights_that_cannot_be_downloaded_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # A proxy that nobody serves: no download leaves the machine, wherever the test runs.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"train\.weights = imagenet") as caught:
        build_model("resnet18", 2, "imagenet", seed=0)
    assert "resnet18" in caught.value.found and "TORCH_HOME" in caught.value.remedy


@pytest.mark.parametrize(
    ("architecture", "head", "n_features"),
    [("resnet18", "fc", 512), ("mobilenet_v3_small", "classifier.3", 1024), ("densenet121", "classifier", 1024)],
)
def test_only_the_head_is_replaced(architecture: str, head: str, n_features: int) -> None:
    model: nn.Module = torchvision.models.get_model(architecture, weights=None)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    changed = _replace_head(model, 3)
    after = changed.state_dict()
    assert list(after) == list(before)
    differing = [name for name in before if not torch.equal(before[name], after[name])]
    assert differing == [f"{head}.weight", f"{head}.bias"]
    assert tuple(after[f"{head}.weight"].shape) == (3, n_features)
    with torch.no_grad():
        assert tuple(changed.eval()(torch.zeros(2, 3, 64, 64)).shape) == (2, 3)


def test_a_model_without_a_linear_layer_has_no_head_to_replace() -> None:
    with pytest.raises(InputError, match="linear layer"):
        _replace_head(torchvision.models.squeezenet1_1(weights=None), 2)
