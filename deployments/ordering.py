"""Shorten the time that an event waits in the server for the event that it follows.

The server remembers the events that it has seen only while it runs. After a restart, an event that follows one from
before the restart, such as the crash of a run, waits for it for 15 minutes by default. Crash recovery is then delayed
as long. Events overtake each other by less than a second, so ten seconds are enough.
"""

from datetime import timedelta

from prefect.server.events.ordering import db

db.PRECEDING_EVENT_LOOKBACK = timedelta(seconds=10)  # pyright: ignore[reportPrivateImportUsage]

CausalOrdering = db.CausalOrdering
"""Class that the server loads from the module named in `PREFECT_SERVER_EVENTS_CAUSAL_ORDERING`."""
