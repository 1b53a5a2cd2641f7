"""Read torch.export programs, and turn what a classifier returns into logits. No Prefect.

A program is code: whoever writes one decides what the process computes when it is loaded and run. Where the environment
variable `HARVEST_PROGRAMS` names a folder, as in the service, only programs are loaded whose content lies there too.
"""

import hashlib
import io
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from storage.errors import InputError
from storage.places.allowed import PROGRAMS
from tasks.classify.checkpoints import DAMAGED, PROGRAM, SCRIPT, kind_of
from tasks.classify.params import Outputs

EXPORT = (
    "torch.export.save(torch.export.export(model.eval(), (torch.zeros(2, 3, size, size),), "
    'dynamic_shapes=({0: torch.export.Dim("images", min=1, max=4096)},)), "model.pt2")'
)
TOLERANCE = 1e-3  # by which probabilities may lie outside 0..1, and their sum off 1


def read_program(content: bytes, source: str, rule: str) -> torch.export.ExportedProgram:
    """Read a torch.export program.

    Parameters
    ----------
    source, rule : place of the file and what it must hold, for error messages.

    Raises
    ------
    InputError : the file is of another kind, or the folder of `HARVEST_PROGRAMS` does not hold this program.
    """
    kind = kind_of(content, source, rule)
    if kind != PROGRAM:
        words = "a TorchScript program, which torch.export did not write" if kind == SCRIPT else "weights, no program"
        raise InputError(
            f"{source} holds {words}",
            rule,
            "set classifier.architecture to the torchvision model of these weights, or export the model: " + EXPORT,
        )
    refuse_foreign(content, source)
    try:
        return torch.export.load(io.BytesIO(content))
    except DAMAGED as error:
        raise InputError(
            f"{source} cannot be loaded by torch {torch.__version__}: {plain(error)}",
            rule,
            "export it again with this version of torch: " + EXPORT,
        ) from error


def refuse_foreign(content: bytes, source: str) -> None:
    """Refuse a program whose content is not in the folder that the operator names.

    Raises
    ------
    InputError : `HARVEST_PROGRAMS` is set, and no file of that folder has this content.
    """
    folder = os.environ.get(PROGRAMS)
    if not folder:
        return
    digest = hashlib.sha256(content).hexdigest()
    files = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
    same_size = (path for path in files if path.is_file() and path.stat().st_size == len(content))
    if not any(hashlib.sha256(path.read_bytes()).hexdigest() == digest for path in same_size):
        raise InputError(
            f"The program {source} is not in the folder {folder}",
            f"A program can run any code, so only those in the folder of {PROGRAMS} are run",
            "have the operator copy it there, or give weights of a torchvision model instead",
        )


def plain(error: BaseException) -> str:
    """Return the first line of an error's message without terminal colours, at most 200 characters."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(error)).strip()
    return text.partition("\n")[0][:200] or type(error).__name__


def give_logits(model: nn.Module, outputs: Outputs) -> nn.Module:
    """Make a model return logits (n, 2) or (n, n_classes) in place of its own outputs; the modules keep their names."""
    if outputs != "logits":
        model.register_forward_hook(lambda _model, inputs, found: as_logits(found, len(inputs[0]), outputs))
    return model


def as_logits(found: Any, n: int, outputs: Outputs) -> torch.Tensor:
    """Turn what a classifier returned for n images into logits, whose softmax are the classifier's probabilities.

    Raises
    ------
    InputError : there is not one column, or probabilities are outside 0..1 or do not sum to 1.
    """
    if not isinstance(found, torch.Tensor):
        return found  # refused by `check_logits`
    values = found.float()
    if outputs == "probabilities":
        if not are_probabilities(values):
            raise _undeclared(values, outputs, "probabilities must lie in 0..1 and sum to 1 for every image")
        return _log(values)
    if tuple(values.shape) not in ((n,), (n, 1)):
        raise _undeclared(values, outputs, f"the output must have one column, ({n}, 1)")
    second = values.reshape(n, 1)
    if outputs == "one_logit":
        return torch.cat([torch.zeros_like(second), second], 1)
    if not _within(second):
        raise _undeclared(values, outputs, "probabilities must lie in 0..1")
    return torch.cat([_log(1 - second), _log(second)], 1)


def are_probabilities(values: torch.Tensor) -> bool:
    """Return whether all rows (n, k), k > 1, lie in 0..1 and sum to 1."""
    if values.ndim != 2 or values.shape[1] < 2:
        return False
    return _within(values) and bool(((values.sum(1) - 1).abs() <= TOLERANCE).all())


def _within(values: torch.Tensor) -> bool:
    return bool(((values >= -TOLERANCE) & (values <= 1 + TOLERANCE)).all())


def _log(probabilities: torch.Tensor) -> torch.Tensor:
    """Return logarithms; that of zero is the one of the smallest number, -87."""
    return probabilities.clamp(torch.finfo(torch.float32).tiny, 1).log()


def _undeclared(values: torch.Tensor, outputs: Outputs, rule: str) -> InputError:
    found = f"{values.min():.3g} to {values.max():.3g}" if values.numel() else "no values"
    return InputError(
        f"The classifier returned {tuple(values.shape)} with {found}",
        f"With classifier.outputs = {outputs}, {rule}",
        "correct classifier.outputs: logits, probabilities, one_logit or one_probability",
    )
