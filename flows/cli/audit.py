"""Print the results of `harvest audit`, or return them as JSON values."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from storage.artifacts import Store
from storage.tables import AUDIT
from storage.tables.rows import rows_of
from tasks.report.words import GROUND_TRUTH, figure_text

if TYPE_CHECKING:
    from flows.audit import Audit


def audit_results(store: Store, audit: "Audit") -> dict[str, Any]:
    """Return an audit's rows, its counts of images left out, its warning and its page as JSON values."""
    found = store.open(audit.artifact)
    return {
        "campaign": found.manifest.params["campaign"],
        "rows": rows_of(found, AUDIT),
        "warning": f"explained_class = label: {GROUND_TRUTH}",
        **found.summary,
        "page": str(store.root / audit.page),
    }


def print_audit(found: dict[str, Any]) -> None:
    """Print an audit as a table and notes."""
    # A pipe has no width, and rich would cut its tables to 80 columns and lose figures.
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    shares = {"accuracy_before": "before", "accuracy_after": "after", "accuracy_crossfitted": "cross-fitted"}
    numbers = {"auroc": "AUROC", "label_probe": "label probe", "largest_error_share": "largest error share"}
    chances = {"largest_error_share_p": "its p", "heterogeneity_p": "heterogeneity p"}
    table = Table(title=f"{found['campaign']}: what each explained class would claim", title_justify="left")
    for name in ("explained class", "method", "split"):
        table.add_column(name)
    for name in ("n", *shares.values(), *numbers.values(), *chances.values()):
        table.add_column(name, justify="right")
    for row in found["rows"]:
        cells = ["–" if row[name] is None else f"{row[name]:.1%}" for name in shares]
        cells += [figure_text(row[name]) for name in numbers] + [figure_text(row[name], 4) for name in chances]
        is_leak = row["explained_class"] == "label"
        marks = (escape(row["explained_class"]) + " (!)" * is_leak, row["method"], row["split"], str(row["n"]))
        table.add_row(*marks, *cells, style="red" if is_leak else None)
    console.print(table)
    console.print(f"(!) {found['warning']}", markup=False)
    for problem in found["problems"]:
        console.print(f"no rows: {problem}", markup=False)
    if found["left_out"]:
        left_out = ", ".join(f"{n} {split}" for split, n in found["left_out"].items())
        console.print(f"left out where label is explained, for lack of a label: {left_out}", markup=False)
    console.out(f"page: {found['page']}")  # plain, so that the path is never wrapped
