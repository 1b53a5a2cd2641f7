"""Tell a Prefect server that people and other processes use from one that a command has started for itself."""

import os

OWN_SERVER = "HARVEST_OWN_SERVER"  # environment variable with the address of the server that a command has started


def shared_server() -> str | None:
    """Return the address of the run's server; None where it has none that people and other machines can reach."""
    from prefect.settings import PREFECT_API_URL

    address = PREFECT_API_URL.value()
    return None if address == os.environ.get(OWN_SERVER) else address
