"""Run a task of a run on a worker of Dask. Workers import this module."""

import threading
from typing import Any, cast

from prefect.client.schemas.objects import State
from prefect.context import SettingsContext, SyncClientContext
from prefect.task_engine import run_task_sync

SETTINGS = "settings_context"  # part of a serialised context


class Kept(threading.local):
    """What a thread keeps for the next tasks of the same run: Prefect's settings, and a client of its server.

    Attributes
    ----------
    given : settings as they came with a task, from which the others were made.
    """

    given: dict[str, Any] | None = None
    settings: SettingsContext
    client: SyncClientContext

    def take(self, given: dict[str, Any]) -> None:
        """Keep the settings of a task, and a client for them, unless they are kept already."""
        if given == self.given:
            return
        if self.given is not None:
            self.client.client.__exit__(None, None, None)
        self.settings = SettingsContext(**given)
        with self.settings:
            self.client = SyncClientContext()
        self.client.client.__enter__()
        self.given = given


KEPT = Kept()


def run_task(context: dict[str, Any], **given: Any) -> State[Any]:
    """Run a task, and return its final state.

    Prefect by itself would check all settings and make two clients for every task. A client reads all certificates.

    Parameters
    ----------
    context : context of the run, as `prefect.context.serialize_context` returns it.
    given : arguments of `prefect.task_engine.run_task_sync`.
    """
    KEPT.take(context[SETTINGS])
    with KEPT.settings:
        token = SyncClientContext.__var__.set(KEPT.client)
        try:
            state = run_task_sync(context={**context, SETTINGS: {}}, return_type="state", **given)
        finally:
            SyncClientContext.__var__.reset(token)
    return cast(State[Any], state)
