"""Wait until all files of an acquisition date have arrived, and none is still being copied.

A copy takes minutes to hours and gives no signal when it ends. So a date counts as complete when its files have not
changed in number, name, size or time for a while. A marker file can decide instead. Each look at the files is recorded
in the store, so that later runs continue from it. Prefect's retries do the waiting, so the UI shows which date is
awaited, and why.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, TypedDict

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from storage.artifacts import Store
from storage.places.faults import is_passing
from storage.records.arrivals import read_arrival, write_arrival
from tasks.ingest.date_files import Look, date_files, holds_marker, look_at
from tasks.ingest.params import ArrivalParams
from tasks.sources import AnySource
from tasks.sources.files import find_root
from tasks.sources.folder.source import FolderSource
from tasks.stage import retry_on_passing_fault

NOTHING_YET = "no file of this date yet"
IF_LEFT = " (if an aborted copy left it behind, delete it; a day after its last change it no longer blocks the date)"
MAX_LOOKS = 5000  # looks of one scoring at most, as every look is a row in Prefect's database


class NotSettled(Exception):
    """A date whose files are not known to be complete. The task is retried."""


class Watch(BaseModel):
    """Record that the store keeps between looks: the last look, and since when the files are unchanged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    look: Look
    since: AwareDatetime


@dataclass(frozen=True)
class Arrival:
    """Whether a date is complete, and why or why not in one sentence.

    Attributes
    ----------
    since : first look that found the files as they are now; None for a source without files.
    """

    settled: bool
    why: str
    since: datetime | None = field(default=None, compare=False)


def same_since(before: Look | None, since: datetime | None, look: Look, now: datetime) -> datetime:
    """Return the time since which every look has found the same files.

    Counting starts again if the clock was set back to a time before `since`. The time that has really passed is then
    unknown, and waiting for the clock to reach `since` again could take very long.
    """
    is_same = before is not None and before.digest == look.digest
    return since if is_same and since is not None and since <= now else now


def judge_arrival(
    before: Look | None,
    since: datetime | None,
    now_look: Look,
    now: datetime,
    params: ArrivalParams,
    marker: str | None = None,
    has_marker: bool = False,
) -> Arrival:
    """Decide whether a date is complete.

    Parameters
    ----------
    before, since : previous look, and the time since which looks have found the same; None at the first look.
    now_look, now : this look and its time; all times have a time zone.
    marker, has_marker : name of the date's marker, and whether it exists; None if no marker decides.
    """
    if marker is not None:
        return Arrival(has_marker, f"the marker {marker} is there" if has_marker else f"waits for the marker {marker}")
    if now_look.n_files == 0:
        return Arrival(False, NOTHING_YET)
    if now_look.copying is not None:
        return Arrival(False, f"a file is being copied: {now_look.copying}{IF_LEFT}")
    unchanged = (now - same_since(before, since, now_look, now)).total_seconds()
    if unchanged >= params.settle_seconds:
        return Arrival(True, f"{now_look}; unchanged for {unchanged:.0f} s")
    has_changed = before is not None and before.digest != now_look.digest
    change = f" (at the look before: {before})" if has_changed else ""
    return Arrival(False, f"{now_look}{change}; unchanged for {math.floor(unchanged)} of {params.settle_seconds} s")


def look_again(
    store: Store, campaign: str, source: AnySource, day: date, params: ArrivalParams, now: datetime
) -> Arrival:
    """Look at a date's files, compare them with the last look in the store, and record this look there.

    A source without files counts as complete. Settled files do not suffice if the source does not list the date,
    because they may all be files that the dates share.

    Parameters
    ----------
    now : current time, with its time zone.

    Raises
    ------
    AwayError : the source's root is missing or empty.
    InputError : the source refuses its settled files.
    OSError : the disk or the network share does not answer.
    """
    root_name: str | None = getattr(source, "root", None)
    if root_name is None:
        return Arrival(True, "a source without files has nothing to wait for")
    root = find_root(root_name)
    files = date_files(root, day)
    look, marker, watch = look_at(root, files, now), params.marker_of(day), _read_watch(store, campaign, day)
    before, since = (None, None) if watch is None else (watch.look, watch.since)
    kept = Watch(look=look, since=same_since(before, since, look, now))
    write_arrival(store, campaign, day, kept.model_dump(mode="json"))
    found = judge_arrival(before, since, look, now, params, marker, holds_marker(files, marker, day))
    if found.settled and not _is_listed(source, day):
        found = Arrival(False, NOTHING_YET)
    return replace(found, since=kept.since)


def _read_watch(store: Store, campaign: str, day: date) -> Watch | None:
    try:
        return Watch.model_validate(read_arrival(store, campaign, day))
    except ValidationError:
        return None


def _is_listed(source: AnySource, day: date) -> bool:
    """Return whether a source lists a date; a plain folder whose images have no dates lists every date."""
    days = source.available_dates()
    return day in days or (isinstance(source, FolderSource) and not days)


class ArrivalOptions(TypedDict):
    """Prefect options of `await_arrival` that depend on its parameters."""

    retries: int
    retry_delay_seconds: float
    retry_condition_fn: Callable[[Task[..., Any], TaskRun, State[Any]], bool]


def retry_until_settled(awaiting: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Return whether to retry: if files have not settled, or the source or the store is away, never after bad input."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, NotSettled) or is_passing(error) or retry_on_passing_fault(awaiting, run, state)


def arrival_options(params: ArrivalParams) -> ArrivalOptions:
    """Return options with which Prefect looks twice per `settle_seconds`, but at most `MAX_LOOKS` times."""
    patience = 60 * params.patience_minutes
    delay = max(1.0, min(params.settle_seconds / 2, patience), patience / MAX_LOOKS)
    return ArrivalOptions(
        retries=math.ceil(patience / delay),
        retry_delay_seconds=delay,
        retry_condition_fn=retry_until_settled,
    )


@task(
    task_run_name="await {campaign} {date}",
    cache_policy=NO_CACHE,
    persist_result=False,
    **arrival_options(ArrivalParams()),
)
def await_arrival(store: str, campaign: str, date: date, source: AnySource, params: ArrivalParams) -> str:
    """Look once whether a date is complete, and return in a sentence why it is.

    Prefect retries this task with the options of `arrival_options(params)`.

    Raises
    ------
    NotSettled : the date is not known to be complete; the message says what is missing or was still changing.
    AwayError : the source's root is missing or empty.
    InputError : the source refuses its settled files.
    """
    found = look_again(Store(store), campaign, source, date, params, datetime.now().astimezone())
    if not found.settled:
        raise NotSettled(f"the files of {campaign} {date} are not known to be complete: {found.why}")
    return found.why
