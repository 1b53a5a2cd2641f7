"""Programs run only where the operator allows them, and what they return becomes logits."""

import io
import zipfile
from pathlib import Path

import pytest
import torch

from storage.errors import InputError
from tasks.classify.params import Outputs
from tasks.classify.programs import PROGRAMS, as_logits, plain, read_program
from tests.support.classifiers import program, saved, tiny

pytestmark = pytest.mark.usefixtures("one_thread")
LOGITS = torch.tensor([[1.0, -2.0], [0.25, 3.0], [-40.0, 40.0]])


@pytest.fixture(scope="module")
def content() -> bytes:
    return program(tiny())


def read(content: bytes) -> torch.export.ExportedProgram:
    return read_program(content, "given.pt2", "the rule")


def test_without_the_setting_any_program_is_loaded(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        monkeypatch.delenv(PROGRAMS, raising=False)
        if value is not None:
            monkeypatch.setenv(PROGRAMS, value)
        assert isinstance(read(content), torch.export.ExportedProgram)


def test_a_service_runs_the_operators_programs_alone(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "programs"
    monkeypatch.setenv(PROGRAMS, str(folder))
    other = bytearray(content)
    other[-1] ^= 1
    for step in (lambda: None, folder.mkdir, lambda: (folder / "other.pt2").write_bytes(other)):
        step()
        with pytest.raises(InputError, match="can run any code") as caught:
            read(content)
        assert "given.pt2" in caught.value.found and str(folder) in caught.value.found
    (folder / "allowed.pt2").write_bytes(content)
    assert isinstance(read(content), torch.export.ExportedProgram)


def test_weights_need_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAMS, str(tmp_path))
    with pytest.raises(InputError, match="the rule") as caught:
        read(saved(tiny().state_dict()))
    assert "holds weights, no program" in caught.value.found


def test_a_program_that_torch_cannot_read_is_to_be_exported_again(content: bytes) -> None:
    other = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(other, "w") as made:
        for name in given.namelist():
            made.writestr(name, given.read(name).replace(b'"graph_module"', b'"other_module"'))
    with pytest.raises(InputError, match=r"export it again with this version of torch") as caught:
        read(other.getvalue())
    assert "cannot be loaded by torch" in caught.value.found


RETURNED: dict[Outputs, torch.Tensor] = {
    "logits": LOGITS,
    "probabilities": LOGITS.softmax(1),
    "one_logit": LOGITS[:, 1:] - LOGITS[:, :1],
    "one_probability": LOGITS.softmax(1)[:, 1:],
}


@pytest.mark.parametrize("outputs", RETURNED)
def test_the_softmax_of_the_logits_is_the_classifiers_probability(outputs: Outputs) -> None:
    found = LOGITS if outputs == "logits" else as_logits(RETURNED[outputs], 3, outputs)
    torch.testing.assert_close(found.softmax(1), LOGITS.softmax(1))
    assert torch.isfinite(found).all()
    if outputs.startswith("one"):
        torch.testing.assert_close(as_logits(RETURNED[outputs][:, 0], 3, outputs), found)  # squeezed


def test_gradients_pass_through_probabilities() -> None:
    logits = LOGITS[:2].clone().requires_grad_(True)
    as_logits(logits.softmax(1), 2, "probabilities")[:, 1].sum().backward()
    other = 1 - LOGITS[:2].softmax(1)[:, 1]  # d log p2 / d z2 = 1 - p2
    torch.testing.assert_close(logits.grad, torch.stack([-other, other], 1))


@pytest.mark.parametrize(
    ("outputs", "returned"),
    [
        ("probabilities", LOGITS),
        ("probabilities", torch.full((3, 2), 0.7)),
        ("probabilities", LOGITS.sigmoid()[:, :1]),
        ("one_logit", LOGITS),
        ("one_probability", LOGITS.softmax(1)),
        ("one_probability", LOGITS[:, 1:]),
        ("one_probability", torch.zeros(4, 1)),
    ],
)
def test_other_outputs_than_declared_are_refused(outputs: Outputs, returned: torch.Tensor) -> None:
    with pytest.raises(InputError, match=rf"classifier\.outputs = {outputs}"):
        as_logits(returned, 3, outputs)


def test_messages_have_no_colours_and_one_line() -> None:
    assert plain(RuntimeError("\x1b[1mbold\x1b[0m words\nand more")) == "bold words"
    assert plain(KeyError()) == "KeyError" and len(plain(ValueError("x" * 999))) == 200
