"""Tests that Ctrl-C and SIGTERM end a process within seconds, whatever it computes, and its children with it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.cli.stopping import SAID
from tests.support.repository import ROOT

PROGRAM = """
import subprocess, sys, threading, time
from flows.cli.stopping import stopping_at_once
how, stubborn, as_json = sys.argv[1], sys.argv[2] == "stubborn", sys.argv[3] == "json"
ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " if stubborn else ""
with stopping_at_once(as_json):
    child = subprocess.Popen([sys.executable, "-c", ignore + "import time; print(1, flush=True); time.sleep(600)"],
                             stdout=subprocess.PIPE)
    child.stdout.readline()
    print(child.pid, flush=True)
    if how == "python":  # as a flow computes
        while True:
            pass
    if how == "waiting":  # as the main thread waits for tasks, which compute in threads
        import hashlib
        threading.Thread(target=lambda: hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10**9)).start()
        threading.Event().wait()
    if how == "replaced":  # as Prefect replaces the handlers while a flow runs
        import signal
        signal.signal(signal.SIGTERM, lambda *_: None)
        time.sleep(600)
    if how == "call":  # a call that Python's handlers wait for: it does not return, and holds no lock
        import ctypes
        while True:
            ctypes.CDLL(None).sleep(100)
"""


def stop(
    how: str, number: signal.Signals, child: str = "obedient", as_json: str = "text"
) -> tuple[int, str, str, float]:
    """Start the program, send it a signal, and return exit code, both outputs and the time that it took to end."""
    command = [sys.executable, "-c", PROGRAM, how, child, as_json]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        time.sleep(0.2)
        begun = time.monotonic()
        process.send_signal(number)
        out, error = process.communicate(timeout=30)
        took = time.monotonic() - begun
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return process.returncode, out, error, took


@pytest.mark.parametrize("how", ["python", "waiting", "replaced", "call"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_line_and_the_exit_code(how: str, number: signal.Signals, code: int) -> None:
    ended, out, error, took = stop(how, number)
    assert (ended, out, error) == (code, "", f"{SAID}\n") and took < 5


@pytest.mark.slow
def test_a_child_that_does_not_obey_is_killed() -> None:
    ended, _, _, took = stop("waiting", signal.SIGINT, "stubborn")
    assert ended == 130 and took < 8


def test_json() -> None:
    _, out, _, _ = stop("waiting", signal.SIGTERM, as_json="json")
    assert json.loads(out)["error"] == {"kind": "stopped", "message": SAID, "exit_code": 143}


def test_the_handlers_are_restored(tmp_path: Path) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    from flows.cli.stopping import stopping_at_once

    with stopping_at_once(as_json=False):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
