"""The whole service with its store in a bucket: a campaign on both pools, and a new date that is announced."""

from pathlib import Path

import pytest

from storage.artifacts import Store
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.records.campaigns import read_record
from storage.verify import verify_store
from tests.support.field import NEW, Field
from tests.support.object_servers import CREDENTIALS, running_server
from tests.support.service import running_service, wait_until, what_is_missing


@pytest.mark.nightly  # without the service, tests/integration/test_object_store.py shows this
def test_campaigns_and_new_dates_need_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    field = Field(tmp_path, "field")
    field.copy(NEW[0])
    with running_server("rclone", tmp_path / "objects") as server:
        store = Store(server.address("service"))
        with running_service(HARVEST_STORE=store.address, HARVEST_SETTLE_SECONDS="2") as service:
            run = service.run("analyse-campaign", params=field.params.model_dump(mode="json"))
            service.wait_for_state(run, "Completed", "Failed", seconds=300)
            fit = fit_digest(read_record(store, "field").artifacts)
            service.command("harvest", "announce", "field", "--date", str(NEW[0]))
            wait_until(lambda: find_acquisition(store, "field", NEW[0], fit) is not None, 300, service.logs)
            wait_until(lambda: not service.flow_run_processes(), 120, service.logs)  # the report comes after the record
            assert not service.store.exists()
            secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
            assert secret not in service.command("pg_dump") + "".join(service.whole_logs().values())
        assert verify_store(store).problems == []
