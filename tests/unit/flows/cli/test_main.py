"""Tests of the `harvest` command: exit codes, one message for a known error, JSON for machines."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from PIL import Image

from flows.cli import main as cli
from flows.running.errors import RunFailedError
from storage.artifacts import Recipe, Store
from storage.records.campaigns import CampaignRecord, write_record
from tests.support.local_stores import local
from tests.support.repository import ROOT

HARVEST = Path(sysconfig.get_path("scripts")) / "harvest"


def harvest(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a person does."""
    command = [str(HARVEST), *map(str, arguments)]
    variables = {**os.environ, "COLUMNS": "200", **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=variables, check=False)


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command in this process, which is quicker, and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["harvest", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def is_one_message(text: str) -> bool:
    """Tell whether a text is one error message: finding, rule and remedy, without a traceback."""
    heads = [line for line in text.splitlines() if not line.startswith("  ")]
    return len(heads) == 1 and heads[0].startswith("error: ") and "Traceback" not in text


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    with store.create(Recipe("images", 1)) as draft:
        draft.write_bytes("file.bin", b"content")
    return store


@pytest.fixture
def file(store: Store) -> Path:
    return local(store.folder(Recipe("images", 1).ref) / "file.bin")


@pytest.fixture
def fake_torchvision(tmp_path: Path) -> dict[str, str]:
    """Make an environment where torchvision fails like a CPU build beside a CUDA build of torch."""
    package = tmp_path / "modules/torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    return {"PYTHONPATH": str(package.parent)}


class TestVerify:
    def test_a_whole_store(
        self, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert main(monkeypatch, "verify", local(store.root)) == 0
        counted, said = capsys.readouterr().out.splitlines()
        assert counted == "1 artefacts and 0 published folders, 2 files read" and said == "no problem found"

    def test_damage_and_what_a_kill_left(
        self, store: Store, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file.write_bytes(b"Content")
        left = file.parent.with_name(".tmp-left")
        left.mkdir()
        assert main(monkeypatch, "verify", local(store.root)) == 1
        _, unfinished, damaged, said = capsys.readouterr().out.splitlines()
        assert unfinished == "left by a killed run, safe to delete: artifacts/images/.tmp-left"
        folder = file.parent.relative_to(local(store.root))
        assert damaged.startswith(f"DAMAGED {folder}: file file.bin has changed content") and said == "1 problems"

    def test_json(
        self, store: Store, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert main(monkeypatch, "verify", local(store.root), "--json") == 0
        whole = json.loads(capsys.readouterr().out)
        assert whole == {
            "n_artifacts": 1,
            "n_published": 0,
            "n_files": 2,
            "problems": [],
            "unfinished": [],
            "outdated": [],
        }
        file.unlink()
        assert main(monkeypatch, "verify", local(store.root), "--json") == 1
        damaged = json.loads(capsys.readouterr().out)
        assert damaged["n_files"] == 1 and len(damaged["problems"]) == 1
        assert damaged["problems"][0].endswith(": file file.bin is missing")

    def test_as_a_person_runs_it(self, store: Store, file: Path, tmp_path: Path) -> None:
        whole = harvest("verify", local(store.root))
        assert (whole.returncode, whole.stderr) == (0, "") and whole.stdout.endswith("no problem found\n")
        file.unlink()
        assert harvest("verify", local(store.root)).returncode == 1
        wrong = harvest("verify", tmp_path / "absent")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert is_one_message(wrong.stderr) and f"{tmp_path / 'absent'} has no folder `artifacts`" in wrong.stderr


class TestWrongUse:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("verify", "--jsn"),
            ("verfy",),
            ("run",),
            ("synth", "x", "--layout", "zip"),
            ("demo", "--seed", "-1"),
            *(("report", "field2", "--tolerated-error", value) for value in ("0", "0.5", "-0.1", "1", "little")),
        ],
    )
    def test_exit_code(
        self, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(monkeypatch, *arguments) == 2
        said = capsys.readouterr()
        assert said.out == "" and "Usage" in said.err and "Traceback" not in said.err

    @pytest.mark.parametrize(
        "command",
        ["demo", "synth", "run", "score", "announce", "backfill", "report", "review", "gallery", "audit", "verify"],
    )
    def test_help(self, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(monkeypatch, command, "--help") == 0
        assert f"harvest {command}" in capsys.readouterr().out

    def test_a_failed_run_elsewhere_is_one_message(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(**_: object) -> None:
            raise RunFailedError("flow run fit field2 ended as Failed: the GPU is gone", is_crash=False, flow_run="1")

        monkeypatch.setattr(cli, "app", fail)
        assert main(monkeypatch, "run", "field2.toml") == 1
        assert capsys.readouterr().err == "error: flow run fit field2 ended as Failed: the GPU is gone\n"

    @pytest.mark.parametrize("command", ["verify", "report"])
    def test_an_address_of_another_kind_is_refused(
        self, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ("verify", "gs://bucket") if command == "verify" else ("report", "x", "--store", "gs://bucket")
        assert main(monkeypatch, *arguments) == 2
        assert is_one_message(capsys.readouterr().err)


class TestSynth:
    def test_orthophotos_are_written_for_the_source_that_reads_them(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        small = ("--plots", "1", "--plants-per-row", "1", "--image-size", "32", "--date", "2021-08-23")
        assert main(monkeypatch, "synth", tmp_path / "field7", "--layout", "field", *small) == 0
        assert capsys.readouterr().out == f"orthophotos in layout field: {tmp_path / 'field7'}\n"
        names = {path.name for path in (tmp_path / "field7").iterdir()}
        assert names == {"ortho_2021-08-23.tif", "plants.gpkg", "harvest.xlsx", "season.json"}


class TestReport:
    def test_an_unknown_campaign(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_record(store, CampaignRecord(campaign="known", params={}, artifacts={}, report=""))
        assert main(monkeypatch, "report", "other", "--store", local(store.root)) == 2
        error = capsys.readouterr().err
        assert is_one_message(error) and "campaigns there: known" in error

    def test_decisions_of_an_earlier_version_cannot_be_made_again(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        earlier = {"campaign": "known", "score": {"confidence": 0.95, "undecided": 0.1}}
        write_record(store, CampaignRecord(campaign="known", params=earlier, artifacts={}, report=""))
        arguments = ("report", "known", "--tolerated-error", "0.1", "--store", local(store.root))
        assert main(monkeypatch, *arguments) == 2
        error = capsys.readouterr().err
        assert is_one_message(error) and "made by an earlier version" in error and "run the campaign again" in error

    def test_a_damaged_record_is_a_failure_not_wrong_use(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        local(write_record(store, CampaignRecord(campaign="known", params={}, artifacts={}, report=""))).write_text("{")
        assert main(monkeypatch, "report", "known", "--store", local(store.root)) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ") and "known.json cannot be read" in error and "Traceback" not in error


def test_prefect_and_torch_are_not_imported_before_a_command_sets_them_up() -> None:
    """Prefect reads its settings when it is imported, and `--help` need not wait for either."""
    program = "import sys, flows.cli.main; print({'prefect', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_early_errors_wait_for_no_library_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('dates = ["2021-08-23"]\n[source]\nkind = "folder"\nroot = "x"\n')
    program = (
        "import sys\nfrom flows.cli.failures import run_program\nfrom flows.cli.main import app\n"
        "print(run_program(app, sys.argv[1:]))\n"
        "print({'prefect', 'torch', 'numpy', 'pandas', 'pyarrow', 'rasterio', 'rich'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, "run", tmp_path / "bad.toml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "2\nset()\n" and "error: " in done.stderr


class TestRun:
    def test_a_bad_file_is_one_message(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK"):
            monkeypatch.setenv(name, "")  # so that what the command sets ends with this test
            monkeypatch.delenv(name)
        path = tmp_path / "bad.toml"
        path.write_text('dates = ["2021-08-23"]\n[source]\nkind = "folder"\nroot = "x"\n[train]\nepoch = 3\n')
        assert main(monkeypatch, "run", path, "--store", tmp_path / "store") == 2
        said = capsys.readouterr()
        assert said.out == "" and is_one_message(said.err)
        assert "train.epoch: unknown key; did you mean epochs?" in said.err
        assert not (tmp_path / "store").exists()

    @pytest.mark.slow
    def test_torch_and_torchvision_of_different_kinds(self, tmp_path: Path, fake_torchvision: dict[str, str]) -> None:
        path = tmp_path / "good.toml"
        (tmp_path / "x/train/ready").mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / "x/train/ready/plant1_2021-08-23.png")
        path.write_text('dates = ["2021-08-23"]\n[source]\nkind = "folder"\nroot = "x"\n')
        ended = harvest("run", path, "--store", tmp_path / "store", environment=fake_torchvision)
        assert (ended.returncode, ended.stdout) == (2, "") and is_one_message(ended.stderr)
        assert "operator torchvision::nms does not exist" in ended.stderr
        assert "pip install --force-reinstall torch torchvision" in ended.stderr

    def test_the_stage_itself_says_what_to_do(self, fake_torchvision: dict[str, str]) -> None:
        command = [sys.executable, "-c", "import tasks.classify.architectures"]
        ended = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **fake_torchvision}, check=False
        )
        assert ended.returncode == 1
        assert "rule: torch and torchvision must be matching builds" in ended.stderr
        assert "remedy: install both together from the default index: pip install" in ended.stderr
