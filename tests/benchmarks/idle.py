"""Measure what the service costs while it has nothing to do: CPU time and memory of each of its programs.

The service runs with the settings that it has in use, beside no schedule. Then one search for new dates runs that finds
none, as a watched campaign has it every 15 minutes. CPU time counts a program with all processes that it started, also
those that have ended. Memory is the proportional set size (PSS): pages that several processes share count in parts.

Run it by `python -m tests.benchmarks.idle`; it takes some ten minutes, and needs PostgreSQL and supervisor.
"""

import argparse
import json
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from storage.artifacts import ArtifactRef, Store
from storage.records.campaigns import CampaignRecord, write_record
from tests.support.campaigns import small_campaign
from tests.support.service import PROGRAMS, Service, running_service

RESULT = Path("build/bench-idle.json")
# What the tests' service has shortened, as it is in use.
IN_USE = {
    "HARVEST_ZOMBIE_SECONDS": "90",
    "PREFECT_WORKER_QUERY_SECONDS": "10",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "30",
}
SETTLE_SECONDS = 60  # from the end of the set-up to the first measurement
WATCHED_MINUTES = 15  # between two searches of a watched campaign
CAMPAIGN = "watched"


def family(pid: int) -> list[psutil.Process]:
    """Return a process and every process below it."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def cpu_seconds(service: Service) -> dict[str, float]:
    """Return the CPU seconds of every program so far, with those of processes that have ended."""
    return {
        name: sum(sum(one.cpu_times()[:4]) for one in family(service.status(name)["pid"]))  # own, and of ended children
        for name in PROGRAMS
    }


def shared_megabytes(service: Service) -> dict[str, float]:
    """Return the proportional set size of every program in MB."""
    return {
        name: sum(one.memory_full_info().pss for one in family(service.status(name)["pid"])) / 1e6 for name in PROGRAMS
    }


def measure_idle(service: Service, minutes: float) -> dict[str, float]:
    """Return the CPU seconds a minute of every program over some minutes."""
    before, start = cpu_seconds(service), time.monotonic()
    time.sleep(60 * minutes)
    after, passed = cpu_seconds(service), (time.monotonic() - start) / 60
    return {name: (after[name] - before[name]) / passed for name in PROGRAMS}


def measure_search(service: Service, idle: dict[str, float]) -> float:
    """Return the CPU seconds that one search for new dates costs beyond idling; it finds none."""
    params = small_campaign(CAMPAIGN).model_dump(mode="json")
    made = {"classifier": ArtifactRef(kind="classifier", digest="0" * 24)}  # a search without a new date opens none
    write_record(Store(service.store), CampaignRecord(campaign=CAMPAIGN, params=params, artifacts=made, report=""))
    before, start = cpu_seconds(service), time.monotonic()
    service.wait_for_state(service.run("discover-acquisitions", campaign=CAMPAIGN), "Completed", seconds=600)
    time.sleep(30)  # until its worker has seen that the process ended
    after, passed = cpu_seconds(service), (time.monotonic() - start) / 60
    return sum(after[name] - before[name] - idle[name] * passed for name in PROGRAMS)


def main() -> None:
    """Measure, print a table and write `build/bench-idle.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5, help="how long the idle service is watched")
    minutes: float = parser.parse_args().minutes
    with running_service(**IN_USE) as service:
        time.sleep(SETTLE_SECONDS)
        idle, memory = measure_idle(service, minutes), shared_megabytes(service)
        table = Table("program", "CPU s/min", "PSS, MB")
        for name in PROGRAMS:
            table.add_row(name, f"{idle[name]:.2f}", f"{memory[name]:.0f}")
        table.add_row("all", f"{sum(idle.values()):.2f}", f"{sum(memory.values()):.0f}")
        Console().print(table)
        search = measure_search(service, idle)
    watched = sum(idle.values()) + search / WATCHED_MINUTES
    Console().print(
        f"a search without a new date: {search:.1f} CPU s; every {WATCHED_MINUTES} minutes: {watched:.2f} a minute"
    )
    RESULT.parent.mkdir(exist_ok=True)
    found = {"cpu_s_per_minute": idle, "pss_mb": memory, "search_cpu_s": search, "watched_cpu_s_per_minute": watched}
    RESULT.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
