"""Ask a person with a form of the flow run in the Prefect UI, wait for the answer and read it.

A deployment's run is suspended: its process ends, and its worker takes other runs. When the form is sent, the server
schedules the run again. The run starts from the beginning and finds the answer, even if it is killed after that. Any
other run waits in its process. After the timeout the server sets the run to Failed. An automation
(`deployments/automations.py`) restarts it, and it continues without an answer.
"""

import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run, suspend_flow_run
from prefect.input.actions import read_flow_run_input
from prefect.input.run_input import RunInput, keyset_from_paused_state
from prefect.runtime import deployment, flow_run
from prefect.states import Running
from prefect.utilities.urls import url_for

LOG = logging.getLogger(__name__)  # its warnings are shown on the terminal by flows/cli/options.py
POLL_SECONDS = 2  # between looks for an answer


@dataclass(frozen=True)
class Answer:
    """Answer of a person: the values of the form's fields, and when they were given."""

    fields: dict[str, Any]
    given: datetime


def find_answer(key: str) -> Answer | None:
    """Return the answer to a question that this flow run has asked, or None if there is none yet."""
    states = run_states()
    for number, state in enumerate(states):
        if asks(state, key):
            response = keyset_from_paused_state(state)["response"]
            fields: Any = read_flow_run_input(response, UUID(flow_run.id))
            if fields:
                # The next state is set by the answer, so a run that starts again finds an equal time.
                given = states[number + 1].timestamp if number + 1 < len(states) else datetime.now(UTC)
                return Answer(fields, given)
    return None


def is_too_late(key: str) -> bool:
    """Tell whether this flow run has asked and the time for an answer is over."""
    ends = [state.state_details.pause_timeout for state in run_states() if asks(state, key)]
    return any(end is not None and end <= datetime.now(UTC) for end in ends)


def wait_for_answer(form: type[RunInput], key: str, seconds: float) -> Answer | None:
    """Show a form in the Prefect UI and wait until it is sent; return None if nobody does so in time.

    Parameters
    ----------
    key : key of the question, by which a run that starts again knows that it has asked.
    seconds : how long to wait.
    """
    earlier = [state for state in run_states() if asks(state, key)]
    options: dict[str, Any] = {"wait_for_input": form, "key": f"{key}-{len(earlier)}", "timeout": math.ceil(seconds)}
    if deployment.id:
        suspend_flow_run(**options)  # ends this process
    LOG.warning("waiting for an answer in the Prefect UI: %s", url_for("flow-run", flow_run.id))
    try:
        pause_flow_run(**options, poll_interval=POLL_SECONDS)
    except FlowPauseTimeout:
        # The run is Paused, or Failed if the server was faster. Prefect's rules let neither continue, so force it.
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(flow_run.id), Running(message="nobody answered in time"), force=True)
    return find_answer(key)


def run_states() -> list[State[Any]]:
    """Return every state of this flow run, the first one first."""
    with get_client(sync_client=True) as client:
        return sorted(client.read_flow_run_states(UUID(flow_run.id)), key=lambda state: state.timestamp)


def asks(state: State[Any], key: str) -> bool:
    """Tell whether a flow run waits for the answer to a question in this state."""
    return state.is_paused() and (state.state_details.pause_key or "").startswith(key)
