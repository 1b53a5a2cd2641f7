"""Faults: what is retried, what is not, and what a killed run leaves behind."""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from prefect import flow, task
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from flows.campaign import analyse_campaign
from flows.parameters import CampaignParams
from flows.running.result_storage import result_storage
from flows.running.stages import Stages
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.errors import InputError
from storage.records.campaigns import read_record
from storage.records.results import record_name
from storage.tables import OBSERVATIONS, PREDICTIONS, TABLES
from storage.tables.parquet import Rows, read_table
from storage.verify import verify_store
from tasks.classify.params import EXPORTED, GivenClassifier
from tasks.explain.methods import ExplainParams
from tasks.ingest.ingest import ingest_images, survey_source
from tasks.ingest.survey import IngestParams, survey
from tasks.parameters import Runtime
from tasks.sources.contract import SourceImage
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tasks.stage import cached_by, made_once
from tests.support.campaigns import DATES, contents, run_command, run_small, small_campaign, task_runs, without_campaign
from tests.support.classifiers import program, tiny, written
from tests.support.commands import CAMPAIGN
from tests.support.local_stores import local
from tests.support.planted_records import FOREIGN_RECORDS, plant

ATTEMPTS: Counter[str] = Counter()


class FaultySource(SyntheticSource):
    """A season on a disk that fails for a while: the first reads of an image raise the named fault."""

    fault: str

    def read_image(self, image: SourceImage) -> NDArray[np.uint8]:
        ATTEMPTS[self.fault] += 1
        if self.fault == "bad input":
            raise InputError("a bad one", "images are good", "mend it")
        if ATTEMPTS[self.fault] == 1:
            raise torch.OutOfMemoryError("the GPU is full") if self.fault == "memory" else OSError(errno.EIO, "I/O")
        return super().read_image(image)


def ingest_with(fault: str, store: Path) -> tuple[ArtifactRef, dict[str, int]]:
    """Ingest one date of a faulty source; returns the images and how often each task ran."""
    season = SeasonParams(dates=DATES[:1], n_plots=2, rows=2, plants_per_row=6, image_size=32)
    source, flow_runs = FaultySource(season=season, fault=fault), list[UUID]()

    @flow
    def ingest() -> ArtifactRef:
        flow_runs.append(UUID(flow_run.id))
        fixed: Any = {
            "store": str(store),
            "source": source,
            "params": IngestParams(image_size=32),
        }
        found = without_campaign(survey_source)(dates=DATES[:1], n_needed=1, is_trained=False, **fixed)
        cached = without_campaign(ingest_images, result_storage=result_storage(Store(store)))
        return cached(date=DATES[0], listing=found[f"listing {DATES[0]}"], **fixed)

    images = ingest()
    return images, {run.name: run.run_count for run in task_runs(flow_runs[0], 2)}


@pytest.mark.parametrize("fault", ["I/O", "memory"])
def test_passing_faults_are_retried_with_backoff(fault: str, tmp_path: Path) -> None:
    started = time.monotonic()
    images, counts = ingest_with(fault, tmp_path)
    assert counts == {"survey": 1, f"ingest {DATES[0]}": 2}
    assert time.monotonic() - started > 1  # the first delay is two seconds, give or take half of it
    assert len(read_table(Store(tmp_path).open(images), OBSERVATIONS)["row"]) > 0


def test_bad_input_is_not_retried(tmp_path: Path) -> None:
    ATTEMPTS.clear()
    with pytest.raises(InputError, match="images are good"):
        ingest_with("bad input", tmp_path)
    assert ATTEMPTS["bad input"] == 1
    assert not list((tmp_path / "artifacts").glob("images/*"))


def noted_recipe(said: str) -> Recipe:
    return Recipe("note", 1, {"said": said})


@task(task_run_name="note", **cached_by(noted_recipe))
@made_once(noted_recipe)
def note(draft: Draft, store: Store, said: str) -> None:
    draft.write_json("note.json", said)


def noted(store: Path) -> tuple[ArtifactRef, str | None]:
    """Write a note unless the store has it; returns its name and the state of the task."""
    flow_runs = list[UUID]()

    @flow
    def take_note() -> ArtifactRef:
        flow_runs.append(UUID(flow_run.id))
        with Stages("field", str(store), 1, Runtime()) as stages:
            return stages.submit(note, said="ready").result()  # type: ignore[no-any-return]

    made = take_note()
    (run,) = task_runs(flow_runs[0], 1)
    return made, run.state_name


@pytest.mark.parametrize("kind", ["pickle", "pickle of the old format", "foreign class", "another artefact"])
def test_a_planted_record_is_named_and_replaced_and_never_obeyed(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, executed = tmp_path / "store", tmp_path / "executed"
    ref = noted_recipe("ready").ref
    name = record_name([ref])
    assert [noted(store), noted(store)] == [(ref, "Completed"), (ref, "Cached")]
    plant(Store(store), name, FOREIGN_RECORDS[kind](executed))
    assert noted(store) == (ref, "Completed") and not executed.exists()
    warned = [one.message for one in caplog.records if one.name == "flows.running.result_storage"]
    assert warned and all(f"The record prefect-results/{name} of a cached result" in message for message in warned)
    assert noted(store) == (ref, "Cached") and verify_store(Store(store)).problems == []


EPOCHS = 3  # few, but enough to be killed between the first and the last
SMALL = CAMPAIGN.format(methods=["gradcam"]).replace("epochs = 5", f"epochs = {EPOCHS}")


def wait_for_checkpoint(store: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while not list(store.glob("work/classifier-*/checkpoint.pt")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.05)


def test_killed_run_goes_on_and_gives_the_same_tables(tmp_path: Path) -> None:
    """SIGKILL to the whole process group in the middle of training, then the same command in another Prefect home."""
    # With the server of the other tests: a server of the command's own takes long to start. Results are cached in
    # the store alone.
    server = str(PREFECT_API_URL.value())
    killed = run_command(tmp_path, SMALL, PREFECT_API_URL=server)
    wait_for_checkpoint(tmp_path / "store", killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "store/artifacts/classifier").exists() or not list(
        (tmp_path / "store/artifacts/classifier").glob("[0-9a-f]*")
    )
    checkpoint = next((tmp_path / "store/work").glob("classifier-*/checkpoint.pt"))
    n_epochs = len(torch.load(checkpoint, weights_only=True)["epochs"])
    assert 1 <= n_epochs < EPOCHS

    resumed = run_command(tmp_path, SMALL, home="another-home", PREFECT_API_URL=server)
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, output
    # What was finished before the kill is found by the other Prefect home.
    assert f"Task run 'ingest field {DATES[0]}' - Finished in state Cached" in output
    assert "Task run 'train field' - Finished in state Completed" in output

    params = CampaignParams.model_validate(read_record(Store(tmp_path / "store"), "field").params)
    undisturbed = run_small(params, tmp_path / "undisturbed")
    for name in ("tables", "exports", "artifacts/classifier"):
        ours, theirs = (contents(tmp_path / store / name) for store in ("store", "undisturbed"))
        assert ours == theirs, name
    assert verify_store(Store(tmp_path / "store")).problems == []
    assert not (tmp_path / "store/work").exists() or not list((tmp_path / "store/work").iterdir())
    assert undisturbed.record == read_record(Store(tmp_path / "store"), "field")


def test_bad_input_is_one_message_and_exit_code_2(tmp_path: Path) -> None:
    wrong = SMALL.replace("n_clusters = 3", "n_clusters = 90")
    process = run_command(tmp_path, wrong, PREFECT_API_URL=str(PREFECT_API_URL.value()))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    message = output[output.index("error: ") :]
    assert "validation images have a label" in message and "rule:" in message and "remedy:" in message
    assert not list((tmp_path / "store").glob("artifacts/images/*")), "images were read before the refusal"


def test_answers_that_depend_on_the_batch_are_refused_before_images_are_read(tmp_path: Path) -> None:
    given = GivenClassifier(path=written(tmp_path, program(tiny().train(), size=64)), architecture=EXPORTED)
    with pytest.raises(InputError, match="depend on that image alone"):
        run_small(small_campaign("given", classifier=given), tmp_path / "store")
    assert (tmp_path / "store/artifacts/listing").is_dir() and not (tmp_path / "store/artifacts/images").exists()


@pytest.mark.nightly  # the campaign of tests/integration/test_dask.py has a given classifier
def test_trained_classifier_can_be_given(tmp_path: Path) -> None:
    """The weights of one campaign, given to another instead of training, answer the same."""
    first = run_small(small_campaign("one"), tmp_path / "store")
    weights = tmp_path / "weights.pt"
    shutil.copy(local(Store(tmp_path / "store").open(first.record.artifacts["classifier"]).file("weights.pt")), weights)
    given = GivenClassifier(path=str(weights), architecture=first.record.params["train"]["architecture"])
    second = run_small(small_campaign("two", classifier=given), tmp_path / "store")
    assert "take classifier two" in second.tasks and "train two" not in second.tasks
    for day in DATES:
        one, two = (
            read_table_of(tmp_path / "store", run.record.artifacts[f"predictions {day}"]) for run in (first, second)
        )
        np.testing.assert_allclose(one["probabilities"], two["probabilities"], rtol=1e-6)
    assert verify_store(Store(tmp_path / "store")).problems == []
    assert not (tmp_path / "store/tables/epochs/campaign=two").exists()


def read_table_of(store: Path, ref: ArtifactRef) -> Rows:
    return read_table(Store(store).open(ref), PREDICTIONS)


def test_ground_truth_maps_are_marked_everywhere(tmp_path: Path) -> None:
    run = run_small(small_campaign("leak", explain=ExplainParams(explained_class="label")), tmp_path)
    marked = {spec.name for spec in TABLES.values() if any(c.name == "explained_class" for c in spec.columns)}
    assert marked >= {"assignments", "crossfit", "clusters", "reliability", "swaps", "adjusted", "evaluation", "drift"}
    others = {"audit", "acquisitions", "reviews", "checks", "found"}  # of other flows, and of people
    tables = [f"tables/{table}" for table in marked - others]
    for folder in (*tables, "exports/leak"):
        query = f"select distinct explained_class from read_parquet('{tmp_path}/{folder}/**/*.parquet')"
        assert duckdb.execute(query).fetchall() == [("label",)], folder
    report = Store(tmp_path).open(run.record.artifacts["report"])
    for name in ("index.html", "analysis.html"):
        page = report.read_bytes(name).decode()
        assert "uses ground truth" in page and "not valid for unseen data" in page


def test_survey_is_repeatable_whatever_the_order_of_dates() -> None:
    season = SeasonParams(dates=DATES, n_plots=1, rows=2, plants_per_row=6, image_size=32)
    source, params = SyntheticSource(season=season), IngestParams(image_size=32)
    assert survey(source, DATES, params) == survey(source, DATES[::-1], params)


@pytest.mark.parametrize(
    ("changes", "runtime", "rule"),
    [
        ({"methods": ("gradcam", "occlusion_preview")}, Runtime(), r"cluster\.allow_preview"),
        ({}, Runtime(device="cpu", saliency_precision="tf32"), r"runtime\.saliency_precision is tf32"),
        ({}, Runtime(device="cuda"), r"runtime\.device = cuda"),
    ],
)
def test_what_cannot_come_out_well_is_refused_before_anything_is_read(
    changes: dict[str, Any], runtime: Runtime, rule: str, tmp_path: Path
) -> None:
    if runtime.device == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(InputError, match=rule):
        analyse_campaign(small_campaign("refused", explain=ExplainParams(**changes)), str(tmp_path / "store"), runtime)
    assert not (tmp_path / "store").exists()
