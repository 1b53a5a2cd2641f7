"""Fit the names of a checkpoint's weights to those of a torchvision model. No Prefect.

Trainers put a prefix before every name, and timm has other names for a Vision Transformer. Other models of timm are not
renamed, because variants of equal names compute other numbers: by other padding, or where a VGG pools large images.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from storage.errors import InputError
from tasks.classify.checkpoints import SAVE_WEIGHTS, some

Weights = dict[str, torch.Tensor]
WRAPPERS = (
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
)  # torch inserts them anywhere in names
COUNTER = "num_batches_tracked"  # of a batch normalisation, which evaluation does not use
PROFILED = ("total_ops", "total_params")  # what the profiler thop leaves in a model
LAYER = r"encoder.layers.encoder_layer_\1."
# Names of timm's Vision Transformers, as patterns, and those of torchvision.
TIMM_NAMES = (
    (r"cls_token$", "class_token"),
    (r"pos_embed$", "encoder.pos_embedding"),
    (r"patch_embed\.proj\.", "conv_proj."),
    (r"blocks\.(\d+)\.norm([12])\.", LAYER + r"ln_\2."),
    (r"blocks\.(\d+)\.attn\.qkv\.", LAYER + "self_attention.in_proj_"),
    (r"blocks\.(\d+)\.attn\.proj\.", LAYER + "self_attention.out_proj."),
    (r"blocks\.(\d+)\.mlp\.fc1\.", LAYER + "mlp.0."),
    (r"blocks\.(\d+)\.mlp\.fc2\.", LAYER + "mlp.3."),
    (r"norm\.(?=weight$|bias$)", "encoder.ln."),
    (r"head\.(?=weight$|bias$)", "heads.head."),
)
OTHER_TIMM = re.compile(
    r"(.*\.)?(conv_stem|patch_embed|pre_logits|stages\.\d+|stem)\."
)  # names that other models of timm have


def fit_weights(weights: Weights, model: nn.Module, architecture: str, source: str, rule: str) -> Weights:
    """Return the tensors of a checkpoint under the names of a model.

    Parameters
    ----------
    weights : tensors by the checkpoint's names.
    source, rule : place of the file and what it must hold, for error messages.

    Raises
    ------
    InputError : tensors are missing or too many, have other shapes, or the checkpoint holds several such models.
    """
    expected = model.state_dict()
    plain = {_without_wrappers(name): tensor for name, tensor in weights.items()}
    for names in (plain, {_from_timm(name): tensor for name, tensor in plain.items()}):
        prefixes = _complete_prefixes(names, expected)
        if prefixes:
            prefix = _only_prefix(prefixes, architecture, source, rule)
            _refuse_more(names, expected, prefixes, prefix, architecture, source, rule)
            given = {name: names[prefix + name] for name in expected if prefix + name in names}
            return {**expected, **given}
    raise _missing(plain, expected, architecture, source, rule)


def _without_wrappers(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def _from_timm(name: str) -> str:
    for pattern, replacement in TIMM_NAMES:
        renamed, n = re.subn(rf"(?:^|(?<=\.)){pattern}", replacement, name, count=1)
        if n:
            return renamed
    return name


def _complete_prefixes(names: Weights, expected: Mapping[str, object]) -> list[str]:
    """Return the prefixes under which all tensors of a model stand."""
    required = [name for name in expected if not name.endswith(COUNTER)]
    return sorted(p for p in _prefixes(names, required[0]) if all(p + name in names for name in required))


def _prefixes(names: Iterable[str], one: str) -> set[str]:
    return {name.removesuffix(one) for name in names if name == one or name.endswith(f".{one}")}


def _only_prefix(prefixes: list[str], architecture: str, source: str, rule: str) -> str:
    usual = [prefix for prefix in prefixes if re.fullmatch(r"(module\.|model\.)*", prefix)]
    chosen = usual if len(usual) == 1 else prefixes
    if len(chosen) > 1:
        raise InputError(
            f"{source} holds {len(chosen)} models of {architecture}, with the prefixes {some(chosen)}",
            rule,
            f"save the one to use alone: {SAVE_WEIGHTS}",
        )
    return chosen[0]


def _refuse_more(
    names: Weights, expected: Weights, prefixes: list[str], prefix: str, architecture: str, source: str, rule: str
) -> None:
    """Refuse tensors of other layers; numbers of a loss or a metric outside the model's prefix are no layers."""
    used = {p + name for p in prefixes for name in expected}
    more = [
        name
        for name, tensor in names.items()
        if name not in used
        and not name.endswith(PROFILED)
        and (name.startswith(prefix) or (tensor.is_floating_point() and tensor.ndim > 1))
    ]
    if more:
        raise InputError(
            f"{source} holds {len(more)} tensors that {architecture} does not have: {some(more)}",
            rule,
            "check classifier.architecture, or export the whole model (classifier.architecture = exported)",
        )


def _missing(names: Weights, expected: Weights, architecture: str, source: str, rule: str) -> InputError:
    """Say which tensors are missing under the prefix with the fewest missing."""
    required = [name for name in expected if not name.endswith(COUNTER)]
    starts = {prefix for one in required for prefix in _prefixes(names, one)} or {""}
    missing = min(([name for name in required if prefix + name not in names] for prefix in sorted(starts)), key=len)
    is_timm = any(OTHER_TIMM.match(name) for name in names)
    hint = "; its names are those of a model of timm" if is_timm else ""
    found = f"{source} lacks {len(missing)} of the {len(required)} tensors of {architecture}, such as {some(missing)}"
    remedy = "export the model as a program (classifier.architecture = exported)" if is_timm else ""
    return InputError(found + f"; it holds {some(list(names))}{hint}", rule, remedy or "check classifier.architecture")


def check_shapes(weights: Weights, expected: Weights, architecture: str, source: str, rule: str) -> None:
    """Refuse tensors whose shapes are not those of a model.

    Raises
    ------
    InputError : shapes differ. The message says so where the number of outputs alone differs.
    """
    unlike = [name for name, tensor in weights.items() if tensor.shape != expected[name].shape]
    if not unlike:
        return
    first = unlike[0]
    ours, theirs = tuple(expected[first].shape), tuple(weights[first].shape)
    if all(weights[name].shape[1:] == expected[name].shape[1:] and weights[name].ndim for name in unlike):
        one = 'if that is the logit of the second class, set classifier.outputs = "one_logit"'
        raise InputError(
            f"{source} has {theirs[0]} output{'s' * (theirs[0] != 1)} in {first}, and not {ours[0]}",
            rule,
            one if theirs[0] == 1 else "give weights with one output for each class of the campaign",
        )
    raise InputError(
        f"{len(unlike)} tensors of {source} have other shapes than {architecture}'s, such as {first}: {theirs} "
        f"and not {ours}",
        rule,
        "check classifier.architecture",
    )


def second_of_two(weights: Weights, expected: Weights) -> Weights:
    """Return weights with two outputs in place of one, where the one is the logit of the second class.

    The first class gets the logit 0, so the softmax of both is the sigmoid of the one.
    """

    def with_zeros(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        is_head = tensor.ndim > 0 and tensor.shape[:1] == (1,) and like.shape == (2, *tensor.shape[1:])
        return torch.cat([torch.zeros_like(tensor), tensor]) if is_head else tensor

    return {name: with_zeros(tensor, expected[name]) for name, tensor in weights.items()}
