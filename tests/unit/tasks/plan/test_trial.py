"""What a given classifier must prove, before training and before images are read, and the causes that are named."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from storage.errors import InputError
from tasks.classify.model import Classifier
from tasks.classify.params import EXPORTED, IMAGENET_MEAN, IMAGENET_STD, GivenClassifier
from tasks.classify.training import TrainParams
from tasks.explain.gradcam import GradcamParams
from tasks.explain.methods import ExplainParams
from tasks.parameters import Runtime
from tasks.plan.rehearsal import rehearse
from tasks.plan.trial import try_passes, varied_images
from tests.support.classifiers import ARCHITECTURE, SIZE, program, saved, tiny, torchvision_model, written

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ["not_ready", "ready"]
EXPLAIN = ExplainParams(gradcam=GradcamParams(layer="kernel"))


def eager(model: nn.Module) -> Classifier:
    """A classifier in the mode that its model is in, as an exported program would be."""
    return Classifier(
        model.requires_grad_(False), ("not_ready", "ready"), IMAGENET_MEAN, IMAGENET_STD, torch.device("cpu")
    )


def rehearsed(path: str, size: int = SIZE, explain: ExplainParams = EXPLAIN, **given: Any) -> set[int]:
    """Rehearse a classifier, and return of how many images the passes were that some module got."""
    runtime = {name: given.pop(name) for name in ("batch_size", "saliency_precision") if name in given}
    given = {"architecture": EXPORTED, **given}
    classifier = GivenClassifier.model_validate({"path": path, **given})
    sizes: set[int] = set()

    def count(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        sizes.update(len(one) for one in inputs if isinstance(one, torch.Tensor) and one.shape[1:] == (3, size, size))

    with register_module_forward_pre_hook(count):
        rehearse(CLASSES, TrainParams(), classifier, explain, size, Runtime(device="cpu", **runtime))
    return sizes


def test_trial_images_differ_in_brightness() -> None:
    """In a batch of equally bright images, normalisation by the batch would hardly show."""
    images = varied_images(8, 16)
    assert images.shape == (8, 16, 16, 3) and images.dtype == np.uint8
    assert images.mean((1, 2)).std(0).min() > 30 and images.std((1, 2, 3)).min() > 5
    assert np.array_equal(varied_images(8, 16), images)


@pytest.mark.parametrize("outputs", ["logits", "probabilities", "one_logit", "one_probability"])
def test_programs_for_any_number_of_images_pass(tmp_path: Path, outputs: str) -> None:
    ends: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "logits": lambda logits: logits,
        "probabilities": lambda logits: logits.softmax(1),
        "one_logit": lambda logits: logits[:, 1:],
        "one_probability": lambda logits: logits[:, 1].sigmoid(),
    }
    path = written(tmp_path, program(tiny(last=ends[outputs])))
    methods = ExplainParams(methods=("gradcam", "occlusion", "lime"), gradcam=EXPLAIN.gradcam)
    assert {1, 2, 3, 32} <= rehearsed(path, outputs=outputs, explain=methods)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_checkpoints_of_trainers_pass(tmp_path: Path, precision: str) -> None:
    weights = torchvision_model().state_dict()
    path = written(tmp_path, saved({"state_dict": {f"model.{name}": tensor for name, tensor in weights.items()}}))
    assert {1, 2, 3, 32} <= rehearsed(
        path, 64, ExplainParams(), architecture=ARCHITECTURE, saliency_precision=precision
    )


class Scaled(nn.Module):
    """Divides by the largest value of the whole batch, as a careless pre-processing does."""

    def __init__(self) -> None:
        super().__init__()
        self.model = tiny()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images / images.max())


class Counting(nn.Module):
    """Answers otherwise every time."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.n = tiny(), 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.n += 1
        return self.model(images) + torch.tensor([0.0, float(self.n)])


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (copy.deepcopy(tiny()).train(), "between"),
        (tiny(dropout=0.5).train(), "between two passes of the same"),
        (Counting(), "between two passes of the same 1 image"),
        (Scaled(), "between a pass of 1 image and one of 2"),
    ],
    ids=["training mode", "dropout", "state", "batch maximum"],
)
def test_answers_that_depend_on_the_batch_or_on_chance_are_refused(model: nn.Module, found: str) -> None:
    with pytest.raises(InputError, match="depend on that image alone") as caught:
        try_passes(eager(model), SIZE, 8, is_given_as_logits=True)
    assert found in caught.value.found and "model.eval()" in caught.value.remedy


class OnlyLast(nn.Module):
    """Answers the last image of a large batch as if it were the first."""

    def __init__(self) -> None:
        super().__init__()
        self.model = tiny()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.model(images)
        return torch.cat([logits[:-1], logits[:1]]) if len(images) > 3 else logits


def test_the_last_image_of_the_largest_pass_is_compared_too() -> None:
    with pytest.raises(InputError, match="depend on that image alone") as caught:
        try_passes(eager(OnlyLast()), SIZE, 8, is_given_as_logits=True)
    assert "one of 8" in caught.value.found
    try_passes(eager(OnlyLast()), SIZE, 3, is_given_as_logits=True)  # no larger pass will be made


def exported(name: str) -> bytes:
    made: dict[str, Callable[[], bytes]] = {
        "training mode": lambda: program(tiny().train(), n=4),
        "one image": lambda: program(tiny(), n=1, most=None),
        "four images": lambda: program(tiny(), n=4, most=None),
        "few images": lambda: program(tiny(), most=16),
        "half precision": lambda: program(tiny().half(), dtype=torch.float16),
        "softmax": lambda: program(tiny(last=lambda logits: logits.softmax(1))),
        "one column": lambda: program(tiny(1)),
        "one number": lambda: program(tiny(1, last=lambda logits: logits[:, 0])),
        "three classes": lambda: program(tiny(3)),
        "a tuple": lambda: program(tiny(last=lambda logits: (logits, logits))),
        "a dictionary": lambda: program(tiny(last=lambda logits: {"logits": logits})),
        "NaN": lambda: program(tiny(last=lambda logits: logits * torch.nan)),
        "logits": lambda: program(tiny()),
    }
    return made[name]()


# Program, other keys, what was found, the rule, the remedy.
REFUSED: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("training mode", {}, "differs between", "that image alone", "model.eval()"),
    (
        "one image",
        {},
        "no pass of 2 images",
        "1 to 32 images (runtime.batch_size)",
        "set runtime.batch_size = 1, or export",
    ),
    ("four images", {}, "no pass of 1 image", "1 to 32 images", "export it again"),
    ("few images", {}, "no pass of 32 images", "1 to 32 images", "set runtime.batch_size = 16, or export"),
    ("few images", {"size": 48}, "48 x 48 pixels", "ingest.image_size", "set ingest.image_size"),
    ("half precision", {}, "weights in float16", "float32", "export model.float()"),
    ("softmax", {}, "probabilities, not logits", "classifier.outputs", 'classifier.outputs = "probabilities"'),
    ("one column", {}, "(1, 1) for 1 images: one output column", "classifier.outputs", '"one_logit"'),
    ("one number", {}, "one output column", "classifier.outputs", "torch.cat([torch.zeros_like(logit), logit], 1)"),
    ("three classes", {}, "(1, 3) for 1 images and 2 classes", "one logit per image and class", "as many outputs"),
    ("a tuple", {}, "returned tuple", "one logit per image and class", "without auxiliary outputs"),
    ("a dictionary", {}, "returned dict", "one logit per image and class", "without auxiliary outputs"),
    ("NaN", {}, "logits are NaN", "finite", "weights"),
    ("logits", {"outputs": "probabilities"}, "returned (1, 2)", "in 0..1 and sum to 1", "correct classifier.outputs"),
    ("logits", {"outputs": "one_logit"}, "returned (1, 2)", "one column", "correct classifier.outputs"),
    ("one column", {"outputs": "one_probability"}, "returned (1, 1)", "in 0..1", "correct classifier.outputs"),
]


@pytest.mark.parametrize(("name", "keys", "found", "rule", "remedy"), REFUSED)
def test_programs_are_refused_by_their_cause(
    tmp_path: Path, name: str, keys: dict[str, Any], found: str, rule: str, remedy: str
) -> None:
    with pytest.raises(InputError) as caught:
        rehearsed(written(tmp_path, exported(name)), **keys)
    error = caught.value
    assert found in error.found and rule in error.rule and remedy in error.remedy, error
    assert "\x1b" not in str(error) and "\n" not in error.found and len(str(error)) < 700


@pytest.mark.parametrize(("name", "batch_size"), [("one image", 1), ("few images", 16)])
def test_the_batch_size_that_a_message_names_is_taken(tmp_path: Path, name: str, batch_size: int) -> None:
    methods = ExplainParams(methods=("gradcam", "occlusion", "lime"), gradcam=EXPLAIN.gradcam)
    assert max(rehearsed(written(tmp_path, exported(name)), batch_size=batch_size, explain=methods)) == batch_size


def test_passes_on_another_machine_are_of_the_whole_batch_size(tmp_path: Path) -> None:
    given = GivenClassifier(path=written(tmp_path, program(tiny(), most=4, size=256)), architecture=EXPORTED)
    runtime = Runtime(device="cpu", batch_size=6)
    rehearse(CLASSES, TrainParams(), given, EXPLAIN, 256, runtime)  # a pass of this CPU has four images
    with pytest.raises(InputError, match="passes of 1 to 6 images"):
        rehearse(CLASSES, TrainParams(), given, EXPLAIN, 256, runtime, is_here=False)
