"""Prepare the field page, for the people in the field, from the dates that were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from storage.artifacts import Artifact
from tasks.export.looks import Marker, markers_of
from tasks.export.params import ExportParams
from tasks.report.field.data import field_data, json_in_page
from tasks.report.field.head import Head, day_head, promise_sentences
from tasks.report.field.lists import StaticList, static_lists
from tasks.report.field.map import least_reliability, map_pictures
from tasks.report.field.pictures import Pictures
from tasks.report.field.place import place_of
from tasks.report.field.selection import Selection, select_plants
from tasks.report.field.summary import DaySummary, FieldDay, Row, plot_rows, summarise
from tasks.report.words import method_name


@dataclass(frozen=True)
class FieldPage:
    """Content of the field page, and the counts of dates and plots that the analysis page shows.

    Attributes
    ----------
    days, summaries : one per date, in order.
    head : head of the page for the latest date.
    promises : what is promised, and its evidence or what is lacking.
    method : name of the saliency method that gave the answers.
    n_methods : number of the campaign's saliency methods.
    lost : scored dates whose artefacts are no longer in the store.
    markers : look of every decision.
    least : reliability at which a mark is hollow.
    selection : plants that the page shows.
    pictures : small pictures of the latest date.
    lists : lists of the latest date for readers without scripts.
    data : content of the page for its scripts (see `field_data`), and `json` the same as JSON.
    stills : the map as PNG by date, with all plants; empty if no plant has a position.
    plots : rows by date and plot (see `plot_rows`).
    """

    days: list[FieldDay]
    summaries: list[DaySummary]
    head: Head
    promises: list[tuple[str, str]]
    method: str
    n_methods: int
    lost: list[str]
    markers: Mapping[str, Marker]
    least: float
    selection: Selection
    pictures: Pictures
    lists: list[StaticList]
    data: dict[str, Any]
    json: str
    stills: dict[str, bytes]
    plots: list[dict[str, Any]]


def field_page(
    campaign: str,
    days: Sequence[FieldDay],
    classes: Sequence[str],
    methods: Sequence[str],
    plants: Sequence[Row],
    lost: Sequence[str],
    promises: Sequence[Row],
    pictures: Pictures,
    crs: str = ExportParams().crs,
    artifacts: Mapping[str, Artifact] = MappingProxyType({}),
) -> FieldPage:
    """Prepare the field page; `days` has at least one date, with answers by the first of `methods`.

    Parameters
    ----------
    promises : rows of the table of this name, of the first method.
    pictures : small pictures of the latest date.
    crs : EPSG code of the system of the plants' positions.
    artifacts : artefacts by role, of which the orthophotos behind the map are read.
    """
    summaries, selection = [summarise(day, classes) for day in days], select_plants(days, plants)
    place = place_of(selection.plants, crs, artifacts, [day.date for day in days])
    data = {**field_data(campaign, days, classes, selection, pictures), "place": place}
    return FieldPage(
        days=list(days),
        summaries=summaries,
        head=day_head(summaries[-1]),
        promises=promise_sentences(promises),
        method=method_name(methods[0]),
        n_methods=len(methods),
        lost=list(lost),
        markers=markers_of(classes),
        least=least_reliability(classes),
        selection=selection,
        pictures=pictures,
        lists=static_lists(data),
        data=data,
        json=json_in_page(data),
        stills=map_pictures(days, classes, plants),
        plots=plot_rows(days, classes),
    )
