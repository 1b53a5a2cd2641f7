"""Name and read the templates, style sheets and scripts that the report's pages are made from."""

from functools import cache
from importlib.resources import files

from storage.artifacts import content_digest
from tasks import report
from tasks.report import templates

EXPLORER_SCRIPTS = ("explorer-scatter.js", "explorer-card.js", "explorer.js")  # in the order in which they run
TEMPLATES = (
    "analysis.html",
    "card.html",
    "dates.html",
    "explorer.html",
    *EXPLORER_SCRIPTS,
    "field.html",
    "found.html",
    "lists.html",
    "macros.html",
    "map.html",
    "method.html",
    "scores.html",
    "style.html",
)
STYLES = ("field.css",)  # of the field page
# Scripts of the field page, in the order in which they run.
SCRIPTS = ("field.js", "checks.js", "card.js", "lists.js", "sheets.js", "map-names.js", "map.js", "map-position.js")
MAP_STYLES = ("leaflet.css", "MarkerCluster.css")  # of the packages in `vendor`
MAP_SCRIPTS = ("leaflet", "leaflet.markercluster")


@cache
def template_digest() -> str:
    """Return the digest of all templates and scripts of the pages; they stay as they are while a process runs."""
    packages = [*map(vendored, MAP_STYLES), *map(licensed, MAP_SCRIPTS)]
    return content_digest("".join([*map(page_file, (*TEMPLATES, *STYLES, *SCRIPTS)), *packages]))


def page_file(name: str) -> str:
    """Return the text of a template, style sheet or script of the pages."""
    return (files(templates) / name).read_text(encoding="utf-8")


def vendored(name: str) -> str:
    """Return the text of a file of a package in `vendor`."""
    return (files(report) / "vendor" / name).read_text(encoding="utf-8")


def licensed(package: str) -> str:
    """Return the script of a package after its licence, which has to go with every copy."""
    return f"/*\n{vendored(f'{package}-LICENSE.txt')}*/\n{vendored(f'{package}.js')}"
