"""`make chaos`: kill whatever runs at random moments, and see whether anything is lost.

A field's campaign is analysed and two of its dates are announced, on the whole service: PostgreSQL, server, workers.
All the while processes are killed with SIGKILL. Then the tables must be those of an undisturbed run, byte for byte.
Rounds go on, each with another season, until there were enough kills. Prints what was killed, and writes
build/chaos.json.
"""

import argparse
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import httpx

from storage.acquisitions import find_acquisition, fit_digest
from storage.artifacts import Store
from storage.publish import find_record, read_record
from storage.verify import verify_store
from tests.operations.field import NEW, Field, tables
from tests.operations.service import PROGRAMS, Service, running_service

RESULT = Path("build/chaos.json")
STEP_SECONDS = 1200  # what takes longer is lost
PAUSE_SECONDS = (3.0, 30.0)  # a flow's process needs ten to begin
EVERYTHING, FLOW_RUN = "everything", "flow run"


@dataclass(frozen=True)
class Kill:
    """What was killed, and what the chain was doing."""

    victim: str
    stage: str
    after_seconds: float


@dataclass
class Killer:
    """Kills something alive, again and again, until it is stopped or has killed enough."""

    service: Service
    dice: random.Random
    n_wanted: int
    kills: list[Kill] = field(default_factory=list)
    stage: str = ""
    stopped: Event = field(default_factory=Event)

    def run(self) -> None:
        """Until `stopped` is set, or it is enough."""
        began = time.monotonic()
        while len(self.kills) < self.n_wanted and not self.stopped.wait(self.dice.uniform(*PAUSE_SECONDS)):
            victims = self.victims()
            names = sorted(victims)
            # Flow runs are what can lose work, and are alive only some of the time.
            (name,) = self.dice.choices(names, [3 if name.startswith(FLOW_RUN) else 1 for name in names])
            for pid in victims[name]:
                end(pid)
            self.kills.append(Kill(name, self.stage, round(time.monotonic() - began, 1)))
            print(f"{self.kills[-1].after_seconds:7.1f} s  {self.stage:12} kill {name}", flush=True)
            if name == EVERYTHING:
                self.service.process = None
                self.service.start()

    def victims(self) -> dict[str, list[int]]:
        """Processes of what is alive and matters to the tables."""
        found: dict[str, list[int]] = {EVERYTHING: self.service.pids()}
        for program in PROGRAMS:
            if program != "reports":
                found[program] = [self.service.status(program)["pid"]]
        for name, pids in self.service.flow_run_processes().items():
            found[f"{FLOW_RUN} {name}"] = pids
        return {name: [pid for pid in pids if pid] for name, pids in found.items() if any(pids)}


def end(pid: int) -> None:
    """Kill a process, unless it has ended by itself."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@dataclass
class Outcome:
    """What rounds of kills came to."""

    kills: list[Kill] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    differing_tables: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    n_tables: int = 0

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, other or damaged."""
        return not (self.lost or self.differing_tables or self.problems)


def main() -> None:
    """Rounds until there were enough kills; exit code 1 when something is lost, differs or is damaged."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="so many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the kills (default: another each time)")
    wanted = parser.parse_args()
    seed = random.SystemRandom().randrange(2**16) if wanted.seed is None else wanted.seed
    outcome, dice, began = Outcome(), random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, running_service(HARVEST_SETTLE_SECONDS="2") as service:
        for season in itertools.count():
            plot = Field(Path(folder) / str(season), f"chaos{season}", seed=season)
            play_round(service, plot, Killer(service, dice, wanted.kills - len(outcome.kills)), outcome)
            if len(outcome.kills) >= wanted.kills or outcome.lost:
                break
        outcome.problems = verify_store(Store(service.store)).problems
    report(outcome, {"seed": seed, "minutes": round((time.monotonic() - began) / 60, 1)})
    sys.exit(0 if outcome.is_good else 1)


def play_round(service: Service, plot: Field, killer: Killer, outcome: Outcome) -> None:
    """One season: undisturbed without a server, then killed again and again on the service."""
    run_undisturbed(plot)
    with ThreadPoolExecutor(1) as thread:
        killing = thread.submit(killer.run)
        try:
            run_chain(service, plot, killer)
        except TimeoutError as error:
            outcome.lost.append(f"{plot.name}: {error}")
        finally:
            killer.stopped.set()
        killing.result()
    outcome.kills += killer.kills
    expected, found = tables(plot.in_place, plot.name), tables(service.store, plot.name)
    outcome.n_tables += len(expected)
    outcome.differing_tables += sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )


def run_undisturbed(plot: Field) -> None:
    """Campaign and new dates by commands, without a server."""
    plot.harvest("run", str(plot.toml))
    for day in NEW:
        plot.copy(day)
        plot.harvest("score", plot.name, "--date", str(day))
    for day in NEW:
        plot.remove(day)


def run_chain(service: Service, plot: Field, killer: Killer) -> None:
    """A campaign, then an event for each new date, and a schedule for events that a dying server forgets.

    Raises
    ------
    TimeoutError : something did not come to its end.
    """
    store, params = Store(service.store), plot.params.model_dump(mode="json")
    killer.stage = "campaign"
    insist(lambda: service.run("analyse-campaign", params=params))
    wait_for(lambda: find_record(store, plot.name) is not None, "campaign")
    fit = fit_digest(read_record(store, plot.name).artifacts)
    insist(lambda: service.command("python", "-m", "deployments.watch", plot.name, "--minutes", "1"))
    for day in NEW:
        killer.stage = str(day)
        plot.copy(day)
        insist(lambda day=day: service.command("harvest", "announce", plot.name, "--date", str(day)))
        wait_for(lambda day=day: find_acquisition(store, plot.name, day, fit) is not None, str(day))
    insist(lambda: service.command("python", "-m", "deployments.watch", plot.name, "--stop"))


def insist(call: Callable[[], object]) -> None:
    """Call again until it succeeds, as a program does that depends on a server."""

    def succeeds() -> bool:
        try:
            call()
        except (httpx.HTTPError, OSError, AssertionError):
            return False
        return True

    wait_for(succeeds, "no answer from the server")


def wait_for(is_true: Callable[[], bool], what: str) -> None:
    """Wait, but not for ever."""
    deadline = time.monotonic() + STEP_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}, after {STEP_SECONDS} s")
        time.sleep(1)


def report(outcome: Outcome, more: dict[str, Any]) -> None:
    """Print the counts, and write them down."""
    said = {
        "kills": len(outcome.kills),
        "lost": len(outcome.lost),
        "differing_tables": len(outcome.differing_tables),
        "problems": len(outcome.problems),
        "tables": outcome.n_tables,
        "by_victim": dict(Counter(kill.victim for kill in outcome.kills).most_common()),
        **more,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({**said, "each_kill": [asdict(kill) for kill in outcome.kills]}, indent=1))
    print(json.dumps(said, indent=1), *outcome.lost, *outcome.differing_tables, *outcome.problems, sep="\n")


if __name__ == "__main__":
    main()
