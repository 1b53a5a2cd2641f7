"""Automations: killed runs become CRASHED, crashed runs are scheduled again, people are told what went wrong, and
what is announced is scored.

They match deployments by their ids: heartbeats, unlike events of states, do not carry a deployment's name.

Events of a run may come in another order than they happened: a heartbeat may come after the end of a short run, which
then looks silent. So silence does no more than propose CRASHED, which the server refuses where a run has ended, and
only a run that did become CRASHED begins again.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.running.restarts import LOST_SERVER

NOTE = "note-failure"
FIT = "fit-and-explain"
DISCOVER = "discover-acquisitions"
ARRIVED = "acquisition.arrived"
PREFIX = "harvest: "
FLOW_RUNS: dict[str, str | list[str]] = {"prefect.resource.id": "prefect.flow-run.*"}
HEARTBEAT, RUNNING = "prefect.flow-run.heartbeat", "prefect.flow-run.Running"
# Names of all states in which a run sends no heartbeats.
ENDED = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelling", "Cancelled")
WAITING = ("Scheduled", "AwaitingRetry", "AwaitingConcurrencySlot", "Late", "Paused", "Suspended", "Resuming")
# A killed process is reported twice, by its runner and seconds later by its worker. A run that were scheduled again
# between the two would be taken by the worker and crashed by it, and a second process could begin beside the first.
RESTART_SECONDS = 10  # the least that Prefect takes
NOTICE_SECONDS = 60
# How often a crashed run has begun. One that never has (0) met a dying server or was killed while it imported; or its
# code cannot be imported, and then it goes on crashing, slowly and with notices, until somebody mends that or cancels.
RESTARTED, NEVER_BEGAN = [str(n) for n in range(1, 10)], ["0"]
NEVER_BEGAN_SECONDS = 60
# The server's own words for a form that nobody sent in time.
UNANSWERED = ["The flow was paused and never resumed.", "The flow was suspended and never resumed."]
WENT_WRONG = ("Failed", "TimedOut", "Crashed")


def automations(deployments: Mapping[str, UUID], zombie_seconds: float, ui_url: str) -> list[AutomationCore]:
    """What should be on the server.

    Parameters
    ----------
    deployments : ids by name.
    zombie_seconds : how long a running flow run may be silent; heartbeats come every 30 seconds.
    ui_url : address of the Prefect UI.
    """
    no_notes = [found for name, found in deployments.items() if name != NOTE]
    return [
        *recovery(deployments, zombie_seconds),
        _automation(
            "notices",
            "A run that failed or crashed is written down, and posted where the set-up was told to.",
            _enters(WENT_WRONG, no_notes, once_in=NOTICE_SECONDS),
            _write_notice(deployments[NOTE], ui_url),
        ),
        _automation(
            "acquisition arrived",
            f"The event `{ARRIVED}`, with campaign and date, has that date scored.",
            EventTrigger(expect={ARRIVED}),
            _discover_announced(deployments[DISCOVER]),
        ),
    ]


def recovery(deployments: Mapping[str, UUID], zombie_seconds: float) -> list[AutomationCore]:
    """Those that have killed runs begin again; parameters as of `automations`."""
    everything = list(deployments.values())
    resumed = [found for name, found in deployments.items() if name not in (NOTE, FIT)]
    return [*_of_silence(everything, zombie_seconds), *_after_crashes(resumed)]


def _of_silence(deployments: list[UUID], zombie_seconds: float) -> list[AutomationCore]:
    gone = f"RUNNING, but no heartbeat for {zombie_seconds:g} s: process or machine is gone"
    stuck = f"PENDING for {3 * zombie_seconds:g} s: its worker took it and died before it began"
    alive = {HEARTBEAT, *_states(*ENDED, *WAITING)}
    return [
        # A run may be killed before its first heartbeat.
        _automation(
            "silent runs crash", gone, _silence({RUNNING, HEARTBEAT}, alive, zombie_seconds, deployments), _crash(gone)
        ),
        _automation(
            "stuck runs begin again",
            stuck,
            _silence(_states("Pending"), {RUNNING, *alive}, 3 * zombie_seconds, deployments),
            _again(stuck),
        ),
    ]


def _after_crashes(deployments: list[UUID]) -> list[AutomationCore]:
    lost_server = [f"*{error}*" for error in LOST_SERVER]
    return [
        _automation(
            "crashed runs begin again",
            f"CRASHED after it had begun, up to {len(RESTARTED)} times. {FIT} is left to the run that waits for it.",
            _rest("Crashed", RESTART_SECONDS, deployments, {"prefect.run-count": RESTARTED}),
            _again("after a crash"),
        ),
        _automation(
            "runs that crashed at once begin again",
            "CRASHED before it had begun: its process was killed, met no server, or cannot import its code.",
            _rest("Crashed", NEVER_BEGAN_SECONDS, deployments, {"prefect.run-count": NEVER_BEGAN}),
            _again("after a crash at once"),
        ),
        _automation(
            "runs that nobody answered go on",
            "FAILED because nobody filled in its form in time: it goes on without.",
            _rest("Failed", RESTART_SECONDS, deployments, {"prefect.state-message": UNANSWERED}),
            _again("nobody answered in time"),
        ),
        _automation(
            "runs that lost the server begin again",
            f"FAILED because the server was away, up to {len(RESTARTED)} times.",
            _rest(
                "Failed",
                RESTART_SECONDS,
                deployments,
                {"prefect.run-count": RESTARTED, "prefect.state-message": lost_server},
            ),
            _again("the server was away"),
        ),
    ]


def _automation(name: str, description: str, trigger: EventTrigger, action: ActionTypes) -> AutomationCore:
    return AutomationCore(name=PREFIX + name, description=description, trigger=trigger, actions=[action])


def _crash(why: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=StateType.CRASHED, name=None, message=why, force=False)


def _again(why: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message=f"begins again: {why}", force=False
    )


def _states(*names: str) -> set[str]:
    return {f"prefect.flow-run.{name}" for name in names}


def _of(deployments: Iterable[UUID]) -> dict[str, str | list[str]]:
    ids = [f"prefect.deployment.{found}" for found in deployments]
    return {"prefect.resource.role": "deployment", "prefect.resource.id": sorted(ids)}


def _enters(names: Iterable[str], deployments: Iterable[UUID], once_in: float = 0) -> EventTrigger:
    """Fires when a run comes into a state; with `once_in`, once in so many seconds for a run and a state."""
    return EventTrigger(
        expect=_states(*names),
        match=FLOW_RUNS,
        match_related=_of(deployments),
        for_each={"prefect.resource.id", "prefect.state-name"},
        within=timedelta(seconds=once_in),
    )


def _silence(
    after: set[str],
    expect: set[str],
    seconds: float,
    deployments: Iterable[UUID],
    more: dict[str, str | list[str]] | None = None,
) -> EventTrigger:
    """Fires for a run that shows none of the expected events so long after the first."""
    return EventTrigger(
        after=after,
        expect=expect,
        match={**FLOW_RUNS, **(more or {})},
        match_related=_of(deployments),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )


def _rest(state: str, seconds: float, deployments: Iterable[UUID], more: dict[str, str | list[str]]) -> EventTrigger:
    """Fires for a run that stays in a state for so long."""
    return _silence(_states(state), _states("*"), seconds, deployments, more)


def _write_notice(deployment: UUID, ui_url: str) -> RunDeployment:
    parameters = {
        "flow_run_id": "{{ flow_run.id|string }}",
        "name": "{{ flow_run.name }}",
        "state": "{{ flow_run.state.name }}",
        "message": "{{ flow_run.state.message }}",
        # The filter `ui_url` of Prefect's templates is not there for parameters.
        "url": ui_url + "/runs/flow-run/{{ flow_run.id }}",
    }
    return RunDeployment(source="selected", deployment_id=deployment, parameters=parameters, job_variables=None)


def _discover_announced(deployment: UUID) -> RunDeployment:
    parameters = {"campaign": "{{ event.payload.campaign }}", "date": "{{ event.payload.date }}"}
    return RunDeployment(source="selected", deployment_id=deployment, parameters=parameters, job_variables=None)
