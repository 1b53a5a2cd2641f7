"""A small campaign of two dates and a third that it scores, once for all tests of this folder."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client

from flows.campaign import analyse_campaign
from storage.records.campaigns import CampaignRecord
from tasks.sources.growliflower.source import GrowliFlowerSource
from tests.support.campaigns import DATES, RESNET18, small_campaign
from tests.support.season_fields import NEW, arrive, own_dates, write_field
from tests.support.season_runs import Scored, score


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    season: dict[str, Any] = {"n_plots": 2, "rows": 3, "plants_per_row": 10, "image_size": 64, "seed": 1}
    return write_field(tmp_path_factory.mktemp("season") / "whole", dates=sorted((*DATES, NEW)), **season)


@pytest.fixture(scope="session")
def field(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_dates(whole, tmp_path_factory.mktemp("field") / "root")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def fitted(store: Path, field: Path) -> CampaignRecord:
    source = GrowliFlowerSource(root=str(field))
    return analyse_campaign(small_campaign(source=source, train=RESNET18), str(store))


@pytest.fixture(scope="session")
def scored(whole: Path, field: Path, store: Path, fitted: CampaignRecord) -> Scored:
    arrive(whole, field, NEW)
    return score(store)


@pytest.fixture
def deployed() -> Generator[None]:
    """A server with the deployment `score-acquisition`, whose pool has no worker."""
    with get_client(sync_client=True) as client:
        made = client.create_deployment(
            flow_id=client.create_flow_from_name("score-acquisition"), name="score-acquisition"
        )
        yield
        client.delete_deployment(made)
