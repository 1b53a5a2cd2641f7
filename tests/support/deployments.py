"""Deployments of which no worker takes runs, so that a test plays the worker."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect import get_client


@contextmanager
def deployment_without_worker(flow: str, **options: Any) -> Generator[UUID]:
    """Make a deployment that has its flow's name."""
    with get_client(sync_client=True) as client:
        made = client.create_flow_from_name(flow)
        yield client.create_deployment(flow_id=made, name=flow, **options)
