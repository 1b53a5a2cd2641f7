"""Report flow runs that went wrong, and promises that are broken, to people who do not watch the Prefect UI.

Every notice is logged, appended to the store's list of notices, and posted to a webhook if the server has one. It names
campaign and date, also where the run crashed before it had a name.
"""

import json
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import UUID

from prefect import flow, get_client, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from flows.running.faults import put_off_by_faults
from flows.running.labels import label_run
from flows.running.names import Subject, artifact_key, subject_of
from storage.artifacts import Store
from storage.records.notices import keep_notice, make_notice

WEBHOOK = "harvest-notices"  # name of the secret block that holds the webhook's address, if there is one
POST_SECONDS = 10  # timeout of a request to the webhook


@flow(name="note-failure", flow_run_name="note {state} of {name}")
@put_off_by_faults
def note_failure(store: str, flow_run_id: str, name: str, state: str, message: str, url: str) -> None:
    """Log that a flow run went wrong, append it to the store's list of notices, and post it to the webhook.

    Parameters
    ----------
    name : name that the flow run had when it went wrong; used only if the server no longer has the run.
    """
    with get_client(sync_client=True) as client:
        name, of = label_failed(client, flow_run_id, name)
        tags = sorted({*flow_run.tags, *of.tags})
        client.update_flow_run(UUID(flow_run.id), name=f"note {state} of {name}", tags=tags)
    notice = make_notice(state, name, message, of.campaign, of.date, id=flow_run_id, url=url)
    get_run_logger().error("%s: %s (%s): %s", state, name, url, message)
    keep_notice(Store(store), notice)
    text, key = f"[{name}]({url}): **{state}**\n\n```\n{message}\n```", artifact_key("notice", of.campaign, of.date)
    create_markdown_artifact(text, key=key, description=name)
    tell_webhook(f"{state}: {name}\n{message}\n{url}")


def label_failed(client: SyncPrefectClient, flow_run_id: str, name: str) -> tuple[str, Subject]:
    """Name and tag a flow run that may never have begun, and return its name and what it is of.

    Parameters
    ----------
    name : name of the run, returned if the server no longer has it.
    """
    try:
        run = client.read_flow_run(UUID(flow_run_id))
        return label_run(client, run, client.read_flow(run.flow_id).name), subject_of(run.parameters)
    except ObjectNotFound:
        return name, Subject()


def tell_webhook(text: str) -> None:
    """Post a notice to the webhook, if the server has one; a refusal is logged."""
    webhook = find_webhook()
    if webhook and (problem := post(webhook, text)):
        get_run_logger().warning("the webhook did not accept this notice: %s", problem)


def find_webhook() -> str | None:
    """Read the webhook's address from the server, which alone knows it; None if it has none."""
    with get_client(sync_client=True) as client:
        try:
            return str(client.read_block_document_by_name(WEBHOOK, "secret").data["value"])
        except ObjectNotFound:
            return None


def post(address: str, text: str) -> str | None:
    """Post a text as JSON `{"text": ...}`, and return what went wrong, or None.

    The address is a secret and must appear in no log. So errors are reported without their texts, and the request is
    made with `urllib`, which logs nothing.
    """
    try:
        headers = {"Content-Type": "application/json", "User-Agent": "harvest-reliability"}
        with urlopen(Request(address, json.dumps({"text": text}).encode(), headers), timeout=POST_SECONDS):
            return None
    except HTTPError as error:
        error.close()
        return f"it answered {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return type(error).__name__
