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
from tasks.report.field.map import least_reliability
from tasks.report.field.pictures import Pictures
from tasks.report.field.place import place_of
from tasks.report.field.selection import Selection, select_plants
from tasks.report.field.summary import DaySummary, FieldDay, Row, day_label, is_placed, summarise
from tasks.report.words import method_name


@dataclass(frozen=True)
class FieldPage:
    """Content of the field page: of the latest dates, or of one earlier date.

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
    still : the map of the latest date as PNG, with all plants; None without one.
    earlier : dates that have a page of their own, and their names in words, in order.
    is_latest : whether the page has the latest dates; otherwise it is the page of an earlier one.
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
    still: bytes | None
    earlier: list[tuple[str, str]]
    is_latest: bool

    @property
    def has_map(self) -> bool:
        """Return whether any plant of the page has a position."""
        return any(map(is_placed, self.selection.plants))


def field_page(
    campaign: str,
    days: Sequence[FieldDay],
    classes: Sequence[str],
    methods: Sequence[str],
    plants: Sequence[Row],
    promises: Sequence[Row],
    pictures: Pictures,
    crs: str = ExportParams().crs,
    artifacts: Mapping[str, Artifact] = MappingProxyType({}),
    lost: Sequence[str] = (),
    still: bytes | None = None,
    earlier: Sequence[str] = (),
    is_latest: bool = True,
) -> FieldPage:
    """Prepare the field page; `days` has at least one date, with answers by the first of `methods`.

    Parameters
    ----------
    promises : rows of the table of this name, of the first method.
    pictures : small pictures of the latest date.
    crs : EPSG code of the system of the plants' positions.
    artifacts : artefacts by role, of which the orthophotos behind the map are read.
    still : the map of the latest date as PNG.
    earlier : dates that have a page of their own.
    is_latest : whether `days` are the latest dates.
    """
    summaries, selection = [summarise(day, classes) for day in days], select_plants(days, plants)
    place = place_of(selection.plants, crs, artifacts, [day.date for day in days])
    data = {**field_data(campaign, days, classes, selection, pictures), "place": place, "earlier": list(earlier)}
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
        still=still,
        earlier=[(day, day_label(day)) for day in earlier],
        is_latest=is_latest,
    )
