"""Read the weights in a file: state dicts, checkpoints of trainers, safetensors. No Prefect.

A file's kind is told by its first bytes and, in an archive, by its members. Nothing in a file is run: torch reads
tensors and plain values only. A file that needs other classes is refused, and the message names them.
"""

import argparse
import io
import json
import math
import pathlib
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from storage.errors import InputError

PROGRAM, SCRIPT, CHECKPOINT, LEGACY, SAFETENSORS = "program", "script", "checkpoint", "legacy", "safetensors"
# First bytes of a file that torch.save wrote before version 1.6: a pickle of the format's magic number.
LEGACY_MAGIC = re.compile(rb"\x80[\x02-\x05](\x95.{8})?\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", re.DOTALL)
SAVE_WEIGHTS = 'torch.save(model.state_dict(), "weights.pt")'
SAVE_SCRIPTED = 'torch.save(torch.jit.load("model.pt").state_dict(), "weights.pt")'
CONVERT = f"save the weights alone, in the program that made the file: {SAVE_WEIGHTS}"
AGAIN = "copy or download the file again, and compare its size"
# What a file is that holds no weights: a test of its first bytes, the words for it, and the remedy.
OTHER_KINDS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (
        re.compile(rb"version https://git-lfs"),
        "a Git LFS pointer, which names a file but does not hold it",
        "run git lfs pull",
    ),
    (
        re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml|error)", re.IGNORECASE),
        "a web page, such as a login or error page in place of a download",
        "download the file itself, and log in first if the server asks for it",
    ),
    (re.compile(rb"\x89HDF"), "an HDF5 file, as Keras writes", "export the model to ONNX or PyTorch, then: " + CONVERT),
    (re.compile(rb"(\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd)"), "a compressed file", "unpack it first"),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive", "unpack it first"),
    (re.compile(rb"\x08[\x01-\x1f].{0,40}(pytorch|onnx)", re.DOTALL), "an ONNX model", CONVERT),
    (re.compile(rb"\x80[\x02-\x05]"), "a Python pickle that torch.save did not write", CONVERT),
    (re.compile(rb"\s*[{\[]"), "a JSON text, such as an error message or an index of other files", "give the weights"),
)
# Classes beside tensors that may stand in a checkpoint, because making one of them runs no code of the file: options of
# training scripts, paths and numpy's numbers. numpy 1 and 2 write their functions under different names.
NUMPY_SCALAR: Any = np.float64(0).__reduce__()[0]
HARMLESS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    pathlib.PosixPath,
    pathlib.PurePosixPath,
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")),
    *((NUMPY_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
SAFE_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
MAX_HEADER = 100_000_000  # bytes of a safetensors header, the format's own limit
# Exceptions that torch and zipfile raise for damaged files: where a byte is wrong, nearly any.
DAMAGED = (
    RuntimeError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
)


def kind_of(content: bytes, source: str, rule: str) -> str:
    """Tell the kind of a classifier's file from its content.

    Parameters
    ----------
    source : place that the content was read from, for error messages.
    rule : what the file must hold, for error messages.

    Returns
    -------
    PROGRAM (torch.export), SCRIPT (TorchScript), CHECKPOINT or LEGACY (torch.save) or SAFETENSORS.

    Raises
    ------
    InputError : the file is empty, cut off, or of another kind; the message names the kind.
    """
    if not content:
        raise InputError(f"{source} is empty", rule, AGAIN)
    if content.startswith(b"PK"):
        return _kind_of_archive(content, source, rule)
    if LEGACY_MAGIC.match(content):
        return LEGACY
    if content[8:9] == b"{" and 2 <= int.from_bytes(content[:8], "little") <= MAX_HEADER:
        return SAFETENSORS
    for pattern, words, remedy in OTHER_KINDS:
        if pattern.match(content[:1024]):
            raise InputError(f"{source} is {words}", rule, remedy)
    shown = content[:24]
    begins = repr(shown.decode()) if shown.isascii() and shown.decode().isprintable() else shown[:8].hex(" ")
    raise InputError(f"{source} is no file of torch or safetensors; it begins with {begins}", rule, CONVERT)


def _kind_of_archive(content: bytes, source: str, rule: str) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            damaged = _damaged_members(archive)
    except DAMAGED as error:
        raise _cut(source, rule) from error
    if damaged:
        raise InputError(f"{source} is damaged: the checksum of {some(damaged)} is wrong", rule, AGAIN)
    kinds = (
        (PROGRAM, r"(.*/)?(models/[^/]+\.json|serialized_exported_program\.json)"),
        (SCRIPT, r".*/(code/.+|constants\.pkl)"),
        (CHECKPOINT, r".*/data\.pkl"),
    )
    for kind, pattern in kinds:
        if any(re.fullmatch(pattern, name) for name in names):
            return kind
    raise InputError(f"{source} is a zip archive of {some(names)}", rule, "unpack it, and give the file of the weights")


def _damaged_members(archive: zipfile.ZipFile) -> list[str]:
    """Return the members with a wrong checksum. torch compares none, and a wrong byte is a wrong weight.

    torch can be told to save no checksums. Then all are wrong, and nothing is known. It never compresses, and what is
    compressed is not unpacked here, however large it is.
    """
    stored = [info.filename for info in archive.infolist() if info.compress_type == zipfile.ZIP_STORED]
    wrong = [name for name in stored if not _is_whole(archive, name)]
    return wrong if len(wrong) < len(stored) else []


def _is_whole(archive: zipfile.ZipFile, name: str) -> bool:
    try:
        archive.read(name)
    except zipfile.BadZipFile:
        return False
    return True


def read_weights(content: bytes, source: str, rule: str) -> dict[str, torch.Tensor]:
    """Read the named tensors of a file.

    Checkpoints of trainers hold them under the keys `state_dict`, `model_state_dict` or `model`.

    Raises
    ------
    InputError : the file is cut off, of another kind, holds objects of other classes, or no named tensors.
    """
    kind = kind_of(content, source, rule)
    if kind == PROGRAM:
        remedy = 'set classifier.architecture = "exported"'
        raise InputError(f"{source} is a torch.export program, and no weights", rule, remedy)
    if kind == SCRIPT:
        raise InputError(f"{source} is a TorchScript program", rule, f"save its weights alone: {SAVE_SCRIPTED}")
    try:
        loaded = _read_safetensors(content) if kind == SAFETENSORS else _unpickle(content)
    except DAMAGED as error:
        raise _explained(error, content, kind, source, rule) from error
    return _named_tensors(loaded, source, rule)


def _unpickle(content: bytes) -> Any:
    with torch.serialization.safe_globals(HARMLESS):
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _read_safetensors(content: bytes) -> dict[str, torch.Tensor]:
    """Read the format of https://github.com/huggingface/safetensors: length of the header, header in JSON, values."""
    (length,) = struct.unpack_from("<Q", content)
    header: dict[str, dict[str, Any]] = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors: dict[str, torch.Tensor] = {}
    for name, entry in header.items():
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        dtype, shape = SAFE_DTYPES[entry["dtype"]], entry["shape"]
        if last > len(content) or last - first != dtype.itemsize * math.prod(shape):
            raise EOFError(name)
        values = torch.frombuffer(bytearray(content[first:last]), dtype=dtype) if last > first else torch.empty(0)
        tensors[name] = values.to(dtype).reshape(shape)
    return tensors


def _explained(error: Exception, content: bytes, kind: str, source: str, rule: str) -> InputError:
    """Say why a file cannot be read. Messages of torch are not passed on: they advise to run the file's code."""
    if not isinstance(error, pickle.UnpicklingError) or (kind == LEGACY and not _has_whole_pickles(content)):
        return _cut(source, rule)
    classes = _foreign_classes(content, kind, str(error))
    if any(name.startswith("torch.nn.modules.") for name in classes):
        own = [name for name in classes if not name.startswith("torch.")] or classes
        return InputError(
            f"{source} is a whole pickled model ({some(own)}), which only its own code can load", rule, CONVERT
        )
    of = f" of {some(classes)}" if classes else ""
    return InputError(f"{source} holds Python objects{of} beside its tensors", rule, CONVERT)


def _has_whole_pickles(content: bytes) -> bool:
    """Return whether a file from before torch 1.6 has all its pickles: magic number, version, system, content."""
    stream = io.BytesIO(content)
    try:
        for _ in range(4):
            for _operation in pickletools.genops(stream):
                pass
    except DAMAGED:
        return False
    return True


def _foreign_classes(content: bytes, kind: str, message: str) -> list[str]:
    """Return the classes of a file that are neither tensors nor plain values, without making any object."""
    named = re.findall(r"(?:GLOBAL|global:?) ([\w.]+\.\w+)", message)
    try:
        with torch.serialization.safe_globals(HARMLESS):
            found = (
                torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content)) if kind == CHECKPOINT else []
            )
    except DAMAGED:
        found = []
    return sorted({*named, *found})


def _named_tensors(loaded: Any, source: str, rule: str) -> dict[str, torch.Tensor]:
    within = loaded
    while isinstance(within, Mapping) and not any(isinstance(value, torch.Tensor) for value in within.values()):
        wrapped = [key for key in ("state_dict", "model_state_dict", "model", "module") if key in within]
        if not wrapped:
            break
        within = within[wrapped[0]]
    tensors = {n: t for n, t in within.items() if isinstance(t, torch.Tensor)} if isinstance(within, Mapping) else {}
    if not tensors:
        held = f"the keys {some(list(map(str, within)))}" if isinstance(within, Mapping) else type(within).__name__
        raise InputError(f"{source} holds no named tensors, but {held}", rule, CONVERT)
    odd = [str(name) for name, tensor in tensors.items() if tensor.is_meta or tensor.is_complex()]
    if odd:
        raise InputError(f"{source} holds tensors without values, or of complex numbers: {some(odd)}", rule, CONVERT)
    return {str(name): tensor for name, tensor in tensors.items()}


def _cut(source: str, rule: str) -> InputError:
    return InputError(f"{source} is cut off or damaged", rule, AGAIN)


def some(names: Sequence[str]) -> str:
    """Name up to three, and count the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(names[:3]) + more) or "nothing"
