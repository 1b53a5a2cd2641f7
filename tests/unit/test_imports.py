"""What a cached run loads: importing the flows loads no library that only computes, draws or writes.

Read from the code: the modules that are imported when a module is loaded, not those that a function imports.
`tests/integration/test_cached_command.py` looks at a whole run.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.support.repository import ROOT

PACKAGES = ("flows", "tasks", "storage")
# Libraries that compute, draw, or write files. Of SciPy, a submodule is loaded when a function first uses it.
COMPUTING = {
    *("torch", "torchvision", "sklearn", "skimage", "scipy.", "lime", "matplotlib", "pandas", "geopandas", "pyogrio"),
    *("shapely", "zarr", "openpyxl", "jinja2", "h5py", "distributed", "prefect.server"),
}


def loaded(body: list[ast.stmt]) -> Iterator[str]:
    """Yield what is imported when statements of a module run; `from a import b` counts as a and as a.b."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{name.name}" for name in node.names))
        elif isinstance(node, ast.Try | ast.With):
            yield from loaded(node.body)
        elif isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            yield from loaded([*node.body, *node.orelse])


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """What each module of the program imports when it is loaded."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return {
        name: set(loaded(ast.parse(path.read_text(encoding="utf-8")).body))
        for name, path in zip(names, paths, strict=True)
    }


def computing(name: str) -> bool:
    """Whether a module belongs to a library that computes, draws or writes."""
    return any(name == one or name.startswith(one if one.endswith(".") else f"{one}.") for one in COMPUTING)


def chains(imports: dict[str, set[str]], begin: str) -> Iterator[str]:
    """Yield the way from a module to each library that loading it loads."""
    ways, todo = {begin: begin}, [begin]
    while todo:
        here = todo.pop()
        for one in sorted(imports[here]):
            if computing(one):
                yield f"{ways[here]} -> {one}"
            elif one in imports and one not in ways:
                ways[one] = f"{ways[here]} -> {one}"
                todo.append(one)


@pytest.mark.parametrize("begin", ["flows.campaign", "flows.acquisition", "flows.renew", "flows.cli.results"])
def test_importing_a_flow_loads_nothing_that_computes(imports: dict[str, set[str]], begin: str) -> None:
    assert list(chains(imports, begin)) == []


def test_a_module_that_computes_is_found(imports: dict[str, set[str]]) -> None:
    assert "flows.plan.plan -> torch" in set(chains(imports, "flows.plan.plan"))
    assert any(way.endswith("-> matplotlib.figure") for way in chains(imports, "tasks.report.render"))
