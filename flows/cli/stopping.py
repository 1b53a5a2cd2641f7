"""Stop a command within seconds after Ctrl-C or SIGTERM, whatever its threads are computing.

Every artefact appears whole or not at all, so a run may end at any moment, and the next one continues. A thread of its
own does it: Python's signal handlers wait until the main thread returns from a call such as a matrix product, and
Prefect replaces them while a flow runs.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
CHILD_SECONDS = 3  # time that child processes have to end by themselves
FIRST = threading.Lock()  # taken by the first thread that ends the process
SAID = "stopped; run the same command again to go on"


@contextmanager
def stopping_at_once(as_json: bool) -> Generator[None]:
    """Let Ctrl-C and SIGTERM end the process, with the exit codes 130 and 143, while the block runs.

    Outside the main thread, where Python allows no signal handlers, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    handlers = {one: signal.getsignal(one) for one in STOP_SIGNALS}
    for one in STOP_SIGNALS:
        signal.signal(one, lambda *_: None)  # a handler of Python's must be there for the signal to reach the pipe
    before = signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(receiving, as_json), daemon=True, name="stopping").start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        for one, handler in handlers.items():
            signal.signal(one, handler)
        os.close(sending)  # ends the thread


def _watch(receiving: int, as_json: bool) -> None:
    """Wait for the first signal, then end the process; a second signal ends it at once."""
    try:
        while number := os.read(receiving, 1):
            if number[0] in STOP_SIGNALS:
                code = 128 + number[0]
                threading.Thread(target=_end_at_second, args=(receiving, code), daemon=True).start()
                end_now(code, "stopped", SAID, as_json)
    finally:
        os.close(receiving)


def _end_at_second(receiving: int, code: int) -> None:
    while number := os.read(receiving, 1):
        if number[0] in STOP_SIGNALS:
            end_children(seconds=0)
            os._exit(code)


def end_now(code: int, kind: str, said: str, as_json: bool) -> None:
    """Say why the command ends, end its children, and end the process, from any thread; the first call counts."""
    if not FIRST.acquire(blocking=False):
        return
    if as_json:
        message = said.removeprefix("error: ")
        _write(1, json.dumps({"error": {"kind": kind, "message": message, "exit_code": code}}) + "\n")
    _write(2, ("\r\x1b[K" if sys.stderr.isatty() else "") + said + "\n")
    # From now on nothing is printed: threads that are cut off would show tracebacks.
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    end_children()
    os._exit(code)


def _write(to: int, text: str) -> None:
    with suppress(OSError):  # the terminal or the pipe may be gone
        os.write(to, text.encode())


def end_children(seconds: float = CHILD_SECONDS) -> None:
    """End all processes that this one has started, such as its Prefect server and Dask's workers.

    Parameters
    ----------
    seconds : time that they have to end by themselves before they are killed.
    """
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=seconds)
    for child in alive:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(alive, timeout=1)
