"""Set the webhook to which notices are posted, for example a chat's incoming webhook.

Anyone who knows such an address can post to it. So it is a secret, kept in an encrypted block that the flow
`note_failure` reads. An automation could post by itself, but if the receiver refuses, the address is in the server's
log.
"""

from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from flows.notices import WEBHOOK
from storage.errors import InputError


def set_webhook(client: SyncPrefectClient, url: str | None) -> None:
    """Save the address to which notices are posted, or delete it if there is none.

    Raises
    ------
    InputError : the address does not begin with http:// or https://.
    """
    if url:
        if not url.startswith(("http://", "https://")):
            raise InputError(
                "HARVEST_NOTIFY_URL does not begin with http:// or https://",
                "HARVEST_NOTIFY_URL must be the address of a webhook",
                "give the whole address, or leave HARVEST_NOTIFY_URL unset",
            )
        block: Secret[str] = Secret(value=SecretStr(url))  # `Secret[str](...)` would make a block type of that name
        block.save(WEBHOOK, overwrite=True)
        return
    try:
        found = client.read_block_document_by_name(WEBHOOK, "secret", include_secrets=False)
    except ObjectNotFound:
        return
    if found.id:
        client.delete_block_document(found.id)
