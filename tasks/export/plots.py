"""Count the plants of every plot by decision. Pure functions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from storage.tables.rows import Row
from tasks.decide.decisions import CHECK, HARVEST, LEAVE, is_about_harvest
from tasks.export.walking import natural_key

EXPECTED = ("n_ready", "n_ready_lower", "n_ready_upper")  # columns of the table `ready_counts` that are copied


def counted_plots(rows: Sequence[Row], counts: Iterable[Row], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Count the plants of every plot of a date by decision, and how many are expected to be ready; sorted by plot.

    Parameters
    ----------
    rows : exported decisions of a date by one saliency method. Plants without a plot are left out.
    counts : rows of the table `ready_counts` of the same date and method; none where it is not known.
    classes : class names by index. With others than not ready and ready, `n_harvest` and `n_leave` are None.
    """
    plots: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row["plot"] is not None:
            plots[row["plot"]][row["decision"]] += 1
    expected = {row["plot"]: row for row in counts}
    acted_on = (HARVEST, LEAVE) if is_about_harvest(classes) else ()
    date = {column: rows[0][column] for column in ("campaign", "date", "method")} if plots else {}
    return [
        date | _counted(name, plots[name], expected.get(name, {}), acted_on) for name in sorted(plots, key=natural_key)
    ]


def _counted(name: str, found: Counter[str], expected: Mapping[str, Any], acted_on: Sequence[str]) -> dict[str, Any]:
    return {
        "plot": name,
        "n_plants": found.total(),
        **{f"n_{word}": found[word] if word in acted_on else None for word in (HARVEST, LEAVE)},
        "n_check": found[CHECK],
        **{column: expected.get(column) for column in EXPECTED},
    }
