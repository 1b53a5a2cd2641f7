"""Measure what a campaign spends outside its numbers: CPU seconds by stage and by kind of work.

Every few milliseconds the CPU time that each thread has taken since is added to what its innermost known frame does:

- numbers: code of `tasks/` and what it calls, with decoding and drawing of images
- I/O: code of `storage/` and what it calls: checksums, Zarr, Parquet, exports
- imports: loading modules
- Prefect: its engine, client and events in this process; and its server, a process of its own

What the samples do not see are threads that end between two of them and threads that are not Python's.

Run it by `python -m tests.benchmarks.overhead`: `harvest demo` in a new folder, in three minutes on a core. `--plants
2000` measures a campaign on two dates of so many plants of 96 pixels instead, whose images are drawn before.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from unittest.mock import patch

import psutil
from rich.console import Console
from rich.table import Table

RESULT = Path("build/bench-overhead.json")
EVERY = 0.005  # seconds between samples
ROOT = Path(__file__).parents[2]
KINDS = ("numbers", "I/O", "imports", "Prefect", "other")
LOADING, ELSEWHERE = "loading modules", "between stages"
PREFECT = ("prefect", "httpx", "httpcore", "anyio", "websockets", "h11", "asyncio", "concurrent/futures")
Where = tuple[str, str]  # stage and kind


def place_of(frame: FrameType | None) -> Where:
    """Return the stage and the kind of work of a stack: a module that is loading, or its innermost known frame."""
    kind = stage = ""
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith("<frozen importlib"):
            return LOADING, "imports"
        own = path.removeprefix(f"{ROOT}/") if path.startswith(f"{ROOT}/") and "site-packages" not in path else ""
        kind = kind or _kind(path, own)
        if not stage and own.startswith("tasks/") and own.count("/") > 1:
            stage = own.split("/")[1]
        frame = frame.f_back
    return stage or ELSEWHERE, kind or "other"


def _kind(path: str, own: str) -> str:
    if own.startswith("storage/") or "/zarr/" in path:
        return "I/O"
    if own:
        return "numbers" if own.startswith("tasks/") and own != "tasks/stage.py" else "other"
    return "Prefect" if any(f"/{name}/" in path for name in PREFECT) else ""


class Sampler(threading.Thread):
    """Thread that notes what each other thread of this process spends CPU time on.

    Attributes
    ----------
    own : CPU seconds that the sampling itself has taken, which are no part of the campaign.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds: defaultdict[Where, float] = defaultdict(float)
        self.before: dict[int | None, float] = {threading.main_thread().ident: time.thread_time()}
        self.is_over = threading.Event()
        self.own = 0.0

    def run(self) -> None:
        """Sample until `is_over`."""
        while not self.is_over.wait(EVERY):
            for thread, frame in sys._current_frames().items():  # pyright: ignore[reportPrivateUsage]
                if thread != self.ident:
                    self._note(thread, frame)
        self.own = time.thread_time()

    def _note(self, thread: int, frame: FrameType) -> None:
        try:
            now = time.clock_gettime(time.pthread_getcpuclockid(thread))
        except OSError:  # the thread has ended meanwhile
            self.before.pop(thread, None)
            return
        earlier = self.before.get(thread, 0.0)
        spent = now - earlier if now >= earlier else now  # less: a new thread has the number of one that has ended
        self.before[thread] = now
        if spent > 0:
            self.seconds[place_of(frame)] += spent


def run_demo(folder: Path) -> None:
    """Run `harvest demo` in this process."""
    from flows.cli.main import app

    app(["demo", "--folder", str(folder), "--json"], prog_name="harvest", standalone_mode=False)


def prepare_plants(folder: Path, n_plants: int, epochs: int) -> Callable[[], None]:
    """Draw the images of a campaign in a process of its own, and return a function that runs the campaign."""
    program = (
        "import sys; from pathlib import Path; from tests.benchmarks.scale_field import Field, draw_field;"
        "draw_field(Field(Path(sys.argv[1]), 2 * int(sys.argv[2]), 2, 96))"
    )
    subprocess.run([sys.executable, "-c", program, folder, str(n_plants)], check=True)
    days = json.dumps(sorted(path.name for path in (folder / "field").iterdir() if path.is_dir()))
    (folder / "scale.toml").write_text(
        f'dates = {days}\n[source]\nkind = "folder"\nroot = "field"\nclasses = ["not_ready", "ready"]\n'
        "[ingest]\nimage_size = 96\n[augment]\ncopies = [8, 16]\n"
        f"[train]\nepochs = {epochs}\n[runtime]\nworkers = 1\n"
    )

    def run() -> None:
        from flows.cli.main import app

        asked = ["run", str(folder / "scale.toml"), "--store", str(folder / "store"), "--json"]
        app(asked, prog_name="harvest", standalone_mode=False)

    return run


def measure(run: Callable[[], None]) -> dict[Where, float]:
    """Run and return CPU seconds by stage and kind, those of the server among them."""
    sampler, begun = Sampler(), time.process_time()
    sampler.start()
    with patch("sys.stdout", tempfile.TemporaryFile("w+")):
        run()
    sampler.is_over.set()
    sampler.join()
    children = psutil.Process().children(recursive=True)
    server = sum(sum(one.cpu_times()[:2]) for one in children)
    missed = time.process_time() - begun - sampler.own - sum(sampler.seconds.values())
    return {**sampler.seconds, ("Prefect's server", "Prefect"): server, ("not seen", "other"): max(0.0, missed)}


def show(seconds: dict[Where, float]) -> None:
    """Print the table of stages and kinds, and the share outside the numbers."""
    total = sum(seconds.values())
    table = Table("stage", *KINDS, "all", title="CPU seconds")
    by_stage: defaultdict[str, float] = defaultdict(float)
    for (stage, _), spent in seconds.items():
        by_stage[stage] += spent
    rows = [
        (stage, [seconds.get((stage, kind), 0.0) for kind in KINDS])
        for stage in sorted(by_stage, key=by_stage.__getitem__, reverse=True)
    ]
    sums = [sum(values[k] for _, values in rows) for k in range(len(KINDS))]
    for stage, values in [*rows, ("all", sums), ("share, %", [100 * one / total for one in sums])]:
        table.add_row(stage, *(f"{one:.2f}" for one in values), f"{sum(values):.2f}")
    Console(width=110).print(table)
    Console().print(f"outside the numbers: {100 * (1 - sums[0] / total):.1f} % of {total:.1f} CPU seconds")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([{"stage": s, "kind": k, "seconds": v} for (s, k), v in seconds.items()], indent=1))


def main() -> None:
    """Measure the demonstration or a campaign, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plants", type=int, default=0, help="plants of a campaign to run in place of the demo")
    parser.add_argument("--epochs", type=int, default=1, help="epochs of its training; by default the least")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = prepare_plants(folder, asked.plants, asked.epochs) if asked.plants else lambda: run_demo(folder)
        show(measure(run))


if __name__ == "__main__":
    main()
