"""Numbers pinned to the revisions of the stages that make them.

An artefact is named by its parameters, inputs and its stage's REVISION. Where a stage gives other numbers under the
same revision, old and new artefacts share a name and a store mixes them: numbers change only together with REVISION.

`python tests/golden/test_golden.py` writes the numbers anew; look at the difference before committing it.
"""

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from storage.artifacts import ArtifactRef
from tasks import adjust, augment, cluster, cluster_checks, explain, ingest, predict, report, score, train
from tasks.classifier import freeze, predict_logits, rgb_images, softmax
from tasks.labels import SameDay, decide
from tasks.parameters import Runtime
from tasks.saliency.gradcam import GradcamParams
from tasks.saliency.lime import LimeParams
from tasks.saliency.maps import ExplainParams, Method, prepare_explainer
from tasks.saliency.occlusion import OcclusionParams
from tasks.sources.contract import Harvest
from tasks.spectral import affinity_matrix, assign_clusters, fit_axes, map_vectors, own_agreement, spectral_clusters
from tasks.symmetry import NO_CHANGE

FOLDER = Path(__file__).parent
CPU = Runtime(device="cpu")


def ref(kind: str, number: int = 0) -> ArtifactRef:
    return ArtifactRef(kind=kind, digest=f"{number:024x}")


def digests(*refs: ArtifactRef) -> list[str]:
    return [str(one) for one in refs]


def small_images(n: int, size: int = 12) -> NDArray[np.uint8]:
    """Images without a random number generator: remainders of squares."""
    number = np.arange(n * size * size * 3, dtype=np.int64)
    return (number * number % 251).astype(np.uint8).reshape(n, size, size, 3)


def small_maps() -> NDArray[np.float64]:
    """Eighteen maps of three patterns: a corner, a column and a slope, with ripples and of many strengths."""
    number = np.arange(18)
    y, x = np.mgrid[0:4, 0:4]
    patterns = np.stack([(y < 2) & (x < 2), x == 3, (y + x) / 6.0]).astype(np.float64)
    ripples = (number[:, None, None] * 7 + y * 5 + x * 3) % 11 / 40
    return (patterns[number * number % 7 % 3] + ripples) * (1 + number[:, None, None])


class Bent(nn.Module):
    """A convolution, a bend and a head, with weights from sines."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(3, 4, 3, stride=3)
        self.head = nn.Linear(4 * 4 * 4, 2)
        for number, parameter in enumerate(self.parameters()):
            wave = np.sin(np.arange(parameter.numel()) * (number + 1.5)).astype(np.float32)
            parameter.data = torch.from_numpy(wave.reshape(parameter.shape)) / 4

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.kernel(images)).flatten(1))


def bent_classifier() -> Any:
    return freeze(Bent(), ("a", "b"), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), torch.device("cpu"))


def golden_ingest() -> dict[str, Any]:
    """Every outcome of the label rule around an acquisition date, and images of several sizes made square."""
    day = date(2021, 8, 23)

    def outcomes(window: int, same_day: SameDay) -> dict[str, list[str]]:
        return {
            f"{after:+d}": [
                decide(Harvest(day + timedelta(after), day + timedelta(after + n)), day, window, same_day).value
                for n in (1, 2, 4)
            ]
            for after in range(-5, 6)
        }

    lost = [decide(Harvest(day + timedelta(after), date.max), day).value for after in range(-1, 5)]
    tall = small_images(1)[0][:, :7]
    params = ingest.IngestParams(image_size=64)
    return {
        "window 3": outcomes(3, "ready"),
        "window 0, same day excluded": outcomes(0, "excluded"),
        "lost": lost,
        "prepared": [ingest.prepare_image(tall, size).tolist() for size in (2, 4)],
        "digests": digests(
            ingest.listing_recipe({"date": "2021-08-23", "entries": []}).ref,
            ingest.images_recipe(params, ref("listing")).ref,
        ),
    }


def golden_augment() -> dict[str, Any]:
    labels, copies = np.arange(6) * 5 % 2, np.asarray([9, 18])
    params = augment.AugmentParams()
    return {
        "copies": augment.plan_copies(labels, copies, seed=7).tolist(),
        "weighted_sampling": augment.plan_weighted_sampling(labels, copies, seed=7).tolist(),
        "digests": digests(augment.augmentation_recipe(params, [ref("images", 1), ref("images", 2)]).ref),
    }


def golden_train() -> dict[str, Any]:
    seeds = np.asarray([NO_CHANGE, 1, 2**31 - 1])
    samples = np.stack([np.asarray([0, 1, 1]), np.asarray([0, 3, 6]), seeds], axis=1)
    inputs, _ = train.TrainingSet(small_images(2, 3), samples, np.arange(3)).batch(np.arange(3))
    return {
        "inputs": inputs.tolist(),
        "digests": digests(train.classifier_recipe(train.TrainParams(), ref("augmentation"), [ref("images")]).ref),
    }


def golden_predict() -> dict[str, Any]:
    return {
        "probabilities": softmax(predict_logits(bent_classifier(), small_images(3), 2)).tolist(),
        "digests": digests(predict.predictions_recipe(ref("images"), ref("classifier")).ref),
    }


def golden_lime() -> NDArray[np.float32]:
    """A map of a picture of 36 squares, one value each: superpixels need larger images than the small classifier's."""
    squares = small_images(1, 6).repeat(8, axis=1).repeat(8, axis=2)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(12), Bent())
    classifier = freeze(model, ("a", "b"), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), torch.device("cpu"))
    explain_images = prepare_explainer("lime", classifier, ExplainParams(lime=LimeParams(n_samples=200)), CPU)
    return explain_images(rgb_images(squares), np.asarray([1]))[:, 4::8, 4::8]


def golden_explain() -> dict[str, Any]:
    params = ExplainParams(gradcam=GradcamParams(layer="kernel"), occlusion=OcclusionParams(patch=5, stride=3))
    images, explained, classifier = rgb_images(small_images(4)), np.asarray([0, 1, 1, 0]), bent_classifier()
    gradcam, occlusion, preview = (
        prepare_explainer(method, classifier, params, CPU)(images, explained) for method in get_args(Method)[:3]
    )
    refs = (ref("images"), ref("classifier"), ref("predictions"))
    recipes = [explain.saliency_recipe(ExplainParams(), method, *refs, CPU) for method in get_args(Method)]
    recipes += explain.shard_recipes(ExplainParams(), "occlusion", *refs, CPU, 16, 40)
    return {
        "gradcam": gradcam.tolist(),
        "peaks": explain.scale_to_peak(gradcam)[1].tolist(),
        "occlusion": occlusion.tolist(),
        "occlusion_preview": preview.tolist(),
        "lime": golden_lime().tolist(),
        "digests": digests(*(recipe.ref for recipe in recipes)),
    }


def golden_cluster() -> dict[str, Any]:
    params = cluster_checks.ClusterParams()
    vectors = map_vectors(small_maps(), 64)
    axes = fit_axes(vectors, params.n_components)
    coordinates = axes.coordinates(vectors)
    fit = spectral_clusters(affinity_matrix(coordinates, "sigma", 0.2), 3, params.n_seeds, params.seed)
    new = axes.coordinates(map_vectors(small_maps()[:, ::-1], 64))
    assigned, agreement = assign_clusters(new, coordinates, fit.labels, params.neighbours)
    return {
        "labels": fit.labels.tolist(),
        "eigenvalues": fit.eigenvalues.tolist(),
        "stability": fit.stability,
        "coordinates": coordinates[:, :3].tolist(),
        "rms": np.linalg.norm(map_vectors(small_maps(), 64, "rms"), axis=1).tolist(),
        "assigned": assigned.tolist(),
        "agreement": agreement.tolist(),
        "own agreement": own_agreement(coordinates, fit.labels, params.neighbours).tolist(),
        "digests": digests(
            cluster.clusters_recipe(params, 256, [ref("saliency")], [ref("predictions")]).ref,
            cluster.assignments_recipe(ref("clusters"), ref("saliency"), ref("predictions")).ref,
        ),
    }


def golden_score() -> dict[str, Any]:
    number = np.arange(40)
    labels, predicted = number % 2, number * number % 5 % 2
    params = score.ScoreParams()
    return {
        "clusters": [score.score_cluster(labels[:n], predicted[:n], 2, params.confidence) for n in (1, 7, 40)],
        "digests": digests(
            score.scores_recipe(params, ref("clusters"), [ref("assignments")], [ref("predictions")]).ref,
            score.reliability_recipe(ref("scores"), ref("assignments")).ref,
        ),
    }


def golden_adjust() -> dict[str, Any]:
    number = np.arange(60)
    predicted = number * 7 % 3 % 2
    share = np.asarray([0.1, 0.75, 0.8, 1.0])[number % 4]
    params = adjust.AdjustParams()
    adjusted = adjust.adjust(predicted, share, params.threshold, 2)
    table: dict[str, list[Any]] = {
        "split": [("val", "test", "new")[i % 3] for i in number],
        "label": [None if i % 3 == 2 else int(i % 5 % 2) for i in number],
        "predicted": predicted.tolist(),
        "adjusted": adjusted.tolist(),
        **{name: ["-"] * 60 for name in ("method", "explained_class", "classifier", "clusters")},
    }
    return {
        "adjusted": adjusted.tolist(),
        "metrics": adjust.metric_rows(table, 2),
        "digests": digests(adjust.adjusted_recipe(params, ref("predictions"), ref("reliability")).ref),
    }


STAGES: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
    "adjust": (adjust.REVISION, golden_adjust),
    "augment": (augment.REVISION, golden_augment),
    "cluster": (cluster.REVISION, golden_cluster),
    "explain": (explain.REVISION, golden_explain),
    "ingest": (ingest.REVISION, golden_ingest),
    "predict": (predict.REVISION, golden_predict),
    "score": (score.REVISION, golden_score),
    "train": (train.REVISION, golden_train),
}


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Single values of a JSON value by where they are."""
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in leaves(part, f"{path}/{name}").items()}
    if isinstance(value, list):
        return {k: v for i, part in enumerate(value) for k, v in leaves(part, f"{path}/{i}").items()}
    return {path: value}


def changes(found: dict[str, Any], pinned: dict[str, Any]) -> list[str]:
    """What differs; floats may by rounding (float32, and the last bits of another processor)."""
    new, old = leaves(found), leaves(pinned)
    return [
        f"{path}: {old.get(path, 'absent')} -> {new.get(path, 'absent')}"
        for path in sorted(old.keys() | new.keys())
        if path not in old or path not in new or not is_same(new[path], old[path])
    ]


def is_same(new: Any, old: Any) -> bool:
    if isinstance(new, float) and isinstance(old, float):
        return abs(new - old) <= 1e-5 * max(abs(new), abs(old)) + 1e-6
    return type(new) is type(old) and new == old


@pytest.mark.parametrize("stage", STAGES)
def test_numbers_change_only_with_their_revision(stage: str) -> None:
    revision, compute = STAGES[stage]
    pinned = json.loads((FOLDER / f"{stage}.json").read_text())
    rewrite = "write the numbers anew with `python tests/golden/test_golden.py`"
    assert revision == pinned["revision"], f"tasks/{stage}.py has a new REVISION: {rewrite}"
    found = changes(json.loads(json.dumps(compute())), pinned["numbers"])
    assert not found, (
        f"{len(found)} numbers of tasks/{stage}.py changed under the same revision: raise its REVISION, "
        f"then {rewrite}\n" + "\n".join(found[:20])
    )


def test_every_stage_that_makes_numbers_is_pinned() -> None:
    tasks = FOLDER.parents[1] / "tasks"
    staged = {path.stem for path in tasks.glob("*.py") if "\nREVISION = " in path.read_text()}
    assert staged == {*STAGES, report.__name__.removeprefix("tasks.")}  # a report shows numbers and makes none
    assert {path.stem for path in FOLDER.glob("*.json")} == set(STAGES)


@pytest.mark.parametrize(
    ("new", "old", "n_changes"),
    [
        ({"a": [1, 2.0]}, {"a": [1, 2.0000001]}, 0),
        ({"a": [1, 2.0]}, {"a": [1, 2.001]}, 1),
        ({"a": 2**31}, {"a": 2**31 + 1}, 1),
        ({"a": None, "b": 1}, {"a": "x"}, 2),
        ({"a": True}, {"a": 1}, 1),
        ({"a": [1]}, {"a": [1, 1]}, 1),
    ],
)
def test_changes_are_seen(new: dict[str, Any], old: dict[str, Any], n_changes: int) -> None:
    assert len(changes(new, old)) == n_changes


def write_golden() -> None:
    """Write the numbers of every stage, one line for each of its results."""
    for stage, (revision, compute) in STAGES.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in compute().items()]
        text = f'{{\n "revision": {revision},\n "numbers": {{\n' + ",\n".join(lines) + "\n }\n}\n"
        (FOLDER / f"{stage}.json").write_text(text)


if __name__ == "__main__":
    write_golden()
