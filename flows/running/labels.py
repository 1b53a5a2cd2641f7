"""Give flow runs their names and tags on the server."""

from collections.abc import Iterable
from typing import Any

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.runtime import flow_run as this_run

from flows.running.names import name_of, subject_of

TERMINAL = "terminal"  # tag of runs that no deployment made: of a command, or of a Python program


def run_name() -> str:
    """Name this flow run by campaign and dates; without a campaign it keeps its name."""
    return name_of(str(this_run.flow_name), this_run.parameters) or str(this_run.name)


def tag_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tag a flow run that begins by campaign, date, and whether it is one of a terminal."""
    tags = subject_of(flow_run.parameters).tags
    if flow_run.deployment_id is None and flow_run.parent_task_run_id is None:
        tags.add(TERMINAL)
    with get_client(sync_client=True) as client:
        add_tags(client, flow_run, tags)


def add_tags(client: SyncPrefectClient, run: FlowRun, tags: Iterable[str]) -> None:
    """Add tags to a flow run, besides those that it had when it was read."""
    if not {*tags} <= {*run.tags}:
        client.update_flow_run(run.id, tags=sorted({*run.tags, *tags}))


def label_run(client: SyncPrefectClient, run: FlowRun, flow: str) -> str:
    """Name and tag a flow run that may not have begun, as it will do itself, and return its name."""
    name = name_of(flow, run.parameters)
    if name is not None and name != run.name:
        client.update_flow_run(run.id, name=name)
    add_tags(client, run, subject_of(run.parameters).tags)
    return name or run.name
