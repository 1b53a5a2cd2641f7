"""Train a classifier: batches from a plan, epochs, checkpoints. No Prefect, no store.

Kierdorf & Roscher 2023, section 2.3: ResNet18, cross-entropy, 25 epochs of Adam with learning rate 1e-4, times 0.1
every 5 epochs, and weight decay 1e-4. The paper does not state batch size, initial weights and normalisation. Here they
are 16, random and ImageNet's.

A checkpoint is written after every epoch. The order of samples in an epoch depends only on its number and the seed. So
a resumed run ends with the same weights as an uninterrupted one.
"""

import io
import pickle
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from storage.errors import ArtifactError
from storage.places.files import Place, read_file, write_atomically
from tasks.batches import batches
from tasks.classify.changes import NO_CHANGE, apply_symmetry, photometric_change
from tasks.classify.model import check_logits, choose_device, normalise, pass_size
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD, TrainParams
from tasks.parameters import Runtime

# Exceptions of torch for a file that is no checkpoint of this training.
UNREADABLE = (
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
)


@dataclass(frozen=True)
class TrainingSet:
    """Training images in memory (about 200 kB each at 256 pixels), and the samples to make of them.

    Attributes
    ----------
    images : (n, h, w, 3) uint8.
    samples : (m, 3) image index, symmetry, photometric seed or -1.
    labels : (m,) class of each sample.
    """

    images: NDArray[np.uint8]
    samples: NDArray[np.int64]
    labels: NDArray[np.int64]

    def batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Make the normalised inputs (b, 3, h, w) and the labels (b,) of some samples."""
        return (
            torch.stack([self._sample(*self.samples[row].tolist()) for row in rows]),
            torch.from_numpy(self.labels[rows]),
        )

    def _sample(self, image: int, symmetry: int, seed: int) -> torch.Tensor:
        pixels = torch.from_numpy(self.images[image])[None]
        gain, offset = photometric_change(seed)
        # Gain and offset act on values in 0..1, before normalisation. Values are clipped as in a camera.
        values = (pixels.to(torch.float32) * gain + 255 * offset).clamp(0, 255) if seed != NO_CHANGE else pixels
        return apply_symmetry(normalise(values, IMAGENET_MEAN, IMAGENET_STD)[0], symmetry)


@dataclass
class Training:
    """State of a training, as a checkpoint holds it: model, optimiser, schedule and the epochs so far."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    epochs: list[dict[str, Any]]

    @classmethod
    def start(cls, params: TrainParams, n_classes: int, device: torch.device) -> "Training":
        """Return the state of a training before its first epoch."""
        from tasks.classify.architectures import build_model

        model = build_model(params.architecture, n_classes, params.weights, params.seed)
        model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(
            model.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay, foreach=device.type == "cuda"
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, params.step_epochs, params.step_factor)
        return cls(model, optimiser, schedule, [])

    def dump(self) -> bytes:
        """Return the checkpoint as bytes."""
        buffer = io.BytesIO()
        parts = (self.model, self.optimiser, self.schedule)
        torch.save({"states": [part.state_dict() for part in parts], "epochs": self.epochs}, buffer)
        return buffer.getvalue()

    def load(self, checkpoint: Place) -> None:
        """Load the state of a checkpoint.

        Raises
        ------
        ArtifactError : the file is damaged, or belongs to another training.
        """
        try:
            content = torch.load(io.BytesIO(read_file(checkpoint)), map_location="cpu", weights_only=True)
            for part, state in zip((self.model, self.optimiser, self.schedule), content["states"], strict=True):
                part.load_state_dict(state)
            self.epochs = content["epochs"]
        except UNREADABLE as error:
            raise ArtifactError(
                f"{checkpoint} cannot be read as a checkpoint of this training: {error}; delete it to train again"
            ) from error


def made_ahead(samples: TrainingSet, parts: list[NDArray[np.int64]]) -> Generator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batch of each part of the samples, and make the next batch meanwhile in a thread.

    Otherwise a GPU would wait for batches a quarter of the time.
    """
    with ThreadPoolExecutor(1, "batch") as maker:
        coming = maker.submit(samples.batch, parts[0])
        for part in parts[1:]:
            ready, coming = coming, maker.submit(samples.batch, part)
            yield ready.result()
        yield coming.result()


def train_epoch(
    training: Training, samples: TrainingSet, params: TrainParams, device: torch.device
) -> tuple[float, float]:
    """Train one epoch, and return the mean loss (nat) and the accuracy over its batches.

    A last batch of a single sample is left out, because batch normalisation needs several. The order differs between
    epochs, so another sample is left out in each epoch.
    """
    epoch = len(training.epochs)
    order = np.random.default_rng([params.seed, epoch]).permutation(len(samples.labels))
    training.model.train()
    loss_sum = torch.zeros((), dtype=torch.float64)
    n_correct, n_seen = 0, 0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(params.seed * 1000 + epoch)  # for architectures with dropout
        parts = [order[part] for part in batches(len(order), params.batch_size)]
        for batch in made_ahead(samples, [rows for rows in parts if len(rows) > 1 or len(order) == 1]):
            inputs, labels = (t.to(device) for t in batch)
            logits = training.model(inputs.contiguous(memory_format=torch.channels_last))
            check_logits(logits, len(labels), logits.shape[1] if isinstance(logits, torch.Tensor) else 0)
            loss = nn.functional.cross_entropy(logits, labels)
            training.optimiser.zero_grad()
            loss.backward()
            training.optimiser.step()
            loss_sum += loss.detach().cpu().double() * len(labels)
            n_correct += int((logits.argmax(1) == labels).sum())
            n_seen += len(labels)
    training.schedule.step()
    return float(loss_sum) / n_seen, n_correct / n_seen


def evaluate(
    model: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64], batch_size: int, device: torch.device
) -> tuple[float | None, float | None]:
    """Return the mean cross-entropy (nat) and the accuracy on labelled images; (None, None) if there are none."""
    if not len(labels):
        return None, None
    model.eval()
    loss, n_correct = 0.0, 0
    size = pass_size(device.type, images.shape[1:3], batch_size)
    with torch.no_grad():
        for part in batches(len(labels), batch_size):
            batch = torch.from_numpy(images[part]).to(device)
            passes = (model(normalise(some, IMAGENET_MEAN, IMAGENET_STD)) for some in batch.split(size))
            # Losses are summed over a whole batch, because the rounding must not depend on the size of a pass.
            logits, truth = torch.cat([*passes]), torch.from_numpy(labels[part]).to(device)
            loss += float(nn.functional.cross_entropy(logits, truth, reduction="sum"))
            n_correct += int((logits.argmax(1) == truth).sum())
    return loss / len(labels), n_correct / len(labels)


def train(
    samples: TrainingSet,
    validation: tuple[NDArray[np.uint8], NDArray[np.int64]],
    n_classes: int,
    params: TrainParams,
    runtime: Runtime,
    checkpoint: Place,
    on_epoch: Callable[[int], None],
) -> Training:
    """Train to the last epoch, starting from the checkpoint if it exists, and replace it after every epoch."""
    device = choose_device(runtime)
    training = Training.start(params, n_classes, device)
    if checkpoint.is_file():
        training.load(checkpoint)
        on_epoch(len(training.epochs))
    while len(training.epochs) < params.epochs:
        rate = float(training.optimiser.param_groups[0]["lr"])
        loss, accuracy = train_epoch(training, samples, params, device)
        val_loss, val_accuracy = evaluate(training.model, *validation, runtime.batch_size, device)
        training.epochs.append(
            {
                "epoch": len(training.epochs) + 1,
                "learning_rate": rate,
                "train_loss": loss,
                "train_accuracy": accuracy,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
            }
        )
        write_atomically(checkpoint, training.dump())
        on_epoch(1)
    return training
