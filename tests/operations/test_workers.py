"""Dask's workers and a server that wants credentials, which only the run was given."""

from pathlib import Path
from uuid import UUID

from prefect import flow, task
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows.running.dask.workers import DaskWorkers
from tasks.parameters import Runtime
from tests.support.dask_cluster import cluster
from tests.support.service import Service, wait_until


def test_workers_get_the_server_s_credentials_with_their_tasks(service: Service, tmp_path: Path) -> None:
    ids: list[UUID] = []

    def own_credentials(store: str) -> str:  # in here, as all that travels: workers do not know this module
        import os

        return os.environ.get("PREFECT_API_AUTH_STRING", "")

    with cluster(tmp_path, places=((),)) as found:
        runtime = Runtime(task_runner="dask", scheduler=found.address)

        @flow
        def ask() -> str:
            with DaskWorkers(runtime) as workers:
                sent = workers.submit(task(own_credentials), {"store": str(tmp_path)})
                ids.append(sent.task_run_id)
                return sent.result()

        with temporary_settings({PREFECT_API_URL: service.api_url, PREFECT_API_AUTH_STRING: service.auth_string}):
            assert ask() == ""
            # A process sends its events where it sent the first of them, whatever server a later test has.
            EventsWorker.drain_all(at_exit=False)
    (asked,) = ids
    with service.client() as client:
        wait_until(lambda: client.read_task_run(asked).state_name == "Completed", 60, service.logs)
