"""Tiers of tests: which tests are slow, what a run leaves out, and how processes share the rest."""

from collections import Counter
from collections.abc import Generator, Iterable

import pytest
import torch
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

# A busy machine is no fault of what is tested. `make nightly` tries each property on more examples.
ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", ANY_MACHINE, max_examples=20)
settings.register_profile("thorough", ANY_MACHINE, max_examples=300)
settings.load_profile("quick")

SERVICE, SEASONS = "tests/operations/", "tests/integration/seasons/"
EMBEDDED = ("tests/integration/", "tests/campaign/")
SLOW_FOLDERS = (SERVICE, "tests/integration/", "tests/browser/")
SLOW_FIXTURES = {"object_server"}
COMMANDS = {"quick": "make test", "slow": "make test-slow", "nightly": "make nightly"}
LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test of a slow folder or with a slow fixture; a few other tests are marked where they stand."""
    if item.nodeid.startswith(SLOW_FOLDERS) or SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
        item.add_marker("slow")


def tier(item: pytest.Item) -> str:
    """Name of the tier that a test belongs to; a test with both marks is a nightly one."""
    return next((name for name in ("nightly", "slow") if item.get_closest_marker(name)), "quick")


def pytest_deselected(items: Iterable[pytest.Item]) -> None:
    """Count the tests of each tier that this run leaves out."""
    for item in items:
        item.config.stash.setdefault(LEFT_OUT, Counter())[tier(item)] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the counts from a process of xdist to the process that prints the summary."""
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = dict(session.config.stash.get(LEFT_OUT, Counter()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Take the counts of a process of xdist: all of them collect the whole suite."""
    if counts := getattr(node, "workeroutput", {}).get("left_out"):
        node.config.stash[LEFT_OUT] = Counter(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was left out, and the command that runs it."""
    left_out = config.stash.get(LEFT_OUT, Counter())
    if left_out and not config.getoption("keyword"):
        terminalreporter.section("left out")
        for name, command in COMMANDS.items():
            if n := left_out[name]:
                terminalreporter.write_line(f"{n} {name} tests: `{command}`")


class FilesTogether(LoadFileScheduling):
    """Hands out tests to processes by file, and those of two folders by folder.

    Tests of a file share fixtures, those of the service share one server, those of new dates one fitted campaign. The
    service is handed out first: it takes longest, and mostly waits while the other process computes.
    """

    def _split_scope(self, nodeid: str) -> str:
        together = (folder for folder in (SERVICE, SEASONS) if nodeid.startswith(folder))
        return next(together, super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesTogether:
    """Give xdist the scheduler above; its groups cannot be used, as pytest 9.2 fixes the ids of tests."""
    return FilesTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of the service first, and tests with a Prefect server of their own last.

    That server leaves threads in the process. They draw random numbers, which Hypothesis takes for a fault of the
    test that it runs.
    """
    items.sort(key=lambda item: (not item.nodeid.startswith(SERVICE), item.nodeid.startswith(EMBEDDED)))


@pytest.fixture(scope="module")
def one_thread() -> Generator[None]:
    """Compute on one thread: small networks are faster so, and every process then sums in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
