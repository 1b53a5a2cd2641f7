"""Read the project's Markdown pages: fenced blocks, links, anchors, code spans and sentences."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.repository import ROOT

PAGES = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")))
WRITTEN = tuple(page for page in PAGES if not page.startswith("docs/reference/"))  # pages that are written by hand

SCRIPT = "photos="  # beginning of the shell block that a test runs

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: (\S.*) -->\n *$")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)|(?:src|href)=\"([^\"]+)\"")
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes
    ----------
    language : word after the fence: `sh`, `toml`, `sql`, `python`, or `text` for output and layouts.
    heading : the nearest heading above it.
    not_run : why it is not run, from the comment on the line above it; None for a block that a test runs or parses.
    """

    page: str
    language: str
    content: str
    heading: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{self.page}, {self.heading}, {self.language}"


@cache
def text_of(page: str) -> str:
    """Return the content of a page, named by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def blocks(*languages: str) -> tuple[Block, ...]:
    """Return the fenced blocks of every page, in some languages or in all."""
    found = [block for page in PAGES for block in _blocks(page)]
    return tuple(block for block in found if not languages or block.language in languages)


def _blocks(page: str) -> Iterator[Block]:
    text = text_of(page)
    for fence in FENCE.finditer(text):
        above = text[: fence.start()]
        reason = NOT_RUN.search(above)
        headings = HEADING.findall(FENCE.sub("", above)) or [""]
        yield Block(page, fence[2], fence[3], headings[-1], reason[1] if reason else None)


@cache
def prose(page: str) -> str:
    """Return a page without its fenced blocks and comments."""
    return re.sub(r"<!--.*?-->", "", FENCE.sub("", text_of(page)), flags=re.DOTALL)


def spans(page: str) -> list[str]:
    """List the code spans in a page's prose."""
    return SPAN.findall(prose(page))


def links(page: str) -> list[str]:
    """List the targets of a page's links and pictures."""
    return [markdown or html for markdown, html in LINK.findall(SPAN.sub("", prose(page)))]


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings on GitHub, which numbers repeated ones."""
    found: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = next(n for n in range(100) if (f"{anchor}-{n}" if n else anchor) not in found)
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def sentences(page: str) -> list[str]:
    """List the sentences of a page's prose and list items, without tables, headings and pictures."""
    lines = [line for line in prose(page).splitlines() if not re.match(r"\s*(\||#|!\[|<)", line)]
    paragraphs = re.split(r"\n\s*\n|\n\s*(?=- |\d+\. )", "\n".join(lines))
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(one.split())) for one in paragraphs)
    return [part.strip() for text in plain for part in re.split(r"(?<=[.!?:])\s+(?=[A-Z`*\[])", text) if part.strip()]


def relative_target(page: str, link: str) -> tuple[Path, str]:
    """Return the file that a relative link leads to, and its anchor (empty for none)."""
    name, _, anchor = link.partition("#")
    return ((ROOT / page).parent / name if name else ROOT / page), anchor
