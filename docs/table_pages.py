"""Tell every column of the published tables and of the decisions, from their schemas."""

from docs.heads import head
from storage.published.decisions import DECISIONS
from storage.published.forms import CHECKED_CLASS, CHECKED_READY, Form
from storage.published.plots import PLOTS
from storage.published.walks import WALK
from storage.tables import TABLES
from storage.tables.parquet import TableSpec

FILLED_IN = (
    "The short list, the CSV and the files for maps end with these columns, which are empty. How they come back: "
    f"[checks.md](../checks.md). Files have `{CHECKED_READY}` where classes are not ready and ready, else "
    f"`{CHECKED_CLASS}`."
)
# Both columns for what was found, of which a file has one, and the others once.
FORM = TableSpec("form", "", (Form(CHECKED_READY, {}).columns[0], *Form(CHECKED_CLASS, {}).columns))


def tables_page() -> str:
    """Tell every column of every published table."""
    lead = "How to read the tables from Python and SQL: [python.md](../python.md)."
    parts = [head("Columns of the tables", lead)]
    for spec in TABLES.values():
        place = "date" if spec.per_date else spec.partitioned_by
        meaning = f"{spec.meaning[0].upper()}{spec.meaning[1:]}. One file per {place}, version {spec.version}."
        parts += [f"## `{spec.name}`", "", meaning, "", *_column_lines(spec), ""]
    return "\n".join(parts)


def decisions_page() -> str:
    """Tell every column of the files for other tools."""
    lead = "Where the files are and how to open them: [exports.md](../exports.md)."
    parts = [head("Columns of the decisions", lead), *_column_lines(DECISIONS), ""]
    for title, spec in (("The short list", WALK), ("The layer of plots", PLOTS)):
        parts += [f"## {title}", "", f"{spec.meaning[0].upper()}{spec.meaning[1:]}.", "", *_column_lines(spec), ""]
    parts += ["## The columns to fill in", "", FILLED_IN, "", *_column_lines(FORM), ""]
    return "\n".join(parts)


def _column_lines(spec: TableSpec) -> list[str]:
    rows: list[str] = []
    for column in spec.columns:
        kind = str(column.type).replace("list<element: ", "list<") + (" or null" if column.nullable else "")
        rows.append(f"| `{column.name}` | {kind} | {column.unit} | {column.meaning.replace('|', chr(92) + '|')} |")
    return ["| column | type | unit | meaning |", "|---|---|---|---|", *rows]
