"""Test training: samples against numpy, the schedule, and that a resumed run ends with identical weights."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import write_array
from storage.artifacts import Artifact, ArtifactRef, Recipe, Store
from storage.errors import ArtifactError, InputError
from storage.tables import AUGMENTATION, OBSERVATIONS
from storage.tables.parquet import rows_to_columns, write_table
from tasks.classify.changes import NO_CHANGE, photometric_change
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD, GivenClassifier
from tasks.classify.train import classifier_recipe, given_recipe, load_training_set, load_validation_set
from tasks.classify.training import Training, TrainingSet, TrainParams, evaluate, train, train_epoch
from tasks.parameters import Runtime

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
RUNTIME = Runtime(device="cpu", batch_size=5)
PARAMS = TrainParams(architecture="resnet18", epochs=4, batch_size=8, learning_rate=1e-3, step_epochs=2, seed=3)
Pair = tuple[NDArray[np.uint8], NDArray[np.int64]]


class Interrupted(Exception):
    """Interruption of a run in these tests."""


def toy_images(n: int, seed: int) -> Pair:
    """Return images of 32 pixels of dark noise (class 0) and bright noise (class 1)."""
    labels = np.arange(n) % 2
    noise = np.random.default_rng(seed).integers(0, 140, (n, 32, 32, 3))
    return (noise + 110 * labels[:, None, None, None]).astype(np.uint8), labels.astype(np.int64)


def toy_samples(n: int = 24) -> TrainingSet:
    """Return one sample per image, with symmetries in turn and a photometric change for every third image."""
    images, labels = toy_images(n, seed=0)
    number = np.arange(n)
    seeds = np.where(number % 3 == 0, number, NO_CHANGE)
    return TrainingSet(images, np.stack([number, number % 8, seeds], axis=1), labels)


def ignore(_n: int) -> None:
    """Ignore the number of finished epochs."""


def run(checkpoint: Path, params: TrainParams = PARAMS, on_epoch: Callable[[int], None] = ignore) -> Training:
    return train(toy_samples(), toy_images(10, seed=1), 2, params, RUNTIME, checkpoint, on_epoch)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Training:
    return run(tmp_path_factory.mktemp("uninterrupted") / "checkpoint.pt")


def assert_same(a: Training, b: Training) -> None:
    """Assert that weights, running statistics, optimiser and rows are bit-identical."""
    assert a.epochs == b.epochs
    for one, two in ((a.model.state_dict(), b.model.state_dict()), (moments(a), moments(b))):
        assert list(one) == list(two)
        assert [name for name in one if not torch.equal(one[name], two[name])] == []
    assert a.schedule.state_dict() == b.schedule.state_dict()


def moments(training: Training) -> dict[str, torch.Tensor]:
    """Return Adam's moments and step counts by parameter."""
    state: dict[int, dict[str, torch.Tensor]] = training.optimiser.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, part in state.items() for name, tensor in part.items()}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, [1, 1, 2, 1, 1]),  # two epochs, two that were there already, and the remaining two
        (3600, [1, 1, 1, 1, 1, 1]),  # the second epoch ended too soon after the first for another checkpoint
    ],
)
def test_a_run_that_was_interrupted_goes_on_to_the_same_weights(
    tmp_path: Path, uninterrupted: Training, monkeypatch: pytest.MonkeyPatch, seconds: int, expected: list[int]
) -> None:
    monkeypatch.setattr("tasks.classify.training.CHECKPOINT_SECONDS", seconds)
    counted: list[int] = []

    def stop_after_two(n: int) -> None:
        counted.append(n)
        if len(counted) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(tmp_path / "checkpoint.pt", on_epoch=stop_after_two)
    resumed = run(tmp_path / "checkpoint.pt", on_epoch=counted.append)
    assert counted == expected
    assert_same(resumed, uninterrupted)


KILLED = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, {folder!r})
import tasks.classify.training
from test_train import PARAMS, run
torch.set_num_threads(1)
tasks.classify.training.CHECKPOINT_SECONDS = 0
run(Path({checkpoint!r}), on_epoch=lambda _n: print("epoch", flush=True))
"""


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_weights(tmp_path: Path, uninterrupted: Training) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    script = KILLED.format(folder=str(Path(__file__).parent), checkpoint=str(checkpoint))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["epoch\n"] * 2
        process.kill()  # in the middle of the third epoch, or of writing its checkpoint
    assert process.returncode == -signal.SIGKILL
    counted: list[int] = []
    resumed = run(checkpoint, on_epoch=counted.append)
    assert counted[0] in (2, 3) and sum(counted) == 4
    assert_same(resumed, uninterrupted)


def test_a_run_in_bfloat16_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    exact = TrainParams(architecture="squeezenet1_1", epochs=1, batch_size=8)
    half = exact.model_copy(update={"precision": "bfloat16"})
    longer = half.model_copy(update={"epochs": 2})
    whole = run(tmp_path / "whole.pt", longer)
    run(tmp_path / "parts.pt", half)
    assert_same(run(tmp_path / "parts.pt", longer), whole)
    assert {tensor.dtype for tensor in whole.model.parameters()} == {torch.float32}
    losses = [training.epochs[0]["train_loss"] for training in (whole, run(tmp_path / "exact.pt", exact))]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.05)


def test_only_a_precision_beside_float32_names_a_classifier() -> None:
    augmentation, images = ArtifactRef(kind="augmentation", digest="0" * 32), list[ArtifactRef]()
    plain, half = (
        classifier_recipe(TrainParams(precision=precision), augmentation, images)
        for precision in ("float32", "bfloat16")
    )
    assert "precision" not in plain.params and half.params == {**plain.params, "precision": "bfloat16"}
    assert TrainParams.model_validate(half.params).precision == "bfloat16"


def test_a_finished_checkpoint_is_not_trained_further(tmp_path: Path, uninterrupted: Training) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(uninterrupted.dump())
    assert_same(run(tmp_path / "checkpoint.pt"), uninterrupted)


@pytest.mark.parametrize("cut", [0, 100, -100])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, uninterrupted: Training, cut: int) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(uninterrupted.dump()[:cut])
    with pytest.raises(ArtifactError, match="delete it") as caught:
        run(checkpoint)
    assert str(checkpoint) in str(caught.value)


def test_the_checkpoint_of_another_training_is_refused(tmp_path: Path, uninterrupted: Training) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(uninterrupted.dump())
    with pytest.raises(ArtifactError, match="cannot be read as a checkpoint"):
        run(tmp_path / "checkpoint.pt", PARAMS.model_copy(update={"architecture": "resnet34"}))


def test_another_seed_trains_other_weights(uninterrupted: Training) -> None:
    first, other = (Training.start(PARAMS.model_copy(update={"seed": seed}), 2, CPU) for seed in (3, 4))
    train_epoch(first, toy_samples(), PARAMS, CPU)
    train_epoch(other, toy_samples(), PARAMS.model_copy(update={"seed": 4}), CPU)
    assert not torch.equal(first.model.state_dict()["fc.weight"], other.model.state_dict()["fc.weight"])
    assert not torch.equal(first.model.state_dict()["fc.weight"], uninterrupted.model.state_dict()["fc.weight"])


def test_training_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    run(tmp_path / "checkpoint.pt", TrainParams(architecture="mobilenet_v3_small", epochs=1))  # it has dropout
    assert torch.equal(torch.get_rng_state(), before)


def test_every_epoch_has_a_row(uninterrupted: Training) -> None:
    assert [row["epoch"] for row in uninterrupted.epochs] == [1, 2, 3, 4]
    for row in uninterrupted.epochs:
        assert set(row) == {"epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy"}
        assert row["train_loss"] > 0 and row["val_loss"] > 0
        assert (24 * row["train_accuracy"]).is_integer() and round(10 * row["val_accuracy"], 9).is_integer()


@pytest.mark.parametrize(
    ("step", "factor", "expected"),
    [
        (2, 0.1, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5]),
        (1, 0.5, [1e-3, 5e-4, 2.5e-4, 1.25e-4, 6.25e-5]),
        (9, 0.1, [1e-3] * 5),
    ],
)
def test_the_learning_rate_falls_in_steps(tmp_path: Path, step: int, factor: float, expected: list[float]) -> None:
    params = TrainParams(
        architecture="squeezenet1_1", epochs=5, learning_rate=1e-3, step_epochs=step, step_factor=factor
    )
    training = run(tmp_path / "checkpoint.pt", params)
    assert [row["learning_rate"] for row in training.epochs] == pytest.approx(expected)


def test_the_loss_falls_and_the_classes_are_told_apart(tmp_path: Path) -> None:
    params = TrainParams(architecture="resnet18", epochs=4, batch_size=8, learning_rate=1e-3)
    epochs = run(tmp_path / "checkpoint.pt", params).epochs
    assert epochs[-1]["train_loss"] < 0.5 * epochs[0]["train_loss"]
    assert epochs[-1]["val_accuracy"] == 1.0


@pytest.mark.parametrize(("n", "n_seen"), [(9, 8), (8, 8), (10, 10)])
def test_a_last_batch_of_one_sample_is_left_out(n: int, n_seen: int) -> None:
    training = Training.start(PARAMS, 2, CPU)
    loss, accuracy = train_epoch(training, toy_samples(n), PARAMS, CPU)
    n_updates = training.model.state_dict()["bn1.num_batches_tracked"].item()
    assert n_updates == -(-n_seen // 8)
    assert np.isfinite(loss) and round(accuracy * n_seen, 9).is_integer()


@dataclass(frozen=True)
class Watched(TrainingSet):
    """Samples that record the batches in which they are requested."""

    asked: list[list[int]] = field(default_factory=list[list[int]])

    def batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked.append(rows.tolist())
        return super().batch(rows)


def test_every_epoch_has_an_order_of_its_own(tmp_path: Path) -> None:
    toy = toy_samples(19)
    watched = Watched(toy.images, toy.samples, toy.labels)
    params = TrainParams(architecture="squeezenet1_1", epochs=3, batch_size=9)
    train(watched, toy_images(2, seed=1), 2, params, RUNTIME, tmp_path / "checkpoint.pt", ignore)
    assert [len(batch) for batch in watched.asked] == [9, 9] * 3
    epochs = [watched.asked[2 * e] + watched.asked[2 * e + 1] for e in range(3)]
    assert all(len(set(epoch)) == 18 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len({*range(19)} - set.intersection(*map(set, epochs))) > 1  # not always the same sample is left out


@pytest.mark.parametrize("symmetry", range(8))
@pytest.mark.parametrize("seed", [NO_CHANGE, 11, 12])
def test_a_sample_is_what_numpy_makes_of_the_image(symmetry: int, seed: int) -> None:
    images, _ = toy_images(2, seed=5)
    samples = TrainingSet(images, np.asarray([[0, 0, NO_CHANGE], [1, symmetry, seed]]), np.asarray([0, 1]))
    inputs, labels = samples.batch(np.asarray([1, 0]))
    gain, offset = photometric_change(seed)
    bright = np.clip(images[1] / 255 * gain + offset, 0, 1)
    turned = np.rot90(bright, symmetry % 4)
    expected = ((turned[:, ::-1] if symmetry >= 4 else turned) - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(inputs[0].numpy(), expected.transpose(2, 0, 1), atol=1e-5)
    plain = (images[0] / 255 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(inputs[1].numpy(), plain.transpose(2, 0, 1), atol=1e-5)
    assert labels.tolist() == [1, 0]


def test_evaluation_is_the_mean_over_images_whatever_the_batches(uninterrupted: Training) -> None:
    images, labels = toy_images(10, seed=1)
    model = uninterrupted.model
    loss, accuracy = evaluate(model, images, labels, 3, CPU)
    inputs = ((images / 255 - IMAGENET_MEAN) / IMAGENET_STD).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(np.ascontiguousarray(inputs))).double().numpy()
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(10), labels]
    assert loss == pytest.approx(losses.mean(), rel=1e-4)
    assert accuracy == (logits.argmax(axis=1) == labels).mean()
    assert uninterrupted.epochs[-1]["val_loss"] == pytest.approx(losses.mean(), rel=1e-4)


def test_without_validation_labels_there_is_nothing_to_evaluate() -> None:
    assert evaluate(torch.nn.Identity(), np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, np.int64), 4, CPU) == (
        None,
        None,
    )


def test_a_training_that_diverges_is_refused() -> None:
    training = Training.start(PARAMS, 2, CPU)
    with torch.no_grad():
        training.model.get_parameter("fc.weight").fill_(torch.inf)
    with pytest.raises(InputError, match="finite numbers") as caught:
        train_epoch(training, toy_samples(), PARAMS, CPU)
    assert "learning_rate" in caught.value.remedy


DAYS = ("2021-08-23", "2021-09-03")


def pixels_of(day: int, row: int) -> NDArray[np.uint8]:
    """Return an image whose pixels identify it."""
    return np.full((4, 4, 3), 100 * day + row, np.uint8)


def stored_images(store: Store, day: int, splits: list[str], labels: list[int | None]) -> Artifact:
    """Store images of one date, with the table in another order than the array."""
    order = list(reversed(range(len(splits))))
    same: dict[str, Any] = {"path": "a.png", "sha256": "0", "height": 4, "width": 4, "flags": ""}
    rows = [
        {"plant_id": f"p{day}{row}", "split": splits[row], "label": labels[row], "row": row, **same} for row in order
    ]
    recipe = Recipe("images", 1, {"day": day})
    with store.create(recipe) as draft:
        write_array(draft, IMAGES, np.stack([pixels_of(day, row) for row in range(len(splits))]))
        write_table(draft, OBSERVATIONS, rows_to_columns(OBSERVATIONS, rows))
        draft.summary = {"date": DAYS[day]}
    return store.open(recipe.ref)


def stored_plan(store: Store, plan: Sequence[tuple[int, int, int, int, int | None]]) -> Artifact:
    """Store an augmentation table of samples by day, row, label, symmetry and photometric seed."""
    rows = [
        {
            "acquired": date.fromisoformat(DAYS[day]),
            "plant_id": f"p{day}{row}",
            "row": row,
            "label": label,
            "symmetry": symmetry,
            "photometric_seed": seed,
        }
        for day, row, label, symmetry, seed in plan
    ]
    recipe = Recipe("augmentation", 1)
    with store.create(recipe) as draft:
        write_table(draft, AUGMENTATION, rows_to_columns(AUGMENTATION, rows))
    return store.open(recipe.ref)


def two_dates(tmp_path: Path) -> tuple[Store, list[Artifact]]:
    store = Store(tmp_path)
    first = stored_images(store, 0, ["train", "val", "val", "train", "test"], [1, 0, None, 0, 1])
    second = stored_images(store, 1, ["val", "train", "new", "val"], [1, 1, None, 0])
    return store, [first, second]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_training_set_holds_the_planned_rows_of_both_dates(tmp_path: Path, is_reversed: bool) -> None:
    store, artifacts = two_dates(tmp_path)
    plan = [(1, 1, 1, 5, None), (0, 3, 0, 0, 77), (0, 0, 1, 2, None), (1, 1, 1, 3, 9), (0, 3, 0, 1, None)]
    found = load_training_set(artifacts[::-1] if is_reversed else artifacts, stored_plan(store, plan))
    assert len(found.images) == 3  # each image once, however often it is shown
    assert found.labels.tolist() == [1, 0, 1, 1, 0]
    for (day, row, _, symmetry, seed), sample in zip(plan, found.samples, strict=True):
        assert np.array_equal(found.images[sample[0]], pixels_of(day, row))
        assert sample[1:].tolist() == [symmetry, NO_CHANGE if seed is None else seed]


def test_a_date_without_training_images_adds_none(tmp_path: Path) -> None:
    store, artifacts = two_dates(tmp_path)
    found = load_training_set(artifacts, stored_plan(store, [(1, 1, 1, 0, None)]))
    assert np.array_equal(found.images, pixels_of(1, 1)[None])


def test_the_validation_set_holds_the_labelled_validation_images(tmp_path: Path) -> None:
    _, artifacts = two_dates(tmp_path)
    images, labels = load_validation_set(artifacts)
    found = [(int(image[0, 0, 0]), int(label)) for image, label in zip(images, labels, strict=True)]
    assert sorted(found) == [(1, 0), (100, 1), (103, 0)]


def test_no_validation_images_are_an_empty_set(tmp_path: Path) -> None:
    artifact = stored_images(Store(tmp_path), 0, ["train", "new"], [1, None])
    images, labels = load_validation_set([artifact])
    assert images.shape == (0, 4, 4, 3) and labels.shape == (0,)


def test_a_given_classifier_is_named_by_its_content_not_its_place(tmp_path: Path) -> None:
    classes = ("not ready", "ready")
    for name, content in (("a.pt", b"one"), ("b.pt", b"one"), ("c.pt", b"two")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (
        given_recipe(GivenClassifier(path=str(tmp_path / name)), classes).ref for name in ("a.pt", "b.pt", "c.pt")
    )
    assert a == b != c
    other = GivenClassifier(path=str(tmp_path / "a.pt"), architecture="resnet34")
    assert given_recipe(other, classes).ref != a
    assert given_recipe(GivenClassifier(path=str(tmp_path / "a.pt")), classes[::-1]).ref != a
