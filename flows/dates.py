"""Score several dates of a season one after the other in one process, each in the flow run that it would have alone.

To start Python and import takes longer than to score a small date. The runs are those of the deployment
`score-acquisition`, with their keys, names, tags, notices, and next starts after faults. So a date that fails or is put
off stops no other, and a date that another process is scoring is left to it.

Where the server has a pool for the GPU, one run there predicts and explains all dates before. Each date's own run finds
that done, and does what is missing.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger

from flows.acquisition import DEPLOYED as ONE_DATE
from flows.acquisition import acquire, score_acquisition, scoring_params, turn
from flows.discover import scored_row, scoring_key, scoring_parameters
from flows.fit import DEPLOYED as FIT_DEPLOYED
from flows.fit import fit as fit_dates
from flows.parameters import CampaignName, CampaignParams, season_params
from flows.running.faults import put_off_by_faults
from flows.running.labels import run_name, tag_run
from flows.running.restarts import refuse_endless_restarts
from flows.running.sending import is_deployed, run_here
from flows.running.stages import Roles, Stages
from storage.artifacts import Store
from storage.places.allowed import refuse_other_places
from storage.records.acquisitions import fit_digest
from storage.records.campaigns import CampaignRecord, read_record
from tasks.ingest.params import AT_ONCE, ArrivalParams
from tasks.parameters import Runtime
from tasks.publish.reuse import reuse_artifact
from tasks.sources import AnySource

DEPLOYED = "score-dates/score-dates"
DEFAULT_ARRIVAL, DEFAULT_RUNTIME = ArrivalParams(), Runtime()


@flow(name="score-dates", flow_run_name=run_name, on_running=[tag_run])
@put_off_by_faults
def score_dates(
    campaign: CampaignName,
    dates: list[datetime.date],
    store: str,
    fitted_by: CampaignName | None = None,
    source: AnySource | None = None,
    arrival: ArrivalParams = DEFAULT_ARRIVAL,
    runtime: Runtime = DEFAULT_RUNTIME,
) -> None:
    """Score dates in the order in which they are given; how each ends is told by its own flow run.

    Dates that are whole in the store with the files of their source are left out, as after a restart of this run.
    Parameters are those of `score_acquisition`.

    Raises
    ------
    InputError : the campaign is unknown, or the source lies in a place that this service may not read.
    """
    refuse_endless_restarts()
    opened = Store(store)
    refuse_other_places(source=source)
    opened.check()
    fitted = read_record(opened, fitted_by or campaign)
    params, fit = season_params(fitted.params, campaign, source), fit_digest(fitted.artifacts)
    wanted = [day for day in dates if not is_present(opened, campaign, day, fit, params.source)]
    if len(wanted) > 1 and is_deployed(FIT_DEPLOYED):
        fit_ahead(opened, params, fitted, wanted, runtime)
    for day in wanted:
        key = scoring_key(opened, campaign, day, fit, params.source)
        given: dict[str, Any] = scoring_parameters(opened, fitted, params, day, arrival, runtime)
        run_here(score_acquisition, ONE_DATE, given, key)


def is_present(store: Store, campaign: str, day: datetime.date, fit: str, source: AnySource) -> bool:
    """Return whether a date is scored with its present files; a date that cannot be looked at counts as not scored."""
    try:
        return scored_row(store, campaign, day, fit, source) is not None
    except Exception as error:  # the date's own run meets it too, and says so
        get_run_logger().warning("%s %s: %s", campaign, day, error)
        return False


def fit_ahead(
    store: Store,
    params: CampaignParams,
    fitted: CampaignRecord,
    dates: Sequence[datetime.date],
    runtime: Runtime,
) -> None:
    """Ingest dates as they are now, and have one run of the pool `gpu` predict and explain all that can be ingested.

    What goes wrong is logged only: the date's own run meets it too, and says so. It also waits for files that are still
    being copied, and then does this work again.
    """
    with Stages(params.campaign, store.address, 3 * len(dates), runtime) as stages:
        roles: Roles = {}
        for day in dates:
            try:
                one = scoring_params(fitted, params.campaign, day, params.source)
                with turn(stages, one, AT_ONCE):
                    roles |= acquire(stages, one, fitted)[0]
            except Exception as error:
                get_run_logger().warning("%s %s: %s", params.campaign, day, error)
        listed = tuple(day for day in dates if f"images {day}" in roles)
        classifier = stages.submit(reuse_artifact, role="classifier", ref=fitted.artifacts["classifier"])
        try:
            fit_dates(stages, params.model_copy(update={"dates": listed}), runtime, {**roles, "classifier": classifier})
        except Exception as error:
            get_run_logger().warning("%s: %s", params.campaign, error)
