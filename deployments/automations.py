"""Define the automations of the server: crash recovery, notices of failures, and scoring of announced dates.

Killed runs become CRASHED, and crashed runs are scheduled again. Automations match deployments by id, because
heartbeats, unlike state events, do not carry a deployment's name.

Events of a run may arrive out of order. A heartbeat may arrive after the end of a short run, which then looks silent.
So silence only proposes CRASHED, which the server refuses for a run that has ended. Only a run that became CRASHED is
scheduled again.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.running.restarts import LOST_SERVER

NOTE = "note-failure"  # deployment that writes notices
FIT = "fit-and-explain"  # deployment of the GPU; the run that waits for it schedules it again
DISCOVER = "discover-acquisitions"  # deployment that looks for new dates
ARRIVED = "acquisition.arrived"  # event that announces a new date
PREFIX = "harvest: "  # beginning of the name of every automation of this project
FLOW_RUNS: dict[str, str | list[str]] = {"prefect.resource.id": "prefect.flow-run.*"}
HEARTBEAT, RUNNING = "prefect.flow-run.heartbeat", "prefect.flow-run.Running"
# Names of all states in which a run sends no heartbeats.
ENDED = ("Completed", "Failed", "TimedOut", "Crashed", "Cancelling", "Cancelled")
WAITING = ("Scheduled", "AwaitingRetry", "AwaitingConcurrencySlot", "Late", "Paused", "Suspended", "Resuming")
# Pause before a crashed run is scheduled again, in seconds (the least that Prefect accepts). A killed process is
# reported twice, by its runner and seconds later by its worker. A run scheduled between the two reports would be taken
# by the worker and crashed by the second report, and a second process could start beside the first.
RESTART_SECONDS = 10
NOTICE_SECONDS = 60  # least time between two notices of the same run and state
# Run counts (how often a crashed run has begun) for the two rules of restarts. A run that never began met a dying
# server or was killed while it imported. If its code cannot be imported, it crashes again and again, slowly and with
# notices, until somebody repairs the code or cancels the run.
RESTARTED, NEVER_BEGAN = [str(n) for n in range(1, 10)], ["0"]
NEVER_BEGAN_SECONDS = 60  # pause before a run that never began is scheduled again
# Messages of the server for a form that nobody submitted in time.
UNANSWERED = ["The flow was paused and never resumed.", "The flow was suspended and never resumed."]
WENT_WRONG = ("Failed", "TimedOut", "Crashed")  # states of which people get a notice


def automations(deployments: Mapping[str, UUID], zombie_seconds: float, ui_url: str) -> list[AutomationCore]:
    """Return all automations that the server should have.

    Parameters
    ----------
    deployments : ids of the deployments by name.
    zombie_seconds : longest time in seconds that a running flow run may be silent; heartbeats come every 30 seconds.
    ui_url : address of the Prefect UI.
    """
    no_notes = [found for name, found in deployments.items() if name != NOTE]
    return [
        *recovery(deployments, zombie_seconds),
        _automation(
            "notices",
            "Writes a notice of every run that failed or crashed, and posts it to the webhook, if one is set.",
            _enters(WENT_WRONG, no_notes, once_in=NOTICE_SECONDS),
            _write_notice(deployments[NOTE], ui_url),
        ),
        _automation(
            "acquisition arrived",
            f"Scores a new date when the event `{ARRIVED}` announces it with campaign and date.",
            EventTrigger(expect={ARRIVED}),
            _discover_announced(deployments[DISCOVER]),
        ),
    ]


def recovery(deployments: Mapping[str, UUID], zombie_seconds: float) -> list[AutomationCore]:
    """Return the automations that restart killed and crashed runs; parameters are those of `automations`."""
    everything = list(deployments.values())
    resumed = [found for name, found in deployments.items() if name not in (NOTE, FIT)]
    return [*_of_silence(everything, zombie_seconds), *_after_crashes(resumed)]


def _of_silence(deployments: list[UUID], zombie_seconds: float) -> list[AutomationCore]:
    gone = f"RUNNING without a heartbeat for {zombie_seconds:g} s: its process or machine is gone"
    stuck = f"PENDING for {3 * zombie_seconds:g} s: its worker took the run and died before it began"
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
            f"Restarts runs that CRASHED after they began, up to {len(RESTARTED)} times. {FIT} is left to its caller.",
            _rest("Crashed", RESTART_SECONDS, deployments, {"prefect.run-count": RESTARTED}),
            _again("after a crash"),
        ),
        _automation(
            "runs that crashed at once begin again",
            "Restarts runs that CRASHED before they began: killed, without a server, or unable to import their code.",
            _rest("Crashed", NEVER_BEGAN_SECONDS, deployments, {"prefect.run-count": NEVER_BEGAN}),
            _again("after a crash at once"),
        ),
        _automation(
            "runs that nobody answered go on",
            "Continues runs that FAILED because nobody submitted their form in time; the rule then decides.",
            _rest("Failed", RESTART_SECONDS, deployments, {"prefect.state-message": UNANSWERED}),
            _again("nobody answered in time"),
        ),
        _automation(
            "runs that lost the server begin again",
            f"Restarts runs that FAILED because the server was unreachable, up to {len(RESTARTED)} times.",
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
    """Return a trigger that fires when a run enters a state, at most once in `once_in` seconds per run and state."""
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
    """Return a trigger that fires for a run without an expected event for so many seconds after the first one."""
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
    """Return a trigger that fires for a run that stays in a state for so many seconds."""
    return _silence(_states(state), _states("*"), seconds, deployments, more)


def _write_notice(deployment: UUID, ui_url: str) -> RunDeployment:
    parameters = {
        "flow_run_id": "{{ flow_run.id|string }}",
        "name": "{{ flow_run.name }}",
        "state": "{{ flow_run.state.name }}",
        "message": "{{ flow_run.state.message }}",
        # Prefect's template filter `ui_url` is not available in parameters.
        "url": ui_url + "/runs/flow-run/{{ flow_run.id }}",
    }
    return RunDeployment(source="selected", deployment_id=deployment, parameters=parameters, job_variables=None)


def _discover_announced(deployment: UUID) -> RunDeployment:
    parameters = {"campaign": "{{ event.payload.campaign }}", "date": "{{ event.payload.date }}"}
    return RunDeployment(source="selected", deployment_id=deployment, parameters=parameters, job_variables=None)
