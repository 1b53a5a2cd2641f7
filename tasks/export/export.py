"""Export: write the decisions about a date's plants as files for spreadsheets, maps and navigation devices.

Reads `images` (for the plants' positions), `decided` and `promises`; writes `decisions`.
"""

from datetime import date

from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.published.exports import KIND
from storage.published.origin import Origin
from storage.tables import DECIDED, PROMISES, READY_COUNTS
from storage.tables.rows import ColumnRows, iter_rows, rows_of
from tasks.decide.decisions import CHECK, HARVEST
from tasks.decide.promised import guarantee_sentences
from tasks.export.forms import form_of
from tasks.export.looks import colours_of, looks_of
from tasks.export.params import ExportParams, FieldParams
from tasks.export.plots import counted_plots
from tasks.export.rows import export_rows
from tasks.export.walking import place_of, walk
from tasks.ingest.listing import read_listing
from tasks.stage import cached_by, made_once

REVISION = 6
AUDIT = "audit"  # name of the tour to plants that were drawn for a look


def decisions_recipe(
    campaign: str,
    params: ExportParams,
    field: FieldParams,
    images: ArtifactRef,
    decided: ArtifactRef,
    promises: ArtifactRef,
    mark: str = "",
) -> Recipe:
    """Return the recipe of a date's decisions, which depends on the campaign because their rows name it."""
    inputs = {"images": images, "decided": decided, "promises": promises}
    fields = {"campaign": campaign, **params.model_dump(mode="json"), "audit_share": field.audit_share}
    fields |= {"mark": mark} if mark else {}
    return Recipe(KIND, REVISION, fields, inputs)


@task(task_run_name="export {campaign} {date} {method}", **cached_by(decisions_recipe))
@made_once(decisions_recipe)
def export_decisions(
    draft: Draft,
    store: Store,
    campaign: str,
    date: date,
    method: str,
    params: ExportParams,
    field: FieldParams,
    images: ArtifactRef,
    decided: ArtifactRef,
    promises: ArtifactRef,
    mark: str = "",
) -> None:
    """Write the decision about every explained plant of a date.

    Parameters
    ----------
    mark : says that the date has far fewer plants than expected; empty if it has not.
    """
    from storage.published.decisions import write_decisions
    from storage.published.sheets import write_workbook
    from storage.published.walks import write_walk

    observed, judged = store.open(images), store.open(decided)
    places, classes = read_listing(observed)["images"], observed.summary["classes"]
    rows = export_rows(campaign, date, places, iter_rows(judged, DECIDED), classes, field.audit_share)
    form = form_of(classes)
    plots = counted_plots(rows, rows_of(judged, READY_COUNTS), classes)
    promised = tuple(guarantee_sentences(rows_of(store.open(promises), PROMISES)))
    origin = Origin(campaign, date, method, params.crs, params.licence, promised, mark)
    write_decisions(draft, rows, plots, origin, params.decimal, looks_of(classes), form)
    plants = in_walking_order(rows)
    write_walk(draft, plants, tours_of(plants), origin, params.decimal, form)
    write_workbook(draft, plants, origin, colours_of(classes), form)


def in_walking_order(rows: ColumnRows) -> ColumnRows:
    """Return exported rows in walking order, with `row` and `number` of each plant in its plot."""
    places = [place_of(row) for row in rows]
    placed = rows.having({name: [place[name] for place in places] for name in ("row", "number")})
    return placed.take(walk(placed))


def tours_of(plants: ColumnRows) -> dict[str, ColumnRows]:
    """Return the plants of each tour in walking order.

    Each tour is sorted by itself, because a row without a plant to visit is passed by.
    """
    words, is_audit = plants.column("decision"), plants.column("is_audit")
    chosen = {word: plants.take(i for i, one in enumerate(words) if one == word) for word in (HARVEST, CHECK)}
    chosen[AUDIT] = plants.take(i for i, drawn in enumerate(is_audit) if drawn)
    return {name: some.take(walk(some)) for name, some in chosen.items()}
