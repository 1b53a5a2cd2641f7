"""Make the work pools and concurrency limits. Queues are made with the deployments that name them."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists

POOLS = {"cpu": "Everything that needs no GPU.", "gpu": "Training and explanation, on the machine with the GPU."}
GPU_LIMIT, GPU_SLOTS = "gpu", 1  # flow runs on the GPU in parallel
SCORING_LIMIT, SCORING_SLOTS = "scoring", 4  # dates computed in parallel; runs that wait for files take no slot


def make_pools(client: SyncPrefectClient) -> None:
    """Make both pools of type `process`; a pool that a worker has already made is only updated."""
    for name, description in POOLS.items():
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type="process", description=description))
        except ObjectAlreadyExists:
            # Only this field, so that a pause or a limit that a person has set stays.
            client.update_work_pool(name, WorkPoolUpdate(description=description))


def make_limits(client: SyncPrefectClient) -> None:
    """Make the concurrency limits for the GPU and for scoring; slots in use are not touched."""
    client.upsert_global_concurrency_limit_by_name(GPU_LIMIT, GPU_SLOTS)
    client.upsert_global_concurrency_limit_by_name(SCORING_LIMIT, SCORING_SLOTS)
