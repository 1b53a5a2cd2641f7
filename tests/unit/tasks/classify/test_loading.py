"""Test that a process loads a classifier once, and gives every task separate modules."""

import hashlib
import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from storage.artifacts import MANIFEST, Artifact, Recipe, Store
from storage.errors import ArtifactError, InputError
from tasks.classify import loading
from tasks.classify.architectures import build_model
from tasks.classify.features import logits_and_features
from tasks.classify.loading import MAX_KEPT, KeptClassifiers, load_classifier
from tasks.classify.model import predict_logits, save_weights, weights_file
from tasks.classify.params import EXPORTED
from tasks.parameters import Runtime
from tests.support.local_stores import local
from tests.support.planted_records import Deed

pytestmark = pytest.mark.usefixtures("one_thread")
RUNTIME, ARCHITECTURE = Runtime(device="cpu"), "shufflenet_v2_x0_5"


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> KeptClassifiers:
    """Replace the cache of classifiers by an empty one."""
    fresh = KeptClassifiers(MAX_KEPT)
    monkeypatch.setattr(loading, "KEPT", fresh)
    return fresh


def store_classifier(folder: Path, seed: int, architecture: str = ARCHITECTURE) -> Artifact:
    store = Store(folder)
    if architecture == EXPORTED:
        content = exported(folder / "program.pt2")
        recipe = Recipe("classifier", 1, {"sha256": hashlib.sha256(content).hexdigest()})
    else:
        content, recipe = save_weights(build_model(architecture, 2, "none", seed)), Recipe("classifier", 1)
    with store.create(recipe) as draft:
        draft.write_bytes(weights_file(architecture), content)
        card = {"architecture": architecture, "mean": [0.5] * 3, "std": [0.25] * 3, "classes": ["a", "b"]}
        draft.write_json("card.json", card)
    return store.open(recipe.ref)


def exported(path: Path) -> bytes:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    sizes = ({0: torch.export.Dim("n", min=1, max=64)},)
    torch.export.save(torch.export.export(model, (torch.rand(2, 3, 32, 32),), dynamic_shapes=sizes), path)
    return path.read_bytes()


def images_of(n: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("architecture", [ARCHITECTURE, EXPORTED])
def test_a_classifier_is_loaded_once(tmp_path: Path, kept: KeptClassifiers, architecture: str) -> None:
    artifact = store_classifier(tmp_path, 0, architecture)
    one, other = (load_classifier(artifact, RUNTIME) for _ in range(2))
    assert kept.n_loads == 1
    assert one.model is not other.model
    assert np.array_equal(predict_logits(one, images_of(3), 3), predict_logits(other, images_of(3), 3))


def test_callers_share_weights_and_nothing_else(tmp_path: Path) -> None:
    artifact = store_classifier(tmp_path, 0)
    one, other = (load_classifier(artifact, RUNTIME).model for _ in range(2))
    assert all(a is b for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not {id(module) for module in one.modules()} & {id(module) for module in other.modules()}
    assert not any(module.training for module in other.modules())


def test_stores_with_one_name_for_two_classifiers_do_not_mix(tmp_path: Path, kept: KeptClassifiers) -> None:
    """Two machines that train by one recipe give artefacts of one name with different weights."""
    artifacts = [store_classifier(tmp_path / str(seed), seed) for seed in range(2)]
    assert artifacts[0].ref == artifacts[1].ref
    one, other = (predict_logits(load_classifier(artifact, RUNTIME), images_of(2), 2) for artifact in artifacts)
    assert kept.n_loads == 2 and not np.array_equal(one, other)


def test_only_the_last_used_are_kept(tmp_path: Path, kept: KeptClassifiers) -> None:
    first, second, third = (store_classifier(tmp_path / str(seed), seed) for seed in range(3))
    for artifact in (first, second, first, third, first):
        load_classifier(artifact, RUNTIME)
    assert kept.n_loads == 3
    load_classifier(second, RUNTIME)
    assert kept.n_loads == 4


def test_a_failed_load_is_tried_again(kept: KeptClassifiers, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="busy"):
        kept.take(("key",), lambda: (_ for _ in ()).throw(OSError("busy")))
    artifact = store_classifier(tmp_path, 0)
    assert kept.n_loads == 0 and load_classifier(artifact, RUNTIME).classes == ("a", "b")


def test_threads_load_once_and_see_none_of_each_others_passes(tmp_path: Path, kept: KeptClassifiers) -> None:
    artifact, images = store_classifier(tmp_path, 0), images_of(40)
    parts = [slice(start, start + 10) for start in range(0, 40, 10)]
    found: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    together = threading.Barrier(len(parts))

    def answer(part: slice) -> None:
        together.wait()
        classifier = load_classifier(artifact, RUNTIME)
        found[part.start] = logits_and_features(classifier, images[part], 1)

    threads = [threading.Thread(target=answer, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.n_loads == 1
    for part in parts:
        expected = logits_and_features(load_classifier(artifact, RUNTIME), images[part], 1)
        assert all(np.array_equal(a, b) for a, b in zip(found[part.start], expected, strict=True))


def replace(artifact: Artifact, file: str, content: bytes, **said: object) -> Artifact:
    """Put another file into an artefact, with a manifest that agrees, as somebody may who can write to the store."""
    folder = local(artifact.folder)
    store = Store(folder.parents[2])
    (folder / file).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"][file] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps({**manifest, **said}))
    assert store.holds(artifact.ref)
    return store.open(artifact.ref)


@pytest.mark.parametrize("is_consistent", [False, True])
def test_a_program_that_was_put_into_the_store_is_not_loaded(tmp_path: Path, is_consistent: bool) -> None:
    artifact = store_classifier(tmp_path, 0, EXPORTED)
    other = exported(tmp_path / "other.pt2")
    assert other != artifact.read_bytes("program.pt2")
    said = {"params": {"sha256": hashlib.sha256(other).hexdigest()}} if is_consistent else {}
    planted = replace(artifact, "program.pt2", other, **said)
    with pytest.raises(ArtifactError, match=f"The program in {artifact.ref} is not the one that the artefact is named"):
        load_classifier(planted, RUNTIME)


def test_weights_that_are_a_trained_artefact_cannot_turn_into_a_program(tmp_path: Path) -> None:
    artifact, other = store_classifier(tmp_path, 0), exported(tmp_path / "other.pt2")
    card = {**artifact.read_json("card.json"), "architecture": EXPORTED}
    replace(artifact, "program.pt2", other)
    planted = replace(artifact, "card.json", json.dumps(card).encode())
    with pytest.raises(ArtifactError, match="is not the one that the artefact is named after"):
        load_classifier(planted, RUNTIME)


def test_weights_that_are_a_pickle_are_not_obeyed(tmp_path: Path) -> None:
    """Weights and checkpoints are read by torch with weights_only, which knows tensors and no other classes."""
    artifact, executed = store_classifier(tmp_path, 0), tmp_path / "executed"
    buffer = io.BytesIO()
    torch.save({"weight": Deed(executed)}, buffer)
    planted = replace(artifact, "weights.pt", buffer.getvalue())
    with pytest.raises(InputError, match=f"{artifact.ref} holds Python objects of posix.mkdir beside its tensors"):
        load_classifier(planted, RUNTIME)
    assert not executed.exists()
