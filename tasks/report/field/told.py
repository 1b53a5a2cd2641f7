"""Sum up what the reports of a campaign tell of one date, so that it is read and drawn once and then kept.

A report of sixty dates would otherwise read the tables of all of them, and draw all their maps, whenever one date is
added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from storage.artifacts import Artifact
from storage.tables import DRIFT
from storage.tables.rows import Row, rows_of
from tasks.report.field.checked import broken_sentences, checked_sentence, of_date
from tasks.report.field.summary import DaySummary, FieldDay, plots_of, summarise

FILE = "told.json"  # file of an artefact with the sums of a date
STILL = "harvest-map.png"  # its picture of the map, if plants have positions


@dataclass(frozen=True)
class Told:
    """Sums of one date.

    Attributes
    ----------
    summary : counts of the date, without what people found.
    plots : rows by plot (see `plots_of`).
    rejected : plant and reason of each image that was left out, and the date.
    drift : rows of the table of this name with the date, by saliency method.
    """

    summary: DaySummary
    plots: list[dict[str, Any]]
    rejected: list[dict[str, str]]
    drift: dict[str, list[dict[str, Any]]]


def sum_up(day: FieldDay, classes: Sequence[str], drift: Mapping[str, Artifact]) -> Told:
    """Sum up a date; `drift` holds its artefacts of this kind by saliency method."""
    return Told(
        summary=summarise(replace(day, found=()), classes),
        plots=plots_of(day, classes),
        rejected=[{"plant_id": r["plant_id"], "reason": r["reason"], "date": day.date} for r in day.rejected],
        drift={
            method: [{**row, "date": day.date} for row in rows_of(artifact, DRIFT)]
            for method, artifact in drift.items()
        },
    )


def told_json(told: Told) -> bytes:
    """Return the sums of a date as JSON."""
    return _ADAPTER.dump_json(told)


def read_told(artifact: Artifact, found: Sequence[Row] = ()) -> Told:
    """Read the sums of a date, and add what people found.

    Parameters
    ----------
    found : rows of the table `found` of the first saliency method, of all dates.
    """
    told = _ADAPTER.validate_json(artifact.read_bytes(FILE))
    here = of_date(found, told.summary.date)
    return replace(told, summary=replace(told.summary, checked=checked_sentence(here), broken=broken_sentences(here)))


_ADAPTER = TypeAdapter(Told)
