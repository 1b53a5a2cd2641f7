"""Find acquisition dates that a campaign's source has and its tables do not have, and have each scored once."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import httpx
from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_table_artifact

from flows.acquisition import DEPLOYED, score_acquisition
from flows.parameters import CampaignName, CampaignParams, recorded_params
from flows.report.links import report_link
from flows.running.labels import run_name, tag_run
from flows.running.names import artifact_key
from flows.running.sending import is_deployed, send
from storage.artifacts import Store, content_digest
from storage.errors import ArtifactError
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.records.campaigns import CampaignRecord, read_record
from storage.records.scored import find_whole_acquisition
from tasks.ingest.arrival import look_again
from tasks.ingest.completeness import scored_completeness
from tasks.ingest.date_files import has_changed, has_shrunk, own_files
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


@flow(name="discover-acquisitions", flow_run_name=run_name, on_running=[tag_run])
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
    scoring is started again by an announcement, but not by a schedule. A scored date whose files have changed since is
    scored again when they have settled.

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
    days = [date] if date else new_dates(params.source, params.dates)
    rows: list[Row] = []
    for day in days:
        try:
            found = care_for(opened, fitted, params, day, arrival, runtime, is_announced=bool(date))
        except httpx.TransportError:  # no date can be submitted without the server: the run starts again
            raise
        except Exception as error:
            get_run_logger().exception("%s %s", campaign, day)
            found = {"state": FAILED, "detail": str(error)}
        rows.append({"date": day.isoformat(), **found})
    dates_key, report_key = (artifact_key(kind, campaign) for kind in ("dates", "report"))
    create_table_artifact(
        rows or [{"date": "", "state": "no new date", "detail": ""}], key=dates_key, description=campaign
    )
    create_link_artifact(report_link(opened, fitted), link_text=f"report of {campaign}", key=report_key)
    if any(row["state"] == FAILED for row in rows):
        raise DiscoveryError(rows)
    return rows


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

    A scored date is scored again if files of the store are missing, or if its source has other files than then. What is
    undamaged and unchanged is cached.
    """
    fit = fit_digest(fitted.artifacts)
    if scored := scored_row(store, fitted.campaign, day, fit, params.source):
        return scored
    found = None if is_announced else look_again(store, fitted.campaign, params.source, day, arrival, datetime.now(UTC))
    if found and not found.settled:
        return {"state": "waiting", "detail": found.why}
    parameters = scoring_parameters(store, fitted, params, day, arrival, runtime)
    if not is_deployed(DEPLOYED):
        return score_in_place(parameters)
    # A run may have ended while the files were looked at, and would be submitted once more.
    if scored := scored_row(store, fitted.campaign, day, fit, params.source):
        return scored
    key = scoring_key(store, fitted.campaign, day, fit, params.source)
    run = send(DEPLOYED, parameters, key, after_failure=is_announced)
    return {"state": (run.state and run.state.name) or "unknown", "detail": f"flow run {run.name} ({run.id})"}


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
    said, counts = [f"by the fit {fit}"], scored_completeness(store, scored.artifacts, day)
    if counts is not None and counts.mark:
        said.append(f"incomplete: {counts.mark}")
    if scored.files and now and has_shrunk(scored.files, now):
        said.append(f"{now.n_files} of the {scored.files.n_files} files that were scored are left")
    return {"state": "scored", "detail": "; ".join(said)}


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
    """Return the idempotency key of a date's scoring: equal for equal store, fit and source, and results to replace.

    A date that is scored again, because its files have changed, is not held up by how its first scoring ended.
    """
    same = [store.address, fit, source.model_dump(mode="json")]
    with suppress(ArtifactError):  # a damaged record names no files
        replaced = find_acquisition(store, campaign, day, fit)
        same += [replaced.files.digest] if replaced and replaced.files else []
    return f"score {campaign} {day} {content_digest(same)}"
