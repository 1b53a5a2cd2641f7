"""Test the counts of plots by a case worked by hand."""

from typing import Any

from storage.published.plots import PLOTS
from tasks.export.plots import counted_plots

CLASSES = ("not ready", "ready")
OF_DATE: dict[str, Any] = {"campaign": "field2", "date": "2021-08-23", "method": "gradcam"}


def plant(plot: str | None, decision: str) -> dict[str, Any]:
    return {**OF_DATE, "plot": plot, "decision": decision}


PLANTS = [
    plant("10", "harvest"),
    plant("2", "harvest"),
    plant("2", "check"),
    plant("2", "harvest"),
    plant("2", "leave"),
    plant(None, "harvest"),
]
READY = {"n": 4, "n_ready": 2.5, "n_ready_lower": 1.0, "n_ready_upper": 3.5, "ready_share": 0.5}
COUNTS: list[dict[str, Any]] = [{**READY, "plot": None, "n_ready": 3.5}, {**READY, "plot": "2"}]


def test_plants_are_counted_by_plot_in_the_order_of_numbers() -> None:
    second, tenth = counted_plots(PLANTS, COUNTS, CLASSES)
    ready = {"n_ready": 2.5, "n_ready_lower": 1.0, "n_ready_upper": 3.5}
    assert second == {**OF_DATE, "plot": "2", "n_plants": 4, "n_harvest": 2, "n_leave": 1, "n_check": 1, **ready}
    unknown = dict.fromkeys(ready)
    assert tenth == {**OF_DATE, "plot": "10", "n_plants": 1, "n_harvest": 1, "n_leave": 0, "n_check": 0, **unknown}
    assert second.keys() == {column.name for column in PLOTS.columns}


def test_with_other_classes_nothing_is_said_about_a_harvest() -> None:
    """A class may be called harvest, and still its answers are no advice."""
    (row,) = counted_plots(PLANTS[1:5], [], ("harvest", "leave", "rot"))
    assert (row["n_plants"], row["n_harvest"], row["n_leave"], row["n_check"]) == (4, None, None, 1)


def test_without_plots_there_are_no_rows() -> None:
    assert counted_plots([plant(None, "check")], COUNTS, CLASSES) == []
