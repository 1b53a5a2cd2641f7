"""Write the report: two self-contained pages that say what a campaign found and how far to believe it.

Reads every artefact of a campaign, and of the dates that its fit has scored since. Writes `index.html` for the people
in the field and `analysis.html` for those who judge the method, with all pictures embedded. Writes the figures of each
saliency method as `<kind>-<method>.png` (see `figure_file` and `MethodPage.figures`), and the harvest map of each date
as `harvest-map-<date>.png`. Every number on the pages comes from the tables and manifests. The pages have no time of
day in them, so equal inputs give equal bytes.

A new date costs what it has to say itself, however many dates there were. `index.html` has the latest dates, and each
earlier one a page of its own, `<date>.html`. The sums of a date, its map and its page are artefacts of their own, made
once and linked into the report. So are the figures and counts of the dates that the fit was made from. What the plant
explorer shows of a date is kept as well, and put into `analysis.html` with that of the other dates.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from prefect import task

from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.published.publish import PARTS
from storage.records.campaigns import CampaignRecord
from storage.tables import METRICS, PLANTS
from storage.tables.rows import Row, rows_of
from tasks.decide.promised import guarantee_sentences
from tasks.export.params import FieldParams
from tasks.report import words
from tasks.report.campaign import parameter_rows, summary_lines
from tasks.report.explorer.addresses import ANALYSIS
from tasks.report.field.days import dates_among, latest_dates, read_day, read_days, with_extra_checks
from tasks.report.field.pictures import read_pictures
from tasks.report.field.summary import DaySummary, FieldDay, decision_sentence
from tasks.report.field.told import FILE, STILL, sum_up, told_json
from tasks.report.inputs import CampaignResults, check_made, read_campaign
from tasks.report.method.accuracy import Headline
from tasks.report.page_files import template_digest
from tasks.stage import cached_by, made_once, versions

if TYPE_CHECKING:
    from tasks.report.field.page import FieldPage
    from tasks.report.method.page import MethodPage

REVISION = 8
TOLD_REVISION = 1  # of the sums and the map of a date
DRAWN_REVISION = 1  # of the figures and counts of the dates of a fit
PAGE_REVISION = 1  # of the page of an earlier date

FIELD = "index.html"  # name of the page for the field


def report_recipe(
    campaign: str,
    params: dict[str, Any],
    differing: dict[str, Any],
    artifacts: dict[str, ArtifactRef],
    scored: dict[str, ArtifactRef],
    lost: list[str],
    found: dict[str, ArtifactRef] | None = None,
) -> Recipe:
    """Return the recipe of a campaign's report: parameters, artefacts by role, and the pages' templates."""
    fields = {
        "campaign": campaign,
        "params": params,
        "differing": differing,
        "lost": lost,
        "template": template_digest(),
    }
    return Recipe("report", REVISION, fields, {**artifacts, **scored, **(found or {})})


@task(task_run_name="report {campaign}", **cached_by(report_recipe))
@made_once(report_recipe)
def write_report(
    draft: Draft,
    store: Store,
    campaign: str,
    params: dict[str, Any],
    differing: dict[str, Any],
    artifacts: dict[str, ArtifactRef],
    scored: dict[str, ArtifactRef],
    lost: list[str],
    found: dict[str, ArtifactRef] | None = None,
) -> None:
    """Write the pages and figures of a campaign.

    Parameters
    ----------
    artifacts : artefacts of the campaign's run by role.
    scored : artefacts by role of the dates that its fit has scored since.
    lost : dates scored since whose artefacts are no longer in the store.
    found : artefacts by role with what people found at plants; None where nobody looked at any.
    """
    from tasks.report.explorer.explored import explore_dates
    from tasks.report.explorer.page import explorer_page
    from tasks.report.method.drawn import figure_file
    from tasks.report.method.page import method_page
    from tasks.report.render import render_analysis, render_field

    asked: list[str] = params["explain"]["methods"]
    check_made(campaign, asked, artifacts)
    sums, drawn = tell_dates(store, asked, artifacts, scored), draw_fit(store, asked, artifacts)
    shown = latest_dates(sums)
    recent = {role: ref for role, ref in scored.items() if role.split()[-1] in shown}
    results = read_campaign(store, campaign, params, differing, artifacts, recent, drawn, found, list(sums.values()))
    pages = {
        day: page_of_date(store, results, day, sums[day], {**artifacts, **scored}) for day in sums if day not in shown
    }
    methods = [method_page(one, results.classes, params["adjust"]["threshold"]) for one in results.methods]
    field = read_field(results, lost, sums)
    draft.write_bytes(FIELD, render_field(results, field).encode())
    explored = explore_dates(partial(made, store), results)
    explorer = explorer_page(results, explored.dates)
    draft.write_bytes(ANALYSIS, render_analysis(results, field, methods, explorer).encode())
    for page in methods:
        for name in [figure_file(kind, page.method) for kind in page.figures]:
            draft.link(name, drawn.file(name), drawn.manifest.files[name])
    for day, told in sums.items():
        if STILL in told.manifest.files:
            draft.link(map_file(day), told.file(STILL), told.manifest.files[STILL])
    for day, page in pages.items():
        draft.link(page_file(day), page.file(FIELD), page.manifest.files[FIELD])
    summaries = [one.summary for one in results.told]
    parts = [str(one.ref) for one in (drawn, *sums.values(), *pages.values(), *explored.artifacts)]
    draft.summary = {**report_sums(summaries, methods, results.methods[0].promises), PARTS: parts}


def made(store: Store, recipe: Recipe, write: Callable[[Draft], None]) -> Artifact:
    """Return the artefact of a recipe; `write` fills it if the store lacks it."""
    if not store.holds(recipe.ref):
        with store.create(recipe, versions()) as draft:
            write(draft)
    return store.open(recipe.ref)


def tell_dates(
    store: Store, methods: Sequence[str], own: dict[str, ArtifactRef], scored: dict[str, ArtifactRef]
) -> dict[str, Artifact]:
    """Return the artefacts with the sums and the map of every date, in order; those that the store lacks are made.

    Parameters
    ----------
    methods : saliency methods of the campaign; the pages for the field have the answers of the first.
    own, scored : artefacts by role, of the campaign and of the dates scored since.
    """
    among = dates_among(own, scored, methods[0])

    def tell(day: str) -> Artifact:
        kinds = ("images", "acquisition", f"decided {methods[0]}", *(f"drift {method}" for method in methods))
        refs = {kind: ref for kind in kinds if (ref := among[day].get(f"{kind} {day}"))}
        fields = {"date": day, "is_scored": among[day] is scored, "methods": list(methods)}

        def write(draft: Draft) -> None:
            from tasks.report.field.map import still_of

            opened = {f"{kind} {day}": store.open(ref) for kind, ref in refs.items()}
            classes = opened[f"images {day}"].summary["classes"]
            read = read_day(opened, day, classes, methods[0], among[day] is scored)
            drift = {method: opened[role] for method in methods if (role := f"drift {method} {day}") in opened}
            draft.write_bytes(FILE, told_json(sum_up(read, classes, drift)))
            if still := still_of(read, classes, rows_of(store.open(own["plants"]), PLANTS)):
                draft.write_bytes(STILL, still)

        return made(store, Recipe("told", TOLD_REVISION, fields, {**refs, "plants": own["plants"]}), write)

    return {day: tell(day) for day in sorted(among)}


def draw_fit(store: Store, methods: Sequence[str], own: dict[str, ArtifactRef]) -> Artifact:
    """Return the artefact with what is shown of the dates of the fit; made if the store lacks it.

    Parameters
    ----------
    methods : saliency methods of the campaign.
    own : artefacts of the campaign by role.
    """

    def write(draft: Draft) -> None:
        from tasks.report.method.drawn import write_drawn

        write_drawn(draft, {role: store.open(ref) for role, ref in own.items()}, methods)

    return made(store, Recipe("drawn", DRAWN_REVISION, {"methods": list(methods)}, own), write)


def page_of_date(
    store: Store, results: CampaignResults, day: str, told: Artifact, artifacts: Mapping[str, ArtifactRef]
) -> Artifact:
    """Return the artefact with the page of an earlier date; made if the store lacks it.

    Parameters
    ----------
    told : sums and map of the date.
    artifacts : artefacts by role, of the campaign and of the dates scored since.
    """
    method = results.methods[0].method
    of_method = (f"{kind} {method}" for kind in ("saliency", "decided", "drift"))
    roles = [f"{kind} {day}" for kind in ("images", "acquisition", "background", *of_method)]
    refs = {role: artifacts[role] for role in roles if role in artifacts}
    found = [row for row in results.methods[0].found if str(row["acquired"]) == day]  # what holds for all dates changes
    fields = {
        "campaign": results.campaign,
        "params": {name: results.params.get(name) for name in ("explain", "export", "field")},
        "found": [{**row, "acquired": day} for row in found],
        "template": template_digest(),
    }
    common = {role: results.artifacts[role].ref for role in ("plants", f"promises {method}", f"scores {method}")}

    def write(draft: Draft) -> None:
        from tasks.report.render import render_field

        opened = {role: store.open(ref) for role, ref in refs.items()}
        is_scored = day not in results.dates
        read = replace(read_day(opened, day, results.classes, method, is_scored), found=found)
        page = prepare_field(results, [read], opened, still=still_in(told), is_latest=False)
        draft.write_bytes(FIELD, render_field(results, page).encode())

    return made(store, Recipe("date_page", PAGE_REVISION, fields, {**refs, **common, "told": told.ref}), write)


def still_in(told: Artifact) -> bytes | None:
    """Return the map of a date as PNG from the artefact with its sums; None if no plant has a position."""
    return told.read_bytes(STILL) if STILL in told.manifest.files else None


def read_field(results: CampaignResults, lost: list[str], sums: Mapping[str, Artifact]) -> "FieldPage":
    """Read and prepare the field page of the latest dates, by the campaign's first saliency method."""
    first = results.methods[0]
    days = read_days(results.artifacts, results.scored, results.classes, first.method, first.found)
    artifacts, shown = {**results.artifacts, **results.scored}, {day.date for day in days}
    earlier = [day for day in sums if day not in shown]
    return prepare_field(results, days, artifacts, lost=lost, still=still_in(sums[days[-1].date]), earlier=earlier)


def prepare_field(
    results: CampaignResults, days: Sequence[FieldDay], artifacts: Mapping[str, Artifact], **given: Any
) -> "FieldPage":
    """Prepare a field page of some dates; `given` are parameters of `field_page`."""
    from tasks.report.field.page import field_page

    methods = [one.method for one in results.methods]
    share = FieldParams.model_validate(results.params.get("field", {})).audit_share
    marked = [with_extra_checks(day, results.campaign, share) for day in days]
    return field_page(
        results.campaign,
        marked,
        results.classes,
        methods,
        results.plants,
        promises=results.methods[0].promises,
        pictures=read_pictures(artifacts, marked[-1], methods[0]),
        crs=results.params["export"]["crs"],
        artifacts=artifacts,
        **given,
    )


def report_sums(
    summaries: Sequence[DaySummary], methods: "list[MethodPage]", promises: Sequence[Row]
) -> dict[str, Any]:
    """Return the report's main sentences and counts, for use without the pages."""
    return {
        "headline": {page.method: [page.headline.tone, page.headline.text] for page in methods},
        "notes": [f"{page.name}: {note}" for page in methods for note in page.notes],
        "warnings": [f"{page.name}: {warning}" for page in methods for warning in page.warnings],
        "days": [asdict(summary) for summary in summaries],
        "decisions": [decision_sentence(summary) for summary in summaries],
        "guarantees": guarantee_sentences(promises),
    }


def page_file(day: str) -> str:
    """Return the file name of the page of an earlier date."""
    return f"{day}.html"


def map_file(day: str) -> str:
    """Return the file name of a date's harvest map."""
    return f"harvest-map-{day}.png"


def report_summary(store: Store, record: CampaignRecord) -> str:
    """Summarise the report in a few lines of Markdown, for the Prefect UI."""
    report = store.open(record.artifacts["report"])
    metrics = [
        row
        for role, ref in record.artifacts.items()
        if role.startswith("metrics ")
        for row in rows_of(store.open(ref), METRICS)
    ]
    heads = {
        words.method_name(method): Headline(text, tone) for method, (tone, text) in report.summary["headline"].items()
    }
    notes, warnings = report.summary["notes"], report.summary["warnings"]
    decided = [
        "## Decisions",
        *(f"- {sentence}" for sentence in reversed(report.summary["decisions"])),
        "",
        *report.summary["guarantees"],
        "",
    ]
    lines = summary_lines(f"Campaign {record.campaign}", heads, notes, metrics, warnings)
    differing = ", ".join(f"{name} = {value}" for name, value in parameter_rows(report.manifest.params["differing"]))
    lines += ["", f"Parameters: {'the paper’s' if not differing else 'unlike the paper’s, ' + differing}"]
    lines[2:2] = decided
    return "\n".join([*lines, "", f"Full page: `{record.report}` in the store"])
