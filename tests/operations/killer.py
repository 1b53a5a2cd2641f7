"""What fails in `make chaos`: processes are killed, the power is lost, and shares are away."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock

from flows.running.restarts import MAX_RUNS
from tests.support.disk_log import LoggedDisk
from tests.support.process_trees import kill_trees
from tests.support.service import PROGRAMS, Service
from tests.support.shares import unmounted

PAUSE_SECONDS = (3.0, 25.0)  # a flow's process needs ten to begin
AWAY_SECONDS = (5.0, 40.0)
LOOK_SECONDS = 0.03  # stages may take no longer than some tenths of a second
FLOW, PROGRAM, EVERYTHING, POWER, STORE, SOURCE = (
    "a flow run's process tree",
    "a program of the service",
    "everything",
    "everything, and what was not synced",
    "the store's share",
    "the source's share",
)
# Of so many random faults in a row each kind has its number; the order is drawn. Flow runs are what can lose work.
DECK = {FLOW: 3, PROGRAM: 3, EVERYTHING: 1, POWER: 2, STORE: 1, SOURCE: 1}
# Kinds of the artefacts that a stage makes: what is being written shows which stage is under way.
STAGES = {
    "ingest": ("images",),
    "augment": ("augmentation",),
    "train": ("classifier",),
    "predict": ("predictions",),
    "explain": ("saliency", "saliency_shard"),
    "cluster": ("clusters",),
    "score": ("scores", "reliability"),
    "adjust": ("adjusted",),
    "report": ("report",),
}
FITTING, OTHERS = ("fit-and-explain",), ("analyse-campaign", "score-acquisition")
FLOWS = dict.fromkeys(STAGES, OTHERS) | dict.fromkeys(("train", "predict", "explain"), FITTING)
# A flow run that began too often is given up, as it should be; so many deaths in a step leave some to spare.
MOST_DEATHS = MAX_RUNS - 4
CAMPAIGN, REVIEW = "campaign", "review"  # steps of the chain; the others are dates
MOST_RANDOM = {CAMPAIGN: 6, REVIEW: 2}  # random faults in a step, so that every step has some
MOST_ON_A_DATE = 4


@dataclass(frozen=True)
class Fault:
    """What failed, in which step of the chain, and which stage was under way or the last to be."""

    kind: str
    victim: str
    step: str
    stage: str
    is_aimed: bool
    after_seconds: float


@dataclass
class Killer:
    """Lets something fail, again and again, until it is stopped or has done enough.

    Parameters
    ----------
    disk : disk of the store; None where a loss of power cannot be played.
    source : folder of the images.
    missing : stages in which no flow run was killed yet; faults are kept back for them.
    """

    service: Service
    disk: LoggedDisk | None
    source: Path
    dice: random.Random
    n_wanted: int
    missing: set[str]
    faults: list[Fault] = field(default_factory=list)
    step: str = CAMPAIGN
    stage: str = ""
    stopped: Event = field(default_factory=Event)
    sharing: Lock = field(default_factory=Lock)  # held while a share is away, and by whoever writes into one
    deaths: Counter[tuple[str, str]] = field(default_factory=Counter)
    seen: set[Path] = field(default_factory=set)
    deck: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def n_left(self) -> int:
        """Faults that are still wanted."""
        return self.n_wanted - len(self.faults)

    @property
    def is_spare(self) -> bool:
        """Whether more faults are wanted than are kept back for stages."""
        return self.n_left > len(self.missing)

    @property
    def is_step_over(self) -> bool:
        """Whether there were enough random faults in this step."""
        n = sum(fault.step == self.step and not fault.is_aimed for fault in self.faults)
        return not self.is_spare or n >= MOST_RANDOM.get(self.step, MOST_ON_A_DATE)

    def run(self) -> None:
        """Until `stopped` is set, or it is enough."""
        left = {draft for kinds in STAGES.values() for draft in drafts_of(self.service.store, kinds)}
        self.seen |= left  # by those who were killed in earlier rounds
        while self.n_left > 0 and not self.stopped.is_set():
            is_aimed = self.watch(self.dice.uniform(*PAUSE_SECONDS))
            if self.stopped.is_set():
                return
            if is_aimed:
                self.kill_flow(FLOWS[self.stage], is_aimed)
            elif not self.is_step_over:
                self.draw()

    def watch(self, seconds: float) -> bool:
        """Look what stages are under way; stops at one in which nothing was killed yet, and tells whether it did."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.stopped.wait(LOOK_SECONDS):
            for stage, kinds in STAGES.items():
                if drafts := set(drafts_of(self.service.store, kinds)) - self.seen:
                    self.seen |= drafts
                    self.stage = stage
                    if stage in self.missing:
                        return True
        return False

    def draw(self) -> None:
        """Let something of the next kind fail that can fail now; what cannot stays in the deck."""
        fails: dict[str, Callable[[], bool]] = {
            FLOW: lambda: self.kill_flow((*FITTING, *OTHERS)),
            PROGRAM: self.kill_program,
            EVERYTHING: self.kill_everything,
            POWER: self.lose_power,
            STORE: lambda: self.take_away(STORE, self.service.store),
            SOURCE: lambda: self.take_away(SOURCE, self.source),
        }
        kind = next((kind for kind in self.deck if fails[kind]()), None)
        if kind is not None:
            self.deck.remove(kind)
        else:
            more = [kind for kind, n in DECK.items() for _ in range(n)]
            self.dice.shuffle(more)
            self.deck += more

    def kill_flow(self, names: Iterable[str], is_aimed: bool = False) -> bool:
        """Kill all runs of a flow that is alive and did not die too often, each with all that it started."""
        alive = self.service.flow_run_processes()
        found = sorted(name for name in names if name in alive and self.deaths[name, self.run_of_step] < MOST_DEATHS)
        if not found:
            return False
        name = self.dice.choice(found)
        n_processes = kill_trees(alive[name])
        self.died([name])
        if is_aimed:
            self.missing.discard(self.stage)
        self.note(FLOW, f"{name}, {n_processes} processes", is_aimed)
        return True

    def kill_program(self) -> bool:
        """Kill a program's own process; what it started lives on."""
        pids = {name: self.service.status(name)["pid"] for name in PROGRAMS if name != "reports"}
        name = self.dice.choice([name for name, pid in pids.items() if pid])  # others are being started again
        with suppress(ProcessLookupError):
            os.kill(pids[name], signal.SIGKILL)
        self.note(PROGRAM, name)
        return True

    def kill_everything(self) -> bool:
        """Kill all processes of the service, and start it again."""
        return self.all_may_die and self.start_after(EVERYTHING)

    def lose_power(self) -> bool:
        """Kill all processes of the service, take away what was not synced, and start it again."""
        return self.disk is not None and self.all_may_die and self.start_after(POWER)

    def start_after(self, kind: str) -> bool:
        """Kill all processes, and start the service from what the disk has then."""
        alive = list(self.service.flow_run_processes())
        self.service.kill_everything()
        self.died(alive)
        lost = ""
        if kind == POWER and self.disk is not None:
            before = (self.disk.n_cut, self.disk.n_names)
            self.disk.lose_power()
            lost = f", {self.disk.n_cut - before[0]} files cut off, {self.disk.n_names - before[1]} names lost or back"
        self.note(kind, f"{len(alive)} flows{lost}")
        self.service.start(seconds=900)  # of a machine that does other things too
        return True

    def take_away(self, kind: str, folder: Path) -> bool:
        """Let a share be away for a while; no run that waits for an answer reads images."""
        if not folder.exists() or (kind, self.step) == (SOURCE, REVIEW):
            return False
        seconds = self.dice.uniform(*AWAY_SECONDS)
        with self.sharing, unmounted(folder):
            self.note(kind, f"{seconds:.0f} s")
            self.stopped.wait(seconds)
        return True

    @property
    def run_of_step(self) -> str:
        """Step in which the flow runs that are alive began: the campaign's waits for an answer."""
        return CAMPAIGN if self.step == REVIEW else self.step

    @property
    def all_may_die(self) -> bool:
        """Whether no flow that is alive died too often in this step."""
        alive = self.service.flow_run_processes()
        return all(self.deaths[name, self.run_of_step] < MOST_DEATHS for name in alive)

    def died(self, names: Iterable[str]) -> None:
        """Count the deaths of flows in this step."""
        self.deaths.update((name, self.run_of_step) for name in names)

    def note(self, kind: str, victim: str, is_aimed: bool = False) -> None:
        """Keep what failed, and say it."""
        fault = Fault(kind, victim, self.step, self.stage, is_aimed, round(time.monotonic() - self.began, 1))
        self.faults.append(fault)
        print(f"{fault.after_seconds:7.1f} s  {self.step:10} {self.stage:8} {kind}: {victim}", flush=True)


def drafts_of(store: Path, kinds: Iterable[str]) -> Iterable[Path]:
    """What is being written of some kinds of artefacts, or was when a process was killed."""
    for kind in kinds:
        yield from (store / "artifacts" / kind).glob(".tmp-*")
        yield from (store / "work").glob(f"{kind}-*")
