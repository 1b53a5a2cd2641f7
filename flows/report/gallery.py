"""Publish a page with a cluster's examples beside the campaign's report, on demand."""

from storage.artifacts import Artifact, Recipe, Store, content_digest
from storage.places.files import Place
from storage.published.publish import publish_report
from storage.records.acquisitions import acquisition_dates, find_acquisition, fit_digest
from storage.records.campaigns import CampaignRecord
from tasks.report.gallery import render_gallery
from tasks.stage import versions


def write_gallery(store: Store, record: CampaignRecord, method: str, cluster: int, n: int) -> tuple[Place, int]:
    """Publish the page of a cluster, and return its path and the number of images on it.

    Parameters
    ----------
    n : largest number of validation images, and of images of unseen plants.

    Raises
    ------
    InputError : the campaign has no such cluster.
    """
    page, n_shown = render_gallery(campaign_artifacts(store, record), record.campaign, method, cluster, n)
    recipe = Recipe("gallery", 1, {"page": content_digest(page)})
    if not store.holds(recipe.ref):
        with store.create(recipe, versions()) as draft:
            draft.write_bytes("index.html", page.encode())
    # The page has a folder of its own, as a report's folder is replaced with the report. No campaign's name has a +.
    return publish_report(store, recipe.ref, f"{record.campaign}+{method}-cluster-{cluster}"), n_shown


def campaign_artifacts(store: Store, record: CampaignRecord) -> dict[str, Artifact]:
    """Open the campaign's artefacts, and those of dates that were scored with its fit, by role."""
    refs = dict(record.artifacts)
    fit = fit_digest(record.artifacts)
    for day in acquisition_dates(store, record.campaign, fit):
        scored = find_acquisition(store, record.campaign, day, fit)
        of_day = {} if scored is None else scored.artifacts
        refs |= {role: ref for role, ref in of_day.items() if role.endswith(day.isoformat())}
    return {role: store.open(ref) for role, ref in refs.items()}
