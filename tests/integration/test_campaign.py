"""The whole DAG on a small campaign: what Prefect shows, what is cached, what runs again."""

import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from flows.campaign import analyse_campaign
from storage.arrays import SALIENCY, open_array
from storage.artifacts import Store
from storage.tables import TABLES, load_table
from storage.verify import verify_store
from tasks.cluster_checks import ClusterParams
from tasks.parameters import Runtime
from tasks.saliency.maps import ExplainParams
from tasks.saliency.occlusion import OcclusionParams
from tasks.sources.season_params import SeasonParams
from tasks.sources.synthetic import SyntheticSource
from tests.integration.conftest import DATES, Finished, explain_names, run_small, small_campaign

ALWAYS_RUN = {"survey small", "rehearse small", "publish small"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def first(store: Path) -> Finished:
    return run_small(small_campaign(), store)


def table_bytes(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted((store / "tables").rglob("*.parquet"))}


def test_names_say_campaign_stage_and_date(first: Finished, store: Path) -> None:
    assert first.flow_run_name == "small 2022-08-25..2022-09-03"
    per_date = ("ingest small {}", "predict small {}", "gather small {} gradcam", "assign small {} gradcam")
    expected = {name.format(day) for name in per_date for day in DATES} | explain_names(first, store)
    assert expected | ALWAYS_RUN | {"train small", "cluster small gradcam"} <= set(first.tasks)
    assert set(first.states().values()) == {"Completed"}


def test_every_table_is_published_for_every_date(first: Finished, store: Path) -> None:
    for name in TABLES:
        files = sorted((store / "tables" / name / "campaign=small").rglob("part-0.parquet"))
        assert len(files) == (len(DATES) if TABLES[name].per_date else 1), name
        assert all(load_table(file, TABLES[name]).num_rows > 0 for file in files if name != "rejected")
    assert verify_store(Store(store)).problems == []


def test_flow_run_shows_summary_metrics_and_prototypes(first: Finished) -> None:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[first.flow_run_id]))
        )
    artifacts = {artifact.key: artifact for artifact in found if artifact.key}
    assert {"summary", "metrics", "prototypes-gradcam"} <= set(artifacts)
    assert {a.type for a in found} >= {"markdown", "table", "image", "progress"}
    assert "small" in str(artifacts["summary"].data)


def test_second_run_is_cached_and_changes_nothing(first: Finished, store: Path) -> None:
    before = table_bytes(store)
    second = run_small(small_campaign(), store)
    assert {name for name, state in second.states().items() if state != "Cached"} == ALWAYS_RUN
    assert second.record == first.record
    assert table_bytes(store) == before


def test_runtime_enters_no_digest(first: Finished, store: Path) -> None:
    record = analyse_campaign(small_campaign(), str(store), Runtime(device="cpu", batch_size=5, workers=1))
    assert record.artifacts == first.record.artifacts


def test_missing_and_damaged_artefacts_are_made_again(first: Finished, store: Path) -> None:
    before, files = table_bytes(store), Store(store)
    shutil.rmtree(files.folder(first.record.artifacts["predictions 2022-08-25"]))
    saliency = files.folder(first.record.artifacts["saliency gradcam 2022-09-03"])
    shard = next(path for path in (saliency / "saliency.zarr" / "c").rglob("*") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)  # the same file is the shard's of its own
    assert {text.split("/")[1] for text in verify_store(files).problems if "changed content" in text} == {
        "saliency",
        "saliency_shard",
    }
    third = run_small(small_campaign(), store)
    again = {name for name, state in third.states().items() if state != "Cached"}
    (explained,) = (name for name in explain_names(first, store) if "2022-09-03" in name)
    assert again - ALWAYS_RUN == {"predict small 2022-08-25", explained, "gather small 2022-09-03 gradcam"}
    assert verify_store(files).problems == []
    assert table_bytes(store) == before


def test_other_clusters_are_fitted_on_the_same_maps(first: Finished, store: Path) -> None:
    """Nothing before the clusters runs again when only their number changes."""
    params = small_campaign(cluster=ClusterParams(n_clusters=2, n_seeds=2, neighbours=3))
    states = run_small(params, store).states()
    cached = {"train small", "augment small"} | {f"{s} small {d}" for s in ("ingest", "predict") for d in DATES}
    cached |= {f"gather small {day} gradcam" for day in DATES} | explain_names(first, store)
    assert {states[name] for name in cached} == {"Cached"}
    assert states["cluster small gradcam"] == "Completed"


def test_two_methods_are_told_apart_by_their_column(first: Finished, store: Path) -> None:
    """A second method adds its rows to the tables of the first, whose maps are not made again."""
    occlusion = OcclusionParams(patch=16, stride=16)
    params = small_campaign(explain=ExplainParams(methods=("gradcam", "occlusion"), occlusion=occlusion))
    both = run_small(params, store)
    assert {both.states()[name] for name in explain_names(both, store)} == {"Cached"}
    assert {both.states()[name] for name in explain_names(both, store, "occlusion")} == {"Completed"}
    for day in DATES:
        ours = Store(store).open(both.record.artifacts[f"saliency occlusion {day}"])
        assert open_array(ours, SALIENCY).shape[1:] == (4, 4)
        assert both.record.artifacts[f"saliency gradcam {day}"] == first.record.artifacts[f"saliency gradcam {day}"]
    for table in ("assignments", "clusters", "reliability", "adjusted", "metrics"):
        query = f"select method, count(*) from read_parquet('{store}/tables/{table}/**/*.parquet') group by method"
        counts = dict(duckdb.execute(query).fetchall())
        assert set(counts) == {"gradcam", "occlusion"} and counts["gradcam"] == counts["occlusion"] > 0, table
    assert verify_store(Store(store)).problems == []


def test_new_date_adds_and_never_rewrites(first: Finished, store: Path) -> None:
    """The images of known dates are not read again when the campaign grows by a date."""
    dates = (*DATES[:1], date(2022, 8, 30), *DATES[1:])
    season = SeasonParams(dates=dates, n_plots=2, rows=3, plants_per_row=10, image_size=64, seed=1)
    grown = run_small(small_campaign(source=SyntheticSource(season=season), dates=dates), store)
    states = grown.states()
    assert states["ingest small 2022-08-30"] == "Completed"
    assert {states[f"ingest small {day}"] for day in DATES} == {"Cached"}
