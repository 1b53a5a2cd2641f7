"""Say where people look that a promise is broken: on the terminal, in the Prefect UI, and to the webhook.

The report, the notices of the store and `harvest list` say it without Prefect.
"""

import logging
from collections.abc import Sequence
from uuid import UUID

from prefect import flow, get_client
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from flows.notices import tell_webhook
from flows.report.found import broken_promises
from flows.running.labels import add_tags, run_name, tag_run
from flows.running.names import artifact_key
from flows.running.servers import shared_server
from storage.artifacts import Store
from storage.records.notices import BROKEN

LOG = logging.getLogger(__name__)  # its warnings are shown on the terminal by flows/cli/options.py
TAG = "promise-broken"  # tag of flow runs, and end of the artifact's key, of a campaign with a broken promise


def tell_broken(store: Store, campaign: str, new: Sequence[str]) -> None:
    """Tell that promises of a campaign are broken by what people found; nothing happens if none is.

    A flow run is marked as long as any promise is broken. Outside a flow run, as in `harvest checked`, a run is made
    for promises that were not known to be broken before, if a server is there that could show it.

    Parameters
    ----------
    new : sentences about promises that were not known to be broken before.
    """
    for sentence in new:
        LOG.warning("%s", sentence)
    if flow_run.id:
        mark_run(store, campaign, new)
    elif new and shared_server():
        mark_broken_promise(campaign, store.address, list(new))


@flow(name="mark-broken-promise", flow_run_name=run_name, on_running=[tag_run])
def mark_broken_promise(campaign: str, store: str, new: list[str]) -> None:
    """Show in the Prefect UI that a promise of a campaign is broken; see `tell_broken`."""
    mark_run(Store(store), campaign, new)


def mark_run(store: Store, campaign: str, new: Sequence[str]) -> None:
    """Tag the flow run and make an artifact if any promise is broken, and tell the webhook of new ones."""
    said = list(broken_promises(store, campaign).values())
    if not said:
        return
    lines = [f"## {BROKEN}: {campaign}", "", *(f"- **{sentence}**" for sentence in said)]
    create_markdown_artifact("\n".join(lines), key=artifact_key(TAG, campaign), description=f"campaign {campaign}")
    with get_client(sync_client=True) as client:
        add_tags(client, client.read_flow_run(UUID(flow_run.id)), {TAG})
    if new:
        tell_webhook("\n".join([f"{BROKEN}: {campaign}", *new]))
