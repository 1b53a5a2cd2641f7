"""Where notices are posted to, say a chat's incoming webhook.

Who knows such an address can post to it. So it is a secret, in an encrypted block that the flow `note_failure` reads.
An automation could post by itself, but where the receiver refuses, the server's log then has the address.
"""

from prefect.blocks.system import Secret
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from flows.notices import WEBHOOK
from storage.errors import InputError


def set_webhook(client: SyncPrefectClient, url: str | None) -> None:
    """Have notices posted to an address, or to none.

    Raises
    ------
    InputError : it is no address of the web.
    """
    if url:
        if not url.startswith(("http://", "https://")):
            raise InputError("HARVEST_NOTIFY_URL is an address", "one without http:// or https://", "correct it")
        block: Secret[str] = Secret(value=SecretStr(url))  # `Secret[str](...)` would be of a block type of that name
        block.save(WEBHOOK, overwrite=True)
        return
    try:
        found = client.read_block_document_by_name(WEBHOOK, "secret", include_secrets=False)
    except ObjectNotFound:
        return
    if found.id:
        client.delete_block_document(found.id)
