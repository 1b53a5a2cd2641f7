"""How long the server lets an event wait for the one that it follows, before automations see it.

The server remembers only while it runs which events it has seen. After a restart, what follows an event from before,
such as the crash of a run that had begun by then, waits for that in vain: 15 minutes, and crash recovery with it.
Events that overtake each other do so by less than a second.
"""

from datetime import timedelta

from prefect.server.events.ordering import db

db.PRECEDING_EVENT_LOOKBACK = timedelta(seconds=10)  # pyright: ignore[reportPrivateImportUsage]

CausalOrdering = db.CausalOrdering
"""What the server takes from the module that `PREFECT_SERVER_EVENTS_CAUSAL_ORDERING` names."""
