"""Find acquisition dates that a campaign's source has and its tables do not have, and have each scored once."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import httpx
from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.client.schemas.objects import FlowRun

from flows.acquisition import DEPLOYED, is_of_fit, score_acquisition
from flows.parameters import CampaignName, CampaignParams, recorded_params
from flows.report.links import report_link
from flows.running.coalescing import cancel_covered, done_by, run_that_looked, waiting_runs
from flows.running.faults import is_put_off, may_pass, put_off_by_faults
from flows.running.labels import run_name, tag_run
from flows.running.names import artifact_key
from flows.running.obstacles import WAITING, HeldUp, Row, ToldError
from flows.running.sending import is_deployed, is_over, send
from storage.artifacts import Store, content_digest
from storage.errors import ArtifactError
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.records.campaigns import CampaignRecord, read_record
from storage.records.obstacles import SOURCE, read_obstacles, write_obstacles
from storage.records.scored import find_whole_acquisition
from tasks.ingest.arrival import Arrival, look_again
from tasks.ingest.completeness import scored_mark
from tasks.ingest.date_files import has_changed, has_shrunk, own_files
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


@flow(name="discover-acquisitions", flow_run_name=run_name, on_running=[tag_run])
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
    scoring failed waits for a person. It is scored again when it is announced or its files have changed. A scored date
    whose files have changed since is scored again when they have settled.

    Runs of the same campaign that wait for a worker are covered by the one that begins: it cares for the dates that
    they were announced, and cancels them. So a storm of announcements, and a schedule that fell behind, need few runs.

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
    if date is None and (other := run_that_looked("date")):
        return done_by(other)  # type: ignore[return-value]
    try:
        rows, news = look_for_dates(opened, campaign, date, arrival, runtime)
    except Exception as error:
        if date or not may_pass(error, opened):  # the run of an announced date is put off
            raise
        get_run_logger().warning("%s: the store is away, and the next look tries again: %s", campaign, error)
        rows, news = [{"date": "", "state": WAITING, "detail": f"the store is away: {error}"}], []
    shown = rows or [{"date": "", "state": "no new date", "detail": ""}]
    create_table_artifact(shown, key=artifact_key("dates", campaign), description=campaign)
    if news:
        raise DiscoveryError(news, rows)
    return rows


def look_for_dates(
    store: Store, campaign: str, date: date | None, arrival: ArrivalParams, runtime: Runtime
) -> tuple[list[Row], list[Row]]:
    """Have new dates scored, record what holds them up, and return their rows and those to tell a person of."""
    fitted = read_record(store, campaign)
    params, before = recorded_params(fitted.params), read_obstacles(store, campaign)
    announced, waiting = take_over(date)
    held, rows, days = HeldUp(before, datetime.now(UTC)), list[Row](), [*announced]
    looked_at = [day.isoformat() for day in announced]
    if not date:
        try:
            days += new_dates(params.source, [*params.dates, *announced])
            looked_at += before
        except Exception as error:
            rows.append(held.add(SOURCE, error))
            looked_at.append(SOURCE)
    for n, day in enumerate(days, start=1):
        name = day.isoformat()
        try:
            row = care_for(store, fitted, params, day, arrival, runtime, is_announced=day in announced)
            rows.append({"date": name, **row})
        except Exception as error:
            if is_of_server(error):  # no date can be submitted without the server: the run starts again
                raise
            get_run_logger().warning("%s %s: %s", campaign, day, error)
            rows.append(held.add(name, error))
        if n == len(announced):  # not before: if this run is killed, the waiting ones care for them
            cancel_covered(waiting)
    kept = {name: one for name, one in before.items() if name not in looked_at}
    if (now := {**kept, **held.found}) != before:
        write_obstacles(store, campaign, now)
    link = report_link(store, fitted)
    create_link_artifact(link, link_text=f"report of {campaign}", key=artifact_key("report", campaign))
    return rows, held.news


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

    A scored date is scored again if files of the store are missing, or if its source has other files than then. What is
    undamaged and unchanged is cached.

    Raises
    ------
    ToldError : its scoring failed in a run of its own, and its files have not changed since.
    Exception : whatever ended its scoring in this process.
    """
    fit = fit_digest(fitted.artifacts)
    if scored := scored_row(store, fitted.campaign, day, fit, params.source):
        return scored
    found = None if is_announced else look_again(store, fitted.campaign, params.source, day, arrival, datetime.now(UTC))
    if found and not found.settled:
        return {"state": WAITING, "detail": found.why}
    parameters = scoring_parameters(store, fitted, params, day, arrival, runtime)
    if not is_deployed(DEPLOYED):
        return score_in_place(parameters)
    # A run may have ended while the files were looked at, and would be submitted once more.
    if scored := scored_row(store, fitted.campaign, day, fit, params.source):
        return scored
    key = scoring_key(store, fitted.campaign, day, fit, params.source)
    run = send(DEPLOYED, parameters, key, after_failure=is_announced)
    if found and has_failed(run) and is_worth_another(run, found):
        run = send(DEPLOYED, parameters, key)
    return row_of(run)


def scored_row(store: Store, campaign: str, day: date, fit: str, source: AnySource) -> Row | None:
    """Return state and detail of a date that is whole in the store and has the files of then; else None.

    Dates scored by an earlier version, which did not keep what their files were, count as unchanged.

    Raises
    ------
    ArtifactError : the record is damaged.
    OSError : the disk or the network share does not answer.
    """
    scored = find_whole_acquisition(store, campaign, day, fit)
    if scored is None or has_changed(scored.files, now := own_files(source, day)):
        return None
    said = [f"by the fit {fit}"]
    if mark := scored_mark(store, scored.artifacts, day):
        said.append(f"incomplete: {mark}")
    if scored.files and now and has_shrunk(scored.files, now):
        said.append(f"{now.n_files} of the {scored.files.n_files} files that were scored are left")
    return {"state": "scored", "detail": "; ".join(said)}


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
    is_other = not is_of_fit(params, fitted)
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
    """Return the idempotency key of a date's scoring: equal for equal store, fit and source, and results to replace.

    A date that is scored again, because its files have changed, is not held up by how its first scoring ended.
    """
    same = [store.address, fit, source.model_dump(mode="json")]
    with suppress(ArtifactError):  # a damaged record names no files
        replaced = find_acquisition(store, campaign, day, fit)
        same += [replaced.files.digest] if replaced and replaced.files else []
    return f"score {campaign} {day} {content_digest(same)}"
