"""Whatever file is given as a classifier, the command ends with exit code 2 and one message that names the cause."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.classifiers import ARCHITECTURE, SIZE, saved
from tests.unit.flows.cli.test_main import is_one_message, main
from tests.unit.tasks.classify.test_checkpoints import REFUSED as FILES
from tests.unit.tasks.classify.test_weight_names import REFUSED as WEIGHTS
from tests.unit.tasks.plan.test_trial import REFUSED as PROGRAMS
from tests.unit.tasks.plan.test_trial import exported

pytestmark = pytest.mark.usefixtures("one_thread")
CAMPAIGN = """
dates = ["2022-08-25", "2022-09-03"]

[source]
kind = "synthetic"

[source.season]
dates = ["2022-08-25", "2022-09-03"]
n_plots = 2
rows = 3
plants_per_row = 10
image_size = 32
seed = 1

[ingest]
image_size = {size}

[cluster]
n_clusters = 2
neighbours = 2

[classifier]
{classifier}
"""


def refusal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes, **keys: Any
) -> str:
    """Plan a campaign with a given file, and return the message that it ends with."""
    (folder / "given.bin").write_bytes(content)
    size = keys.pop("size", SIZE)
    keys = {"path": "given.bin", "architecture": "exported", **keys}
    classifier = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    campaign = folder / "field.toml"
    campaign.write_text(CAMPAIGN.format(size=size, classifier=classifier))
    assert main(monkeypatch, "plan", campaign, "--store", folder / "store") == 2
    said = capsys.readouterr().err
    assert is_one_message(said) and "\x1b" not in said and "weights_only" not in said, said
    assert not (folder / "store").exists()
    return said


@pytest.mark.slow  # the quick tests refuse the same files without the command
@pytest.mark.parametrize("name", FILES)
def test_other_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, found, remedy = FILES[name]
    said = refusal(tmp_path, monkeypatch, capsys, content, architecture=ARCHITECTURE)
    assert found in said and remedy in said


@pytest.mark.slow  # the quick tests refuse the same files without the command
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_do_not_fit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, found, remedy = WEIGHTS[name]
    said = refusal(tmp_path, monkeypatch, capsys, saved(weights), architecture=ARCHITECTURE)
    assert found in said and remedy in said


@pytest.mark.slow  # the quick tests refuse the same files without the command
@pytest.mark.parametrize(("name", "keys", "found", "rule", "remedy"), PROGRAMS)
def test_programs(
    name: str,
    keys: dict[str, Any],
    found: str,
    rule: str,
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refusal(tmp_path, monkeypatch, capsys, exported(name), **keys)
    assert found in said and rule in said and remedy in said


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"path": "missing.pt"}, "does not exist"),
        ({"path": "."}, "is a folder"),
        ({"architecture": "resnet19"}, "classifier.architecture must be the name of a torchvision classifier"),
        ({"architecture": "resnet18", "outputs": "probabilities"}, "ends before softmax and sigmoid"),
        ({"outputs": "sigmoid"}, "one_probability"),
        ({"std": [1, 0, 1]}, "every standard deviation must be positive"),
    ],
)
def test_keys(
    keys: dict[str, Any],
    found: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert found in refusal(tmp_path, monkeypatch, capsys, saved({"fc.weight": torch.zeros(2)}), **keys)
