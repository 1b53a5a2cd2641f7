"""A cluster's examples as a page beside the campaign's report, made on demand."""

from storage.artifacts import Artifact, Recipe, Store, content_digest
from storage.places.files import Place
from storage.published.publish import publish_report
from storage.records.acquisitions import acquisition_dates, find_acquisition, fit_digest
from storage.records.campaigns import CampaignRecord
from tasks.report.gallery import render_gallery
from tasks.stage import versions


def write_gallery(store: Store, record: CampaignRecord, method: str, cluster: int, n: int) -> tuple[Place, int]:
    """Publish the page, and return where it lies and how many images it shows.

    Raises
    ------
    InputError : the campaign has no such cluster.
    """
    page, n_shown = render_gallery(campaign_artifacts(store, record), record.campaign, method, cluster, n)
    recipe = Recipe("gallery", 1, {"page": content_digest(page)})
    if not store.holds(recipe.ref):
        with store.create(recipe, versions()) as draft:
            draft.write_bytes("index.html", page.encode())
    # No campaign has a plus in its name, and a report's folder holds that report's files alone.
    return publish_report(store, recipe.ref, f"{record.campaign}+{method}-cluster-{cluster}"), n_shown


def campaign_artifacts(store: Store, record: CampaignRecord) -> dict[str, Artifact]:
    """The campaign's artefacts by role, with those of the dates that were scored with its fit."""
    refs = dict(record.artifacts)
    fit = fit_digest(record.artifacts)
    for day in acquisition_dates(store, record.campaign, fit):
        scored = find_acquisition(store, record.campaign, day, fit)
        of_day = {} if scored is None else scored.artifacts
        refs |= {role: ref for role, ref in of_day.items() if role.endswith(day.isoformat())}
    return {role: store.open(ref) for role, ref in refs.items()}
