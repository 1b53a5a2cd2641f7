"""Input at its limits through all stages from clusters to drift: a clear refusal, or tables without a hole."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.artifacts import Recipe, Store
from storage.errors import InputError
from storage.tables import (
    ADJUSTED,
    ASSIGNMENTS,
    CALIBRATION,
    CROSSFIT,
    DECIDED,
    DRIFT,
    EVALUATION,
    METRICS,
    PROMISES,
    RELIABILITIES,
    SENSITIVITY,
    SWAPS,
)
from storage.tables.parquet import Rows, read_table
from tasks.adjust.rules import AdjustParams
from tasks.cluster.params import ClusterParams
from tasks.decide.params import DecideParams
from tasks.measure.accuracy import measure_accuracy
from tasks.measure.calibration import measure_calibration
from tasks.measure.evaluation import evaluate_scores
from tasks.score.sensitivity import measure_sensitivity
from tests.support.local_stores import local
from tests.support.planted_campaign import (
    DAYS,
    PARAMS,
    SIZE,
    Judged,
    Planted,
    Shown,
    fit,
    judge,
    pattern_map,
    plant,
    plant_season,
    season,
)

Maps = NDArray[np.float32]
FEW = PARAMS.model_copy(update={"n_seeds": 1})
SHARES = (
    "error_share",
    "reliability",
    "combined_reliability",
    "ready_probability",
    "novelty",
    "softmax",
    "calibrated_softmax",
)


@dataclass(frozen=True)
class Finished:
    """Tables of every stage."""

    judged: Judged
    metrics: Rows
    evaluation: Rows
    drift: list[Rows]
    calibration: Rows

    def state(self, split: str, state: str) -> dict[str, Any]:
        found = list(zip(self.metrics["split"], self.metrics["state"], strict=True)).index((split, state))
        return {name: values[found] for name, values in self.metrics.items()}


def run(store: Store, dates: list[Planted], params: ClusterParams = FEW, rules: AdjustParams | None = None) -> Finished:
    """All stages; writing a table refuses NaN and infinity, reading it a hole."""
    found, named = judge(store, dates, params, rules=rules), (str(store.root), "gradcam")
    classes = Recipe("plants", 1)
    with store.create(classes) as draft:
        draft.summary = {"classes": ["not ready", "ready"]}
    metrics = measure_accuracy.fn(*named, classes.ref, found.crossfit, found.swaps, found.adjusted, found.decided)
    evaluation = evaluate_scores.fn(*named, found.crossfit, found.reliability)
    days = tuple(date.fromisoformat(one.day) for one in dates)
    calibration = measure_calibration.fn(*named, days, ("not ready", "ready"), found.decided)
    for day in range(len(dates)):
        rated = found.read(RELIABILITIES, day)
        assert all(0 <= x <= 1 for name in SHARES for x in rated[name])
        assert all(x >= 0 for x in rated["trust_score"])
        tables = [found.read(spec, day)["plant_id"] for spec in (ASSIGNMENTS, ADJUSTED, DECIDED)]
        assert all(plants == rated["plant_id"] for plants in tables)
        check_decisions(found.read(DECIDED, day))
    read = store.open
    return Finished(
        found,
        read_table(read(metrics), METRICS),
        read_table(read(evaluation), EVALUATION),
        [read_table(read(one), DRIFT) for one in found.drift],
        read_table(read(calibration), CALIBRATION),
    )


def check_decisions(table: Rows) -> None:
    """No decision contradicts its probability, and none is given without a reason or a promise."""
    names = ("decision", "answer", "ready_probability", "answer_reliability", "check_reason")
    for decision, answer, ready, reliability, reason in zip(*(table[name] for name in names), strict=True):
        assert answer == (ready > 0.5) or ready == 0.5
        assert reliability == pytest.approx(max(ready, 1 - ready))
        assert decision == ("check" if reason else ("leave", "harvest")[answer])


def other_choices(found: Finished, params: ClusterParams = FEW) -> Rows:
    """The sensitivity sheet."""
    one = found.judged
    refs = one.clusters, [d.saliency for d in one.dates], [d.predictions for d in one.dates]
    made = measure_sensitivity.fn(str(one.store.root), "gradcam", params, AdjustParams(rule="paper"), SIZE, *refs)
    return read_table(one.store.open(made), SENSITIVITY)


def with_maps(store: Store, change: Callable[[Maps], Maps]) -> list[Planted]:
    """The season with all its maps changed."""
    found: list[Planted] = []
    for day, images in zip(DAYS, season(), strict=True):
        maps = np.stack([pattern_map(image, day) for image in images if image.split != "train"])
        found.append(plant(store, day, images, change(maps)))
    return found


# Refused


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(np.zeros_like, id="all zero"),
        pytest.param(np.ones_like, id="all flat"),
        pytest.param(lambda maps: np.broadcast_to(maps[:1], maps.shape), id="all equal"),
        pytest.param(lambda maps: maps[:1] * np.arange(1, len(maps) + 1)[:, None, None], id="equal but for strength"),
        pytest.param(
            lambda maps: np.eye(4)[None, :, ::1] * (np.arange(len(maps)) % 2)[:, None, None], id="two patterns"
        ),
    ],
)
@pytest.mark.parametrize("choose_kernel", [False, True])
def test_maps_of_fewer_patterns_than_clusters_are_refused(
    tmp_path: Path, change: Callable[[Maps], Maps], choose_kernel: bool
) -> None:
    store = Store(tmp_path)
    params = FEW.model_copy(update={"choose_kernel": choose_kernel})
    with pytest.raises(InputError) as refused:
        fit(store, with_maps(store, lambda maps: change(maps).astype(np.float32)), params)
    assert "at least as many patterns as clusters" in refused.value.rule
    assert not list(local(store.root / "artifacts" / "clusters").iterdir())


@pytest.mark.parametrize("n", [1, 2])
def test_more_clusters_than_maps_are_refused(tmp_path: Path, n: int) -> None:
    store = Store(tmp_path)
    with pytest.raises(InputError, match="saliency maps must"):
        fit(store, [plant(store, DAYS[0], [Shown(f"p{i}", "val", 1, 1, pattern=i) for i in range(n)])])


def test_two_images_cannot_be_cross_fitted(tmp_path: Path) -> None:
    store, params = Store(tmp_path), FEW.model_copy(update={"n_clusters": 2, "affinity": "gamma"})
    dates = [plant(store, DAYS[0], [Shown(f"p{i}", "val", i, 1, pattern=i) for i in range(2)])]
    with pytest.raises(InputError, match="leaves plants out"):
        judge(store, dates, params)


# Rated


def answered(change: Callable[[int, Shown], bool]) -> list[list[Shown]]:
    """The season with other answers: wrong where `change` of place and image says so."""
    return [
        [
            image if image.label is None else replace(image, predicted=image.label ^ change(i + 100 * day, image))
            for i, image in enumerate(images)
        ]
        for day, images in enumerate(season())
    ]


def test_without_an_error_all_is_reliable(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = run(store, plant_season(store, answered(lambda _i, _image: False)))
    rated = found.judged.read(RELIABILITIES)
    assert set(rated["error_share"]) == {0.0} and min(rated["combined_reliability"]) > 0.9
    assert set(found.evaluation["auroc"]) == {None} and set(found.judged.read(SWAPS)["is_swapped"]) == {False}
    assert found.state("val", "after")["overall_accuracy"] == found.state("test", "before")["overall_accuracy"] == 1
    assert found.state("val", "decided")["overall_accuracy"] == found.state("test", "decided")["overall_accuracy"] == 1
    assert set(found.calibration["observed"]) == {1.0} and min(found.calibration["promised"]) > 0.9


def test_twenty_plants_without_an_error_promise_nothing_yet(tmp_path: Path) -> None:
    """If 15 in 100 answers were wrong, those to 20 plants would all be right with probability 0.04; 0.03 is allowed."""
    store, sure = Store(tmp_path), DecideParams(confidence=0.97)
    found = judge(store, plant_season(store, answered(lambda _i, _image: False)), FEW, deciding=sure)
    promises = found.read(PROMISES)
    used = promises["is_used"].index(True)
    assert (promises["threshold"][used], promises["n_answered"][used]) == (None, 0)
    assert 0 < promises["n_more_plants"][used] <= 20
    decided = found.read(DECIDED)
    assert set(decided["decision"]) == {"check"} and all("unpromised" in said for said in decided["check_reason"])


@pytest.mark.parametrize("rule", ["paper", "confident"])
def test_where_all_is_wrong_all_is_swapped(tmp_path: Path, rule: Any) -> None:
    store = Store(tmp_path)
    rules = AdjustParams(rule=rule, least=5, alpha=0.2)  # without a fold, a cluster has four plants
    found = run(store, plant_season(store, answered(lambda _i, _image: True)), rules=rules)
    assert set(found.judged.read(RELIABILITIES)["reliability"]) == {0.0}
    assert max(found.judged.read(CROSSFIT)["combined_reliability"]) < 0.1
    for split, state in (("val", "after"), ("val", "cross-fitted"), ("test", "after"), ("test", "decided")):
        assert found.state(split, state)["overall_accuracy"] == 1
    assert set(found.judged.read(DECIDED)["is_corrected"]) == {True}
    assert found.state("test", "before")["overall_accuracy"] == 0


def test_one_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = run(store, plant_season(store, answered(lambda i, _image: i == 0)))
    assert sum(found.judged.read(SWAPS)["n_wrong"]) == 1
    row = list(zip(found.evaluation["split"], found.evaluation["score"], strict=True)).index(("val", "reliability"))
    assert found.evaluation["n_wrong"][row] == 1 and found.evaluation["auroc"][row] is not None


def test_a_cluster_without_test_images(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dates = [[o for o in images if o.split == "val" or o.pattern != 2] for images in season()]
    found = run(store, plant_season(store, dates))
    rated = [found.judged.read(RELIABILITIES, day) for day in range(2)]
    seen = {c for r in rated for c, split in zip(r["cluster"], r["split"], strict=True) if split != "val"}
    assert len(seen) == 2 and len(found.judged.read(SWAPS)["cluster"]) == 3
    assert found.state("test", "before")["n_correct"] == found.state("test", "after")["n_correct"]


def test_without_test_images(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = run(store, plant_season(store, [[o for o in images if o.split == "val"] for images in season()]))
    assert set(found.metrics["split"]) == set(found.evaluation["split"]) == {"val"}
    assert [len(one["split"]) for one in found.drift] == [0, 0]


def test_one_test_image(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = ([o for o in images if o.split == "val"] for images in season())
    found = run(store, plant_season(store, [[*first, Shown("only", "test", 1, 0, pattern=2)], second]))
    before = found.state("test", "before")
    assert (before["n"], before["n_correct"]) == (1, 0) and before["overall_accuracy_lower"] is None
    assert found.state("test", "after")["n_correct"] == 1 and found.state("test", "after")["mcnemar_p"] == 1


def test_images_that_equal_each_other(tmp_path: Path) -> None:
    """Three maps, three times each and more, and the test images' maps are those of validation images."""
    store = Store(tmp_path)
    found = run(store, with_maps(store, lambda maps: maps[np.asarray([0, 1, 3])[np.arange(len(maps)) % 3]]))
    rated = found.judged.read(RELIABILITIES)
    assert sorted(set(rated["cluster"])) == [1, 2, 3] and set(rated["neighbour_agreement"]) == {1.0}
    unseen = [n for n, split in zip(rated["novelty"], rated["split"], strict=True) if split != "val"]
    assert set(unseen) == {1.0}  # no validation map lies nearer to others
    sheet = other_choices(found)
    problems = dict(zip(sheet["n_clusters"], sheet["problem"], strict=True))
    assert problems[3] == "" and problems[8].startswith("40 saliency maps show only 6 different")  # three per date


def test_some_maps_are_zero_or_flat(tmp_path: Path) -> None:
    def emptied(maps: Maps) -> Maps:
        maps[[0, 3, 21]], maps[[1, 22]] = 0, 0.5
        return maps

    store = Store(tmp_path)
    found = run(store, with_maps(store, emptied), FEW.model_copy(update={"n_clusters": 5}))
    summary = store.open(found.judged.clusters).summary
    assert (summary["n_zero"], summary["n_constant"]) == (4, 2)
    assert sum(found.judged.read(ASSIGNMENTS)["is_flat_map"]) == 5


def test_maps_in_their_own_unit(tmp_path: Path) -> None:
    store = Store(tmp_path)
    params = FEW.model_copy(update={"scaling": "rms", "affinity": "local", "scale": 1.0})
    found = run(store, plant_season(store, season()), params)
    assert sum(store.open(found.judged.clusters).summary["sizes"]) == 40


def test_a_map_of_one_window(tmp_path: Path) -> None:
    """Every map is one number: at unit length all are the same, in their own unit they are not."""
    store = Store(tmp_path)
    dates = with_maps(store, lambda maps: maps.max(axis=(1, 2), keepdims=True))
    with pytest.raises(InputError, match="patterns"):
        fit(store, dates)
    params = FEW.model_copy(update={"scaling": "rms", "affinity": "median", "scale": 0.5})
    assert run(store, dates, params).state("val", "before")["n"] == 40
