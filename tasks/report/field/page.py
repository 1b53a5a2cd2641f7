"""Prepare the first part of the report, for the people in the field, from the dates that were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.decide.promised import guarantee_sentences
from tasks.export.looks import MEANINGS, OTHER_MEANING, Marker, markers_of
from tasks.report.field.map import Thinning, least_reliability, map_json, map_pictures, thinning
from tasks.report.field.summary import (
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

N_LISTED = 2_000  # most plants to check that the page lists, half a megabyte
N_NAMED = 30  # plants to check that are shown before the others are folded away, one sheet of paper


@dataclass(frozen=True)
class FieldPage:
    """Content of the field part of the page.

    Attributes
    ----------
    days, summaries : one per date, in order.
    lead, sentences : main sentences about the latest date.
    guarantees : sentences about what is promised about the answers that are acted on.
    method : name of the saliency method that gave the answers.
    n_methods : number of the campaign's saliency methods.
    lost : scored dates whose artefacts are no longer in the store.
    markers : look of every decision.
    meanings : meanings of decisions whose name does not say it; the others have `other_meaning`.
    least : reliability at which a mark is hollow.
    map_json : content of the map (see `map_json`); empty if there is no map.
    thinning : which plants of a large field the map leaves out; None if it shows all.
    pictures : the map as PNG by date, with all plants.
    plots : rows by date and plot (see `plot_rows`).
    to_check : first `N_LISTED` plants to check on the latest date; `n_to_check` counts all, `n_named` are shown at
        once.
    """

    days: list[FieldDay]
    summaries: list[DaySummary]
    lead: str
    sentences: list[str]
    guarantees: list[str]
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
    promises: Sequence[Row],
) -> FieldPage:
    """Prepare the field part of the page; `days` has at least one date, with answers by the first of `methods`.

    Parameters
    ----------
    promises : rows of the table of this name, of the first method.
    """
    summaries, checks = [summarise(day, classes) for day in days], to_check(days[-1])
    return FieldPage(
        days=list(days),
        summaries=summaries,
        lead=lead_sentence(summaries[-1]),
        sentences=reliance_sentences(summaries[-1]),
        guarantees=guarantee_sentences(promises),
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
