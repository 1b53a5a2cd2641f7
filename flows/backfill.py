"""Score the dates of many seasons with their campaigns' fits, a few in parallel; a second run resumes.

On a server, a few processes score the dates of a season one after the other (see `flows.dates`).
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.acquisition import DEPLOYED, acquisition_rows, score_acquisition
from flows.dates import DEPLOYED as TOGETHER
from flows.dates import is_present
from flows.discover import new_dates, scoring_key, scoring_parameters
from flows.parameters import BackfillParams, CampaignParams, Season, season_params
from flows.running.errors import RunFailedError
from flows.running.faults import put_off_by_faults
from flows.running.labels import run_name, tag_run
from flows.running.names import artifact_key
from flows.running.restarts import refuse_endless_restarts
from flows.running.sending import find_runs, is_deployed, run_elsewhere
from storage.artifacts import Store, content_digest
from storage.places.allowed import refuse_other_places
from storage.records.acquisitions import fit_digest
from storage.records.campaigns import CampaignRecord, read_record
from storage.records.scored import find_whole_acquisition
from tasks.ingest.completeness import scored_mark
from tasks.ingest.date_files import has_changed, own_files
from tasks.ingest.params import ArrivalParams
from tasks.parameters import Runtime
from tasks.publish.publish import publish_backfill
from tasks.sources import AnySource

Row = dict[str, Any]
DEFAULT_RUNTIME = Runtime()
UNKNOWN = dict.fromkeys(("n_images", "n_check", "n_swapped", "is_outside"))  # columns of a date that failed


class BackfillError(RuntimeError):
    """Report that some dates of a backfill failed.

    Attributes
    ----------
    rows : rows of the table `backfill`, which say which dates failed and why.
    """

    def __init__(self, rows: list[Row]) -> None:
        failed = [f"{row['season']} {row['acquired']}: {row['detail']}" for row in rows if row["state"] == "failed"]
        super().__init__("\n".join([f"{len(failed)} of {len(rows)} dates failed:", *failed]))
        self.rows = rows


@dataclass(frozen=True)
class Wanted:
    """One date of a season, with the campaign whose fit scores it and the parameters of its scoring."""

    fitted: CampaignRecord
    params: CampaignParams
    day: date

    @property
    def fit(self) -> str:
        """Return the digest of the fit."""
        return fit_digest(self.fitted.artifacts)

    def order(self, store: Store, arrival: ArrivalParams, runtime: Runtime) -> dict[str, Any]:
        """Return the parameters of the task that has the date scored."""
        return {
            "campaign": self.params.campaign,
            "date": self.day,
            "store": store.address,
            "fit": self.fit,
            "source": self.params.source,
            "parameters": scoring_parameters(store, self.fitted, self.params, self.day, arrival, runtime),
            "key": scoring_key(store, self.params.campaign, self.day, self.fit, self.params.source),
        }


@flow(name="backfill-seasons", flow_run_name=run_name, on_running=[tag_run])
@put_off_by_faults
def backfill_seasons(params: BackfillParams, store: str, runtime: Runtime = DEFAULT_RUNTIME) -> list[Row]:
    """Score every date of some seasons that the same fit has not scored yet.

    A date that fails does not stop the others. The table `backfill` has the outcome of every date.

    Raises
    ------
    InputError : a season's campaign was never run or its source cannot be listed; raised before any date is scored.
    BackfillError : some dates failed; raised after the others are done and the table is published.
    """
    refuse_endless_restarts()
    opened = Store(store)
    for season in params.seasons:
        refuse_other_places(source=season.source)
    wanted = [one for season in params.seasons for one in dates_of(opened, season)]
    orders = [one.order(opened, params.arrival, runtime) for one in wanted]
    with ThreadPoolTaskRunner(max_workers=params.at_most) as runner:
        groups = groups_of(opened, wanted, orders, params.at_most) if is_deployed(TOGETHER) else []
        together = {order["key"] for group in groups for order in group}
        sent = [runner.submit(run_elsewhere, sending(group)) for group in groups]
        found = {one["key"]: runner.submit(score_date, one) for one in orders if one["key"] not in together}
        for future in sent:
            future.wait()  # its dates tell how they ended
        grouped = [{**one, "is_sent": True} for one in orders if one["key"] in together]
        found |= {one["key"]: runner.submit(score_date, one) for one in grouped}
        futures = [found[order["key"]] for order in orders]
        for future in futures:
            future.wait()
    rows = [row_of(one, future.state) for one, future in zip(wanted, futures, strict=True)]
    publish_backfill(store=store, name=params.name, rows=rows)
    table_key, summary_key = (artifact_key(kind, params.name) for kind in ("backfill", "backfill-summary"))
    create_table_artifact(rows or [{"season": "no date to score"}], key=table_key, description=params.name)
    create_markdown_artifact(summary(rows), key=summary_key, description=params.name)
    if any(row["state"] == "failed" for row in rows):
        raise BackfillError(rows)
    return rows


def dates_of(store: Store, season: Season) -> list[Wanted]:
    """List the dates of a season that are to be scored.

    Raises
    ------
    InputError : the campaign is unknown, or the source cannot be listed.
    """
    fitted = read_record(store, season.fitted_by or season.campaign)
    params = season_params(fitted.params, season.campaign, season.source)
    days = season.dates or new_dates(params.source, () if season.source else params.dates)
    return [Wanted(fitted, params, day) for day in days]


def groups_of(store: Store, wanted: list[Wanted], orders: list[dict[str, Any]], n: int) -> list[list[dict[str, Any]]]:
    """Split the orders of dates that are not scored into groups of one season, as large as n processes need.

    A group has two dates or more: a date alone needs no process that scores several.
    """
    of_season: dict[str, list[dict[str, Any]]] = {}
    for one, order in zip(wanted, orders, strict=True):
        if not is_present(store, one.params.campaign, one.day, one.fit, one.params.source):
            of_season.setdefault(one.params.campaign, []).append(order)
    size = -(-sum(map(len, of_season.values())) // n)
    found = [some[first : first + size] for some in of_season.values() for first in range(0, len(some), size)]
    return [group for group in found if len(group) > 1]


def sending(group: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the parameters of the task that has some orders of one season done by one process."""
    of_date = [order["parameters"] for order in group]
    days = [one["date"] for one in of_date]
    common = {name: value for name, value in of_date[0].items() if name != "date"}
    digest = content_digest([order["key"] for order in group])
    key = f"score {common['campaign']} {days[0]}..{days[-1]} {digest}"
    return {"deployment": TOGETHER, "parameters": {**common, "dates": days}, "key": key}


@task(task_run_name="backfill {campaign} {date}", cache_policy=NO_CACHE, persist_result=False)
def score_date(
    campaign: str,
    date: date,
    store: str,
    fit: str,
    source: AnySource,
    parameters: dict[str, Any],
    key: str,
    is_sent: bool = False,
) -> Row:
    """Have a date scored, unless it is scored with its present files, and return its row of the table `backfill`.

    Parameters
    ----------
    is_sent : whether this backfill has had it scored together with others; a run that failed then is not made again.
    """
    opened, run = Store(store), last_run(key) if is_sent else None
    done = find_whole_acquisition(opened, campaign, date, fit)
    if done is None or has_changed(done.files, own_files(source, date)):
        run = have_scored(parameters, key, after_failure=not is_sent)
        done = find_whole_acquisition(opened, campaign, date, fit)
        if done is None:  # although the run that writes it is completed
            said = (
                f"scored, but not by the fit {fit}: the campaign was fitted again meanwhile; start the backfill again"
            )
            raise RunFailedError(said, is_crash=False, flow_run=run)
    sums, mark = acquisition_rows(opened, done), scored_mark(opened, done.artifacts, date)
    return {
        "state": "scored" if run else "present",
        "detail": f"incomplete: {mark}" if mark else "",
        "flow_run": run,
        "n_images": sums[0]["n_images"],
        "n_check": sum(each["n_check"] for each in sums),
        "n_swapped": sum(each["n_swapped"] for each in sums),
        "is_outside": any(each["is_outside"] for each in sums),
    }


def last_run(key: str) -> str | None:
    """Return the id of the last run that was submitted under a key; None if there is none."""
    runs = find_runs(key)
    return str(runs[max(runs)].id) if runs else None


def have_scored(parameters: dict[str, Any], key: str, after_failure: bool) -> str:
    """Have a date scored, by a worker if the server has the deployment, else here, and return the flow run's id.

    Raises
    ------
    RunFailedError : the flow run did not end as Completed.
    """
    if is_deployed(DEPLOYED):
        return run_elsewhere(deployment=DEPLOYED, parameters=parameters, key=key, after_failure=after_failure)
    return completed_run(score_acquisition(**parameters, return_state=True))


def completed_run(state: State[Any]) -> str:
    """Return the id of a flow run that ran in this process, by its last state.

    Raises
    ------
    RunFailedError : the flow run did not end as Completed.
    """
    run = str(state.state_details.flow_run_id)
    if not state.is_completed():
        raise RunFailedError(str(state.result(raise_on_failure=False)), is_crash=False, flow_run=run)
    return run


def row_of(wanted: Wanted, state: State[Row]) -> Row:
    """Make a date's row of the table `backfill`."""
    mark = {
        "season": wanted.params.campaign,
        "acquired": wanted.day.isoformat(),
        "fitted_by": wanted.fitted.campaign,
        "fit": wanted.fit,
    }
    if state.is_completed():
        return {**mark, **state.result()}
    error = state.result(raise_on_failure=False)
    run = error.flow_run if isinstance(error, RunFailedError) else None
    return {**mark, **UNKNOWN, "state": "failed", "detail": str(error), "flow_run": run}


def summary(rows: list[Row]) -> str:
    """Write the number of dates in each state, and list the dates that need a person's attention."""
    counts = Counter(row["state"] for row in rows)
    lines = [", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "no date to score", ""]
    lines += [f"- {row['season']} {row['acquired']}: {row['detail']}" for row in rows if row["state"] == "failed"]
    few = [row for row in rows if row["state"] != "failed" and row["detail"]]
    lines += [f"- {row['season']} {row['acquired']}: {row['detail']}" for row in few]
    lines += [f"- {row['season']} {row['acquired']}: outside what was validated" for row in rows if row["is_outside"]]
    return "\n".join(lines)
