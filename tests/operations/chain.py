"""The chain that `make chaos` disturbs: a campaign, a person's review of its clusters, and announced dates.

It does what people and programs do around a service: they ask again while no answer comes, they answer the form, and
they start a run again that has ended as Failed. The last is counted, because the service should need nobody for it.
"""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import httpx
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from pyarrow import parquet

from flows.running.sending import is_over
from storage.artifacts import Store
from storage.errors import ArtifactError
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.records.campaigns import CampaignRecord, find_record
from tasks.adjust.params import ReviewParams
from tests.operations.killer import CAMPAIGN, OTHERS, REVIEW, Killer
from tests.support.field import NEW, Field, tables
from tests.support.service import Service

T = TypeVar("T")
STEP_SECONDS = 1200  # what takes longer is lost
# After so long a Failed run is started again by hand: automations, `sweep` and a schedule had their time by then.
PATIENCE = timedelta(seconds=150)
CHOICES = {1: "swap", 2: "abstain", 3: "keep"}
WHO = {"reviewer": "Ada Field", "reason": "a marker beside every plant"}
PAGE = 200


@dataclass
class Chain:
    """A field's campaign and its new dates on the service, while things fail.

    Attributes
    ----------
    asked_again : what was started again by hand.
    problems : what went wrong with the review.
    """

    service: Service
    plot: Field
    killer: Killer
    asked_again: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """Store of the service."""
        return Store(self.service.store)

    def run(self) -> None:
        """A campaign with a review, then an event for each new date, and a schedule for events that are lost.

        Raises
        ------
        TimeoutError : something did not come to its end.
        """
        fit = fit_digest(self.analyse().artifacts)
        insist(lambda: self.service.command("python", "-m", "deployments.watch", self.plot.name, "--minutes", "1"))
        for day in NEW:
            self.killer.step = str(day)
            with self.killer.sharing:
                self.plot.copy(day)
            self.score(day, fit)
        insist(lambda: self.service.command("python", "-m", "deployments.watch", self.plot.name, "--stop"))
        self.killer.stopped.set()
        wait_for(lambda: not self.service.flow_run_processes() and self.all_ended(), "the end of all flow runs")

    def analyse(self) -> CampaignRecord:
        """Have the campaign analysed, and answer its question once."""
        asked, answered = [self.begin(0)], datetime.max.replace(tzinfo=UTC)

        def record() -> CampaignRecord | None:
            nonlocal answered
            found = readable(lambda: find_record(self.store, self.plot.name))
            run = None if found else self.flow_run(asked[-1])
            if run is not None and run.state is not None and run.state.name == "Suspended":
                if run.state.timestamp > answered:
                    self.problems.append(f"{self.plot.name}: asked again after the answer")
                self.review(run.id)
                answered = datetime.now(UTC)
            elif run is not None and is_left(run):
                self.asked_again.append(f"{self.plot.name}: {run.state and run.state.message}")
                asked.append(self.begin(len(asked)))
            return found

        return wait_for(record, self.plot.name)

    def begin(self, number: int) -> UUID:
        """Have the campaign analysed; the number makes it one run, also where the server's answer is lost."""
        params = self.plot.params.model_copy(update={"review": ReviewParams(ask=True, timeout_hours=2)})

        def create() -> UUID:
            with self.service.client() as client:
                deployment = client.read_deployment_by_name("analyse-campaign/analyse-campaign").id
                return client.create_flow_run_from_deployment(
                    deployment,
                    parameters={"params": params.model_dump(mode="json")},
                    idempotency_key=f"{self.plot.name} {number}",
                ).id

        return insist(create)

    def review(self, run: UUID) -> None:
        """Answer the form of a run that waits, after some faults."""
        self.killer.step = REVIEW
        wait_for(lambda: self.killer.is_step_over, "faults while a run waits for an answer")
        self.killer.step = CAMPAIGN
        form = {**{f"gradcam_cluster_{number}": choice for number, choice in CHOICES.items()}, **WHO}

        def answer() -> str:
            with self.service.client() as client:
                result = client.resume_flow_run(run, run_input=form)
            return result.status.value if result.status != SetStateStatus.ACCEPT else ""

        # Where an answer's own answer is lost, the second one is refused, as the run waits no more.
        before = insist(lambda: self.service.flow_run(run)).state
        if before is None or not before.is_paused() or not before.state_details.run_input_keyset:
            self.problems.append(f"{self.plot.name}: the form is gone: {before}")
        if (said := insist(answer)) and insist(lambda: self.service.state_names(run))[-1] == "Suspended":
            self.problems.append(f"{self.plot.name}: the answer is refused: {said}")

    def score(self, day: date, fit: str) -> None:
        """Announce a date, and wait until it is scored."""

        def announce() -> float:
            insist(lambda: self.service.command("harvest", "announce", self.plot.name, "--date", str(day)))
            return time.monotonic()

        announced = announce()

        def is_scored() -> bool:
            nonlocal announced
            if readable(lambda: find_acquisition(self.store, self.plot.name, day, fit)) is not None:
                return True
            last = self.last_run(day)
            if last is not None and is_left(last) and time.monotonic() - announced > PATIENCE.total_seconds():
                self.asked_again.append(f"{self.plot.name} {day}: {last.state and last.state.message}")
                announced = announce()
            return False

        wait_for(is_scored, f"{self.plot.name} {day}")

    def flow_run(self, run: UUID) -> FlowRun | None:
        """A flow run as the server sees it; None where it does not answer."""
        try:
            return self.service.flow_run(run)
        except (httpx.HTTPError, OSError, RuntimeError):
            return None

    def last_run(self, day: date) -> FlowRun | None:
        """The latest run that scores a date; None where there is none or the server does not answer."""
        found = [run for run in self.runs() if run.parameters.get("date") == str(day)]
        return max(found, key=lambda run: run.created or datetime.min.replace(tzinfo=UTC), default=None)

    def all_ended(self) -> bool:
        """Whether every flow run of the campaign has ended for good."""
        found = self.runs()
        return bool(found) and all(is_over(run, begins_again=True) for run in found)

    def runs(self) -> list[FlowRun]:
        """Flow runs that analyse the campaign or score its dates; none where the server does not answer."""
        only = DeploymentFilter(name=DeploymentFilterName(any_=list(OTHERS)))
        try:
            with self.service.client() as client:
                found = client.read_flow_runs(deployment_filter=only, flow_run_filter=FlowRunFilter(), limit=PAGE)
        except (httpx.HTTPError, OSError, RuntimeError):
            return []
        return [run for run in found if self.plot.name in (run.parameters.get("campaign"), campaign_of(run))]


def campaign_of(run: FlowRun) -> str | None:
    """Name of the campaign that a run analyses."""
    return run.parameters.get("params", {}).get("campaign")


def is_left(run: FlowRun) -> bool:
    """Whether a run has ended badly, so long ago that nothing will start it again."""
    is_bad = run.state is not None and not run.state.is_completed() and is_over(run, begins_again=True)
    return is_bad and run.state is not None and datetime.now(UTC) - run.state.timestamp > PATIENCE


def run_undisturbed(plot: Field) -> None:
    """Campaign, review and new dates by commands, without a server."""
    plot.harvest("run", str(plot.toml))
    choices = [word for number, choice in CHOICES.items() for word in (f"--{choice}", str(number))]
    plot.harvest("review", plot.name, *choices, *(word for name in WHO for word in (f"--{name}", WHO[name])))
    for day in NEW:
        plot.copy(day)
        plot.harvest("score", plot.name, "--date", str(day))
    for day in NEW:
        plot.remove(day)


def differing(plot: Field, service: Service) -> tuple[int, list[str]]:
    """Number of tables of an undisturbed run, and names of those that the service has not, or has otherwise.

    Tables are equal byte for byte, but for the time at which a person has decided.
    """
    expected, found = tables(plot.in_place, plot.name), tables(service.store, plot.name)
    names = sorted(expected.keys() | found.keys())
    return len(expected), [name for name in names if timeless(name, expected) != timeless(name, found)]


def timeless(name: str, known: dict[str, bytes]) -> object:
    """A table's content without the time of a decision; None where it is missing."""
    if not name.startswith("reviews/") or name not in known:
        return known.get(name)
    rows = parquet.read_table(io.BytesIO(known[name])).drop_columns(["decided"])
    return rows.schema.names, rows.to_pylist()


def readable(read: Callable[[], T | None]) -> T | None:
    """What is read of a store, None while its share is away."""
    try:
        return read()
    except (ArtifactError, OSError):
        return None


def insist(call: Callable[[], T]) -> T:
    """Call again until it succeeds, as a program does that depends on a server."""

    def result() -> list[T]:
        try:
            return [call()]
        except (httpx.HTTPError, OSError, RuntimeError, AssertionError):
            return []

    (found,) = wait_for(result, "no answer from the server")
    return found


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """Look again until something is found, but not for ever.

    Raises
    ------
    TimeoutError : nothing was found.
    """
    deadline = time.monotonic() + STEP_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}, after {STEP_SECONDS} s")
        time.sleep(1)
    return found
