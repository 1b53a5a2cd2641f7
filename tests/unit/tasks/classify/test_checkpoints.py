"""Usual files of weights are read, and every other file is named for what it is."""

import argparse
import io
import pickle
import re
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from storage.errors import InputError
from tasks.classify.checkpoints import read_weights
from tests.support.classifiers import program, safetensors, saved, tiny

pytestmark = pytest.mark.usefixtures("one_thread")
WEIGHTS = {name: tensor.clone() for name, tensor in tiny().state_dict().items()}


def read(content: bytes) -> dict[str, torch.Tensor]:
    return read_weights(content, "given.pt", "the rule")


def refused(content: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        read(content)
    message = str(caught.value)
    assert caught.value.found.startswith("given.pt ") and caught.value.rule == "the rule" and caught.value.remedy
    assert "weights_only" not in message and "\x1b" not in message and len(message) < 500
    return caught.value


def scripted() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and people still have it
        torch.jit.save(torch.jit.trace(tiny(), torch.zeros(2, 3, 32, 32)), buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pt"))
    return buffer.getvalue()


TRAINER = {"epoch": 3, "best": np.float64(0.5), "args": argparse.Namespace(lr=0.1, out=Path("runs")), "n": np.int64(4)}
READ: dict[str, Any] = {
    "a state dict": saved(WEIGHTS),
    "before torch 1.6": saved(WEIGHTS, _use_new_zipfile_serialization=False),
    "state_dict": saved({"state_dict": WEIGHTS, **TRAINER}),
    "model_state_dict": saved({"model_state_dict": WEIGHTS, "optimizer_state_dict": {"state": {}}}),
    "model": saved({"model": WEIGHTS, "optimizer": torch.optim.Adam(tiny().parameters()).state_dict()}),
    "nested": saved({"model": {"state_dict": WEIGHTS}}),
    "safetensors": safetensors(WEIGHTS),
}


@pytest.mark.parametrize("name", READ)
def test_usual_checkpoints_are_read(name: str) -> None:
    found = read(READ[name])
    assert list(found) == list(WEIGHTS)
    assert all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in WEIGHTS.items()
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_safetensors_keep_precision_and_shape(dtype: torch.dtype) -> None:
    tensors = {
        "matrix": torch.arange(6.0).reshape(2, 3).to(dtype),
        "number": torch.tensor(7),
        "none": torch.zeros(0, 3),
    }
    found = read(safetensors(tensors))
    for name, tensor in tensors.items():
        assert (
            torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        )


class Planted:
    """Runs code if somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("is_old", [False, True])
def test_no_code_of_a_file_is_run(tmp_path: Path, is_old: bool) -> None:
    content = saved(
        {"state_dict": WEIGHTS, "more": Planted(tmp_path / "ran")}, _use_new_zipfile_serialization=not is_old
    )
    assert "Python objects" in refused(content).found
    assert not (tmp_path / "ran").exists()


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "is empty", "copy or download"),
    "text": (b"no weights at all", "begins with 'no weights at all'", "state_dict"),
    "bytes": (b"\x89PNG\r\n\x1a\n" + bytes(64), "begins with 89 50 4e 47", "state_dict"),
    "a login page": (b"<html>login</html>", "web page", "log in"),
    "a page": (b"\n <!DOCTYPE html>\n<html lang=en>", "web page", "download"),
    "a page of Windows": (b"\xef\xbb\xbf<HTML>", "web page", "download"),
    "an error of a bucket": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "web page", "download"),
    "an LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "Git LFS",
        "git lfs pull",
    ),
    "an error as JSON": (b'{"message": "Not Found"}', "JSON", "weights"),
    "a cut archive": (saved(WEIGHTS)[:-200], "cut off", "download"),
    "half an archive": (saved(WEIGHTS)[:1000], "cut off", "download"),
    "the head of an archive": (b"PK\x03\x04 a cut archive", "cut off", "download"),
    "a cut old file": (READ["before torch 1.6"][:-100], "cut off", "download"),
    "cut safetensors": (safetensors(WEIGHTS)[:-4], "cut off", "download"),
    "the head of safetensors": (safetensors(WEIGHTS)[:40], "cut off", "download"),
    "gzip": (b"\x1f\x8b\x08" + bytes(60), "compressed", "unpack"),
    "tar": (tarred(), "tar archive", "unpack"),
    "zip": (zipped(readme=b"x", weights=b"y"), "zip archive of readme, weights", "unpack"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5", "PyTorch"),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x052.8.0" + bytes(60), "ONNX", "state_dict"),
    "a pickle": (pickle.dumps({"a": 1}), "Python pickle", "state_dict"),
    "TorchScript": (scripted(), "TorchScript", 'torch.save(torch.jit.load("model.pt").state_dict(), "weights.pt")'),
    "a program": (program(tiny()), "torch.export program", 'classifier.architecture = "exported"'),
    "a whole model": (saved(nn.Sequential(nn.Linear(2, 2))), "whole pickled model", "torch.save(model.state_dict()"),
    "an old whole model": (
        saved(nn.Sequential(nn.Linear(2, 2)), _use_new_zipfile_serialization=False),
        "whole pickled model",
        "torch.save(model.state_dict()",
    ),
    "a whole model within": (saved({"model": tiny(), "epoch": 1}), "whole pickled model (tests.support", "state_dict"),
    "a checkpoint with objects": (
        saved({"state_dict": WEIGHTS, "x": np.random.default_rng}),
        "Python objects of numpy",
        "dict",
    ),
    "an optimizer": (saved(torch.optim.SGD(tiny().parameters(), 0.1)), "Python objects", "state_dict"),
    "a tensor": (saved(torch.zeros(3)), "no named tensors, but Tensor", "state_dict"),
    "a list": (saved([torch.zeros(3)]), "no named tensors, but list", "state_dict"),
    "options alone": (saved({"lr": 0.1, "epochs": 3}), "the keys lr, epochs", "state_dict"),
    "an empty dict": (saved({}), "the keys nothing", "state_dict"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_named_for_what_they_are(name: str) -> None:
    content, found, remedy = REFUSED[name]
    error = refused(content)
    assert found in error.found and remedy in error.remedy, error


def test_every_cut_of_a_file_is_refused() -> None:
    """Where a file is cut must not matter: no cut may be read as if it were whole, or end in another exception."""
    for content in (saved({"a": torch.ones(3)}), safetensors({"a": torch.ones(3)}), READ["before torch 1.6"]):
        for length in range(0, len(content), max(1, len(content) // 40)):
            error = refused(content[:length])
            assert re.search("cut off|empty|no file of torch|pickle", error.found), (length, error)


def test_a_wrong_weight_is_noticed_by_its_checksum() -> None:
    content = bytearray(saved({"a": torch.arange(5000.0)}))
    content[len(content) // 2] ^= 1
    assert "the checksum of archive/data/0 is wrong" in refused(bytes(content)).found


def test_files_saved_without_checksums_are_read() -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        content = saved(WEIGHTS)
    finally:
        torch.serialization.set_crc32_options(before)
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is not None
    assert list(read(content)) == list(WEIGHTS)


@pytest.mark.filterwarnings("ignore")  # of torch, for an unknown version of the format
@pytest.mark.parametrize("name", ["a state dict", "before torch 1.6", "safetensors"])
def test_a_damaged_byte_ends_in_tensors_or_a_message(name: str) -> None:
    rng = np.random.default_rng(0)
    n_refused = 0
    for _ in range(150):
        content = bytearray(READ[name])
        content[rng.integers(0, min(len(content), 1500))] = rng.integers(0, 256)
        try:
            assert all(isinstance(tensor, torch.Tensor) for tensor in read(bytes(content)).values())
        except InputError as error:
            n_refused += "weights_only" not in str(error)
    assert n_refused > 20
