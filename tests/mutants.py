"""Change one operator or number of a numeric module at a time, and run the module's tests on it.

Cosmic Ray makes the mutants. Its own runner starts a new process for each, and importing torch and scikit-learn again
takes longer than most tests. This script imports the libraries once and forks one process for each mutant. The mutated
source replaces the module in that process alone, so no file is changed.

    python -m tests.mutants                              # a seeded sample of the mutants of every module in MODULES
    python -m tests.mutants 200 tasks/score/combine.py   # a larger sample of some modules
"""

import contextlib
import gc
import importlib
import importlib.abc
import importlib.util
import os
import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from hypothesis import settings

TOOL = "build/mutants"  # folder of Cosmic Ray, which is no dependency of the project
SEED, SAMPLE = 0, 40  # of the sample, and the number of mutants of a module in it
MEMORY = 12 * 2**30  # bytes of address space that a mutant may use
PATIENCE = 20.0, 5.0  # seconds that a mutant may take, and how many times as long as the module itself besides
BROKEN = 70  # exit status of a mutant that cannot be imported
LIBRARIES = ["zarr", "geopandas", "rasterio", "torch", "sklearn.cluster", "scipy.stats", "prefect", "statsmodels.api"]
OPTIONS = ["-x", "-q", "-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin", "-p", "no:cacheprovider"]
KNOWN = "ignore::pytest.PytestAssertRewriteWarning"  # of plugins that were imported before the fork

STEMS = {
    "statistics": "by_plant detection significance",
    "cluster": "affinity axes members nearest novelty spectral",
    "measure": "shift",
    "score": "combine date_share held_out rating shares signals uncertainty",
    "decide": "counts decisions guarantee promises",
    "adjust": "rules",
    "classify": "augment changes",
}
MODULES = [f"tasks/{package}/{stem}.py" for package, stems in STEMS.items() for stem in stems.split()]
OTHER_TESTS = {  # besides the file of the module's name
    "tasks/adjust/rules.py": ["adjust/test_params.py"],
    "tasks/cluster/affinity.py": ["cluster/test_spectral.py"],
    "tasks/score/held_out.py": ["score/test_validation.py"],
}

# Bit operators on numbers, and identity of numbers, fail in any test and tell nothing.
ARITHMETIC, BITS = "(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)", "(BitAnd|BitOr|BitXor)"
OPERATORS = re.compile(
    rf"core/(ReplaceBinaryOperator_({ARITHMETIC}_{ARITHMETIC}|{BITS}_{BITS})|ReplaceUnaryOperator_.*"
    r"|ReplaceComparisonOperator_(?!.*_Is(Not)?$).*|ReplaceComparisonOperator_Is(Not)?_Is(Not)?"
    r"|AddNot|NumberReplacer|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceBreakWithContinue|ReplaceContinueWithBreak"
    r"|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ZeroIterationForLoop)"
)


class Mutant(NamedTuple):
    """A change of a module: the k-th that an operator makes."""

    operator: str
    k: int
    line: int

    def source(self, original: str) -> str:
        """Return the module's text with this change."""
        operator = importlib.import_module("cosmic_ray.plugins").get_operator(self.operator)()
        return importlib.import_module("cosmic_ray.mutating").mutate_code(original, operator, self.k)


def mutants_of(original: str) -> list[Mutant]:
    """List every change of a module that the operators make."""
    plugins, ast = (importlib.import_module(f"cosmic_ray.{name}") for name in ("plugins", "ast"))
    nodes = list(ast.ast_nodes(ast.get_ast(original)))
    names = sorted(name for name in plugins.operator_names() if OPERATORS.fullmatch(name))
    return [
        Mutant(name, k, line)
        for name in names
        for operator in [plugins.get_operator(name)()]
        for k, (line, _) in enumerate(start for node in nodes for start, _ in operator.mutation_positions(node))
    ]


class MutatedModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import one module from a text instead of from its file."""

    def __init__(self, path: Path, source: str) -> None:
        self.name, self.path, self.source = ".".join(path.with_suffix("").parts), path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find this module alone."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path.resolve(), loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the text as the module."""
        exec(compile(self.source, str(self.path), "exec"), module.__dict__)


def run_tests(path: Path, source: str, tests: list[str]) -> int:
    """Run tests in this process with another text for a module; returns pytest's exit status, or `BROKEN`."""
    mutated = MutatedModule(path, source)
    sys.meta_path.insert(0, mutated)
    try:
        importlib.import_module(mutated.name)
    except Exception:
        return BROKEN
    settings.register_profile("mutants", database=None, derandomize=True, deadline=None)
    settings.load_profile("mutants")
    return int(pytest.main([*OPTIONS, "-W", KNOWN, *tests]))


def outcome(path: Path, source: str, tests: list[str], limit: float) -> str:
    """Run tests on a module's text in a process of its own: `survived`, `killed`, `slow` or `broken`."""
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        status = 1
        with contextlib.suppress(BaseException), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            status = run_tests(path, source, tests)
        os._exit(status)
    end = time.monotonic() + limit
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return {0: "survived", BROKEN: "broken"}.get(os.waitstatus_to_exitcode(status), "killed")
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "slow"
        time.sleep(0.02)


def tests_of(path: Path) -> list[str]:
    """Return the test files of a module: that of its name, and others."""
    files = [f"{path.parent.name}/test_{path.name}", *OTHER_TESTS.get(str(path), [])]
    return [f"tests/unit/tasks/{file}" for file in files]


def try_module(path: Path, sample: int) -> None:
    """Try a sample of a module's mutants; prints those that survive, and the counts."""
    original, tests, began = path.read_text(), tests_of(path), time.monotonic()
    if outcome(path, original, tests, 600) != "survived":
        sys.exit(f"{path}: the tests fail without a mutant; they must pass, see pytest {' '.join(tests)}")
    limit = PATIENCE[0] + PATIENCE[1] * (time.monotonic() - began)
    every, counts = mutants_of(original), Counter[str]()
    for mutant in sorted(random.Random(SEED).sample(every, min(sample, len(every))), key=lambda one: one.line):
        source = mutant.source(original)
        found = outcome(path, source, tests, limit)
        counts[found] += 1
        if found == "survived":
            was, now = (text.splitlines()[mutant.line - 1].strip() for text in (original, source))
            tell(f"{path}:{mutant.line} {mutant.operator}\n  - {was}\n  + {now}")
    told = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
    tell(f"{path}: {len(every)} mutants, {counts.total()} tried: {told}; {time.monotonic() - began:.0f} s")


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    """Try the modules of the command line, or all of `MODULES`."""
    sys.path.append(TOOL)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # a collection in a forked process would copy all that is imported
    for module in arguments[1:] or MODULES:
        try_module(Path(module), int(arguments[0]) if arguments else SAMPLE)


if __name__ == "__main__":
    main(sys.argv[1:])
