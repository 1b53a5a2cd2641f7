"""Report: one self-contained page that says what a campaign found and how far to believe it.

Reads every artefact of a campaign and writes `index.html` with all figures embedded, and the figures of each saliency
method as `<kind>-<method>.png` (see `figure_file` and `MethodPage.figures`). Every number on the page comes from the
tables and manifests; there is no clock in it, so equal inputs give equal bytes.
"""

import base64
import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from prefect import task

from storage.artifacts import ArtifactRef, Recipe, Store, content_digest
from storage.publish import CampaignRecord
from storage.tables import METRICS, TABLES
from tasks import report_words
from tasks.figures import training_figure
from tasks.report_clusters import kinds_of
from tasks.report_content import (
    Headline,
    flag_counts,
    image_counts,
    parameter_rows,
    plain,
    rejected_rows,
    summary_lines,
)
from tasks.report_inputs import CampaignResults, read_campaign
from tasks.report_methods import compare_methods
from tasks.report_page import MethodPage, method_pages
from tasks.report_scores import split_words
from tasks.report_tables import rows_of
from tasks.stage import cached_by, versions

REVISION = 3
TEMPLATES = ("report.html", "report_method.html", "report_scores.html", "report_macros.html")
FILTERS: dict[str, Any] = {
    "percent": report_words.percent,
    "percent_interval": report_words.percent_interval,
    "figure_text": report_words.figure_text,
    "p_text": report_words.p_text,
    "plain": plain,
}


def provenance(results: CampaignResults) -> dict[str, Any]:
    """Artefacts by role, versions, and where the published tables lie."""
    manifests = {role: artifact.manifest for role, artifact in results.artifacts.items()}
    found: dict[str, set[str]] = {}
    for manifest in manifests.values():
        for package, version in manifest.versions.items():
            found.setdefault(package, set()).add(version)
    files = {name for manifest in manifests.values() for name in manifest.files}
    return {
        "artifacts": [(role, m.kind, m.digest, m.revision) for role, m in sorted(manifests.items())],
        "versions": [(package, ", ".join(sorted(found[package]))) for package in sorted(found)],
        "tables": [
            (_table_place(spec.name, results.campaign, spec.per_date), spec.meaning)
            for spec in TABLES.values()
            if f"{spec.name}.parquet" in files
        ],
    }


def _table_place(table: str, campaign: str, per_date: bool) -> str:
    return f"tables/{table}/campaign={campaign}/" + ("date=<YYYY-MM-DD>/" if per_date else "") + "part-0.parquet"


def render_page(results: CampaignResults, methods: list[MethodPage]) -> str:
    """The page as HTML; whatever comes from tables and parameters is escaped."""
    environment = Environment(
        loader=PackageLoader("tasks", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(FILTERS, data_uri=_data_uri)
    return environment.get_template("report.html").render(
        results=results,
        source=results.params["source"],
        methods=methods,
        comparison=compare_methods(
            {one.method: one.metrics for one in results.methods},
            {one.method: one.adjusted for one in results.methods},
            {page.method: page.clusters for page in methods},
            {one.method: one.evaluation for one in results.methods},
        ),
        words=report_words,
        split_words=split_words,
        kinds=kinds_of(len(results.classes)),
        differing=parameter_rows(results.differing),
        counts=image_counts(results.observations, results.plants, results.classes),
        rejected=rejected_rows(results.rejected),
        flags=flag_counts(results.observations),
        training=training_figure(results.epochs) if results.epochs else None,
        confidence=results.params["score"]["confidence"],
        provenance=provenance(results),
        parameters=json.dumps(results.params, indent=2, sort_keys=True, ensure_ascii=False),
    )


def _data_uri(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def report_recipe(
    campaign: str, params: dict[str, Any], differing: dict[str, Any], artifacts: dict[str, ArtifactRef]
) -> Recipe:
    """What makes a campaign's report: its parameters, every artefact by role, and the page's templates."""
    template = content_digest("".join((files("tasks") / name).read_text(encoding="utf-8") for name in TEMPLATES))
    fields = {"campaign": campaign, "params": params, "differing": differing, "template": template}
    return Recipe("report", REVISION, fields, artifacts)


@task(task_run_name="report {campaign}", **cached_by(report_recipe))
def write_report(
    campaign: str, store: str, params: dict[str, Any], differing: dict[str, Any], artifacts: dict[str, ArtifactRef]
) -> ArtifactRef:
    """Write the page and figures of a campaign."""
    recipe, disk = report_recipe(campaign, params, differing, artifacts), Store(store)
    if disk.holds(recipe.ref):
        return recipe.ref
    results = read_campaign(disk, campaign, params, differing, artifacts)
    methods = method_pages(results.methods, results.classes, params["adjust"]["threshold"])
    with disk.create(recipe, versions()) as draft:
        draft.write_bytes("index.html", render_page(results, methods).encode())
        for page in methods:
            for kind, picture in page.figures.items():
                draft.write_bytes(figure_file(kind, page.method), picture)
        draft.summary = {
            "headline": {page.method: [page.headline.tone, page.headline.text] for page in methods},
            "notes": [f"{page.name}: {note}" for page in methods for note in page.notes],
            "warnings": [f"{page.name}: {warning}" for page in methods for warning in page.warnings],
        }
    return recipe.ref


def figure_file(kind: str, method: str) -> str:
    """File name of a figure; Prefect names its artifacts after it and takes no underscore."""
    return f"{kind}-{method.replace('_', '-')}.png"


def report_summary(store: Store, record: CampaignRecord) -> str:
    """The report in a few lines of Markdown, for the Prefect UI."""
    report = store.open(record.artifacts["report"])
    metrics = [
        row
        for role, ref in record.artifacts.items()
        if role.startswith("metrics ")
        for row in rows_of(store.open(ref), METRICS)
    ]
    heads = {
        report_words.method_name(method): Headline(text, tone)
        for method, (tone, text) in report.summary["headline"].items()
    }
    notes, warnings = report.summary["notes"], report.summary["warnings"]
    lines = summary_lines(f"Campaign {record.campaign}", heads, notes, metrics, warnings)
    differing = ", ".join(f"{name} = {value}" for name, value in parameter_rows(report.manifest.params["differing"]))
    lines += ["", f"Parameters: {'the paper’s' if not differing else 'unlike the paper’s, ' + differing}"]
    return "\n".join([*lines, "", f"Full page: `{record.report}` in the store"])
