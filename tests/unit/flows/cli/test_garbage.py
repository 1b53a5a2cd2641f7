"""`harvest gc`: what it lists, that it removes only when asked to, and what the store is afterwards."""

import json
import sys
from pathlib import Path

import pytest

from flows.cli import main as cli
from storage.artifacts import Store
from storage.verify import verify_store
from tests.support.store_history import History


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["harvest", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_it_lists_first_and_removes_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history = History(tmp_path, 0)
    for _ in range(3):
        history.fit()
        history.score()
    history.kill()
    history.age = 1.0
    files = sorted(tmp_path.rglob("*"))
    assert main(monkeypatch, "gc", "--store", tmp_path, "--keep-fits", "0", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["is_removed"] is False and sorted(tmp_path.rglob("*")) == files
    # Two fits are superseded: a classifier, maps, clusters, a report and the decisions on a date each.
    assert {kind: one["n"] for kind, one in said["artifacts"].items()} == {
        "classifier": 2,
        "clusters": 2,
        "decided": 2,
        "report": 2,
        "saliency": 2,
    }
    assert len(said["records"]) == 2 and len(said["leftovers"]) == 2 and said["bytes"] > 0
    assert main(monkeypatch, "gc", "--store", tmp_path, "--keep-fits", "0") == 0
    assert "repeat with --remove" in capsys.readouterr().out

    assert main(monkeypatch, "gc", "--store", tmp_path, "--keep-fits", "0", "--remove") == 0
    assert capsys.readouterr().out.endswith("in all removed\n")
    found = verify_store(Store(tmp_path))
    assert found.problems == [] and found.unfinished == []
    assert main(monkeypatch, "gc", "--store", tmp_path, "--keep-fits", "0") == 0
    assert capsys.readouterr().out.endswith("nothing to remove\n")
