"""Explanation by whole shards: what is cached, what is made again, how much memory it takes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import zarr
from prefect import flow, get_client, task
from prefect.artifacts import update_progress_artifact
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from flows.cli.run_file import load_run_file
from flows.running.result_storage import result_storage
from storage.arrays.specs import EXPLAINED_CLASS, IMAGES, PEAK, ROWS, SALIENCY
from storage.arrays.zarr_files import open_array, read_array, write_array
from storage.artifacts import MANIFEST, ArtifactRef, Recipe, Store
from storage.tables import PREDICTIONS
from storage.tables.parquet import read_table, write_table
from storage.verify import verify_store
from tasks import stage
from tasks.classify.architectures import build_model
from tasks.classify.loading import load_classifier
from tasks.classify.model import rgb_images, save_weights
from tasks.explain.explain import date_groups, explain_shards, gather_maps, make_shards, scale_to_peak, shard_recipes
from tasks.explain.methods import ExplainParams, Method, prepare_explainer
from tasks.explain.occlusion import OcclusionParams
from tasks.parameters import Runtime
from tasks.stage import PROGRESS_SECONDS, progress
from tests.support.campaigns import DATES, contents, run_command, run_small, task_runs, without_campaign
from tests.support.local_stores import local
from tests.support.planted_campaign import all_maps
from tests.support.repository import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

DAY = date(2022, 8, 25)
RUNTIME = Runtime(device="cpu", batch_size=16)
# Nine windows an image, so that an occlusion map costs ten forward passes.
PARAMS = ExplainParams(occlusion=OcclusionParams(patch=12, stride=10))
N_EXPLAINED = 140  # nine shards of 16 occlusion maps, in two tasks


def make_date(
    store: Store, n: int, n_train: int = 0, size: int = 32, architecture: str = "resnet18"
) -> dict[str, ArtifactRef]:
    """Images of noise with an untrained classifier's predictions; training images are spread among the others."""
    recipes = {kind: Recipe(kind, 1, {"n": n}) for kind in ("images", "classifier", "predictions")}
    chance, training = np.random.default_rng(0), np.linspace(0, n - 1, n_train).astype(int).tolist()
    with store.create(recipes["images"]) as draft:
        write_array(draft, IMAGES, chance.integers(0, 256, (n, size, size, 3)))
    with store.create(recipes["classifier"]) as draft:
        draft.write_bytes("weights.pt", save_weights(build_model(architecture, 2, "none", seed=0)))
        card = {"architecture": architecture, "classes": ["a", "b"], "mean": [0.5] * 3, "std": [0.25] * 3}
        draft.write_json("card.json", card)
    answers = chance.integers(0, 2, n).tolist()
    columns: dict[str, list[Any]] = {
        "plant_id": [f"plant {i}" for i in range(n)],
        "split": ["train" if i in training else "val" for i in range(n)],
        "label": [None] * n,
        "row": list(range(n)),
        "predicted": answers,
        "probabilities": [[1.0 - answer, float(answer)] for answer in answers],
        "classifier": [recipes["classifier"].ref.digest] * n,
    }
    with store.create(recipes["predictions"]) as draft:
        write_table(draft, PREDICTIONS, columns)
    return {kind: recipe.ref for kind, recipe in recipes.items()}


@dataclass(frozen=True)
class Run:
    """A date's maps, and the state of every task run by name."""

    saliency: ArtifactRef
    states: dict[str, str]


def explain_date(
    store: Store, inputs: dict[str, ArtifactRef], method: Method = "occlusion", runtime: Runtime = RUNTIME
) -> Run:
    """Explain a date as the campaign does."""
    flow_runs: list[UUID] = []
    groups = date_groups(store, method, inputs["predictions"])

    @flow
    def explain() -> ArtifactRef:
        flow_runs.append(UUID(flow_run.id))
        fixed: Any = {"store": str(store.root), "date": DAY, "params": PARAMS, **inputs}
        fixed |= {"method": method, "runtime": runtime}
        explain_them, gather = (
            without_campaign(one, result_storage=result_storage(store)) for one in (explain_shards, gather_maps)
        )
        shards: Any = [explain_them.submit(first=first, last=last, **fixed) for first, last in groups]
        return gather(shards=shards, **fixed)

    saliency = explain()
    runs = task_runs(flow_runs[0], len(groups) + 1)
    return Run(saliency, {run.name: run.state_name or "" for run in runs})


def shard_folders(store: Store) -> list[Path]:
    """Shards of the store in the order of their maps."""
    folders = [path.parent for path in local(store.root / "artifacts/saliency_shard").glob("*/manifest.json")]
    return sorted(folders, key=lambda folder: json.loads((folder / MANIFEST).read_text())["params"]["first"])


def stamps(folders: list[Path]) -> dict[str, tuple[bytes, int]]:
    """Manifest (which tells when it was made) and inode of the maps of every shard."""
    return {
        folder.name: ((folder / MANIFEST).read_bytes(), (folder / "saliency/c/0/0/0").stat().st_ino)
        for folder in folders
    }


@dataclass(frozen=True)
class Season:
    """A store with one explained date."""

    store: Store
    inputs: dict[str, ArtifactRef]
    first: Run


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Season:
    store = Store(tmp_path_factory.mktemp("store"))
    inputs = make_date(store, N_EXPLAINED + 20, n_train=20)
    return Season(store, inputs, explain_date(store, inputs))


EXPLAIN_NAMES = ["explain 2022-08-25 occlusion 0..127", "explain 2022-08-25 occlusion 128..139"]
GATHER_NAME = "gather 2022-08-25 occlusion"


def test_tasks_are_named_by_their_maps(season: Season) -> None:
    assert season.first.states == dict.fromkeys([*EXPLAIN_NAMES, GATHER_NAME], "Completed")


def test_maps_are_those_of_the_method(season: Season) -> None:
    """Against the method called at once on images of the first and last shards that are not for training."""
    store, inputs = season.store, season.inputs
    artifact = store.open(season.first.saliency)
    rows, explained = read_array(artifact, ROWS), read_array(artifact, EXPLAINED_CLASS)
    assert sorted({*range(N_EXPLAINED + 20)} - {*rows.tolist()}) == np.linspace(0, 159, 20).astype(int).tolist()
    answers = read_table(store.open(inputs["predictions"]), PREDICTIONS)["predicted"]
    assert explained.tolist() == [answers[row] for row in rows]
    some = [0, 1, 15, 16, 17, 126, 127, 128, 138, 139]
    model = load_classifier(store.open(inputs["classifier"]), RUNTIME)
    images = rgb_images(read_array(store.open(inputs["images"]), IMAGES)[rows[some]])
    expected = prepare_explainer("occlusion", model, PARAMS, RUNTIME)(images, explained[some])
    assert expected.shape == (10, 3, 3) and (np.abs(expected).max(axis=(1, 2)) > 0).all()
    scaled, peaks = scale_to_peak(expected)
    np.testing.assert_allclose(read_array(artifact, PEAK)[some], peaks, rtol=1e-3)
    np.testing.assert_allclose(read_array(artifact, SALIENCY)[some].astype(np.float32), scaled, atol=2e-3)


def test_a_dates_maps_are_the_files_of_its_shards(season: Season) -> None:
    artifact, folders = season.store.open(season.first.saliency), shard_folders(season.store)
    ours = [artifact.folder / f"saliency/c/{number}/0/0" for number in range(9)]
    assert [local(path).stat().st_ino for path in ours] == [inode for _, inode in stamps(folders).values()]
    raw = zarr.open_array(str(artifact.folder / "saliency"), mode="r")
    assert (raw.shape, raw.shards, raw.chunks) == ((140, 3, 3), (16, 3, 3), (1, 3, 3))
    assert verify_store(season.store).problems == []


def test_summaries_and_names_tell_what_was_made(season: Season) -> None:
    artifact = season.store.open(season.first.saliency)
    assert artifact.summary == {
        "method": "occlusion",
        "approximate": False,
        "n_maps": 140,
        "n_zero": 0,
        "n_constant": 0,
    }
    whole = artifact.manifest
    manifests = [json.loads((folder / MANIFEST).read_text()) for folder in shard_folders(season.store)]
    assert [one["params"]["last"] for one in manifests] == [*range(15, 128, 16), 139]
    for one in manifests:
        assert one["inputs"] == whole.inputs
        assert one["params"] == {**whole.params, **{name: one["params"][name] for name in ("first", "last")}}


def test_second_run_is_cached(season: Season) -> None:
    before = stamps(shard_folders(season.store))
    again = explain_date(season.store, season.inputs)
    assert again == Run(season.first.saliency, dict.fromkeys(season.first.states, "Cached"))
    assert stamps(shard_folders(season.store)) == before


def test_a_deleted_shard_alone_is_made_again(season: Season) -> None:
    folders = shard_folders(season.store)
    before, date_before = stamps(folders), season.store.open(season.first.saliency)
    shutil.rmtree(folders[2])
    assert season.store.damage(season.first.saliency) == []  # its file is the date's too
    again = explain_date(season.store, season.inputs)
    assert again.states == {EXPLAIN_NAMES[0]: "Completed", EXPLAIN_NAMES[1]: "Cached", GATHER_NAME: "Cached"}
    after = stamps(shard_folders(season.store))
    assert {name for name in before if after[name] != before[name]} == {folders[2].name}
    assert season.store.open(again.saliency) == date_before
    assert verify_store(season.store).problems == []


def test_a_deleted_date_is_gathered_from_its_shards(season: Season) -> None:
    before = stamps(shard_folders(season.store))
    files_before = season.store.open(season.first.saliency).manifest.files
    shutil.rmtree(local(season.store.folder(season.first.saliency)))
    again = explain_date(season.store, season.inputs)
    assert again.states == {**dict.fromkeys(EXPLAIN_NAMES, "Cached"), GATHER_NAME: "Completed"}
    assert stamps(shard_folders(season.store)) == before
    assert season.store.open(again.saliency).manifest.files == files_before


def test_two_runs_at_the_same_time_make_every_shard_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    inputs = make_date(store, 20)
    recipes = shard_recipes(PARAMS, "occlusion", **inputs, runtime=RUNTIME, first=0, last=19)
    errors: list[BaseException] = []

    def make() -> None:
        try:
            make_shards(store, recipes, PARAMS, RUNTIME, lambda _: None)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len(shard_folders(store)) == 2
    found = verify_store(store)
    assert found.problems == found.unfinished == []


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_only_missing_shards_are_computed(season: Season, lost: int) -> None:
    """A shard that is held advances at once by its 16 maps; one that is computed, map by map."""
    recipes = shard_recipes(PARAMS, "occlusion", **season.inputs, runtime=RUNTIME, first=96, last=139)
    shutil.rmtree(local(season.store.folder(recipes[lost].ref)))
    advanced: list[int] = []
    make_shards(season.store, recipes, PARAMS, RUNTIME, advanced.append)
    held, computed = ([16], [16], [12]), ([1] * 16, [1] * 16, [1] * 12)
    expected = [computed[i] if i == lost else held[i] for i in range(3)]
    assert advanced == [n for of_shard in expected for n in of_shard]
    assert verify_store(season.store).problems == []


def test_a_date_for_training_only_has_no_maps(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = explain_date(store, make_date(store, 5, n_train=5))
    assert run.states == {GATHER_NAME: "Completed"}
    artifact = store.open(run.saliency)
    assert open_array(artifact, SALIENCY).shape == (0, 0, 0)
    assert [read_array(artifact, spec).shape for spec in (PEAK, ROWS, EXPLAINED_CLASS)] == [(0,)] * 3
    assert artifact.summary["n_maps"] == artifact.summary["n_zero"] == 0


def test_a_preview_and_another_precision_say_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    inputs = make_date(store, 2)
    plain, preview = (
        store.open(explain_date(store, inputs, name).saliency) for name in ("occlusion", "occlusion_preview")
    )
    assert [one.summary["approximate"] for one in (plain, preview)] == [False, True]
    coarse = Runtime(device="cpu", saliency_precision="bfloat16")
    rounded = store.open(explain_date(store, inputs, runtime=coarse).saliency)
    assert rounded.manifest.params == {**plain.manifest.params, "precision": "bfloat16"}
    assert not np.array_equal(all_maps(rounded), all_maps(plain))


def test_progress_is_told_once_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An update of a progress artifact costs about 10 ms: a thousand of them would take ten seconds."""
    flow_runs, seconds, told = list[UUID](), list[float](), list[float]()

    def update(artifact_id: UUID, progress: float) -> Any:
        told.append(progress)
        return update_progress_artifact(artifact_id, progress=progress)

    monkeypatch.setattr(stage, "update_progress_artifact", update)

    @task
    def count() -> None:
        with progress("count", 1000, "map") as advance:
            started = time.monotonic()
            for _ in range(1000):
                advance(1)
            seconds.append(time.monotonic() - started)

    @flow
    def counting() -> None:
        flow_runs.append(UUID(flow_run.id))
        count()

    counting()
    assert 1 <= len(told) <= 1 + seconds[0] / PROGRESS_SECONDS
    with get_client(sync_client=True) as client:
        (artifact,) = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_runs[0]]))
        )
    assert artifact.data == 100.0


# Images so small and windows so few that a shard of occlusion maps takes a second or two.
OCCLUSION = f"""
dates = ["{DATES[0]}"]
[source]
kind = "synthetic"
[source.season]
dates = ["{DATES[0]}"]
n_plots = 4
rows = 3
plants_per_row = 12
image_size = 32
[ingest]
image_size = 32
[classifier]
path = "weights.pt"
[explain]
methods = ["occlusion"]
[explain.occlusion]
patch = 4
stride = 4
[cluster]
n_clusters = 3
"""


def shard_manifests(store: Path) -> dict[str, bytes]:
    """Manifests, which tell when a shard was made, by its name."""
    return {
        path.parent.name: path.read_bytes() for path in store.glob("artifacts/saliency_shard/[0-9a-f]*/manifest.json")
    }


@pytest.mark.nightly  # tests/integration/test_faults.py kills a run
def test_killed_explanation_goes_on_at_the_first_missing_shard(tmp_path: Path) -> None:
    """SIGKILL to the whole process group in the middle of explaining, then the same campaign again."""
    (tmp_path / "weights.pt").write_bytes(save_weights(build_model("resnet18", 2, "none", seed=0)))
    # The server of the other tests: a new one takes half a minute to start.
    process = run_command(tmp_path, OCCLUSION, PREFECT_API_URL=str(PREFECT_API_URL.value()), OMP_NUM_THREADS="1")
    store = Store(tmp_path / "store")
    deadline = time.monotonic() + 240
    while not shard_manifests(local(store.root)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no shard was written"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = shard_manifests(local(store.root))
    assert not list(store.root.glob("artifacts/saliency/[0-9a-f]*"))

    params, _ = load_run_file(tmp_path / "field.toml")
    resumed = run_small(params, local(store.root))
    shards = shard_manifests(local(store.root))
    assert 1 <= len(finished) < len(shards) == 3
    assert {name: shards[name] for name in finished} == finished

    undisturbed = run_small(params, tmp_path / "undisturbed")
    assert undisturbed.record == resumed.record
    for name in ("tables", "artifacts/saliency", "artifacts/saliency_shard"):
        ours, theirs = (contents(tmp_path / root / name) for root in ("store", "undisturbed"))
        assert ours and ours == theirs, name
    assert verify_store(store).problems == []


MEMORY = """
import json, sys
import torch
from storage.artifacts import ArtifactRef, Store
from tasks.explain.explain import make_shards, shard_recipes
from tasks.parameters import Runtime
from tasks.explain.methods import ExplainParams
from tasks.explain.methods import map_groups

torch.set_num_threads(1)

def peak_mib():
    # Not getrusage: its peak starts at that of the process that started this one.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))

root, dates = sys.argv[1], json.loads(sys.argv[2])
for n, batch, inputs in dates:
    refs, runtime = {role: ArtifactRef(**ref) for role, ref in inputs.items()}, Runtime(device="cpu", batch_size=batch)
    ((first, last),) = map_groups(n, "gradcam")
    recipes = shard_recipes(ExplainParams(), "gradcam", **refs, runtime=runtime, first=first, last=last)
    make_shards(Store(root), recipes, ExplainParams(), runtime, lambda n: None)
    print(peak_mib())
"""


@pytest.mark.nightly  # tests/unit/tasks/plan/test_memory.py compares the memory of explanations with the plan
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_follows_the_batch_and_not_the_number_of_images(tmp_path: Path) -> None:
    """Grad-CAM on 64 pixels; the peak of a process only rises, so each step shows what it takes beyond the last.

    360 images more are 4 MiB of pixels and 17 MiB as float32, of which explaining them all at once holds two copies
    for a moment (measured: 24 MiB more; block by block 3 MiB). An image of a batch takes 0.1 MiB where a pass takes
    fewer images than a batch, as on a CPU, and up to 0.5 MiB where it takes all, in this network.
    """
    store, steps = Store(tmp_path), [(39, 16), (40, 16), (400, 16), (401, 256)]
    # One image more or less is another date; the first fills what the allocator keeps.
    inputs = [make_date(store, n, size=64, architecture="shufflenet_v2_x0_5") for n, _ in steps]
    dates = [
        (n, batch, {role: ref.model_dump() for role, ref in refs.items()})
        for (n, batch), refs in zip(steps, inputs, strict=True)
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), json.dumps(dates)],
        cwd=ROOT,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _, few, many, largest = (float(line) for line in done.stdout.split())
    assert many - few < 10
    assert largest - many < 0.5 * (256 - 16)
