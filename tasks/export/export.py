"""Export: the decisions about a date's plants as CSV, GeoParquet and GeoJSON, for spreadsheets and maps.

Reads `images`, for where the plants stand, `reliability` and `adjusted`; writes `decisions`.
"""

from datetime import date

from prefect import task

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.published.decisions import write_decisions
from storage.published.exports import KIND
from storage.tables import ADJUSTED, RELIABILITIES
from storage.tables.rows import rows_of
from tasks.export.rows import ExportParams, export_rows
from tasks.stage import cached_by, versions

REVISION = 1


def decisions_recipe(
    campaign: str, params: ExportParams, images: ArtifactRef, reliability: ArtifactRef, adjusted: ArtifactRef
) -> Recipe:
    """What makes a date's decisions; their rows name the campaign."""
    inputs = {"images": images, "reliability": reliability, "adjusted": adjusted}
    return Recipe(KIND, REVISION, {"campaign": campaign, **params.model_dump(mode="json")}, inputs)


@task(task_run_name="export {campaign} {date} {method}", **cached_by(decisions_recipe))
def export_decisions(
    campaign: str,
    date: date,
    store: str,
    method: str,
    params: ExportParams,
    images: ArtifactRef,
    reliability: ArtifactRef,
    adjusted: ArtifactRef,
) -> ArtifactRef:
    """Write what to do about every explained plant of a date."""
    recipe, files = decisions_recipe(campaign, params, images, reliability, adjusted), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    observed = files.open(images)
    rated, answered = rows_of(files.open(reliability), RELIABILITIES), rows_of(files.open(adjusted), ADJUSTED)
    places, classes = observed.read_json("listing.json")["images"], observed.summary["classes"]
    with files.create(recipe, versions()) as draft:
        rows = export_rows(campaign, date, places, rated, answered, classes)
        write_decisions(draft, rows, params.crs, params.decimal)
    return recipe.ref
