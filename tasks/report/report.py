"""Write the report: two self-contained pages that say what a campaign found and how far to believe it.

Reads every artefact of a campaign, and of the dates that its fit has scored since. Writes `index.html` for the people
in the field and `analysis.html` for those who judge the method, with all pictures embedded. Writes the figures of each
saliency method as `<kind>-<method>.png` (see `figure_file` and `MethodPage.figures`), and the harvest map of each date
as `harvest-map-<date>.png`. Every number on the pages comes from the tables and manifests. The pages have no time of
day in them, so equal inputs give equal bytes.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store, content_digest
from storage.records.campaigns import CampaignRecord
from storage.tables import METRICS
from storage.tables.rows import Row, rows_of
from tasks.decide.promised import guarantee_sentences
from tasks.export.params import FieldParams
from tasks.report import words
from tasks.report.campaign import parameter_rows, summary_lines
from tasks.report.explorer.addresses import ANALYSIS
from tasks.report.field.days import read_days, with_extra_checks
from tasks.report.field.page import FieldPage, field_page
from tasks.report.field.pictures import read_pictures
from tasks.report.field.summary import decision_sentence
from tasks.report.inputs import CampaignResults, read_campaign
from tasks.report.method.accuracy import Headline
from tasks.report.method.page import MethodPage, method_pages
from tasks.report.render import render_analysis, render_field, template_text
from tasks.stage import cached_by, made_once

REVISION = 6

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
        "template": content_digest(template_text()),
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
    results = read_campaign(store, campaign, params, differing, artifacts, scored, found)
    methods = method_pages(results.methods, results.classes, params["adjust"]["threshold"])
    field = read_field(results, lost)
    draft.write_bytes(FIELD, render_field(results, field).encode())
    draft.write_bytes(ANALYSIS, render_analysis(results, field, methods).encode())
    for page in methods:
        for kind, picture in page.figures.items():
            draft.write_bytes(figure_file(kind, page.method), picture)
    for day, picture in field.stills.items():
        draft.write_bytes(map_file(day), picture)
    draft.summary = report_sums(field, methods, results.methods[0].promises)


def read_field(results: CampaignResults, lost: list[str]) -> FieldPage:
    """Read and prepare the field page, by the campaign's first saliency method."""
    methods, promises = [one.method for one in results.methods], results.methods[0].promises
    found = results.methods[0].found
    share = FieldParams.model_validate(results.params.get("field", {})).audit_share
    read = read_days(results.artifacts, results.scored, results.classes, methods[0], found)
    days = [with_extra_checks(day, results.campaign, share) for day in read]
    artifacts, crs = {**results.artifacts, **results.scored}, results.params["export"]["crs"]
    pictures = read_pictures(artifacts, days[-1], methods[0])
    return field_page(
        results.campaign, days, results.classes, methods, results.plants, lost, promises, pictures, crs, artifacts
    )


def report_sums(field: FieldPage, methods: list[MethodPage], promises: Sequence[Row]) -> dict[str, Any]:
    """Return the report's main sentences and counts, for use without the pages."""
    return {
        "headline": {page.method: [page.headline.tone, page.headline.text] for page in methods},
        "notes": [f"{page.name}: {note}" for page in methods for note in page.notes],
        "warnings": [f"{page.name}: {warning}" for page in methods for warning in page.warnings],
        "days": [asdict(summary) for summary in field.summaries],
        "decisions": [decision_sentence(summary) for summary in field.summaries],
        "guarantees": guarantee_sentences(promises),
    }


def map_file(day: str) -> str:
    """Return the file name of a date's harvest map."""
    return f"harvest-map-{day}.png"


def figure_file(kind: str, method: str) -> str:
    """Return the file name of a figure, without underscores, because Prefect artifacts are named after it."""
    return f"{kind}-{method.replace('_', '-')}.png"


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
