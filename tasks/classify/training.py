"""Train a classifier: batches from a plan, epochs, checkpoints. No Prefect, no store.

Kierdorf & Roscher 2023, section 2.3: ResNet18, cross-entropy, 25 epochs of Adam with learning rate 1e-4, times 0.1
every 5 epochs, and weight decay 1e-4. The paper does not state batch size, initial weights and normalisation. Here they
are 16, random and ImageNet's.

With `train.precision = bfloat16`, layers run under `torch.autocast`. Weights, their gradients, the optimiser and the
loss stay in float32, and so does validation.

A checkpoint is written after an epoch, unless the last one is younger than half a minute. The order of samples in an
epoch depends only on its number and the seed. So a resumed run ends with the same weights as an uninterrupted one.
"""

import copy
import io
import logging
import math
import pickle
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from storage.errors import ArtifactError, InputError
from storage.places.files import Place, read_file, write_atomically
from tasks.batches import batches
from tasks.classify.changes import TrainingSet
from tasks.classify.model import check_logits, choose_device, normalise, pass_size
from tasks.classify.params import IMAGENET_MEAN, IMAGENET_STD, TrainParams
from tasks.parameters import Runtime

LOGGER = logging.getLogger(__name__)
# Least time between checkpoints, of which ResNet18's has 134 MB. A run that is killed repeats no more than this time
# and the epoch that it was in.
CHECKPOINT_SECONDS = 30
MOST_TRIED = 16  # most samples of a pass that compares precisions
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
        # The fused optimiser reads and writes the weights once per step. It rounds differently, so that float32 keeps
        # the plain one, and with it the weights of earlier versions.
        is_fused = params.precision == "bfloat16"
        optimiser = torch.optim.Adam(
            model.parameters(),
            lr=params.learning_rate,
            weight_decay=params.weight_decay,
            foreach=device.type == "cuda" and not is_fused,
            fused=is_fused,
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
            logits = forward(training.model, inputs, params.precision)
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


def forward(model: nn.Module, inputs: torch.Tensor, precision: str) -> Any:
    """Return what a model in training gives for normalised inputs; logits are float32 whatever the precision."""
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        out = model(inputs.contiguous(memory_format=torch.channels_last))
    return out.float() if isinstance(out, torch.Tensor) else out


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse bfloat16 on a GPU that does not compute in it.

    Raises
    ------
    InputError : the GPU is older than NVIDIA's Ampere.
    """
    if (
        precision == "bfloat16"
        and device.type == "cuda"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        raise InputError(
            f"train.precision is bfloat16, and the GPU is {torch.cuda.get_device_name(device)}",
            "Training in bfloat16 needs a GPU that computes in it, or a CPU",
            "set train.precision = float32",
        )


def time_of_bfloat16(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Measure how many times as long a CPU takes for a training pass in bfloat16 as in float32.

    The better of two passes of a copy of the model counts, after each other in turns.
    """
    tried, taken = copy.deepcopy(model).train(), {"float32": np.inf, "bfloat16": np.inf}
    with torch.random.fork_rng(devices=[]):
        for precision in 2 * tuple(taken):
            start = time.perf_counter()
            nn.functional.cross_entropy(forward(tried, inputs, precision), labels).backward()
            taken[precision] = min(taken[precision], time.perf_counter() - start)
    return taken["bfloat16"] / taken["float32"]


def warn_if_slower(training: Training, samples: TrainingSet) -> None:
    """Warn where bfloat16 is slower than float32, as on processors without AMX, by passes of a few samples."""
    n = pass_size("cpu", samples.images.shape[1:3], MOST_TRIED)
    times = time_of_bfloat16(training.model, *samples.batch(np.arange(len(samples.labels))[:n]))
    if times > 1.1:  # less is within the noise of so short a measurement
        LOGGER.warning(
            "train.precision is bfloat16, and a training pass takes %.1f times as long in it as in float32 on this "
            "processor; train.precision = float32 is quicker and more exact here",
            times,
        )


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
    """Train to the last epoch, starting from the checkpoint if it exists, and replace it every `CHECKPOINT_SECONDS`.

    It is replaced at the end of an epoch: after the first one of this call, and then after every one that ends as much
    later.
    """
    device = choose_device(runtime)
    check_precision(params.precision, device)
    training = Training.start(params, n_classes, device)
    if checkpoint.is_file():
        training.load(checkpoint)
        on_epoch(len(training.epochs))
    if params.precision == "bfloat16" and device.type == "cpu" and len(training.epochs) < params.epochs:
        warn_if_slower(training, samples)
    written = -math.inf
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
        if time.monotonic() - written >= CHECKPOINT_SECONDS:
            write_atomically(checkpoint, training.dump())
            written = time.monotonic()
        on_epoch(1)
    return training
