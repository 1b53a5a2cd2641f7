"""Notices to an address of the user's choice, say a chat's incoming webhook."""

from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.events.actions import SendNotification
from prefect.types import SecretDict

BLOCK = "harvest-notices"


def webhook_notice(url: str) -> SendNotification:
    """Send a notice as JSON `{"text": ...}`; the address is a secret in an encrypted block."""
    block = CustomWebhookNotificationBlock(
        name="Harvest Reliability",
        url="{{url}}",
        json_data={"text": "{{subject}}\n{{body}}"},
        headers=None,
        cookies=None,
        secrets=SecretDict({"url": url}),
    )
    made = block.save(BLOCK, overwrite=True)
    if not isinstance(made, UUID):
        raise TypeError(f"saving the block {BLOCK} gave {made!r}")
    return SendNotification(
        block_document_id=made,
        subject="{{ flow_run.state.name }}: {{ flow_run.name }}",
        body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
    )
