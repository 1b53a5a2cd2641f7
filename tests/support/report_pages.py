"""Read a report's page: its tables, sections and figures."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Parsed page: table cells by class, resources, links, identifiers and headings; every tag must be closed."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.resources: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.open: list[str] = []
        self.table = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids.add(given.get("id") or "")
        named = [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        (self.links if tag == "a" else self.resources).extend(named)
        if tag in ("h2", "h3"):
            self.headings.append("")
        if tag == "table":
            self.table = given.get("class") or ""
            self.tables[self.table] = []
        if tag == "tr":
            self.tables[self.table].append([])
        if tag in ("td", "th"):
            self.tables[self.table][-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open[-3:]):
            self.tables[self.table][-1][-1] += data
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings[-1] += data


def shares(text: str) -> list[float]:
    return [float(number) / 100 for number in re.findall(r"([\d.]+)\u00a0%", text)]
