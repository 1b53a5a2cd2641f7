"""Work pools and concurrency limits; queues come with the deployments that name them."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists

POOLS = {"cpu": "Everything that needs no GPU.", "gpu": "Training and explanation, on the machine with the GPU."}
GPU_LIMIT, GPU_SLOTS = "gpu", 1
SCORING_LIMIT, SCORING_SLOTS = "scoring", 4  # dates computed at once; those that wait for their files take none


def make_pools(client: SyncPrefectClient) -> None:
    """Both pools, of processes on the worker's machine; a worker that was quicker has made its pool already."""
    for name, description in POOLS.items():
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type="process", description=description))
        except ObjectAlreadyExists:
            # Only this field: a pause or a limit that a person has set stays.
            client.update_work_pool(name, WorkPoolUpdate(description=description))


def make_limits(client: SyncPrefectClient) -> None:
    """One run at a time on the GPU, some dates at once elsewhere; slots in use are not touched."""
    client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, GPU_SLOTS)
    client.upsert_global_concurrency_limit_by_name(SCORING_LIMIT, SCORING_SLOTS)
