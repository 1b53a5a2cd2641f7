"""Numbers know no orchestrator and tasks do not import tasks: read from the code itself, without a list of modules.

The contracts of import-linter (`make imports`) hold the packages in one direction. Here each of them, and the two rules
that go by what a module contains, is shown to fail on a planted violation.
"""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.repository import ROOT

PACKAGES = ("deployments", "flows", "tasks", "storage")
STAGE = "tasks.stage"  # caching and progress by Prefect


def imported(tree: ast.Module) -> set[str]:
    """Modules that a module imports, wherever in it; `from a import b` counts as a and as a.b."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def holds_task(tree: ast.Module) -> bool:
    """Whether a module defines a function decorated with `@task`."""
    return any(
        isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "task"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in node.decorator_list
    )


def modules_of(root: Path) -> dict[str, ast.Module]:
    """Every module of `tasks` by its dotted name."""
    paths = sorted((root / "tasks").rglob("*.py"))
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for path in paths
    }


def violations(root: Path) -> Iterator[str]:
    """Say of each module of `tasks` what it must not import."""
    modules = modules_of(root)
    tasks = {name for name, tree in modules.items() if holds_task(tree)}
    for name, tree in modules.items():
        imports = imported(tree)
        if name not in tasks and name != STAGE:
            for one in sorted(imports):
                if one.split(".")[0] == "prefect" or one == STAGE:
                    yield f"{name} has no task and imports {one}"
        for one in sorted(imports & tasks - {name}):
            if name in tasks:
                yield f"{name} is a task's module and imports another, {one}"


def test_numbers_know_no_orchestrator_and_tasks_do_not_import_tasks() -> None:
    assert list(violations(ROOT)) == []


def test_there_are_tasks_and_numbers_to_look_at() -> None:
    holding = [holds_task(tree) for tree in modules_of(ROOT).values()]
    assert sum(holding) > 20 and len(holding) - sum(holding) > 60


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and the contracts, to plant violations in."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(root: Path, path: str, line: str) -> None:
    """Append an import to a module."""
    with (root / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


@pytest.mark.parametrize(
    ("path", "line", "said"),
    [
        ("tasks/cluster/axes.py", "from prefect import task", "tasks.cluster.axes has no task and imports prefect"),
        ("tasks/score/combine.py", "from tasks.stage import progress", "has no task and imports tasks.stage"),
        ("tasks/score/score.py", "from tasks.cluster.cluster import fit_clusters", "imports another, tasks.cluster"),
    ],
)
def test_a_planted_import_is_seen(copy: Path, path: str, line: str, said: str) -> None:
    plant(copy, path, line)
    assert any(said in one for one in violations(copy))


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of a copy."""
    program = "from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {program}", "--no-cache"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


PLANTED = {  # by contract: a module, and an import that breaks the contract there
    "imports run deployments -> flows -> tasks -> storage": ("storage/verify.py", "import tasks.stage"),
    "stages build on each other in one direction": ("tasks/classify/model.py", "import tasks.cluster.axes"),
    "only storage knows Zarr, Parquet, HDF5 and the formats of maps": ("tasks/stage.py", "import zarr"),
    "only flows know Dask": ("tasks/batches.py", "import distributed"),
    "storage knows no orchestrator and no model": ("storage/errors.py", "import torch"),
}


@pytest.mark.parametrize("contract", PLANTED)
def test_each_contract_fails_on_a_planted_import(copy: Path, contract: str) -> None:
    path, line = PLANTED[contract]
    plant(copy, path, line)
    done = lint(copy)
    assert done.returncode == 1, done.stderr
    broken = [said for said in done.stdout.splitlines() if " BROKEN" in said]  # imports that are allowed may follow
    assert any(said.startswith(contract) for said in broken), done.stdout


def test_a_new_package_of_tasks_needs_a_place_in_the_order(copy: Path) -> None:
    (copy / "tasks/new").mkdir()
    (copy / "tasks/new/__init__.py").write_text("")
    done = lint(copy)
    assert done.returncode == 1 and "tasks.new" in done.stdout + done.stderr


def test_every_contract_is_planted_against() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]} == PLANTED.keys()
