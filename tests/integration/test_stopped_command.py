"""Ctrl-C and SIGTERM in every stage of `harvest run`: it ends within seconds, and the same command goes on."""

import logging
import signal
import time
from pathlib import Path

import pytest

from flows.cli.stopping import SAID
from storage.artifacts import Store
from storage.verify import verify_store
from tests.support.campaigns import contents
from tests.support.commands import start, wait_for_file

LOG = logging.getLogger(__name__)
LIMIT = 5  # longest time from the signal to the end, seconds; it has been below 1 on two cores


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which all commands run, one after the other."""
    return tmp_path_factory.mktemp("stopped")


# Where the command is stopped: saliency method, how far it must be, and the signal. A path is that of a file in the
# store; such a command runs on a terminal, which shows a bar. Others print a line for each stage.
STAGES = {
    "server start": ("gradcam", "", signal.SIGINT),
    "ingest": ("gradcam", "field: ingest", signal.SIGTERM),
    "train": ("gradcam", "work/classifier-*/*", signal.SIGINT),
    "gradcam": ("gradcam", "field: explain", signal.SIGINT),
    "occlusion": ("occlusion", "field: explain", signal.SIGTERM),
    "lime": ("lime", "field: explain", signal.SIGINT),
    "cluster": ("gradcam", "field: fit clusters", signal.SIGTERM),
    "report": ("gradcam", "field: write report", signal.SIGINT),
}
SLOW = {"train"}  # the others are nightly


@pytest.mark.parametrize(
    "stage", [stage if stage in SLOW else pytest.param(stage, marks=pytest.mark.nightly) for stage in STAGES]
)
def test_it_stops_within_seconds_and_leaves_nothing_behind(stage: str, folder: Path) -> None:
    method, mark, number = STAGES[stage]
    running = start(folder, (method,), on_terminal="/" in mark or not mark)
    if "/" in mark:
        wait_for_file(running, folder, mark)
    elif mark:
        running.wait_for_line(mark)
    time.sleep(0.3 if mark else 1.5)
    children = running.children()
    begun = time.monotonic()
    running.stop(number)
    code, said = running.end()
    took = time.monotonic() - begun
    LOG.info("%s: stopped after %.2f s", stage, took)  # shown with --log-cli-level=INFO
    assert code == 128 + number and SAID in said and "Traceback" not in said, said
    assert took < LIMIT
    assert children and not any(child.is_running() for child in children)
    if (folder / "store").exists():
        assert verify_store(Store(folder / "store")).problems == []


@pytest.mark.nightly  # `test_faults.py` compares the tables of a run that was killed
def test_the_same_command_goes_on_to_equal_tables(folder: Path, tmp_path: Path) -> None:
    for place in (folder, tmp_path):
        code, said = start(place).end()
        assert code == 0, said
    assert contents(folder / "store/tables") == contents(tmp_path / "store/tables")
    assert verify_store(Store(folder / "store")).problems == []


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """The server hangs, so that the first Ctrl-C waits for it."""
    running = start(tmp_path, on_terminal=True)
    wait_for_file(running, tmp_path, "artifacts/images/.tmp-*")
    children = running.children()
    for child in children:
        child.suspend()
    begun = time.monotonic()
    running.stop(signal.SIGINT)
    time.sleep(0.3)
    running.stop(signal.SIGINT)
    code, said = running.end()
    assert time.monotonic() - begun < 2  # the server has 3 seconds after the first
    assert code == 130 and said.count(SAID) == 1
    assert children and not any(child.is_running() for child in children)
