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
from flows.running.faults import is_put_off, may_pass, put_off_by_faults
from flows.running.obstacles import WAITING, HeldUp, Row, ToldError
from flows.running.sending import is_deployed, is_over, send
from storage.artifacts import Store, content_digest
from storage.records.acquisitions import fit_digest
from storage.records.campaigns import CampaignRecord, read_record
from storage.records.obstacles import SOURCE, read_obstacles, write_obstacles
from storage.records.scored import find_whole_acquisition
from tasks.ingest.arrival import Arrival, look_again
from tasks.ingest.params import ArrivalParams
from tasks.parameters import Runtime
from tasks.sources import AnySource

DEFAULT_ARRIVAL, DEFAULT_RUNTIME = ArrivalParams(), Runtime()
IN_PLACE = "in place: the server has no deployment of score-acquisition"  # detail of a date scored by this process
UNSETTLED = "encountered an exception: NotSettled"  # part of the message of a run whose files were not complete in time


class DiscoveryError(RuntimeError):
    """Report dates, or a source, that have begun to wait for a person; no later run reports them again.

    Attributes
    ----------
    rows : rows of all dates, with state and detail.
    """

    def __init__(self, news: list[Row], rows: list[Row]) -> None:
        said = [f"{row['date'] or SOURCE}: {row['detail']}" for row in news]
        super().__init__("\n".join([f"{len(news)} of {len(rows)} dates have begun to wait for a person:", *said]))
        self.rows = rows


@flow(name="discover-acquisitions", flow_run_name="discover {campaign}")
@put_off_by_faults
def discover_acquisitions(
    campaign: CampaignName,
    store: str,
    date: date | None = None,
    arrival: ArrivalParams = DEFAULT_ARRIVAL,
    runtime: Runtime = DEFAULT_RUNTIME,
) -> list[Row]:
    """Have every new date of a campaign's source scored.

    A date is scored when its files have settled; until then every run of this flow looks at it again. Campaign, date
    and fit are the key of a scoring run, so a date that is found or announced many times is scored once. A date whose
    scoring failed waits for a person. It is scored again when it is announced or its files have changed.

    Parameters
    ----------
    date : an announced date. Its scoring starts at once, and waits for the files itself.

    Returns
    -------
    One row for each date: `date`, `state` (`scored`, `waiting`, `waiting for a person`, or the state of its flow run)
    and `detail`. A row without a date is about the source or the store.

    Raises
    ------
    InputError : the campaign is unknown.
    DiscoveryError : dates, or the source, have begun to wait for a person, and no run of their own has told it; raised
        after all other dates.
    """
    opened = Store(store)
    try:
        rows, news = look_for_dates(opened, campaign, date, arrival, runtime)
    except Exception as error:
        if date or not may_pass(error, opened):  # the run of an announced date is put off
            raise
        get_run_logger().warning("%s: the store is away, and the next look tries again: %s", campaign, error)
        rows, news = [{"date": "", "state": WAITING, "detail": f"the store is away: {error}"}], []
    shown = rows or [{"date": "", "state": "no new date", "detail": ""}]
    create_table_artifact(shown, key="dates", description=campaign)
    if news:
        raise DiscoveryError(news, rows)
    return rows


def look_for_dates(
    store: Store, campaign: str, date: date | None, arrival: ArrivalParams, runtime: Runtime
) -> tuple[list[Row], list[Row]]:
    """Have new dates scored, record what holds them up, and return their rows and those to tell a person of."""
    fitted = read_record(store, campaign)
    params, before = recorded_params(fitted.params), read_obstacles(store, campaign)
    held, rows, days = HeldUp(before, datetime.now(UTC)), list[Row](), [date] if date else []
    looked_at = [day.isoformat() for day in days]
    if not date:
        try:
            days, looked_at = new_dates(params.source, params.dates), list(before)
        except Exception as error:
            rows, looked_at = [held.add(SOURCE, error)], [SOURCE]
    for day in days:
        name = day.isoformat()
        try:
            row = care_for(store, fitted, params, day, arrival, runtime, is_announced=bool(date))
            rows.append({"date": name, **row})
        except Exception as error:
            if is_of_server(error):  # no date can be submitted without the server: the run starts again
                raise
            get_run_logger().warning("%s %s: %s", campaign, day, error)
            rows.append(held.add(name, error))
    kept = {name: one for name, one in before.items() if name not in looked_at}
    if (now := {**kept, **held.found}) != before:
        write_obstacles(store, campaign, now)
    create_link_artifact(report_link(store, fitted), link_text=f"report of {campaign}", key="report")
    return rows, held.news


def new_dates(source: AnySource, known: Sequence[date]) -> list[date]:
    """List the dates that a source has and that are not known yet, in ascending order."""
    return sorted(set(source.available_dates()) - set(known))


def is_of_server(error: Exception) -> bool:
    """Return whether an error says that the Prefect server, or its database, is away."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


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

    Raises
    ------
    ToldError : its scoring failed in a run of its own, and its files have not changed since.
    Exception : whatever ended its scoring in this process.
    """
    fit = fit_digest(fitted.artifacts)
    scored = {"state": "scored", "detail": f"by the fit {fit}"}
    if find_whole_acquisition(store, fitted.campaign, day, fit):
        return scored
    found = None if is_announced else look_again(store, fitted.campaign, params.source, day, arrival, datetime.now(UTC))
    if found and not found.settled:
        return {"state": WAITING, "detail": found.why}
    parameters = scoring_parameters(store, fitted, params, day, arrival, runtime)
    if not is_deployed(DEPLOYED):
        return score_in_place(parameters)
    # A run may have ended while the files were looked at, and would be submitted once more.
    if find_whole_acquisition(store, fitted.campaign, day, fit):
        return scored
    key = scoring_key(store, fitted.campaign, day, fit, params.source)
    run = send(DEPLOYED, parameters, key, fitted.campaign, after_failure=is_announced)
    if found and has_failed(run) and is_worth_another(run, found):
        run = send(DEPLOYED, parameters, key, fitted.campaign)
    return row_of(run)


def score_in_place(parameters: dict[str, Any]) -> Row:
    """Score a date in this process, return its state and detail, and raise what ends it."""
    score_acquisition(**parameters)
    return {"state": "scored", "detail": IN_PLACE}


def has_failed(run: FlowRun) -> bool:
    """Return whether a scoring run has ended without results and will not begin again by itself."""
    return is_over(run, begins_again=True) and not (run.state and run.state.is_completed())


def is_worth_another(run: FlowRun, found: Arrival) -> bool:
    """Return whether the settled files of a date have changed since its run failed, or had not settled for it."""
    if run.state is None or UNSETTLED in (run.state.message or ""):
        return True
    return found.since is not None and found.since > run.state.timestamp


def row_of(run: FlowRun) -> Row:
    """Return the state and detail of a date that a flow run scores.

    Raises
    ------
    ToldError : the run has failed.
    """
    state, named = run.state, f"flow run {run.name} ({run.id})"
    said = (state and state.message) or ""
    if has_failed(run):
        reason = said.removeprefix("Flow run encountered an exception: ") or (state.name if state else "")
        raise ToldError(f"{reason}\n{named}")
    is_waiting = is_put_off(state)
    return {"state": (state and state.name) or "unknown", "detail": f"{said}\n{named}" if is_waiting else named}


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
