"""Cards, weights and checkpoints in a store as somebody may plant them: refused with their name, and never obeyed."""

import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from storage.artifacts import Artifact, Recipe, Store
from storage.errors import ArtifactError, InputError
from tasks.classify import loading
from tasks.classify.architectures import build_model
from tasks.classify.loading import MAX_KEPT, KeptClassifiers, load_classifier
from tasks.classify.model import save_weights, weights_file
from tasks.classify.params import TrainParams
from tasks.classify.training import Training
from tasks.parameters import Runtime
from tests.support.classifiers import ARCHITECTURE, saved
from tests.support.hostile import NO_FILES, Content, changed_bytes, changed_texts, hostile_bytes, hostile_texts
from tests.support.local_stores import local
from tests.support.planted_records import Deed

# A damaged file may hold whatever torch warns of before it is refused.
pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore::UserWarning:torch")]
RUNTIME = Runtime(device="cpu")


@pytest.fixture
def executed(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def classifier(tmp_path: Path) -> Artifact:
    store, recipe = Store(tmp_path / "store"), Recipe("classifier", 1)
    with store.create(recipe) as draft:
        draft.write_bytes(weights_file(ARCHITECTURE), save_weights(build_model(ARCHITECTURE, 2, "none", 0)))
        card = {"architecture": ARCHITECTURE, "mean": [0.5] * 3, "std": [0.25] * 3, "classes": ["a", "b"]}
        draft.write_json("card.json", card)
    return store.open(recipe.ref)


def load(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "KEPT", KeptClassifiers(MAX_KEPT))
    load_classifier(artifact, RUNTIME)


def refusal(read: Callable[[], object]) -> str:
    """Return how this program refuses a file; empty where it does not. Any other error fails the test."""
    try:
        read()
    except (ArtifactError, InputError) as error:
        return str(error)
    return ""


def hostile_weights(raw: bytes, executed: Path) -> Iterator[Content]:
    """Yield files of torch in place of weights."""
    state: dict[str, torch.Tensor] = torch.load(io.BytesIO(raw), weights_only=True)
    name = next(iter(state))
    odd: dict[str, Any] = {
        "object": Deed(executed),
        "object among tensors": {**state, "more": Deed(executed)},
        "nothing": None,
        "list": [1],
        "text": {**state, name: "x"},
        "other shape": {**state, name: torch.zeros(1)},
        "shape without values": {**state, name: torch.empty(state[name].shape, device="meta")},
        "huge shape": {**state, name: torch.zeros(1).expand(2**40)},
        "complex numbers": {**state, name: state[name].to(torch.complex64)},
    }
    for what, content in odd.items():
        yield what, saved(content)
    yield "whole pickle", pickle.dumps({"state_dict": Deed(executed)})
    for what, header in {
        "list": b"[1]",
        "nested": b"[" * 100_000,
        "shape": b'{"a":{"dtype":"F32","shape":[-1]}}',
    }.items():
        yield f"safetensors, {what}", len(header).to_bytes(8, "little") + header + b"1234"
    yield "safetensors, long header", (2**63).to_bytes(8, "little") + b"{}"


def with_other_pickles(raw: bytes, chance: random.Random, n: int) -> Iterator[Content]:
    """Yield an archive of torch n times, each time with other bytes in its pickle."""
    archive = zipfile.ZipFile(io.BytesIO(raw))
    members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [name for name in members if name.endswith("data.pkl")]
    for number in range(n):
        changed = bytearray(members[name])
        for _ in range(chance.choice((1, 2, 8))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as written:
            for one, content in {**members, name: bytes(changed)}.items():
                written.writestr(one, content)
        yield f"pickle {number}", stream.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, pytest.param(300, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", ["card.json", weights_file(ARCHITECTURE)])
def test_classifiers_are_loaded_or_refused(
    classifier: Artifact, executed: Path, monkeypatch: pytest.MonkeyPatch, name: str, n: int
) -> None:
    path, chance, refused = local(classifier.folder) / name, random.Random(n), 0
    raw = path.read_bytes()
    if name == "card.json":
        contents = [*hostile_texts(raw, executed), *changed_texts(raw, chance, n)]
    else:
        contents = [*hostile_bytes(raw, executed), *hostile_weights(raw, executed)]
        contents += [*changed_bytes(raw, chance, n), *with_other_pickles(raw, chance, n)]
    for what, content in contents:
        path.write_bytes(content)
        said = refusal(lambda: load(classifier, monkeypatch))
        assert not executed.exists() and (not said or classifier.ref.digest in said), (what, said)
        refused += bool(said)
    assert refused >= 15


@pytest.mark.parametrize(
    "wrong", [{"architecture": "resnet0"}, {"classes": ["a", "b", "c"]}, {"classes": ["a"], "outputs": "one_logit"}]
)
def test_a_card_of_no_such_classifier_is_refused_by_its_artefact(
    classifier: Artifact, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    path = local(classifier.folder) / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    assert str(classifier.ref) in refusal(lambda: load(classifier, monkeypatch)).splitlines()[0]


@pytest.mark.parametrize("name", ["card.json", weights_file(ARCHITECTURE)])
def test_what_is_no_file_is_refused(
    classifier: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = local(classifier.folder) / name
    elsewhere = path.rename(tmp_path / "elsewhere")  # a link to the very file is refused too
    for put in NO_FILES:
        put(path, elsewhere)
        with pytest.raises(ArtifactError, match="a store holds plain files"):
            load(classifier, monkeypatch)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.mark.slow
def test_checkpoints_are_continued_or_refused(tmp_path: Path, executed: Path) -> None:
    training = Training.start(TrainParams(architecture=ARCHITECTURE), 2, torch.device("cpu"))
    path, raw = tmp_path / "checkpoint.pt", training.dump()
    states = [part.state_dict() for part in (training.model, training.optimiser, training.schedule)]
    odd: list[Any] = [Deed(executed), {"states": [Deed(executed)] * 3, "epochs": []}, 1, [], {}, {"states": 1}]
    odd += [{"states": [1, 2, 3], "epochs": 1}, {"states": states, "epochs": [], "more": Deed(executed)}]
    odd += [{"states": [states[0], {"state": {}, "param_groups": [1]}, {}], "epochs": []}]
    contents = [*hostile_bytes(raw, executed), *((str(one)[:40], saved(one)) for one in odd)]
    refused = 0
    for what, content in [*contents, *changed_bytes(raw, random.Random(1), 12)]:
        path.write_bytes(content)
        said = refusal(lambda: training.load(path))
        assert not executed.exists() and (not said or str(path) in said), (what, said)
        refused += bool(said)
    assert refused >= len(contents)
