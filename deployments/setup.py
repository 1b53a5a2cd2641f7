"""`python -m deployments.setup`: make everything on the server that the service needs, or bring it up to date.

A second run changes nothing. Reads the server's address and secrets from Prefect's environment variables, as
`deployments/env` sets them.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate

from deployments.automations import PREFIX, automations
from deployments.pools import make_limits, make_pools
from deployments.updates import bring_up_to_date
from deployments.webhook import set_webhook

PREFECT_FILE = Path(__file__).with_name("prefect.yaml")


def main() -> None:
    """Set up."""
    argparse.ArgumentParser(prog="python -m deployments.setup", description=__doc__).parse_args()
    for name in ("PREFECT_API_URL", "PREFECT_UI_URL", "HARVEST_STORE"):
        if not os.environ.get(name):
            sys.exit(f"{name} is not set: use `deployments/env python -m deployments.setup`")
    with get_client(sync_client=True) as client:
        make_pools(client)
        make_limits(client)
        deploy()
        set_arrival(client)
        set_webhook(client, os.environ.get("HARVEST_NOTIFY_URL"))
        set_automations(client)
    print("set up:", os.environ["PREFECT_UI_URL"])


def deploy() -> None:
    """Deploy everything of `prefect.yaml`; equal deployments keep their ids and runs."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(PREFECT_FILE)]
    subprocess.run(command, check=True)


def set_arrival(client: SyncPrefectClient) -> None:
    """When a date's files count as complete; `prefect.yaml` itself can take only texts from the environment."""
    for name in ("score-acquisition", "discover-acquisitions"):
        found = client.read_deployment_by_name(f"{name}/{name}")
        update = DeploymentUpdate(parameters={**found.parameters, "arrival": arrival(os.environ)})
        client.update_deployment(found.id, update)


def arrival(environment: Mapping[str, str]) -> dict[str, Any]:
    """What the host's settings say of arrival, as a flow's parameter; the rest is as `ArrivalParams` has it.

    Raises
    ------
    ValidationError : a setting out of bounds.
    """
    from tasks.ingest.arrival import ArrivalParams  # with torch, which `sweep`, a program that stays, has no use for

    settings = {"settle_seconds": "HARVEST_SETTLE_SECONDS", "marker": "HARVEST_MARKER"}
    given = {field: environment[name] for field, name in settings.items() if environment.get(name)}
    return ArrivalParams.model_validate(given).model_dump(mode="json", exclude_unset=True)


def set_automations(client: SyncPrefectClient) -> None:
    """Crash recovery and notices, for the deployments there are now."""
    ui_url = os.environ["PREFECT_UI_URL"].rstrip("/")
    bring_up_to_date(client, automations(deployment_ids(client), zombie_seconds(os.environ), ui_url), PREFIX)


def zombie_seconds(environment: Mapping[str, str]) -> float:
    """How long a running flow run may be silent before it counts as crashed."""
    return float(environment.get("HARVEST_ZOMBIE_SECONDS", "90"))


def deployment_ids(client: SyncPrefectClient) -> dict[str, UUID]:
    """Ids of the deployments of `prefect.yaml` by name; a deployment and its flow have one name."""
    names: list[str] = [made["name"] for made in yaml.safe_load(PREFECT_FILE.read_text())["deployments"]]
    return {name: client.read_deployment_by_name(f"{name}/{name}").id for name in names}


if __name__ == "__main__":
    main()
