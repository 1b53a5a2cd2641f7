"""`python -m deployments.watch CAMPAIGN`: look for a campaign's new dates every so many minutes.

Makes a schedule of `discover-acquisitions` for the campaign. Schedules are not in `prefect.yaml`, which knows no
campaigns, and another set-up leaves them as they are.
"""

import argparse
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import IntervalSchedule

DISCOVER = "discover-acquisitions/discover-acquisitions"


def main() -> None:
    """Watch campaigns, or no longer."""
    parser = argparse.ArgumentParser(prog="python -m deployments.watch", description=__doc__)
    parser.add_argument("campaign", help="name of a campaign that was run")
    parser.add_argument("--minutes", type=float, default=15, help="between two looks (default: %(default)g)")
    parser.add_argument("--stop", action="store_true", help="look no longer")
    wanted = parser.parse_args()
    if not wanted.minutes >= 1:
        parser.error("--minutes must be at least 1")
    with get_client(sync_client=True) as client:
        if wanted.stop:
            unwatch(client, wanted.campaign)
        else:
            watch(client, wanted.campaign, wanted.minutes)


def watch(client: SyncPrefectClient, campaign: str, minutes: float) -> None:
    """Look for a campaign's new dates every so many minutes; a pause that a person has set stays."""
    every = timedelta(minutes=minutes)
    deployment, found = schedules_of(client, campaign)
    if not found:
        new = DeploymentScheduleCreate(
            schedule=IntervalSchedule(interval=every), parameters={"campaign": campaign}, slug=f"watch-{campaign}"
        )
        client.create_deployment_schedules(deployment, [new])
    for schedule in found:
        if not isinstance(schedule.schedule, IntervalSchedule) or schedule.schedule.interval != every:
            client.update_deployment_schedule(deployment, schedule.id, schedule=IntervalSchedule(interval=every))


def unwatch(client: SyncPrefectClient, campaign: str) -> None:
    """Look for a campaign's new dates no longer."""
    deployment, found = schedules_of(client, campaign)
    for schedule in found:
        client.delete_deployment_schedule(deployment, schedule.id)


def schedules_of(client: SyncPrefectClient, campaign: str) -> tuple[UUID, list[DeploymentSchedule]]:
    """The deployment's id, and those of its schedules that watch a campaign."""
    deployment = client.read_deployment_by_name(DISCOVER).id
    found = client.read_deployment_schedules(deployment)
    return deployment, [schedule for schedule in found if schedule.parameters.get("campaign") == campaign]


if __name__ == "__main__":
    main()
