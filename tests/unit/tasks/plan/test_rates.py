"""Test that rates are measured for what a campaign does, and that times are counts times rates."""

import numpy as np
import pytest
import torch

from tasks.classify.architectures import build_model
from tasks.classify.model import Classifier, freeze
from tasks.classify.training import TrainParams
from tasks.explain.lime import LimeParams
from tasks.explain.methods import ExplainParams
from tasks.parameters import Runtime
from tasks.plan.passes import StageWork, plan_work
from tasks.plan.rates import Rates, measure_rates, speedup, stage_seconds
from tests.support.planned import workload

RATES = Rates(
    device="cpu",
    n_threads=1,
    n_side=2,
    speedup=1.5,
    forward=0.1,
    train=0.3,
    gradcam=0.15,
    fast=0.05,
    window=0.01,
    segment=2,
    sample=0.02,
    ingest=0.02,
)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    model = build_model("resnet18", 2, "none", 0)
    return freeze(model, ("a", "b"), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), torch.device("cpu"))


def test_what_is_measured(classifier: Classifier) -> None:
    """Only work of the campaign is measured, and every figure is that of one image."""
    runtime = Runtime(device="cpu", batch_size=2)
    found = measure_rates(classifier, ExplainParams(), TrainParams(batch_size=2), 64, runtime, n_side=1)
    assert (found.fast, found.window, found.segment, found.speedup) == (None, None, None, 1)
    assert found.forward > 0 and found.gradcam and found.train and found.train > found.forward
    assert found.train_float32 is None
    hiding = ExplainParams(methods=("occlusion", "lime"), lime=LimeParams(segments="slic"))
    found = measure_rates(classifier, hiding, None, 64, runtime, n_side=2)
    assert (found.train, found.train_float32, found.gradcam) == (None, None, None) and found.speedup >= 1
    assert found.fast and found.window and found.segment and found.sample
    loop = runtime.model_copy(update={"saliency_precision": "bfloat16"})
    found = measure_rates(classifier, ExplainParams(methods=("occlusion",)), None, 64, loop, n_side=1)
    assert found.window is None and found.fast
    assert measure_rates(classifier, hiding, None, 64, loop, n_side=1).sample is None


def test_training_in_bfloat16_is_measured_in_both(classifier: Classifier) -> None:
    half = TrainParams(batch_size=2, precision="bfloat16")
    found = measure_rates(classifier, ExplainParams(), half, 64, Runtime(device="cpu", batch_size=2), n_side=1)
    assert found.train and found.train_float32 and found.train != found.train_float32


def test_weights_stay_as_they_are(classifier: Classifier) -> None:
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    measure_rates(classifier, ExplainParams(), TrainParams(batch_size=2), 64, Runtime(batch_size=2), n_side=1)
    assert all(torch.equal(before[name], value) for name, value in classifier.model.state_dict().items())


def test_tasks_side_by_side_are_never_counted_as_slower() -> None:
    assert speedup(lambda: None, 0.0, 4) == speedup(lambda: None, 1.0, 1) == 1


def test_times_are_counts_times_rates() -> None:
    explain = ExplainParams(methods=("gradcam", "occlusion", "occlusion_preview", "lime"))
    stages = plan_work(workload(explain=explain))
    found = {f"{stage.stage} {stage.method or ''}".strip(): stage_seconds(stage, RATES) for stage in stages}
    by_name = {f"{stage.stage} {stage.method or ''}".strip(): stage for stage in stages}
    preview = by_name["explain occlusion_preview"]
    expected = {
        "ingest": 931 * 0.02 / 1.5,
        "train": 25 * (6224 * 0.3 + 196 * 0.1),  # one task
        "predict": 931 * 0.1 / 1.5,
        "explain gradcam": 390 * 0.15 / 1.5,
        "explain occlusion": (390 * 15_129 * 0.01 + by_name["explain occlusion"].forward * 0.05) / 1.5,
        "explain occlusion_preview": (preview.partial * 0.01 + preview.forward * 0.05 + 2 * 390 * 0.1) / 1.5,
        "explain lime": (390 * (2 + 1000 * 0.02) + 4 * (12 * 0.05 + 9 * 0.02))
        / 1.5,  # each of four tasks checks itself
    }
    assert {name: value for name, value in found.items() if value is not None} == pytest.approx(expected)
    assert {name for name, value in found.items() if value is None} == {"cluster", "score", "report"}


def test_a_single_task_is_not_quicker() -> None:
    one, two = (stage_seconds(StageWork("predict", n, 10, forward=10), RATES) for n in (1, 2))
    assert (one, two) == (pytest.approx(1.0), pytest.approx(1 / 1.5)) and np.isfinite(RATES.forward)
