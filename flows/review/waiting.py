"""Ask a person: a form of the flow run in the Prefect UI, and what was filled in.

A run of a deployment is suspended: its process ends and its worker takes other runs. When the form is sent, the server
schedules the run again, which begins anew and finds the answer there; so does a run that is killed after that. Any
other run waits in its process. Where time runs out, the server lets the run fail; an automation has it begin again
(`deployments/automations.py`), and it goes on without an answer.
"""

import math
import sys
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
from tqdm import tqdm

POLL_SECONDS = 2


@dataclass(frozen=True)
class Answer:
    """What a person filled in, by the form's fields, and when."""

    fields: dict[str, Any]
    given: datetime


def find_answer(key: str) -> Answer | None:
    """The answer to a question that this flow run has asked; None where there is none yet."""
    states = run_states()
    for number, state in enumerate(states):
        if asks(state, key):
            response = keyset_from_paused_state(state)["response"]
            fields: Any = read_flow_run_input(response, UUID(flow_run.id))
            if fields:
                # The next state is that of the answer: a run that begins again finds the same time.
                given = states[number + 1].timestamp if number + 1 < len(states) else datetime.now(UTC)
                return Answer(fields, given)
    return None


def is_too_late(key: str) -> bool:
    """Whether this flow run has asked, and the time for an answer is over."""
    ends = [state.state_details.pause_timeout for state in run_states() if asks(state, key)]
    return any(end is not None and end <= datetime.now(UTC) for end in ends)


def wait_for_answer(form: type[RunInput], key: str, seconds: float) -> Answer | None:
    """Show a form in the Prefect UI and wait until it is sent; None where nobody does in time.

    Parameters
    ----------
    key : of the question: what it is about, so that a run that begins anew knows what it has asked.
    """
    earlier = [state for state in run_states() if asks(state, key)]
    options: dict[str, Any] = {"wait_for_input": form, "key": f"{key}-{len(earlier)}", "timeout": math.ceil(seconds)}
    if deployment.id:
        suspend_flow_run(**options)  # ends this process
    tqdm.write(f"waiting for an answer in the Prefect UI: {url_for('flow-run', flow_run.id)}", file=sys.stderr)
    try:
        pause_flow_run(**options, poll_interval=POLL_SECONDS)
    except FlowPauseTimeout:
        # Paused, or failed where the server was faster: neither goes on by the rules of states.
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(flow_run.id), Running(message="nobody answered in time"), force=True)
    return find_answer(key)


def run_states() -> list[State[Any]]:
    """Every state of this flow run, the first first."""
    with get_client(sync_client=True) as client:
        return sorted(client.read_flow_run_states(UUID(flow_run.id)), key=lambda state: state.timestamp)


def asks(state: State[Any], key: str) -> bool:
    """Whether a state is that of waiting for the answer to a question."""
    return state.is_paused() and (state.state_details.pause_key or "").startswith(key)
