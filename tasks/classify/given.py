"""Read classifiers from files: given ones, and those in a store. No Prefect."""

import copy
import io
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from storage.errors import InputError
from tasks.classify.checkpoints import read_weights
from tasks.classify.model import save_weights
from tasks.classify.params import EXPORTED, GivenClassifier, Outputs
from tasks.classify.programs import give_logits, read_program
from tasks.classify.weight_names import check_shapes, fit_weights, second_of_two

# Exceptions of torch for a file that holds anything but the weights of a model.
NOT_A_STATE_DICT = (RuntimeError, pickle.UnpicklingError, LookupError, TypeError, AttributeError)


def load_given(given: GivenClassifier, n_classes: int) -> nn.Module:
    """Load an already trained classifier.

    Raises
    ------
    InputError : the file is missing or of another kind, or its weights do not fit the architecture and classes.
    """
    return read_model(given_content(given), given.architecture, n_classes, given.path, given.outputs)()


def given_content(given: GivenClassifier) -> bytes:
    """Return the content of a given classifier's file.

    Raises
    ------
    InputError : there is no such file.
    """
    path = Path(given.path)
    if not path.is_file():
        found = f"{path} is a folder" if path.is_dir() else f"There is no file {path}"
        raise InputError(found, "classifier.path must be a file", "give the path of the weights")
    return path.read_bytes()


def read_model(
    content: bytes, architecture: str, n_classes: int, source: str, outputs: Outputs = "logits"
) -> Callable[[], nn.Module]:
    """Read a model from a file's content, and return a function that makes copies with separate modules.

    Parameters
    ----------
    source : place that the content was read from, for error messages.
    outputs : what the model returns (see `GivenClassifier`); the copies return logits.

    Raises
    ------
    InputError : the content is of another kind, or its weights do not fit the architecture and number of classes.
    """
    from tasks.classify.architectures import build_model

    kind = "an exported program" if architecture == EXPORTED else f"weights of {architecture}"
    rule = f"classifier.path must hold {kind} with {n_classes} outputs"
    if outputs.startswith("one_"):
        rule = f"classifier.path must hold {kind} with one output, of the second of two classes"
        if n_classes != 2:
            remedy = "set classifier.outputs = logits, and give a classifier with one output for each class"
            raise InputError(f"The campaign has {n_classes} classes, and classifier.outputs is {outputs}", rule, remedy)
    if architecture == EXPORTED:  # a program cannot be copied, but making modules of it takes only 0.2 s
        program = read_program(content, source, rule)
        return lambda: give_logits(torch.export.unflatten(program), outputs)
    model = build_model(architecture, n_classes, "none", seed=0, key="classifier.architecture")
    weights = fit_weights(read_weights(content, source, rule), model, architecture, source, rule)
    if outputs == "one_logit":
        weights = _widened(weights, model, source, rule)
    check_shapes(weights, model.state_dict(), architecture, source, rule)
    model.load_state_dict(weights)
    return partial(with_same_weights, model)


def _widened(weights: dict[str, torch.Tensor], model: nn.Module, source: str, rule: str) -> dict[str, torch.Tensor]:
    widened = second_of_two(weights, model.state_dict())
    if all(widened[name] is weights[name] for name in weights):
        raise InputError(f"{source} has not one output", rule, "remove classifier.outputs, or give other weights")
    return widened


def stored_content(given: GivenClassifier, n_classes: int) -> tuple[bytes, dict[str, Any]]:
    """Return the content that a store keeps of a given classifier, with its facts (see `GivenClassifier.facts`).

    Programs and plain state dicts are kept as they are. Of other files the state dict is kept, with an output for each
    class.

    Raises
    ------
    InputError : the file is missing or of another kind, or its weights do not fit the architecture and classes.
    """
    content = given_content(given)
    model = read_model(content, given.architecture, n_classes, given.path, given.outputs)()
    if given.architecture == EXPORTED or is_state_dict(content, model):
        return content, given.facts()
    return save_weights(model), given.model_copy(update={"outputs": "logits"}).facts()


def is_state_dict(content: bytes, model: nn.Module) -> bool:
    """Return whether a file that a model was read from is what `save_weights` writes, and no checkpoint around it."""
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        model.load_state_dict(loaded)
    except NOT_A_STATE_DICT:
        return False
    return True


def with_same_weights(model: nn.Module) -> nn.Module:
    """Return a copy of a model's modules that shares the model's tensors."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, tensors)  # type: ignore[arg-type]
