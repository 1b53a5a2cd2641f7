"""What the first part of the report says and draws for the people in the field, from what was read of the dates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report.field.map import Marker, Thinning, least_reliability, map_json, map_pictures, markers_of, thinning
from tasks.report.field.summary import (
    MEANINGS,
    OTHER_MEANING,
    DaySummary,
    FieldDay,
    Row,
    lead_sentence,
    plot_rows,
    reliance_sentences,
    summarise,
    to_check,
)
from tasks.report.words import method_name

N_LISTED = 2_000  # plants to check that the page lists at most: half a megabyte
N_NAMED = 30  # plants to check that are named before the others are folded away: a sheet of paper


@dataclass(frozen=True)
class FieldPage:
    """What the page says of the field.

    Attributes
    ----------
    days, summaries : one a date, in order.
    lead, sentences : of the latest date.
    method : the saliency method that the answers are by, in words.
    lost : scored dates whose artefacts are gone.
    markers : the look of every decision.
    meanings : what a decision means, where its name does not say it; `other_meaning` of the others.
    least : reliability at which a mark is hollow.
    map_json : of `tasks.report_map.map_json`; empty where there is no map.
    thinning : which plants of a large field the map leaves out; None where it shows all.
    pictures : the map as PNG by date, with all plants.
    plots : of `tasks.report_field.plot_rows`.
    to_check : the first `N_LISTED` decision rows of the `n_to_check` of the latest date, of which `n_named` are shown
        at once.
    """

    days: list[FieldDay]
    summaries: list[DaySummary]
    lead: str
    sentences: list[str]
    method: str
    n_methods: int
    lost: list[str]
    markers: dict[str, Marker]
    meanings: Mapping[str, str]
    other_meaning: str
    least: float
    map_json: str
    thinning: Thinning | None
    pictures: dict[str, bytes]
    plots: list[dict[str, Any]]
    to_check: list[Row]
    n_to_check: int
    n_named: int


def field_page(
    days: Sequence[FieldDay],
    classes: Sequence[str],
    methods: Sequence[str],
    plants: Sequence[Row],
    lost: Sequence[str],
) -> FieldPage:
    """Everything that the page says of the field; `days` are by the first of `methods`, at least one."""
    summaries, checks = [summarise(day, classes) for day in days], to_check(days[-1])
    return FieldPage(
        days=list(days),
        summaries=summaries,
        lead=lead_sentence(summaries[-1]),
        sentences=reliance_sentences(summaries[-1]),
        method=method_name(methods[0]),
        n_methods=len(methods),
        lost=list(lost),
        markers=markers_of(classes),
        meanings=MEANINGS,
        other_meaning=OTHER_MEANING,
        least=least_reliability(classes),
        map_json=map_json(days, classes, plants),
        thinning=thinning(days, plants),
        pictures=map_pictures(days, classes, plants),
        plots=plot_rows(days, classes),
        to_check=checks[:N_LISTED],
        n_to_check=len(checks),
        n_named=N_NAMED,
    )
