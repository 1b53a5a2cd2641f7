"""Every `harvest` command line of README and docs is understood by the command line, and no block is passed over."""

import re
import shlex
import subprocess
from typing import Any

import pytest
from typer.main import get_command

from flows.cli.main import app
from tests.support.markdown import PAGES, SCRIPT, Block, blocks, spans
from tests.support.repository import ROOT

KNOWN: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
LANGUAGES = {"sh", "toml", "sql", "python", "text"}
# What a line of a shell block may begin with; other lines need the mark `not run`, or a test that runs the block.
CHECKED = ("harvest ", "make ", "pytest ", "python -m ", "deployments/start", "deployments/env ", "export ")


def command_lines(block: Block) -> list[str]:
    """Lines of a shell block without comments, continued lines in one."""
    joined = block.content.replace("\\\n", " ")
    return [text for line in joined.splitlines() if (text := re.sub(r"(^|\s)#.*", "", line).strip())]


def harvest_lines() -> list[str]:
    """Every complete `harvest` command line of the blocks, also of those that are not run."""
    lines = [line for block in blocks("sh") for line in command_lines(block)]
    found = [re.search(r"(?:^|\s)(harvest .*)", line) for line in lines]
    return sorted({match[1] for match in found if match})


def parse(line: str) -> Any:
    """Parse a complete command line as `harvest` does, without running it or looking at its store."""
    _, name, *arguments = shlex.split(line)
    command = KNOWN[name]
    for parameter in command.params:
        parameter.callback = None  # would ask a bucket
    return command.make_context(name, arguments).params


def test_the_lines_are_many() -> None:
    assert len(harvest_lines()) > 20
    assert {line.split()[1] for line in harvest_lines()} == set(KNOWN) - {"demo"}


@pytest.mark.parametrize("line", harvest_lines())
def test_command_lines_of_blocks_are_complete(line: str) -> None:
    assert parse(line)


@pytest.mark.parametrize("line", ["harvest run", "harvest run a.toml --stor x", "harvest score a --date soon"])
def test_wrong_lines_are_found(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)missing|no such option|does not match"):
        parse(line)


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_named_in_text_exist(page: str) -> None:
    for span in spans(page):
        words = span.removeprefix("deployments/env ").split()
        if len(words) < 2 or words[0] != "harvest" or not words[1].islower():
            continue
        assert words[1] in KNOWN, span
        known = {name for p in KNOWN[words[1]].params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
        assert {word for word in words[2:] if word.startswith("--")} <= known, span


def test_every_block_is_run_or_parsed_or_marked() -> None:
    """By language: `toml`, `sql` and `python` are run by test_blocks.py, `text` is output or a layout."""
    passed_over: list[str] = []
    for block in blocks():
        assert block.language in LANGUAGES, f"{block}: name its language"
        lines = command_lines(block)
        if block.not_run is not None:
            assert block.language in ("sh", "python"), f"{block}: only what would run is marked"
        elif block.language == "sh" and not block.content.startswith(SCRIPT):
            passed_over += [f"{block}: {line}" for line in lines if not line.startswith(CHECKED)]
        elif block.language == "text":
            passed_over += [f"{block}: {line}" for line in lines if re.match(r"(harvest|make|pip|import) ", line)]
    assert passed_over == []
    counts = {language: len(blocks(language)) for language in LANGUAGES}
    marked = [str(block) for block in blocks() if block.not_run is not None]
    assert sum(counts.values()) == len(blocks())
    assert len(marked) < len(blocks("sh", "python")) / 3, marked


def test_shell_blocks_are_shell() -> None:
    for block in blocks("sh"):
        checked = subprocess.run(["bash", "-n"], input=block.content, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, f"{block}: {checked.stderr}"


def test_scripts_that_are_named_can_be_run() -> None:
    named = {name for block in blocks("sh") for name in re.findall(r"(?m)^(deployments/\w+)", block.content)}
    assert named == {"deployments/start", "deployments/env", "deployments/restore"}
    assert all((ROOT / name).stat().st_mode & 0o111 for name in named)
