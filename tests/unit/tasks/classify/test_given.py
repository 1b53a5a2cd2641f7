"""Given classifiers answer as their makers meant, from their file and from the store."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from tasks.classify.checkpoints import SAVE_SCRIPTED, SAVE_WEIGHTS
from tasks.classify.features import logits_and_features
from tasks.classify.given import load_given, stored_content
from tasks.classify.loading import load_classifier
from tasks.classify.model import freeze, predict_logits, softmax, weights_file
from tasks.classify.params import EXPORTED, GivenClassifier, Outputs
from tasks.classify.programs import EXPORT
from tasks.classify.train import given_recipe
from tasks.parameters import Runtime
from tests.support.classifiers import ARCHITECTURE, SIZE, program, safetensors, saved, tiny, torchvision_model, written

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = ("not_ready", "ready")
DIVISORS = np.asarray([1, 2, 9], np.uint8)[:, None, None, None]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8) // DIVISORS
ONE = torchvision_model(n_classes=1)


def probabilities(given: GivenClassifier) -> NDArray[np.float64]:
    classifier = freeze(load_given(given, 2), CLASSES, given.mean, given.std, torch.device("cpu"))
    return softmax(predict_logits(classifier, IMAGES, 2))


def from_store(folder: Path, given: GivenClassifier) -> NDArray[np.float64]:
    """Keep a classifier in a store as the task does, and answer from there."""
    content, facts = stored_content(given, 2)
    store, recipe = Store(folder / "store"), Recipe("classifier", 1, {"sha256": hashlib.sha256(content).hexdigest()})
    with store.create(recipe) as draft:
        draft.write_bytes(weights_file(given.architecture), content)
        draft.write_json("card.json", {**facts, "classes": list(CLASSES), "origin": "given"})
    return softmax(predict_logits(load_classifier(store.open(recipe.ref), Runtime(device="cpu")), IMAGES, 2))


def normalised() -> torch.Tensor:
    given = GivenClassifier(path="")
    scaled = (IMAGES / 255 - given.mean) / given.std
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32))


PROGRAMS: dict[Outputs, bytes] = {
    "logits": program(tiny()),
    "probabilities": program(tiny(last=lambda logits: logits.softmax(1))),
    "one_logit": program(tiny(last=lambda logits: logits[:, 1:] - logits[:, :1])),
    "one_probability": program(tiny(last=lambda logits: (logits[:, 1] - logits[:, 0]).sigmoid())),
}


@pytest.mark.parametrize("outputs", PROGRAMS)
def test_programs_answer_alike_however_they_end(tmp_path: Path, outputs: Outputs) -> None:
    given = GivenClassifier(path=written(tmp_path, PROGRAMS[outputs]), architecture=EXPORTED, outputs=outputs)
    with torch.no_grad():
        expected = tiny()(normalised()).softmax(1).numpy()
    np.testing.assert_allclose(probabilities(given), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(from_store(tmp_path, given), expected, rtol=1e-4, atol=1e-6)
    assert expected.std(0).min() > 0.01


@pytest.mark.parametrize("content", [saved(ONE.state_dict()), safetensors(ONE.state_dict())])
def test_one_logit_of_weights_is_that_of_the_second_class(tmp_path: Path, content: bytes) -> None:
    given = GivenClassifier(path=written(tmp_path, content), architecture=ARCHITECTURE, outputs="one_logit")
    with torch.no_grad():
        ready = ONE(normalised()).sigmoid().numpy()
    for found in (probabilities(given), from_store(tmp_path, given)):
        np.testing.assert_allclose(found[:, 1:], ready, rtol=1e-4)
    classifier = freeze(load_given(given, 2), CLASSES, given.mean, given.std, torch.device("cpu"))
    assert logits_and_features(classifier, IMAGES, 2)[1].shape == (3, 1024)


def test_a_plain_state_dict_is_stored_byte_for_byte(tmp_path: Path) -> None:
    weights = torchvision_model().state_dict()
    content = saved(weights)
    given = GivenClassifier(path=written(tmp_path, content), architecture=ARCHITECTURE)
    assert stored_content(given, 2)[0] == content
    assert set(stored_content(given, 2)[1]) == {"architecture", "mean", "std"}  # as before there were other outputs


@pytest.mark.parametrize("name", ["lightning", "safetensors"])
def test_other_files_are_stored_as_a_state_dict(tmp_path: Path, name: str) -> None:
    weights = torchvision_model().state_dict()
    lightning = {"state_dict": {f"model.{key}": tensor for key, tensor in weights.items()}, "optimizer_states": [{}]}
    content = saved(lightning) if name == "lightning" else safetensors(weights)
    given = GivenClassifier(path=written(tmp_path, content), architecture=ARCHITECTURE)
    stored, _ = stored_content(given, 2)
    loaded = torch.load(Path(written(tmp_path, stored, "stored.pt")), weights_only=True)
    assert list(loaded) == list(weights) and all(torch.equal(loaded[key], weights[key]) for key in weights)
    np.testing.assert_array_equal(from_store(tmp_path, given), probabilities(given))


@pytest.mark.parametrize(
    ("changes", "n_classes", "found"),
    [
        ({"outputs": "one_logit"}, 3, "The campaign has 3 classes"),
        ({"outputs": "one_logit"}, 2, "has not one output"),
        ({"architecture": EXPORTED}, 2, "holds weights, no program"),
    ],
)
def test_outputs_that_the_weights_do_not_have_are_refused(
    tmp_path: Path, changes: dict[str, str], n_classes: int, found: str
) -> None:
    path = written(tmp_path, saved(torchvision_model(n_classes=n_classes).state_dict()))
    given = GivenClassifier.model_validate({"path": path, "architecture": ARCHITECTURE, **changes})
    with pytest.raises(InputError) as caught:
        load_given(given, n_classes)
    assert found in caught.value.found


@pytest.mark.parametrize("outputs", ["probabilities", "one_probability"])
def test_weights_of_torchvision_end_before_softmax_and_sigmoid(outputs: str) -> None:
    with pytest.raises(ValueError, match="ends before softmax and sigmoid"):
        GivenClassifier.model_validate({"path": "weights.pt", "outputs": outputs})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"classifier\.path must be a file") as caught:
        load_given(GivenClassifier(path=str(tmp_path)), 2)
    assert "is a folder" in caught.value.found


def test_outputs_name_the_artefact_where_they_are_not_logits(tmp_path: Path) -> None:
    path = written(tmp_path, b"content")

    def ref(outputs: Outputs) -> ArtifactRef:
        return given_recipe(GivenClassifier(path=path, architecture=EXPORTED, outputs=outputs), CLASSES).ref

    assert len({ref(outputs).digest for outputs in PROGRAMS}) == 4
    facts = {"architecture": EXPORTED, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    digest = hashlib.sha256(b"content").hexdigest()
    before = Recipe("classifier", 1, {**facts, "sha256": digest, "classes": list(CLASSES)})
    assert ref("logits") == before.ref  # stores of before keep what was made with a given classifier


@pytest.mark.parametrize("line", [SAVE_WEIGHTS, SAVE_SCRIPTED, EXPORT])
def test_the_lines_of_messages_make_files_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    model = torchvision_model() if line != EXPORT else tiny()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        if line == SAVE_SCRIPTED:
            torch.jit.save(torch.jit.trace(model, torch.zeros(2, 3, SIZE, SIZE)), "model.pt")  # type: ignore[no-untyped-call]
        exec(line, {"torch": torch, "model": model, "size": SIZE})
    path, architecture = ("model.pt2", EXPORTED) if line == EXPORT else ("weights.pt", ARCHITECTURE)
    with torch.no_grad():
        expected = model(normalised()).softmax(1).numpy()
    found = probabilities(GivenClassifier(path=path, architecture=architecture))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
