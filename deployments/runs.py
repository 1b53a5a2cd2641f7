"""Read the flow runs of the service's deployments from the server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from flows.running.names import subject_of
from flows.running.paging import PAGE, all_runs

LATE_SECONDS = 600  # longest time after which the server learns that a run has ended
WAITING = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED]  # states before the end
WRECKED = [StateType.CRASHED, StateType.FAILED]  # states of runs that may have to begin again
Runs = dict[str, list[FlowRun]]  # flow runs by the name of their deployment


def unended(client: SyncPrefectClient, deployments: Mapping[str, UUID]) -> Runs:
    """Return the flow runs of each deployment that have not ended."""
    return _runs_in(client, deployments, WAITING)


def wrecked(client: SyncPrefectClient, deployments: Mapping[str, UUID], since: datetime) -> Runs:
    """Return the flow runs of each deployment that have failed or crashed since some time."""
    return _runs_in(client, deployments, WRECKED, FlowRunFilterEndTime.model_validate({"after_": since}))


def _runs_in(
    client: SyncPrefectClient,
    deployments: Mapping[str, UUID],
    states: list[StateType],
    end_time: FlowRunFilterEndTime | None = None,
) -> Runs:
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=list(deployments.values())),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
        end_time=end_time,
    )
    found: Runs = {name: [] for name in deployments}
    names = {one: name for name, one in deployments.items()}
    for run in all_runs(client, wanted):
        if run.deployment_id is not None:
            found[names[run.deployment_id]].append(run)
    return found


@dataclass(frozen=True)
class Ended:
    """End of a flow run.

    Attributes
    ----------
    campaign, date : what the run was of; empty for one of none or several.
    went_wrong : whether it failed or crashed.
    """

    flow: str
    campaign: str
    date: str
    at: datetime
    state: str
    went_wrong: bool


class LastRuns:
    """Last ended run of each flow, campaign and date, also of runs that a command began.

    The first look reads the latest `PAGE` runs of each flow, later ones only what has ended since.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], Ended] = {}
        self._flows: dict[UUID, str] = {}
        self._looked: datetime | None = None

    def look(self, client: SyncPrefectClient, flows: Iterable[str], now: datetime) -> list[Ended]:
        """Read what has ended, and return the last run of each flow, campaign and date."""
        if self._looked is None:
            self._flows = {one.id: one.name for one in client.read_flows(flow_filter=_named(flows), limit=PAGE)}
            has_ended = FlowRunFilter(end_time=FlowRunFilterEndTime(is_null_=False))
            runs = [
                run
                for name in self._flows.values()
                for run in client.read_flow_runs(
                    flow_filter=_named([name]), flow_run_filter=has_ended, sort=FlowRunSort.END_TIME_DESC, limit=PAGE
                )
            ]
        else:
            since = self._looked - timedelta(seconds=LATE_SECONDS)
            new = FlowRunFilter(end_time=FlowRunFilterEndTime.model_validate({"after_": since}))
            runs = all_runs(client, new, _named(self._flows.values()))
        self._looked = now
        for run in runs:
            self._keep(run)
        return list(self._last.values())

    def _keep(self, run: FlowRun) -> None:
        flow, of = self._flows.get(run.flow_id), subject_of(run.parameters)
        if flow is None or run.end_time is None or run.state is None:
            return
        key, went_wrong = (flow, of.campaign, of.date), run.state.is_failed() or run.state.is_crashed()
        ended = Ended(*key, run.end_time, run.state.name or run.state.type.value, went_wrong)
        if key not in self._last or self._last[key].at <= ended.at:
            self._last[key] = ended


def _named(flows: Iterable[str]) -> FlowFilter:
    return FlowFilter(name=FlowFilterName(any_=list(flows)))
