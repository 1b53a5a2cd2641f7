"""Report: one self-contained page that says what a campaign found and how far to believe it.

Reads every artefact of a campaign and writes `index.html` with all figures embedded, and of each saliency method
`prototypes-<method>.png`, `clusters-<method>.png` and, where there are labels, `confusion-<method>.png` (see
`figure_file`). Every number on the page comes from the tables and manifests; there is no clock in it, so equal inputs
give equal bytes.
"""

import base64
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from prefect import task

from storage.artifacts import ArtifactRef, Recipe, Store, content_digest
from storage.publish import CampaignRecord
from storage.tables import METRICS, TABLES
from tasks import report_words
from tasks.figures import cluster_figure, confusion_figure, overlay_image, prototype_figure, training_figure
from tasks.report_clusters import cluster_counts, cluster_rows, diagnostics, kinds_of, small_swaps, unseen_splits
from tasks.report_content import (
    Headline,
    accuracy_rows,
    effect_sentences,
    flag_counts,
    headline,
    image_counts,
    parameter_rows,
    plain,
    rejected_rows,
    summary_lines,
)
from tasks.report_inputs import CampaignResults, MethodResults, read_campaign, rows_of
from tasks.report_methods import compare_methods
from tasks.stage import cached_by, versions

REVISION = 2


@dataclass(frozen=True)
class MethodPage:
    """What the page says of one saliency method.

    Attributes
    ----------
    name : the method in words.
    is_signed : its maps also hold evidence against the explained class.
    is_approximate : its maps are estimates, and so is all that follows from them.
    figures : PNG by kind: prototypes, clusters, confusion.
    examples : captions and JPEG of typical images by cluster.
    """

    method: str
    name: str
    is_signed: bool
    is_approximate: bool
    headline: Headline
    accuracy: list[dict[str, Any]]
    effects: list[str]
    clusters: list[dict[str, Any]]
    unseen: list[str]
    diagnostics: list[tuple[str, str, str]]
    warnings: list[str]
    figures: dict[str, bytes]
    examples: dict[int, list[dict[str, Any]]]


def method_page(results: MethodResults, classes: list[str], threshold: float) -> MethodPage:
    """Everything the page says and draws of one saliency method."""
    n_classes = len(classes)
    clusters = cluster_rows(results.clusters, results.adjusted, n_classes, threshold)
    swapped = [row["cluster"] for row in clusters if row["is_swapped"]]
    figures = {
        "prototypes": prototype_figure(results.prototypes, results.clusters, results.is_signed),
        "clusters": cluster_figure(cluster_counts(results.clusters, results.adjusted, n_classes), swapped),
    }
    if results.metrics:
        figures["confusion"] = confusion_figure(results.metrics, classes)
    return MethodPage(
        method=results.method,
        name=report_words.method_name(results.method),
        is_signed=results.is_signed,
        is_approximate=results.summary["approximate"],
        headline=headline(results.metrics, results.adjusted, n_classes, threshold),
        accuracy=accuracy_rows(results.metrics, results.adjusted),
        effects=effect_sentences(results.adjusted),
        clusters=clusters,
        unseen=unseen_splits(results.adjusted),
        diagnostics=diagnostics(results.summary),
        warnings=[*results.summary["warnings"], *small_swaps(clusters)],
        figures=figures,
        examples=_examples(results, [row["cluster"] for row in clusters], classes),
    )


def _examples(results: MethodResults, clusters: list[int], classes: list[str]) -> dict[int, list[dict[str, Any]]]:
    shown: dict[int, list[dict[str, Any]]] = {cluster: [] for cluster in clusters}
    for one in results.examples:
        shown.setdefault(one.cluster, []).append(
            {
                "plant_id": one.plant_id,
                "date": one.date,
                "label": classes[one.label],
                "predicted": classes[one.predicted],
                "is_right": one.label == one.predicted,
                "flat": ("" if not one.is_flat else "constant map" if one.saliency.any() else "zero map"),
                "picture": overlay_image(one.image, one.saliency, results.is_signed),
            }
        )
    return shown


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
    environment.filters |= {"percent": report_words.percent, "plain": plain, "data_uri": _data_uri}
    return environment.get_template("report.html").render(
        results=results,
        source=results.params["source"],
        methods=methods,
        comparison=compare_methods(
            {one.method: one.metrics for one in results.methods},
            {one.method: one.adjusted for one in results.methods},
            {page.method: page.clusters for page in methods},
        ),
        words=report_words,
        kinds=kinds_of(len(results.classes)),
        differing=parameter_rows(results.differing),
        counts=image_counts(results.observations, results.plants, results.classes),
        rejected=rejected_rows(results.rejected),
        flags=flag_counts(results.observations),
        training=training_figure(results.epochs) if results.epochs else None,
        threshold=results.params["adjust"]["threshold"],
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
    """What makes a campaign's report: its parameters, every artefact by role, and the page's template."""
    template = content_digest((files("tasks") / "report.html").read_text(encoding="utf-8"))
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
    methods = [method_page(one, results.classes, params["adjust"]["threshold"]) for one in results.methods]
    with disk.create(recipe, versions()) as draft:
        draft.write_bytes("index.html", render_page(results, methods).encode())
        for page in methods:
            for kind, picture in page.figures.items():
                draft.write_bytes(figure_file(kind, page.method), picture)
        draft.summary = {
            "headline": {page.method: [page.headline.tone, page.headline.text] for page in methods},
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
    lines = summary_lines(f"Campaign {record.campaign}", heads, metrics, report.summary["warnings"])
    differing = ", ".join(f"{name} = {value}" for name, value in parameter_rows(report.manifest.params["differing"]))
    lines += ["", f"Parameters: {'the paper’s' if not differing else 'unlike the paper’s, ' + differing}"]
    return "\n".join([*lines, "", f"Full page: `{record.report}` in the store"])
