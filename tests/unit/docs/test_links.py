"""README and docs name nothing that is not there, and the README stays short and plain."""

import re

import pytest

from tests.support.markdown import (
    PAGES,
    WRITTEN,
    anchors,
    blocks,
    links,
    relative_target,
    sentences,
    spans,
    text_of,
)
from tests.support.repository import ROOT

README_BYTES = 12_288
LONGEST_SENTENCE = 40  # words
FOLDERS = ("deployments", "docs", "flows", "storage", "tasks", "tests")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def is_web(link: str) -> bool:
    return re.match(r"[a-z]+:", link) is not None


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= README_BYTES


def test_no_sentence_of_the_readme_is_long() -> None:
    found = sentences("README.md")
    assert len(found) > 30
    assert [text for text in found if len(text.split()) > LONGEST_SENTENCE] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    broken: list[str] = []
    for link in links(page):
        if is_web(link):
            assert link.startswith("https://"), link
            continue
        target, anchor = relative_target(page, link)
        if not target.exists() or not target.resolve().is_relative_to(ROOT):
            broken.append(link)
        elif anchor and anchor not in anchors(target.resolve().relative_to(ROOT).as_posix()):
            broken.append(f"{link}: no such heading")
    assert broken == []


def test_every_page_is_reached_from_the_index_and_pictures_are_used() -> None:
    linked = {relative_target(page, link)[0].resolve() for page in PAGES for link in links(page) if not is_web(link)}
    index = {relative_target("docs/README.md", link)[0].resolve() for link in links("docs/README.md")}
    pages = {ROOT / page for page in PAGES} - {ROOT / "docs/README.md", ROOT / "README.md"}
    assert pages <= index
    assert set((ROOT / "docs/pictures").iterdir()) <= linked


@pytest.mark.parametrize("page", WRITTEN)
def test_every_file_of_the_repository_that_is_named_exists(page: str) -> None:
    """Code spans such as `tasks/explain/methods.py`; placeholders in angle brackets match anything."""
    named = [span for span in spans(page) if re.fullmatch(rf"({'|'.join(FOLDERS)})/[\w./<>@-]*", span)]
    missing = [name for name in named if not list(ROOT.glob(re.sub(r"<\w+>", "*", name).rstrip("/")))]
    # The example of a new saliency method is not there: its test adds it.
    assert set(missing) <= ({"tasks/explain/input_gradient.py"} if page == "docs/architecture.md" else set())


def test_every_make_target_that_is_named_exists() -> None:
    known = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    lines = [line for block in blocks("sh") for line in block.content.splitlines()]
    named = {word for page in PAGES for span in spans(page) for word in targets(span)}
    named |= {word for line in lines for word in targets(line.partition("#")[0])}
    assert {"demo", "test", "docs"} <= named
    assert named <= known


def targets(command: str) -> list[str]:
    """Targets of a make command line; other lines have none."""
    return re.findall(r"[a-z-]+", command.removeprefix("make ")) if command.startswith("make ") else []


def test_every_module_and_test_path_that_is_named_exists() -> None:
    lines = [line for block in blocks("sh") for line in block.content.splitlines()]
    lines += [span for page in PAGES for span in spans(page)]
    modules = {name for line in lines for name in re.findall(r"\bpython -m ([\w.]+)", line)}
    tests = {name for line in lines if line.startswith("pytest ") for name in re.findall(r"\btests/[\w./]+", line)}
    assert modules and tests
    missing = [name for name in modules if not is_module(name)] + [name for name in tests if not (ROOT / name).exists()]
    assert missing == []


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_place_that_readers_do_not_have(page: str) -> None:
    assert not re.search(r"\.\./shared|/work/|/root/", text_of(page))


def test_anchors_are_made_as_github_makes_them() -> None:
    assert {"what-scoring-writes", "many-seasons"} <= anchors("docs/new-dates.md")
    assert "explained_class--label" in anchors("docs/reliability.md")
    assert "source-with-kind--synthetic" in anchors("docs/reference/parameters.md")
