"""Test what `harvest export` refuses and prints. What it writes is opened in `tests/browser/test_virelay.py`."""

from pathlib import Path

import pytest

from flows.cli.commands.exports import print_export
from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord, write_record
from tests.unit.flows.cli.test_main import main


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_record(Store(tmp_path / "store"), CampaignRecord(campaign="known", params={}, artifacts={}, report=""))
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("known", "--viewer", "virelay", "--out", "{there}"), "exists already"),
        (("known", "--viewer", "virelay", "--out", "{file}"), "is a file"),
        (("known", "--viewer", "virelay", "--out", "{file}/below"), "is a file"),
        (("other", "--viewer", "virelay", "--out", "{new}"), "There is no record of 'other'"),
        (("known", "--viewer", "napari"), "'napari' is not one of 'virelay'"),
        (("known",), "Missing option '--viewer'"),
    ],
)
def test_wrong_use_writes_nothing(
    store: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"there": tmp_path / "there", "file": tmp_path / "file", "new": tmp_path / "new"}
    places["there"].mkdir()
    places["file"].write_text("mine")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    given = [one.format(**places) for one in arguments]
    assert main(monkeypatch, "export", *given, "--store", str(store)) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert sorted(tmp_path.rglob("*")) == before and places["file"].read_text() == "mine"


def test_the_command_that_opens_the_projects_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_export(
        {
            "folder": "a b",
            "projects": ["a b/gradcam.yaml", "a b/lime.yaml"],
            "n_images": 1234,
            "n_without_label": 5,
            "n_bytes": 2_500_000,
            "command": "virelay 'a b/gradcam.yaml' 'a b/lime.yaml'",
        }
    )
    assert capsys.readouterr().out.splitlines() == [
        "1,234 images (5 without a label), 2.5 MB",
        "project: a b/gradcam.yaml",
        "project: a b/lime.yaml",
        "open:    virelay 'a b/gradcam.yaml' 'a b/lime.yaml'",
    ]
