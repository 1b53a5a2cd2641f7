"""Test the counts of a plan by hand; tests/integration/test_plan.py compares them with a campaign that runs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tasks.classify.training import TrainParams
from tasks.explain.methods import SHARD_MAPS, TASK_SHARDS, ExplainParams, Method
from tasks.explain.occlusion import OcclusionParams
from tasks.plan.passes import StageWork, plan_work
from tests.support.planned import DATES, RESNET18, workload


def stages(**changes: Any) -> dict[str, StageWork]:
    found = plan_work(workload(**changes))
    return {f"{stage.stage} {stage.method or ''}".strip(): stage for stage in found}


def explaining(method: Method, **changes: Any) -> StageWork:
    explain = changes.pop("explain", ExplainParams()).model_copy(update={"methods": (method,)})
    return stages(explain=explain, **changes)[f"explain {method}"]


def test_the_papers_training() -> None:
    """25 epochs have 6,224 samples forward and backward, and 196 validation images forward."""
    train = stages()["train"]
    assert (train.forward, train.backward) == (25 * (6224 + 196), 25 * 6224)
    assert train.forward_equivalents == 25 * (3 * 6224 + 196)


@pytest.mark.parametrize(("n", "used"), [(33, 32), (32, 32), (34, 34), (1, 1)])
def test_a_last_batch_of_one_sample_is_left_out(n: int, used: int) -> None:
    train = stages(n_samples=n, train=TrainParams(epochs=2, batch_size=16))["train"]
    assert train.backward == 2 * used and train.forward == 2 * (used + 196)


def test_a_given_classifier_is_not_trained() -> None:
    found = stages(train=None, n_samples=0)
    assert "train" not in found and found["classifier"].forward == 0


def test_every_image_is_classified_once() -> None:
    assert stages()["predict"].forward == 931


def test_a_task_of_gradcam_finds_its_layer_and_checks_its_model() -> None:
    """Each of four dates has one task, and one more pass finds the layer."""
    assert explaining("gradcam").forward == 390 + 4 * (1 + 3)
    named = ExplainParams.model_validate({"gradcam": {"layer": "layer3"}})
    assert explaining("gradcam", explain=named).forward == 390 + 4 * 3
    on_gpu = replace(RESNET18, is_packed=False)
    assert explaining("gradcam", network=on_gpu).forward == 390 + 4
    # A task has four shards of 512 maps.
    assert explaining("gradcam", dates=(replace(DATES[0], n_explained=2049),)).forward == 2049 + 2 * (1 + 3)


def test_occlusion_at_256_pixels_has_15129_windows_a_map() -> None:
    found = explaining("occlusion")
    n_tasks = sum(-(-day.n_explained // (SHARD_MAPS["occlusion"] * TASK_SHARDS["occlusion"])) for day in DATES)
    assert found.partial == 390 * 123**2 == 390 * 15_129
    assert found.forward == 390 * 2 + 9 * n_tasks and found.backward == 0
    loop = explaining("occlusion", network=replace(RESNET18, is_incremental=False))
    assert (loop.forward, loop.partial) == (390 * (1 + 15_129) + 3 * n_tasks, 0)


def test_a_preview_has_about_2500_windows_a_map() -> None:
    """Every fourth of 123 and the last are 32 rows and columns; a tenth of 15,129 more are refined."""
    found = explaining("occlusion_preview")
    assert found.partial == 390 * (32**2 + 1513) and found.backward == 390
    everything = ExplainParams(occlusion=OcclusionParams(preview_refined=1))
    assert explaining("occlusion_preview", explain=everything).partial == 390 * 15_129


def test_lime_asks_for_every_sample() -> None:
    n_tasks = sum(-(-day.n_explained // (SHARD_MAPS["lime"] * TASK_SHARDS["lime"])) for day in DATES)
    found = explaining("lime")  # nine samples of a task are computed both ways
    assert (found.forward, found.partial) == (
        (9 + 3) * n_tasks,
        390 * 1000 + 9 * n_tasks,
    )
    whole = explaining("lime", network=replace(RESNET18, shares_layers=False))
    assert (whole.forward, whole.partial) == (390 * 1000 + 3 * n_tasks, 0)


def test_dates_without_images_to_explain_cost_nothing() -> None:
    none = tuple(replace(day, n_explained=0, n_validation=0) for day in DATES)
    for method in ("gradcam", "occlusion", "lime"):
        found = explaining(method, dates=none)
        assert (found.forward, found.partial, found.n_tasks) == (0, 0, len(DATES))


@pytest.mark.parametrize("n_images", [1, 2, 10])
def test_work_goes_with_the_images(n_images: int) -> None:
    """With whole shards and tasks on every date, work is exactly linear."""
    whole = SHARD_MAPS["gradcam"] * TASK_SHARDS["gradcam"]
    one, many = (
        stages(
            dates=tuple(replace(day, n_images=n * whole, n_explained=n * whole) for day in DATES),
            explain=ExplainParams(methods=("gradcam", "occlusion", "lime")),
        )
        for n in (1, n_images)
    )
    for name in ("predict", "explain gradcam", "explain occlusion", "explain lime"):
        assert np.isclose(many[name].forward_equivalents, n_images * one[name].forward_equivalents)
