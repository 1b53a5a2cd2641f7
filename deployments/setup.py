"""Make or update everything on the server that the service needs (`python -m deployments.setup`).

A second run changes nothing. The server's address and secrets come from Prefect's environment variables, which
`deployments/env` sets.
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
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.schedules import CronSchedule
from pydantic import BaseModel

from deployments.automations import PREFIX, automations
from deployments.pools import make_limits, make_pools
from deployments.updates import bring_up_to_date
from deployments.webhook import set_webhook

PREFECT_FILE = Path(__file__).with_name("prefect.yaml")
NIGHTLY = "30 1 * * *"  # when the store is kept, in UTC


def main() -> None:
    """Set up pools, limits, deployments, webhook and automations."""
    argparse.ArgumentParser(prog="python -m deployments.setup", description=__doc__).parse_args()
    for name in ("PREFECT_API_URL", "PREFECT_UI_URL", "HARVEST_STORE"):
        if not os.environ.get(name):
            sys.exit(f"{name} is not set; run `deployments/env python -m deployments.setup`")
    with get_client(sync_client=True) as client:
        make_pools(client)
        make_limits(client)
        deploy()
        set_arrival(client)
        set_upkeep(client)
        set_webhook(client, os.environ.get("HARVEST_NOTIFY_URL"))
        set_automations(client)
    print("set up:", os.environ["PREFECT_UI_URL"])


def deploy() -> None:
    """Deploy everything in `prefect.yaml`; unchanged deployments keep their ids and runs."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(PREFECT_FILE)]
    subprocess.run(command, check=True)


def set_arrival(client: SyncPrefectClient) -> None:
    """Set the deployments' parameter that says when a date's files count as complete.

    `prefect.yaml` itself can take only texts from the environment.
    """
    for name in ("score-acquisition", "discover-acquisitions"):
        found = client.read_deployment_by_name(f"{name}/{name}")
        update = DeploymentUpdate(parameters={**found.parameters, "arrival": arrival(os.environ)})
        client.update_deployment(found.id, update)


def arrival(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the host's settings of arrival as a flow parameter; others keep the defaults of `ArrivalParams`.

    Raises
    ------
    ValidationError : a setting is out of bounds.
    """
    from tasks.ingest.params import ArrivalParams  # it imports torch, which the long-running `sweep` does not need

    settings = {"settle_seconds": "HARVEST_SETTLE_SECONDS", "marker": "HARVEST_MARKER"}
    return parameter(ArrivalParams, settings, environment)


def set_upkeep(client: SyncPrefectClient) -> None:
    """Set how much of the store is read again each night and what is removed; schedule it where there is no schedule.

    A schedule that a person has changed or paused stays as it is.
    """
    found = client.read_deployment_by_name("keep-store/keep-store")
    update = DeploymentUpdate(parameters={**found.parameters, "params": upkeep(os.environ)})
    client.update_deployment(found.id, update)
    if not client.read_deployment_schedules(found.id):
        nightly = DeploymentScheduleCreate(schedule=CronSchedule(cron=NIGHTLY), slug="nightly")
        client.create_deployment_schedules(found.id, [nightly])


def upkeep(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the host's settings of upkeep as a flow parameter; others keep the defaults of `UpkeepParams`.

    Raises
    ------
    ValidationError : a setting is out of bounds.
    """
    from flows.upkeep.params import UpkeepParams

    settings = {"verify_gb": "HARVEST_VERIFY_GB", "gc_days": "HARVEST_GC_DAYS", "gc_fits": "HARVEST_GC_FITS"}
    return parameter(UpkeepParams, settings, environment)


def parameter(model: type[BaseModel], settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return those of a model's fields that a host's settings give, as a flow parameter.

    Parameters
    ----------
    settings : name of the setting by field.

    Raises
    ------
    ValidationError : a setting is out of bounds.
    """
    given = {field: environment[name] for field, name in settings.items() if environment.get(name)}
    return model.model_validate(given).model_dump(mode="json", exclude_unset=True)


def set_automations(client: SyncPrefectClient) -> None:
    """Make or update the automations, for the present deployments."""
    ui_url = os.environ["PREFECT_UI_URL"].rstrip("/")
    bring_up_to_date(client, automations(deployment_ids(client), zombie_seconds(os.environ), ui_url), PREFIX)


def zombie_seconds(environment: Mapping[str, str]) -> float:
    """Return how many seconds a running flow run may be silent before it counts as crashed."""
    return float(environment.get("HARVEST_ZOMBIE_SECONDS", "90"))


def work_queues() -> set[tuple[str, str]]:
    """Return work pool and work queue of every deployment in `prefect.yaml`."""
    pools = [made["work_pool"] for made in yaml.safe_load(PREFECT_FILE.read_text())["deployments"]]
    return {(pool["name"], pool["work_queue_name"]) for pool in pools}


def deployment_ids(client: SyncPrefectClient) -> dict[str, UUID]:
    """Return the ids of the deployments in `prefect.yaml` by name; a deployment has the name of its flow."""
    names: list[str] = [made["name"] for made in yaml.safe_load(PREFECT_FILE.read_text())["deployments"]]
    return {name: client.read_deployment_by_name(f"{name}/{name}").id for name in names}


if __name__ == "__main__":
    main()
