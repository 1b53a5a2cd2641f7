"""Look for new dates of a campaign at fixed intervals (`python -m deployments.watch CAMPAIGN`).

The command makes a schedule of `discover-acquisitions` for the campaign. Schedules are not in `prefect.yaml`, which
names no campaigns. Running the set-up again does not change them.
"""

import argparse
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import IntervalSchedule

DISCOVER = "discover-acquisitions/discover-acquisitions"  # flow and deployment that look for new dates


def main() -> None:
    """Begin or stop watching a campaign."""
    parser = argparse.ArgumentParser(prog="python -m deployments.watch", description=__doc__)
    parser.add_argument("campaign", help="Name of a campaign that has been run")
    parser.add_argument("--minutes", type=float, default=15, help="Minutes between two searches (default: %(default)g)")
    parser.add_argument("--stop", action="store_true", help="Stop looking for new dates of the campaign")
    wanted = parser.parse_args()
    if not wanted.minutes >= 1:
        parser.error(f"--minutes is {wanted.minutes:g}; it must be at least 1")
    with get_client(sync_client=True) as client:
        if wanted.stop:
            unwatch(client, wanted.campaign)
        else:
            watch(client, wanted.campaign, wanted.minutes)


def watch(client: SyncPrefectClient, campaign: str, minutes: float) -> None:
    """Schedule the search for a campaign's new dates every so many minutes; a paused schedule stays paused."""
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
    """Delete the schedules that look for a campaign's new dates."""
    deployment, found = schedules_of(client, campaign)
    for schedule in found:
        client.delete_deployment_schedule(deployment, schedule.id)


def schedules_of(client: SyncPrefectClient, campaign: str) -> tuple[UUID, list[DeploymentSchedule]]:
    """Return the deployment's id and its schedules for a campaign."""
    deployment = client.read_deployment_by_name(DISCOVER).id
    found = client.read_deployment_schedules(deployment)
    return deployment, [schedule for schedule in found if schedule.parameters.get("campaign") == campaign]


if __name__ == "__main__":
    main()
