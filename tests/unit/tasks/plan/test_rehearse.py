"""Test what the rehearsal refuses before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from tasks.classify.architectures import build_model
from tasks.classify.model import save_weights
from tasks.classify.params import EXPORTED, GivenClassifier
from tasks.classify.training import TrainParams
from tasks.explain.gradcam import GradcamParams
from tasks.explain.methods import ExplainParams
from tasks.explain.occlusion import OcclusionParams, window_corners
from tasks.parameters import Runtime
from tasks.plan.rehearsal import least_work, rehearse
from tasks.plan.rehearse import rehearse_classifier
from tasks.stage import write_json

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = ["not_ready", "ready"]
CPU = Runtime(device="cpu")


def try_out(architecture: str = "resnet18", size: int = 64, **explain: Any) -> None:
    rehearse(CLASSES, TrainParams(architecture=architecture), None, ExplainParams(**explain), size, CPU)


@pytest.mark.parametrize(
    "architecture", ["resnet18", pytest.param("vgg11", marks=pytest.mark.slow), "mobilenet_v3_small"]
)
def test_a_classifier_that_can_be_explained_passes(architecture: str) -> None:
    assert try_out(architecture) is None


@pytest.mark.parametrize(
    "method",
    ["gradcam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("occlusion", "occlusion_preview", "lime"))],
)
def test_every_method_meets_the_classifier(method: str) -> None:
    try_out(methods=(method,))
    if method == "gradcam":
        with pytest.raises(InputError, match="last stage is convolutional"):
            try_out("vit_b_16", size=224, methods=(method,))
    else:
        try_out("vit_b_16", size=224, methods=(method,))
    with pytest.raises(InputError, match=r"ingest\.image_size"):
        try_out("vit_b_16", size=128, methods=(method,))


def test_a_rehearsal_hides_one_window_and_takes_two_samples() -> None:
    explain = ExplainParams(occlusion=OcclusionParams(patch=9, stride=3))
    little = least_work(explain, 64)
    assert window_corners(64, 64, little.occlusion).tolist() == [[[0, 0]]]
    assert little.occlusion.patch == 9 and little.lime.n_samples == 2 and little.gradcam == explain.gradcam


def test_a_patch_beyond_the_images_is_refused() -> None:
    with pytest.raises(InputError, match="fit into the image") as caught:
        try_out(methods=("gradcam", "occlusion"), occlusion=OcclusionParams(patch=65))
    assert "64 pixels" in caught.value.found
    try_out(methods=("gradcam",), occlusion=OcclusionParams(patch=65))  # not used


def test_weights_are_not_downloaded_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    rehearse(CLASSES, TrainParams(weights="imagenet"), None, ExplainParams(), 64, CPU)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(InputError, match=r"train\.architecture"):
        try_out("resnet1")


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(InputError, match=r"explain\.gradcam\.layer") as caught:
        try_out(gradcam=GradcamParams(layer="layer9"))
    assert "'layer9'" in caught.value.found


def test_an_architecture_without_a_spatial_last_stage_is_refused() -> None:
    with pytest.raises(InputError, match="more than one position"):
        try_out("resnet18", size=32)


@pytest.mark.parametrize(
    ("architecture", "size"), [pytest.param("vgg11", 16, marks=pytest.mark.slow), ("alexnet", 32), ("vit_b_32", 64)]
)
def test_images_that_the_architecture_cannot_take_are_refused(architecture: str, size: int) -> None:
    with pytest.raises(InputError, match=r"ingest\.image_size") as caught:
        try_out(architecture, size)
    assert f"{size} x {size}" in caught.value.found


def test_a_given_classifier_is_tried_out_too(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(save_weights(build_model("resnet18", 2, "none", seed=0)))
    given = GivenClassifier(path=str(path))
    rehearse(CLASSES, TrainParams(), given, ExplainParams(), 64, CPU)
    with pytest.raises(InputError, match="3 outputs"):
        rehearse([*CLASSES, "rotten"], TrainParams(), given, ExplainParams(), 64, CPU)


class ThreeAnswers(nn.Module):
    """Small classifier with three outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.kernel(images)).mean((2, 3)))


def test_an_exported_program_with_other_outputs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "classifier.pt2"
    exported = torch.export.export(
        ThreeAnswers().eval(), (torch.zeros(2, 3, 32, 32),), dynamic_shapes=({0: torch.export.Dim("images")},)
    )
    torch.export.save(exported, path)
    given = GivenClassifier(path=str(path), architecture=EXPORTED)
    rehearse(["a", "b", "c"], TrainParams(), given, ExplainParams(), 32, CPU)
    with pytest.raises(InputError, match="one logit per image and class"):
        rehearse(CLASSES, TrainParams(), given, ExplainParams(), 32, CPU)
    with pytest.raises(InputError, match=r"ingest\.image_size"):
        rehearse(["a", "b", "c"], TrainParams(), given, ExplainParams(), 48, CPU)


def stored_listing(store: Store, n_unlabelled: dict[str, int]) -> ArtifactRef:
    def image(split: str, label: int | None, n: int) -> dict[str, Any]:
        return {"plant_id": f"{split} {label} {n}", "split": split, "label": label}

    numbers = [(split, n, label) for split, n in n_unlabelled.items() for label in (0, 1, None)]
    images = [image(split, label, i) for split, n, label in numbers for i in range(3 if label is not None else n)]
    return write_json(
        store, Recipe("listing", 1, n_unlabelled), {"date": "2021-08-23", "classes": CLASSES, "images": images}
    )


def rehearse_task(folder: Path, explained_class: str, n_unlabelled: dict[str, int], fitted: str = "saliency") -> None:
    listing = stored_listing(Store(folder), n_unlabelled)
    explain = ExplainParams(explained_class=explained_class)
    ref = ArtifactRef(kind=fitted, digest=listing.digest)
    rehearse_classifier.fn(str(folder), [listing], [ref], TrainParams(), None, explain, 64, CPU, True)


@pytest.mark.parametrize("explained_class", ["predicted", "ready", "not_ready"])
def test_classes_that_need_no_label_may_be_explained_without(tmp_path: Path, explained_class: str) -> None:
    assert rehearse_task(tmp_path, explained_class, {"val": 0, "test": 4}) is None


def test_an_unknown_explained_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"explain\.explained_class") as caught:
        rehearse_task(tmp_path, "raedy", {"val": 0})
    assert "not_ready, ready" in caught.value.remedy


def test_nothing_is_rehearsed_where_all_that_it_is_for_is_stored(tmp_path: Path) -> None:
    # A class that is refused otherwise.
    assert rehearse_task(tmp_path, "raedy", {"val": 0}, fitted="listing") is None


def test_the_label_is_refused_where_one_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="explained_class = label") as caught:
        rehearse_task(tmp_path, "label", {"val": 0, "test": 4, "train": 7})
    assert caught.value.found == "some images to explain have no label: 4 test"


def test_the_label_may_be_explained_where_training_images_alone_have_none(tmp_path: Path) -> None:
    assert rehearse_task(tmp_path, "label", {"val": 0, "test": 0, "train": 7}) is None
