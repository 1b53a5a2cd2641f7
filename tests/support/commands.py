"""Real `harvest run` commands with a Prefect server of their own, on a terminal or not."""

import fcntl
import os
import pty
import signal
import subprocess
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.campaigns import DATES, HARVEST

CAMPAIGN = f"""
dates = ["{DATES[0]}", "{DATES[1]}"]
[source]
kind = "synthetic"
[source.season]
dates = ["{DATES[0]}", "{DATES[1]}"]
n_plots = 2
rows = 3
plants_per_row = 10
image_size = 64
[ingest]
image_size = 64
[augment]
copies = [2]
[train]
epochs = 5
[explain]
methods = {{methods}}
[cluster]
n_clusters = 3
"""


@dataclass
class Running:
    """A command that runs on a terminal or not, with a Prefect server of its own."""

    process: subprocess.Popen[bytes]
    output: int  # what it prints, of both streams
    terminal: int | None
    said: bytes = b""

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: signal.Signals) -> None:
        """Press Ctrl-C on the terminal, or send a signal."""
        if self.terminal is not None and number == signal.SIGINT:
            os.write(self.terminal, b"\x03")
        else:
            self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was printed."""
        while self._read():
            pass
        os.close(self.output)
        return self.process.wait(60), self.said.decode()

    def wait_for_line(self, begin: str) -> None:
        """Wait until a line with this begin was printed, such as that of a stage: `field: train`."""
        while begin.encode() not in self.said:
            assert self._read(), self.said.decode()

    def _read(self) -> bool:
        try:
            part = os.read(self.output, 65536)
        except OSError:  # how a terminal says that nobody writes to it any more
            return False
        self.said += part
        return bool(part)


def start(
    folder: Path, methods: tuple[str, ...] = ("gradcam",), on_terminal: bool = False, home: Path | None = None
) -> Running:
    """Start `harvest run` of a small campaign, its store `folder/store`, and its Prefect home in `folder` or `home`."""
    (folder / "field.toml").write_text(CAMPAIGN.format(methods=list(methods)))
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    reading, writing = pty.openpty() if on_terminal else os.pipe()

    def take_terminal() -> None:
        fcntl.ioctl(writing, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [HARVEST, "run", folder / "field.toml", "--store", folder / "store"],
        env={**outside, "PREFECT_HOME": str(home or folder / "home"), "TERM": "xterm"},
        stdin=writing if on_terminal else subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        start_new_session=True,
        preexec_fn=take_terminal if on_terminal else None,
    )
    os.close(writing)
    return Running(process, reading, reading if on_terminal else None)


def wait_for_file(running: Running, folder: Path, pattern: str) -> None:
    """Wait until the command has written a file with a name of this pattern into its store."""
    deadline = time.monotonic() + 300
    while not list((folder / "store").glob(pattern)):
        assert running.process.poll() is None, running.end()
        assert time.monotonic() < deadline, f"nothing was written to {pattern}"
        time.sleep(0.002)
