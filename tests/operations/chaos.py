"""`make chaos`: kill whatever runs, and see whether anything is lost, other, or done again.

A field's campaign is analysed and two of its dates are announced, on the whole service: PostgreSQL, server, workers.
All the while processes are killed with SIGKILL: flow runs once in every stage, and whatever lives at random moments.
Then the tables must be those of an undisturbed run, byte for byte, and no artefact may have been made twice. Rounds go
on, each with another season, until there were enough kills. Prints what was killed, and writes build/chaos.json.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterState, TaskRunFilterStateName
from prefect.client.schemas.objects import TaskRun
from prefect.results import ResultRecordMetadata  # pyright: ignore[reportPrivateImportUsage]

from storage.artifacts import Store
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.records.campaigns import find_record, read_record
from storage.verify import verify_store
from tests.operations.killer import STAGES, Kill, Killer
from tests.support.field import NEW, Field, tables
from tests.support.service import Service, running_service

RESULT = Path("build/chaos.json")
STEP_SECONDS = 1200  # what takes longer is lost
MAX_ROUNDS = 6  # where a stage is too quick to be met
PAGE = 200


@dataclass
class Outcome:
    """What rounds of kills came to."""

    kills: list[Kill] = field(default_factory=list)
    missed_stages: set[str] = field(default_factory=lambda: set(STAGES))
    lost: list[str] = field(default_factory=list)
    differing_tables: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    n_tables: int = 0

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, other, damaged or done again."""
        return not (self.lost or self.differing_tables or self.repeated or self.problems)


def main() -> None:
    """Rounds until there were enough kills; exit code 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="so many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the kills (default: another each time)")
    wanted = parser.parse_args()
    seed = random.SystemRandom().randrange(2**16) if wanted.seed is None else wanted.seed
    outcome, began = Outcome(), time.monotonic()
    try:
        play(outcome, wanted.kills, random.Random(seed))
    except Exception as error:  # whatever it is: what was killed until then is told all the same
        traceback.print_exc()
        outcome.problems.append(f"not played to its end: {error!r}")
    report(outcome, {"seed": seed, "minutes": round((time.monotonic() - began) / 60, 1)})
    sys.exit(0 if outcome.is_good else 1)


def play(outcome: Outcome, n_kills: int, dice: random.Random) -> None:
    """Rounds until there were enough kills, and where there are enough for that, one in every stage."""
    with tempfile.TemporaryDirectory() as folder, running_service(HARVEST_SETTLE_SECONDS="2") as service:
        for season in range(MAX_ROUNDS):
            plot = Field(Path(folder) / str(season), f"chaos{season}", seed=season)
            n_left = n_kills - len(outcome.kills)
            play_round(service, plot, Killer(service, dice, n_left, outcome.missed_stages), outcome)
            if len(outcome.kills) >= n_kills or outcome.lost or outcome.problems:
                break
        wait_for(lambda: not service.flow_run_processes(), "flow runs")  # the report comes after a date's record
        outcome.problems += verify_store(Store(service.store)).problems
    if n_kills >= len(STAGES) and outcome.missed_stages:
        outcome.problems.append(f"no flow run was killed in {', '.join(sorted(outcome.missed_stages))}")


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
    outcome.kills += killer.kills
    if error := killing.exception():
        traceback.print_exception(error)
        outcome.problems.append(f"{plot.name}: who kills has failed: {error!r}")
    expected, found = tables(plot.in_place, plot.name), tables(service.store, plot.name)
    outcome.n_tables += len(expected)
    outcome.differing_tables += sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    outcome.repeated += made_twice(service, plot.name)


def made_twice(service: Service, campaign: str) -> list[str]:
    """Artefacts that two task runs made to their end: the second should have been `Cached`."""
    wanted = TaskRunFilter(state=TaskRunFilterState(name=TaskRunFilterStateName(any_=["Completed"])))
    found: list[TaskRun] = []
    with service.client() as client:
        while page := client.read_task_runs(task_run_filter=wanted, limit=PAGE, offset=len(found)):
            found += page
    made: Counter[str] = Counter()
    for run in found:
        record = run.state.data if run.state else None
        if isinstance(record, ResultRecordMetadata) and campaign in run.name.split():
            made[f"{run.name}: {record.storage_key}"] += 1
    print(f"{made.total()} tasks made an artefact of {campaign}")
    return sorted(name for name, n in made.items() if n > 1)


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
    killer.step = "campaign"
    insist(lambda: service.run("analyse-campaign", params=params))
    wait_for(lambda: find_record(store, plot.name) is not None, "campaign")
    fit = fit_digest(read_record(store, plot.name).artifacts)
    insist(lambda: service.command("python", "-m", "deployments.watch", plot.name, "--minutes", "1"))
    for day in NEW:
        killer.step = str(day)
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
        "repeated": len(outcome.repeated),
        "problems": len(outcome.problems),
        "tables": outcome.n_tables,
        "by_victim": dict(Counter(kill.victim for kill in outcome.kills).most_common()),
        "by_stage": {stage: sum(kill.stage == stage for kill in outcome.kills) for stage in STAGES},
        **more,
    }
    complaints = [*outcome.lost, *outcome.differing_tables, *outcome.repeated, *outcome.problems]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(
        json.dumps({**said, "complaints": complaints, "each_kill": [asdict(kill) for kill in outcome.kills]}, indent=1)
    )
    print(json.dumps(said, indent=1), *complaints, sep="\n")


if __name__ == "__main__":
    main()
