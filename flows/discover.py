"""Find acquisition dates that a campaign's source has and its tables do not have, and have each scored once."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import httpx
from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.client.schemas.objects import FlowRun

from flows.acquisition import DEPLOYED, score_acquisition
from flows.parameters import CampaignName, CampaignParams, recorded_params
from flows.report.links import report_link
from flows.running.coalescing import cancel_covered, done_by, run_that_looked, waiting_runs
from flows.running.sending import is_deployed, send
from storage.artifacts import Store, content_digest
from storage.records.acquisitions import fit_digest
from storage.records.campaigns import CampaignRecord, read_record
from storage.records.scored import find_whole_acquisition
from tasks.ingest.arrival import look_again
from tasks.ingest.params import ArrivalParams
from tasks.parameters import Runtime
from tasks.sources import AnySource

DEFAULT_ARRIVAL, DEFAULT_RUNTIME = ArrivalParams(), Runtime()
IN_PLACE = "in place: the server has no deployment of score-acquisition"  # detail of a date scored by this process
FAILED = "failed"  # state of a date that could not be scored
Row = dict[str, str]


class DiscoveryError(RuntimeError):
    """Report that some dates failed.

    Attributes
    ----------
    rows : rows of all dates, with state and detail.
    """

    def __init__(self, rows: list[Row]) -> None:
        failed = [f"{row['date']}: {row['detail']}" for row in rows if row["state"] == FAILED]
        super().__init__("\n".join([f"{len(failed)} of {len(rows)} dates failed:", *failed]))
        self.rows = rows


@flow(name="discover-acquisitions", flow_run_name="discover {campaign}")
def discover_acquisitions(
    campaign: CampaignName,
    store: str,
    date: date | None = None,
    arrival: ArrivalParams = DEFAULT_ARRIVAL,
    runtime: Runtime = DEFAULT_RUNTIME,
) -> list[Row]:
    """Have every new date of a campaign's source scored.

    A date is scored when its files have settled; until then every run of this flow looks at it again. Campaign, date
    and fit are the key of a scoring run, so a date that is found or announced many times is scored once. A failed
    scoring is started again by an announcement, but not by a schedule.

    Runs of the same campaign that wait for a worker are covered by the one that begins: it cares for the dates that
    they were announced, and cancels them. So a storm of announcements, and a schedule that fell behind, need few runs.

    Parameters
    ----------
    date : an announced date. Its scoring starts at once, and waits for the files itself.

    Returns
    -------
    One row for each date: `date`, `state` (`scored`, `waiting`, `failed`, or the state of its flow run) and `detail`.

    Raises
    ------
    InputError : the campaign is unknown, or its source cannot be listed.
    DiscoveryError : some dates could not be looked at or submitted, or failed in place; raised after all other dates.
    """
    opened = Store(store)
    fitted = read_record(opened, campaign)
    params = recorded_params(fitted.params)
    if date is None and (other := run_that_looked("date")):
        return done_by(other)  # type: ignore[return-value]
    announced, waiting = take_over(date)
    searched = [] if date else new_dates(params.source, [*params.dates, *announced])
    rows: list[Row] = []
    for day in [*announced, *searched]:
        try:
            found = care_for(opened, fitted, params, day, arrival, runtime, is_announced=day in announced)
        except httpx.TransportError:  # no date can be submitted without the server: the run starts again
            raise
        except Exception as error:
            get_run_logger().exception("%s %s", campaign, day)
            found = {"state": FAILED, "detail": str(error)}
        rows.append({"date": day.isoformat(), **found})
        if len(rows) == len(announced):  # not before: if this run is killed, the waiting ones care for them
            cancel_covered(waiting)
    create_table_artifact(
        rows or [{"date": "", "state": "no new date", "detail": ""}], key="dates", description=campaign
    )
    create_link_artifact(report_link(opened, fitted), link_text=f"report of {campaign}", key="report")
    if any(row["state"] == FAILED for row in rows):
        raise DiscoveryError(rows)
    return rows


def take_over(own: date | None) -> tuple[list[date], list[FlowRun]]:
    """Cancel the waiting searches that a search replaces, and find the dates that were announced to waiting runs.

    Parameters
    ----------
    own : date that was announced to this run; None if it searches for all.

    Returns
    -------
    The announced dates, with this run's own, in ascending order, and the runs that wait for a worker to announce them.
    """
    waiting = waiting_runs("date")
    if own is None:  # if this run is killed, it begins again and searches for all dates
        cancel_covered(run for run in waiting if run.parameters.get("date") is None)
    told = [(run, day) for run in waiting if (day := announced_date(run))]
    days = {day for _, day in told} | ({own} if own else set())
    return sorted(days), [run for run, _ in told]


def announced_date(run: FlowRun) -> date | None:
    """Return the date that was announced to a run; None if it searches for all, or if its date is none."""
    try:
        return date.fromisoformat(run.parameters.get("date") or "")
    except (TypeError, ValueError):
        return None


def new_dates(source: AnySource, known: Sequence[date]) -> list[date]:
    """List the dates that a source has and that are not known yet, in ascending order."""
    return sorted(set(source.available_dates()) - set(known))


def care_for(
    store: Store,
    fitted: CampaignRecord,
    params: CampaignParams,
    day: date,
    arrival: ArrivalParams,
    runtime: Runtime,
    is_announced: bool,
) -> Row:
    """Have a date scored if its files are there and it is not scored yet, and return its state and detail.

    A scored date of which files are missing is scored again; what is undamaged is cached.
    """
    fit = fit_digest(fitted.artifacts)
    scored = {"state": "scored", "detail": f"by the fit {fit}"}
    if find_whole_acquisition(store, fitted.campaign, day, fit):
        return scored
    found = None if is_announced else look_again(store, fitted.campaign, params.source, day, arrival, datetime.now(UTC))
    if found and not found.settled:
        return {"state": "waiting", "detail": found.why}
    parameters = scoring_parameters(store, fitted, params, day, arrival, runtime)
    if not is_deployed(DEPLOYED):
        return score_in_place(parameters)
    # A run may have ended while the files were looked at, and would be submitted once more.
    if find_whole_acquisition(store, fitted.campaign, day, fit):
        return scored
    key = scoring_key(store, fitted.campaign, day, fit, params.source)
    run = send(DEPLOYED, parameters, key, fitted.campaign, after_failure=is_announced)
    return {"state": (run.state and run.state.name) or "unknown", "detail": f"flow run {run.name} ({run.id})"}


def score_in_place(parameters: dict[str, Any]) -> Row:
    """Score a date in this process, and return its state and detail."""
    state = score_acquisition(**parameters, return_state=True)
    if state.is_completed():
        return {"state": "scored", "detail": IN_PLACE}
    return {"state": FAILED, "detail": str(state.result(raise_on_failure=False))}


def scoring_parameters(
    store: Store, fitted: CampaignRecord, params: CampaignParams, day: date, arrival: ArrivalParams, runtime: Runtime
) -> dict[str, Any]:
    """Return the parameters of `score_acquisition` as JSON values.

    Parameters
    ----------
    fitted : campaign that made the fit.
    params : the fit's parameters with the campaign and source of the date.
    """
    is_other = params.campaign != fitted.campaign or params.source != recorded_params(fitted.params).source
    return {
        "campaign": params.campaign,
        "date": day.isoformat(),
        "store": store.address,
        "fitted_by": fitted.campaign if is_other else None,
        "source": params.source.model_dump(mode="json") if is_other else None,
        "arrival": arrival.model_dump(mode="json"),
        "runtime": runtime.model_dump(mode="json"),
    }


def scoring_key(store: Store, campaign: str, day: date, fit: str, source: AnySource) -> str:
    """Return the idempotency key of a date's scoring: equal for equal store, fit and source."""
    same = [store.address, fit, source.model_dump(mode="json")]
    return f"score {campaign} {day} {content_digest(same)}"
