"""Automations on the server, made as they should be and changed no more than needed."""

from collections.abc import Iterable

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore


def bring_up_to_date(client: SyncPrefectClient, wanted: Iterable[AutomationCore], prefix: str) -> None:
    """Make or change what differs and nothing else: a changed automation forgets the runs that it is watching.

    One that a person has switched off stays off. Others whose name begins with the prefix are of an earlier version of
    this project, and go.
    """
    there = {found.name: found for found in client.read_automations() if found.name.startswith(prefix)}
    for automation in wanted:
        found = there.pop(automation.name, None)
        if found is None:
            client.create_automation(automation)
        elif differs(found, automation):
            client.update_automation(found.id, complete(automation.model_copy(update={"enabled": found.enabled})))
    for superfluous in there.values():
        client.delete_automation(superfluous.id)


def differs(there: Automation, wanted: AutomationCore) -> bool:
    """Whether an automation is another one, switched off or not."""
    return complete(there) != complete(wanted.model_copy(update={"enabled": there.enabled}))


def complete(automation: AutomationCore) -> AutomationCore:
    """With every field set, and of the type that it has when it comes from the server.

    An update leaves out fields that are not set, and the server then refuses it; it also refuses an owner.
    """
    return AutomationCore.model_validate_json(automation.model_dump_json(exclude={"id", "owner_resource"}))
