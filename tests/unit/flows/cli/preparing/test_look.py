"""Test `harvest look` through the command line: page, terminal, JSON, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.unit.flows.cli.test_main import is_one_message, main

CAMPAIGN = """
dates = ["2022-08-25", "2022-09-03"]

[source]
kind = "synthetic"

[source.season]
dates = ["2022-08-25", "2022-09-03"]
n_plots = 1
rows = 4
plants_per_row = 5
image_size = 32
n_duplicates = 1
"""


@pytest.fixture
def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "Small field.toml"
    path.write_text(CAMPAIGN)
    return path


def test_page_terminal_and_json_agree(
    campaign: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(monkeypatch, "look", campaign, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    page = Path(found["page"])
    assert page == Path("harvest-look/small-field.html") and page.read_text(encoding="utf-8").endswith("</html>\n")
    assert found["n_images"] == sum(day["n_images"] for day in found["dates"])
    assert found["n_images"] == sum(sum(split.values()) for split in found["counts"].values())
    assert {one["kind"]: one["n"] for one in found["findings"]}["duplicate"] == 2
    assert main(monkeypatch, "look", campaign, "--out", "deep/folder") == 0
    said = capsys.readouterr().out
    assert said.endswith("page: deep/folder/small-field.html\n") and "byte-identical: 2" in said
    assert Path("deep/folder/small-field.html").read_text() == page.read_text()
    assert sorted(path.name for path in campaign.parent.iterdir()) == ["Small field.toml", "deep", "harvest-look"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CAMPAIGN.replace("n_plots", "plots"), "unknown key"),
        (CAMPAIGN.replace('"2022-08-25", "2022-09-03"', '"2022-08-26"', 1), "no image for 2022-08-26"),
        ('dates = ["2022-08-25"]\n[source]\nkind = "folder"\nroot = "gone"\n', "There is no folder"),
        (CAMPAIGN + '[classifier]\npath = "gone.pt"\n', "gone.pt does not exist"),
    ],
)
def test_bad_campaigns(
    campaign: Path, text: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign.write_text(text)
    assert main(monkeypatch, "look", campaign) == 2
    error = capsys.readouterr()
    assert error.out == "" and is_one_message(error.err) and said in error.err
    assert not Path("harvest-look").exists()


@pytest.mark.parametrize("out", ["Small field.toml", "Small field.toml/below", "link"])
def test_an_out_that_is_no_folder(
    campaign: Path, out: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("link").symlink_to("gone")
    assert main(monkeypatch, "look", campaign, "--out", out) == 2
    error = capsys.readouterr().err
    assert is_one_message(error) and "give another --out" in error and campaign.read_text() == CAMPAIGN


def test_neither_torch_nor_prefect_is_imported(campaign: Path) -> None:
    program = (
        "import sys; from flows.cli.main import main; sys.argv[0] = 'harvest'\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    code = ended.code\n"
        "print(code, *sorted({'torch', 'torchvision', 'prefect', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "look", str(campaign)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0"
