"""Read flow runs from the server, page by page."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun

PAGE = 200  # flow runs per request


def all_runs(client: SyncPrefectClient, wanted: FlowRunFilter, flows: FlowFilter | None = None) -> list[FlowRun]:
    """Return all flow runs that a filter lets pass."""
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(flow_run_filter=wanted, flow_filter=flows, limit=PAGE, offset=len(found))
        found += page
        if len(page) < PAGE:
            return found
