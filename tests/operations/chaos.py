"""`make chaos`: let everything fail that can, and see whether anything is lost, other, or done again.

A field's campaign is analysed, a person reviews its clusters, and two of its dates are announced, on the whole service:
PostgreSQL, server, workers. All the while something fails: a flow run is killed with all that it started, once in every
stage; programs and everything are killed; what was not synced is lost with the power; the store or the images are away.
Then the tables must be those of an undisturbed run, byte for byte, and no artefact may have been made twice. Rounds go
on, each with another season, until there were enough faults. Prints what failed, and writes build/chaos.json.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterState, TaskRunFilterStateName
from prefect.client.schemas.objects import TaskRun
from prefect.results import ResultRecordMetadata  # pyright: ignore[reportPrivateImportUsage]

from storage.artifacts import Store
from storage.records.results import read_references
from storage.verify import verify_store
from tests.operations.chain import PAGE, Chain, differing, run_undisturbed
from tests.operations.killer import DECK, REVIEW, STAGES, Fault, Killer
from tests.support.disk_log import LoggedDisk, compiled
from tests.support.field import Field
from tests.support.service import Service, running_service

RESULT = Path("build/chaos.json")
MAX_ROUNDS = 6  # where a stage is too quick to be met
ENOUGH_TO_AIM = 2 * len(STAGES)  # with fewer faults all are random


@dataclass
class Outcome:
    """What rounds of faults came to."""

    faults: list[Fault] = field(default_factory=list)
    missed_stages: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    differing_tables: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    asked_again: list[str] = field(default_factory=list)
    n_tables: int = 0

    @property
    def is_good(self) -> bool:
        """Whether nothing is lost, other, damaged or done again."""
        return not (self.lost or self.differing_tables or self.repeated or self.problems)


def main() -> None:
    """Rounds until there were enough faults; exit code 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="number of faults (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the faults (default: another each time)")
    wanted = parser.parse_args()
    seed = random.SystemRandom().randrange(2**16) if wanted.seed is None else wanted.seed
    outcome, began = Outcome(), time.monotonic()
    try:
        play(outcome, wanted.kills, random.Random(seed))
    except Exception as error:  # whatever it is: what failed until then is told all the same
        traceback.print_exc()
        outcome.problems.append(f"not played to its end: {error!r}")
    report(outcome, {"seed": seed, "minutes": round((time.monotonic() - began) / 60, 1)})
    sys.exit(0 if outcome.is_good else 1)


def play(outcome: Outcome, n_faults: int, dice: random.Random) -> None:
    """Rounds until there were enough faults, and where there are enough for that, one in every stage."""
    outcome.missed_stages = set(STAGES) if n_faults >= ENOUGH_TO_AIM else set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the service is another user
        library = compiled(folder)
        watched = {"LD_PRELOAD": str(library)} if library else {}
        if library is None:
            print("no C compiler (cc): no loss of power is played, everything is only killed")
        with running_service(HARVEST_SETTLE_SECONDS="2", **watched) as service:
            disk = LoggedDisk(service.home, dice) if library else None
            for season in range(MAX_ROUNDS):
                plot = Field(folder / str(season), f"chaos{season}", seed=season)
                n_left = n_faults - len(outcome.faults)
                play_round(plot, Killer(service, disk, plot.root, dice, n_left, outcome.missed_stages), outcome)
                if len(outcome.faults) >= n_faults or outcome.lost or outcome.problems:
                    break
            outcome.problems += verify_store(Store(service.store)).problems
    if outcome.missed_stages:
        outcome.problems.append(f"no flow run was killed in {', '.join(sorted(outcome.missed_stages))}")


def play_round(plot: Field, killer: Killer, outcome: Outcome) -> None:
    """One season: undisturbed without a server, then on the service, while things fail."""
    run_undisturbed(plot)
    chain = Chain(killer.service, plot, killer)
    with ThreadPoolExecutor(1) as thread:
        killing = thread.submit(killer.run)
        try:
            chain.run()
        except TimeoutError as error:
            outcome.lost.append(f"{plot.name}: {error}")
        finally:
            killer.stopped.set()
    outcome.faults += killer.faults
    outcome.problems += chain.problems
    outcome.asked_again += chain.asked_again
    if error := killing.exception():
        traceback.print_exception(error)
        outcome.problems.append(f"{plot.name}: what lets things fail has failed: {error!r}")
    n_tables, others = differing(plot, killer.service)
    outcome.n_tables += n_tables
    outcome.differing_tables += others
    outcome.repeated += made_twice(killer.service, plot.name)


def made_twice(service: Service, campaign: str) -> list[str]:
    """Artefacts that were made after a task run had made them to its end.

    A run that is killed between its last state and its cached result is run again. It finds the artefact and ends at
    once, so the time at which the artefact was made tells.
    """
    wanted = TaskRunFilter(state=TaskRunFilterState(name=TaskRunFilterStateName(any_=["Completed"])))
    found: list[TaskRun] = []
    with service.client() as client:
        while page := client.read_task_runs(task_run_filter=wanted, limit=PAGE, offset=len(found)):
            found += page
    ends: dict[str, list[datetime]] = {}
    for run in found:
        record = run.state.data if run.state else None
        if isinstance(record, ResultRecordMetadata) and campaign in run.name.split() and run.end_time:
            ends.setdefault(str(record.storage_key), []).append(run.end_time)
    again = {key: times for key, times in ends.items() if len(times) > 1}
    print(f"{sum(map(len, ends.values()))} tasks ended with an artefact of {campaign}, {len(again)} of them twice")
    store = Store(service.store)
    return sorted(key for key, times in again.items() if last_made(store, key) > min(times))


def last_made(store: Store, key: str) -> datetime:
    """When the artefacts of a cached result were made."""
    found = read_references(store, key)
    refs = found if isinstance(found, list) else [found]
    return max(datetime.fromisoformat(store.open(ref).manifest.created) for ref in refs)


def report(outcome: Outcome, more: dict[str, Any]) -> None:
    """Print the counts, and write them down."""
    kinds = Counter(fault.kind for fault in outcome.faults)
    said = {
        "faults": len(outcome.faults),
        "lost": len(outcome.lost),
        "differing_tables": len(outcome.differing_tables),
        "repeated": len(outcome.repeated),
        "problems": len(outcome.problems),
        "tables": outcome.n_tables,
        "started_again_by_hand": len(outcome.asked_again),
        "by_kind": {kind: kinds[kind] for kind in DECK},
        "by_stage": {stage: sum(fault.stage == stage for fault in outcome.faults) for stage in STAGES},
        "while_a_run_waits_for_an_answer": sum(fault.step == REVIEW for fault in outcome.faults),
        **more,
    }
    complaints = [*outcome.lost, *outcome.differing_tables, *outcome.repeated, *outcome.problems]
    each = {
        "complaints": complaints,
        "by_hand": outcome.asked_again,
        "each_fault": [asdict(fault) for fault in outcome.faults],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({**said, **each}, indent=1))
    print(json.dumps(said, indent=1), *complaints, sep="\n")


if __name__ == "__main__":
    main()
