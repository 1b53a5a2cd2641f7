"""Create, update and delete automations on the server, with as few changes as possible."""

from collections.abc import Iterable

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore


def bring_up_to_date(client: SyncPrefectClient, wanted: Iterable[AutomationCore], prefix: str) -> None:
    """Create or update only the automations that differ, because an update forgets the runs that it is watching.

    An automation that a person has disabled stays disabled. Other automations whose name begins with the prefix come
    from an earlier version of this project and are deleted.
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
    """Return whether two automations differ, apart from being enabled."""
    return complete(there) != complete(wanted.model_copy(update={"enabled": there.enabled}))


def complete(automation: AutomationCore) -> AutomationCore:
    """Return an automation with every field set, with the types of an answer from the server.

    An update omits fields that are not set, and the server then refuses it. The server also refuses an owner.
    """
    return AutomationCore.model_validate_json(automation.model_dump_json(exclude={"id", "owner_resource"}))
