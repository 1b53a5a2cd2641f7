"""Backups of the service: made while it runs, restored on what stands for a new host, at other paths."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import pytest
from prefect.blocks.system import Secret
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from deployments.automations import PREFIX
from deployments.backup import back_up as save_service
from deployments.watch import schedules_of, watch
from flows.cli.run_file import load_run_file
from flows.fit import GPU_LIMIT
from flows.notices import WEBHOOK
from storage.artifacts import MANIFEST, Store
from storage.errors import InputError
from storage.records.acquisitions import acquisition_dates, fit_digest
from storage.records.campaigns import read_record
from storage.verify import verify_store
from tests.support.campaigns import contents
from tests.support.field import NEW, Field, tables
from tests.support.repository import ROOT
from tests.support.service import Service, new_service, wait_until, what_is_missing
from tests.support.stored import stored_backup

NEVER_CACHED = {"survey", "rehearse", "publish"}  # verbs of tasks that look at what may have changed
# Verbs of tasks that run again in the stored backup, and why.
MADE_AGAIN = {"export": "it has the plants' varieties", "report": "its pages are laid out anew"}
SCORED, AWAITED = NEW


@pytest.fixture(autouse=True)
def programs() -> None:
    if missing := what_is_missing():
        pytest.skip(missing)


def owned(folder: Path, service: Service) -> Path:
    """Make a folder of the user whom a service runs as."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.chown(folder, service.home.owner())
    return folder


def made(store: Path) -> dict[str, str]:
    """When each artefact was made, by its name."""
    manifests = [path / MANIFEST for path in (store / "artifacts").glob("*/[!.]*")]
    return {
        f"{path.parent.parent.name}/{path.parent.name}": json.loads(path.read_text())["created"] for path in manifests
    }


def read_secret(service: Service, name: str) -> str:
    """Read a block that is encrypted in the service's database."""
    with service.client() as client:
        found: str = client.read_block_document_by_name(name, "secret", include_secrets=True).data["value"]
    return found


def all_runs(service: Service) -> dict[UUID, FlowRun]:
    with service.client() as client:
        return {run.id: run for run in client.read_flow_runs()}


def verbs_by_state(service: Service, run: UUID) -> dict[str, set[str]]:
    """Verbs of a flow run's tasks by state; the server learns of task runs a little later than of the run's end."""

    def found() -> dict[str, set[str]]:
        with service.client() as client:
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])))
        states: dict[str, set[str]] = {}
        for task in tasks:
            states.setdefault(task.state_name or "", set()).add(task.name.split()[0])
        return states

    wait_until(lambda: "publish" in found().get("Completed", set()), 60, service.logs)
    return found()


def work_on(service: Service, field: Field) -> UUID:
    """Have a campaign fitted, a date scored and another awaited, and return the run that awaits its files."""
    run = service.run("analyse-campaign", params=field.params.model_dump(mode="json"))
    assert service.wait_for_state(run, "Completed", "Failed", seconds=600).state_name == "Completed", service.logs()
    fit = fit_digest(read_record(Store(service.store), "field").artifacts)
    field.copy(SCORED)
    service.announce("field", str(SCORED))
    wait_until(lambda: acquisition_dates(Store(service.store), "field", fit) == [SCORED], 400, service.logs)

    def scoring(day: date, state: str) -> list[UUID]:
        runs = [run for run in all_runs(service).values() if run.name == f"score field {day}"]
        return [run.id for run in runs if run.state_name == state]

    wait_until(lambda: bool(scoring(SCORED, "Completed")), 240, service.logs)  # with the report, after the record
    field.copy_half(AWAITED)
    service.announce("field", str(AWAITED))
    wait_until(lambda: bool(scoring(AWAITED, "Running")), 240, service.logs)
    with service.client() as client:
        watch(client, "field", minutes=24 * 60)
        client.increment_concurrency_slots_with_lease([GPU_LIMIT], 1, "concurrency", lease_duration=1800)
    with temporary_settings({PREFECT_API_URL: service.api_url, PREFECT_API_AUTH_STRING: service.auth_string}):
        block: Secret[str] = Secret(value=SecretStr("kept by the key"))
        block.save("witness")
    (waiting,) = scoring(AWAITED, "Running")
    return waiting


def back_up(service: Service, folder: Path, after_seconds: float = 0) -> Path:
    """Make a backup as a person does, and return its folder; backups are named by the second."""
    time.sleep(after_seconds)
    said = service.command("python", "-m", "deployments.backup", str(folder))
    return Path(said.splitlines()[-1].removeprefix("backup: "))


def restore_stopped_half_way(service: Service, backup: Path) -> None:
    """Kill a restore when it has begun to make the database, have the start refused, and restore again."""
    shutil.copy(backup / "settings.env", service.home)
    command = [*service.before, str(ROOT / "deployments" / "restore"), str(backup)]
    with subprocess.Popen(command, env=service.environment, start_new_session=True) as restoring:
        wait_until(lambda: bool([*service.home.glob("postgres*")]), 120, service.logs)
        os.killpg(restoring.pid, signal.SIGKILL)
    wait_until(lambda: service.pids() == [], 60, service.logs)
    start = [*service.before, str(ROOT / "deployments" / "start")]
    refused = subprocess.run(start, env=service.environment, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1 and "deployments/restore was stopped half-way" in refused.stderr
    done = service.restore(backup)
    assert done.returncode == 0, done.stderr
    again = service.restore(backup)
    assert again.returncode == 1 and "is not empty" in again.stderr and "remedy: move it away" in again.stderr


def texts(store: Path) -> str:
    """Everything in the store that is text, and what tables say about themselves."""
    return "\n".join(content.decode(errors="replace") for content in contents(store).values())


def leave(folder: Path) -> Path:
    """Make what a backup of a service with an empty store leaves, without a database."""
    (folder / "store/artifacts").mkdir(parents=True)
    for name in ("harvest.dump", "secrets.env", "settings.env", "store/notices.jsonl"):
        (folder / name).write_text("")
    (folder / "backup.env").write_text("files=4\ntime=2026-11-30T03:00:00+00:00\nstore=/somewhere\n")
    return folder


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda backup, _: (backup / "backup.env").unlink(), "is no finished backup"),
        (lambda backup, _: backup.rename(backup.with_name(".tmp-one")), "is no finished backup"),
        (lambda backup, _: (backup / "store/notices.jsonl").unlink(), "has 3 files of 4"),
        (lambda _, home: (home / "postgres/base").mkdir(parents=True), "postgres is not empty"),
        (lambda _, home: (home / "store/artifacts").mkdir(parents=True), "store is not empty"),
        (lambda _, home: (home / "settings.env").unlink(), "has no settings.env, the backup has one"),
    ],
)
def test_a_restore_refuses_what_is_not_whole_or_would_be_overwritten(
    tmp_path: Path, spoil: Callable[[Path, Path], object], said: str
) -> None:
    backup = leave(tmp_path / "20261130T030000Z")
    with new_service() as service:
        (service.home / "settings.env").write_text("")
        spoil(backup, service.home)
        (found,) = tmp_path.iterdir()
        done = service.restore(found)
        assert done.returncode == 1 and done.stderr.startswith("restore: ") and said in done.stderr
        assert "  rule: " in done.stderr and "  remedy: " in done.stderr
        assert not (service.home / "restoring").exists() and not [*service.home.glob("postgres/PG*")]


def test_a_backup_must_lie_outside_the_store(tmp_path: Path) -> None:
    environment = {"HARVEST_HOME": str(tmp_path), "HARVEST_STORE": str(tmp_path / "store"), "HARVEST_PROGRAMS": "none"}
    with pytest.raises(InputError, match="lies in the store"):
        save_service(tmp_path / "store/backups", environment, datetime.now(UTC))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly  # a start and a run; tests/campaign/test_stored_backup.py reads the store without them
@pytest.mark.timeout(1800)
def test_a_backup_of_the_version_before_goes_on_at_another_path(tmp_path: Path) -> None:
    """Database, store and secrets of the code before this backup was invented, in the layout of a backup."""
    backup, toml = stored_backup(tmp_path)
    with new_service() as service:
        service.environment["HARVEST_STORE"] = str(owned(service.home / "disk", service) / "store")
        done = service.restore(backup)
        assert done.returncode == 0, done.stderr
        assert contents(service.store) == contents(backup / "store")
        before = made(service.store)
        fit = fit_digest(read_record(Store(service.store), "before").artifacts)
        service.start()
        earlier = all_runs(service)
        names = {(run.name, run.state_name) for run in earlier.values()}
        assert {("score before 2022-09-10", "Completed"), ("discover nowhere", "Failed")} <= names
        with service.client() as client:
            _, schedules = schedules_of(client, "before")
        assert [schedule.active for schedule in schedules] == [True]
        assert read_secret(service, "stored") == "kept by the key"
        params, _ = load_run_file(toml)
        run = service.run("analyse-campaign", params=params.model_dump(mode="json"))
        service.wait_for_state(run, "Completed", "Failed", seconds=240)
        assert service.flow_run(run).state_name == "Completed", service.logs()
        states = verbs_by_state(service, run)
        assert states.keys() == {"Cached", "Completed"}
        assert states["Completed"] == NEVER_CACHED | MADE_AGAIN.keys()
        after = made(service.store)
        assert {name: after[name] for name in before} == before
        kinds = {name.split("/")[0] for name in after.keys() - before.keys()}
        assert kinds == {"decisions", "drawn", "explored", "explorer_pictures", "report", "told"}
        assert acquisition_dates(Store(service.store), "before", fit) == [date(2022, 9, 10)]
        found = verify_store(Store(service.store))
        assert found.problems == []
        assert [name for name in found.outdated if not name.startswith("artifacts/")] == []
        service.stop()


@contextmanager
def database(service: Service) -> Generator[None]:
    """Run the database of a service alone."""
    command = [*service.before, *(str(ROOT / "deployments" / name) for name in ("env", "program")), "database"]
    with subprocess.Popen(command, env=service.environment, stderr=subprocess.DEVNULL) as process:
        asked = [*service.before, str(ROOT / "deployments/env"), "pg_isready", "--quiet"]
        answers = lambda: subprocess.run(asked, env=service.environment).returncode == 0  # noqa: E731
        try:
            wait_until(answers, 120, lambda: "the database does not answer")
            yield
        finally:
            process.send_signal(signal.SIGINT)


def rows(service: Service, of: str) -> list[str]:
    """Rows of a query, in order."""
    return sorted(service.command("psql", "-At", "--no-psqlrc", "-c", f"SELECT {of}").splitlines())


def test_what_a_backup_saves_comes_back_at_another_place(tmp_path: Path) -> None:
    """The database alone runs here: what Prefect makes of it, the next test shows."""
    stored, _ = stored_backup(tmp_path)
    with new_service() as old, new_service() as new:
        backups = owned(tmp_path / "backups", old)
        for each in (old, new):
            each.environment["HARVEST_STORE"] = str(owned(each.home / each.home.name, each) / "store")
        (old.home / "settings.env").write_text("HARVEST_NOTIFY_URL=http://127.0.0.1:9/hook\n")
        (owned(old.home / "programs", old) / "network.pt2").write_bytes(b"a program")
        done = old.restore(stored)
        assert done.returncode == 0, done.stderr
        kept = (
            "id, name, state_name FROM flow_run",
            "id, data FROM block_document",
            "id, active FROM deployment_schedule",
        )
        with database(old):
            old.command("psql", "-c", "UPDATE concurrency_limit_v2 SET active_slots = 1")
            before = [rows(old, of) for of in kept]
            first, second = (back_up(old, backups, n) for n in range(2))
        assert set(backups.iterdir()) == {backups / "lock", first, second}
        assert (second.stat().st_mode & 0o777, (second / "secrets.env").stat().st_mode & 0o777) == (0o700, 0o600)
        copied = [path for path in (second / "store").rglob("*") if path.is_file()]
        assert copied and all(path.samefile(first / path.relative_to(second)) for path in copied)
        assert contents(second / "store") == contents(old.store)

        restore_stopped_half_way(new, second)
        assert contents(new.store) == contents(old.store) and made(new.store) == made(old.store)
        assert (new.home / "programs/network.pt2").read_bytes() == b"a program" and new.secrets == old.secrets
        with database(new):
            assert [rows(new, of) for of in kept] == before and all(before)
            named = rows(new, "DISTINCT parameters ->> 'store' FROM flow_run WHERE parameters ? 'store'")
            assert named == [str(new.store)]
            assert rows(new, "DISTINCT active_slots FROM concurrency_limit_v2") == ["0"]


@pytest.mark.nightly  # two starts, a fit, and the silence of a dead run
@pytest.mark.timeout(1800)
def test_a_service_goes_on_elsewhere_from_a_backup_made_while_it_ran(tmp_path: Path) -> None:
    field = Field(tmp_path / "field", "field", seed=9)
    with new_service(HARVEST_SETTLE_SECONDS="2") as old, new_service(HARVEST_SETTLE_SECONDS="2") as new:
        backups = owned(tmp_path / "backups", old)
        for each in (old, new):
            each.environment["HARVEST_STORE"] = str(owned(each.home / each.home.name, each) / "store")
            (each.home / "settings.env").write_text("HARVEST_NOTIFY_URL=http://127.0.0.1:9/hook\n")
        old.start()
        waiting = work_on(old, field)
        ended = {run.id: run.state_name for run in all_runs(old).values() if run.state and run.state.is_final()}
        backup = back_up(old, backups)
        old.stop()

        kept, was_made = tables(old.store, "field"), made(old.store)
        left = contents(old.store)
        done = new.restore(backup)
        assert done.returncode == 0, done.stderr
        assert tables(new.store, "field") == kept and made(new.store) == was_made
        assert str(old.store) not in texts(new.store)
        new.start()
        assert ended and {run: all_runs(new)[run].state_name for run in ended} == ended
        with new.client() as client:
            _, (schedule,) = schedules_of(client, "field")
            limit = client.read_global_concurrency_limit_by_name(GPU_LIMIT)
            automations = {found.name for found in client.read_automations()}
        assert schedule.parameters == {"campaign": "field"} and schedule.active
        assert limit.active_slots == 0 and any(name.startswith(PREFIX) for name in automations)
        assert read_secret(new, "witness") == "kept by the key"
        assert read_secret(new, WEBHOOK) == "http://127.0.0.1:9/hook"

        field.copy(AWAITED)  # what the run under way was waiting for when the backup was made
        assert new.wait_for_state(waiting, "Completed", "Failed", seconds=600).state_name == "Completed", new.logs()
        run = new.run("analyse-campaign", params=field.params.model_dump(mode="json"))
        assert new.wait_for_state(run, "Completed", "Failed", seconds=400).state_name == "Completed", new.logs()
        assert verbs_by_state(new, run)["Completed"] == NEVER_CACHED | {"background"}
        for before, after in ((kept, tables(new.store, "field")), (was_made, made(new.store))):
            assert {name: after[name] for name in before} == before
        fit = fit_digest(read_record(Store(new.store), "field").artifacts)
        assert acquisition_dates(Store(new.store), "field", fit) == sorted(NEW)
        assert contents(old.store) == left
        assert verify_store(Store(new.store)).problems == []
        new.stop()
