"""Who kills what for `make chaos`: once in every stage of the chain, and else at random moments."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from flows.running.restarts import MAX_RUNS
from tests.support.service import PROGRAMS, Service

PAUSE_SECONDS = (3.0, 30.0)  # a flow's process needs ten to begin
LOOK_SECONDS = 0.03  # stages may take no longer than some tenths of a second
EVERYTHING, FLOW_RUN = "everything", "flow run"
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
# A flow run that began too often is given up, as it should be; so many deaths of each in a round leave some to spare.
MOST_DEATHS = MAX_RUNS - 3


@dataclass(frozen=True)
class Kill:
    """What was killed, in which step of the chain, and which stage was under way or the last to be."""

    victim: str
    step: str
    stage: str
    is_aimed: bool
    after_seconds: float


@dataclass
class Killer:
    """Kills something alive, again and again, until it is stopped or has killed enough.

    Parameters
    ----------
    missing : stages in which no flow run was killed yet; kills are kept back for them.
    """

    service: Service
    dice: random.Random
    n_wanted: int
    missing: set[str]
    kills: list[Kill] = field(default_factory=list)
    step: str = ""
    stage: str = ""
    stopped: Event = field(default_factory=Event)
    deaths: Counter[str] = field(default_factory=Counter)
    seen: set[Path] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Until `stopped` is set, or it is enough."""
        left = {draft for kinds in STAGES.values() for draft in drafts_of(self.service.store, kinds)}
        self.seen |= left  # by those who were killed in earlier rounds
        while len(self.kills) < self.n_wanted and not self.stopped.is_set():
            is_aimed = self.watch(self.dice.uniform(*PAUSE_SECONDS))
            victims = self.flow_runs(FLOWS[self.stage]) if is_aimed else self.victims()
            is_spare = self.n_wanted - len(self.kills) > len(self.missing)
            if victims and not self.stopped.is_set() and (is_aimed or is_spare):
                self.strike(victims, is_aimed)

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

    def strike(self, victims: dict[str, list[int]], is_aimed: bool) -> None:
        """Kill one of them."""
        names = sorted(victims)
        # Flow runs are what can lose work, and are alive only some of the time.
        (name,) = self.dice.choices(names, [3 if name.startswith(FLOW_RUN) else 1 for name in names])
        dying = list(self.service.flow_run_processes()) if name == EVERYTHING else [name.removeprefix(f"{FLOW_RUN} ")]
        for pid in victims[name]:
            end(pid)
        self.deaths.update(dying)
        if is_aimed:
            self.missing.discard(self.stage)
        self.kills.append(Kill(name, self.step, self.stage, is_aimed, round(time.monotonic() - self.began, 1)))
        print(f"{self.kills[-1].after_seconds:7.1f} s  {self.step:12} {self.stage:8} kill {name}", flush=True)
        if name == EVERYTHING:
            self.service.process = None
            self.service.start()

    def victims(self) -> dict[str, list[int]]:
        """Processes of what is alive and matters to the tables."""
        found = self.flow_runs(self.service.flow_run_processes())
        if all(self.deaths[flow] < MOST_DEATHS for flow in (*FITTING, *OTHERS)):
            found[EVERYTHING] = self.service.pids()
        for program in PROGRAMS:
            if program != "reports":
                found[program] = [self.service.status(program)["pid"]]
        return {name: [pid for pid in pids if pid] for name, pids in found.items() if any(pids)}

    def flow_runs(self, names: Iterable[str]) -> dict[str, list[int]]:
        """Processes of flows that did not die too often."""
        alive = self.service.flow_run_processes()
        return {
            f"{FLOW_RUN} {name}": alive[name] for name in names if name in alive and self.deaths[name] < MOST_DEATHS
        }


def drafts_of(store: Path, kinds: Iterable[str]) -> Iterable[Path]:
    """What is being written of some kinds of artefacts, or was when a process was killed."""
    for kind in kinds:
        yield from (store / "artifacts" / kind).glob(".tmp-*")
        yield from (store / "work").glob(f"{kind}-*")


def end(pid: int) -> None:
    """Kill a process, unless it has ended by itself."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
