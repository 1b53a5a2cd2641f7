"""Submit the tasks that keep the orthophotos of dates as small pictures, for the map of the report."""

from collections.abc import Mapping

from flows.parameters import CampaignParams
from flows.running.stages import PROGRESS, Future, Roles, Stages
from tasks.ingest.background import keep_background
from tasks.sources.views import Photographed


def has_backgrounds(params: CampaignParams) -> bool:
    """Return whether a campaign keeps pictures: its source has orthophotos, and pictures are wanted."""
    return isinstance(params.source, Photographed) and params.field.background_pixels > 0


def submit_backgrounds(stages: Stages, params: CampaignParams, images: Mapping[str, Future]) -> Roles:
    """Submit one picture for each date; none for a source without orthophotos, or if no pictures are wanted.

    Parameters
    ----------
    images : artefacts `images <date>` of the dates.

    Returns
    -------
    `background <date>` as futures.
    """
    if not has_backgrounds(params):
        return {}
    stages.expect(len(params.dates))
    return {
        f"background {day}": stages.submit(
            keep_background,
            date=day,
            source=params.source,
            crs=params.export.crs,
            pixels=params.field.background_pixels,
            images=images[f"images {day}"],
        )
        for day in params.dates
    }


def tell_faults(stages: Stages, backgrounds: Roles) -> None:
    """Log the dates whose orthophoto could not be read; the page says so too."""
    for made in backgrounds.values():
        summary = stages.store.open(made.result()).summary
        if summary["fault"]:
            PROGRESS.info("note: %s: the map has no orthophoto behind it: %s", summary["date"], summary["fault"])
