"""Render the report's two pages: HTML with styles, pictures and scripts in one file each, without other requests."""

import base64
import json
from functools import cache
from typing import Any

from jinja2 import Environment

from storage.tables import TABLES, names
from tasks.report import words
from tasks.report.campaign import flag_counts, image_counts, parameter_rows, plain, rejected_rows
from tasks.report.explorer.page import Explorer
from tasks.report.field.page import FieldPage
from tasks.report.field.summary import plot_rows
from tasks.report.field.texts import text
from tasks.report.inputs import CampaignResults
from tasks.report.method.cautions import WHAT_IT_MEANS
from tasks.report.method.clusters import kinds_of
from tasks.report.method.comparison import compare_methods
from tasks.report.method.page import MethodPage
from tasks.report.method.scores import split_words
from tasks.report.page_files import (
    EXPLORER_SCRIPTS,
    MAP_SCRIPTS,
    MAP_STYLES,
    SCRIPTS,
    STYLES,
    licensed,
    page_file,
    vendored,
)
from tasks.report.templates import page_templates

FILTERS: dict[str, Any] = {
    "percent": words.percent,
    "percent_interval": words.percent_interval,
    "figure_text": words.figure_text,
    "p_text": words.p_text,
    "plain": plain,
}


def provenance(results: CampaignResults) -> dict[str, Any]:
    """Return the artefacts by role, the versions of packages, and the paths of the published tables."""
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


def render_field(results: CampaignResults, field: FieldPage) -> str:
    """Render the page for the field as HTML; everything that comes from tables and parameters is escaped."""
    has_map = field.has_map
    return (
        _environment()
        .get_template("field.html")
        .render(
            results=results,
            field=field,
            styles=[*(map(vendored, MAP_STYLES) if has_map else ()), *map(page_file, STYLES)],
            scripts=[
                *(map(licensed, MAP_SCRIPTS) if has_map else ()),
                *(page_file(name) for name in SCRIPTS if has_map or not name.startswith("map")),
            ],
            text=text,
            words=words,
        )
    )


def render_analysis(
    results: CampaignResults, field: FieldPage, methods: list[MethodPage], explorer: Explorer | None
) -> str:
    """Render the page for the reviewer as HTML; everything that comes from tables and parameters is escaped."""
    return (
        _environment()
        .get_template("analysis.html")
        .render(
            results=results,
            source=results.params["source"],
            field=field,
            methods=methods,
            comparison=compare_methods(
                {one.method: one.metrics for one in results.methods},
                {one.method: one.drawn.adjusted for one in results.methods},
                {page.method: page.clusters for page in methods},
                {one.method: one.evaluation for one in results.methods},
            ),
            names=names,
            words=words,
            split_words=split_words,
            review_means=WHAT_IT_MEANS,
            kinds=kinds_of(len(results.classes)),
            differing=parameter_rows(results.differing),
            counts=image_counts(results.drawn.observations, results.plants, results.classes),
            rejected=rejected_rows([row for one in results.told for row in one.rejected]),
            summaries=[one.summary for one in results.told],
            plots=plot_rows([one.plots for one in results.told]),
            flags=flag_counts(results.drawn.observations),
            training=results.drawn.training,
            confidence=results.params["score"]["confidence"],
            provenance=provenance(results),
            explorer=explorer,
            explorer_scripts=list(map(page_file, EXPLORER_SCRIPTS)),
            parameters=json.dumps(results.params, indent=2, sort_keys=True, ensure_ascii=False),
        )
    )


@cache
def _environment() -> Environment:
    """Return the environment of the templates; one for a process, because compiling them takes longer than a page."""
    environment = page_templates()
    environment.filters.update(FILTERS, data_uri=_data_uri)
    return environment


def _data_uri(picture: bytes) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "webp" if picture.startswith(b"RIFF") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
