"""Mark a campaign in the Prefect UI, and tell the webhook, when people found that a promise of it is broken."""

from collections.abc import Sequence

from prefect import get_client
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from flows.notices import tell_webhook
from flows.report.found import broken_promises
from storage.artifacts import Store
from storage.records.notices import BROKEN

TAG = "promise-broken"  # tag of flow runs, and key of the artifact, of a campaign with a broken promise


def mark_broken(store: Store, campaign: str, new: Sequence[str]) -> None:
    """Tag the flow run and make an artifact if any promise of a campaign is broken by what people found.

    Parameters
    ----------
    new : sentences about promises that were not known to be broken before; the webhook gets only these.
    """
    said = list(broken_promises(store, campaign).values())
    if not said:
        return
    lines = [f"## {BROKEN}: {campaign}", "", *(f"- **{sentence}**" for sentence in said)]
    create_markdown_artifact("\n".join(lines), key=TAG, description=f"campaign {campaign}")
    if run := flow_run.id:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run, tags={*flow_run.tags, TAG})
    if new:
        tell_webhook("\n".join([f"{BROKEN}: {campaign}", *new]))
