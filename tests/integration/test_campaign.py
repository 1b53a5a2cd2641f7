"""The whole DAG on a small campaign: what Prefect shows, what is cached, what runs again."""

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import numpy as np
import pandas as pd
import pytest
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from flows.campaign import analyse_campaign
from storage.arrays.specs import SALIENCY
from storage.arrays.zarr_files import open_array
from storage.artifacts import Store
from storage.tables import CLUSTER_MATCHES, TABLES
from storage.tables.parquet import load_table, read_table
from storage.verify import verify_store
from tasks.cluster.params import ClusterParams
from tasks.explain.methods import ExplainParams
from tasks.explain.occlusion import OcclusionParams
from tasks.export.params import ExportParams
from tasks.parameters import Runtime
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.campaigns import DATES, Finished, explain_names, run_small, small_campaign
from tests.support.local_stores import local

ALWAYS_RUN = {"survey small", "rehearse small", "publish small"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def first(store: Path) -> Finished:
    return run_small(small_campaign(), store)


def table_bytes(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted((store / "tables").rglob("*.parquet"))}


def export(store: Path, day: date, kind: str) -> Path:
    return store / f"exports/small/{day}/small_{day}_gradcam.{kind}"


def test_names_say_campaign_stage_and_date(first: Finished, store: Path) -> None:
    assert first.flow_run_name == "small 2022-08-25..2022-09-03"
    per_date = ("ingest small {}", "predict small {}", "gather small {} gradcam", "assign small {} gradcam")
    expected = {name.format(day) for name in per_date for day in DATES} | explain_names(first, store)
    assert expected | ALWAYS_RUN | {"train small", "cluster small gradcam"} <= set(first.tasks)
    assert set(first.states().values()) == {"Completed"}


def test_every_table_is_published_for_every_date(first: Finished, store: Path) -> None:
    later, people, flows = {"cluster_matches"}, {"reviews", "checks", "found"}, {"audit", "acquisitions", "backfill"}
    for name in TABLES.keys() - later - people - flows:
        files = sorted((store / "tables" / name / "campaign=small").rglob("part-0.parquet"))
        assert len(files) == (len(DATES) if TABLES[name].per_date else 1), name
        may_be_empty = name in ("rejected", "drift")  # nothing left out; no unseen plant on a date
        assert may_be_empty or all(load_table(file, TABLES[name]).num_rows > 0 for file in files)
    assert verify_store(Store(store)).problems == []


@pytest.mark.parametrize("day", DATES)
def test_decisions_are_those_of_the_tables_in_every_format(first: Finished, store: Path, day: date) -> None:
    """Joined to the published tables by DuckDB, and opened as maps by geopandas."""
    tables = f"{store}/tables/{{}}/campaign=small/{{}}part-0.parquet"
    rows = load_table(Path(tables.format("decided", f"date={day}/")), TABLES["decided"]).num_rows
    reader = {"csv": "read_csv", "parquet": "read_parquet"}
    for kind, read in reader.items():
        query = f"""
            select abs(d.answer_reliability - greatest(r.combined_reliability, 1 - r.combined_reliability)) < 1e-9
            and abs(if(r.predicted = 1, d.ready_probability, 1 - d.ready_probability) - r.combined_reliability) < 1e-9
            and d.is_corrected = (r.combined_reliability < 0.5) and d.cluster = r.cluster
            and d.answer = if(d.ready_probability >= 0.5, 'ready', 'not ready')
            and d.predicted = if(r.predicted = 1, 'ready', 'not ready') and d.clusters = r.clusters
            and d.decision = c.decision and coalesce(d.check_reason, '') = c.check_reason
            and d.is_outside = c.is_outside and (d.decision = 'check') = (c.check_reason <> '')
            and d.easting = p.easting and d.northing = p.northing and d.split = p.split and d.date = '{day}'
            from {read}('{export(store, day, kind)}') d
            join '{tables.format("decided", f"date={day}/")}' c using (plant_id)
            join '{tables.format("reliability", f"date={day}/")}' r using (plant_id)
            join '{tables.format("plants", "")}' p using (plant_id)"""
        agreed = duckdb.execute(query).fetchall()
        assert len(agreed) == rows > 0 and all(same for (same,) in agreed), kind
    in_package = geopandas.read_file(export(store, day, "gpkg"), layer="decisions")
    for frame in (geopandas.read_parquet(export(store, day, "parquet")), in_package):
        assert frame.crs == "EPSG:25832" and len(frame) == rows
        assert frame.geometry.x.tolist() == frame["easting"].tolist()
        assert frame.geometry.y.tolist() == frame["northing"].tolist()
    in_degrees = geopandas.read_file(export(store, day, "geojson"))
    assert in_degrees.crs == "EPSG:4326" and len(in_degrees) == rows
    again: Any = in_degrees.to_crs("EPSG:25832").geometry
    assert np.abs(again.x - in_degrees["easting"]).max() < 0.02 > np.abs(again.y - in_degrees["northing"]).max()


@pytest.mark.parametrize("day", DATES)
def test_people_in_the_field_get_a_list_and_tours(first: Finished, store: Path, day: date) -> None:
    """The list has every plant of the table once; a tour has those of its decision, in the order of the list."""
    decided: Any = geopandas.read_parquet(export(store, day, "parquet")).set_index("plant_id")["decision"]
    listed: Any = pd.read_csv(export(store, day, "csv").with_stem(f"small_{day}_gradcam_walk")).set_index("plant")
    assert listed["decision"].to_dict() == decided.to_dict() and listed.index.is_unique
    assert listed["row"].notna().all() and listed["number"].notna().all() and listed["position"].notna().all()
    for word in ("harvest", "check"):
        wanted = set(decided.index[decided == word])
        for kind in ("gpx", "kml"):
            tour = export(store, day, kind).with_stem(f"small_{day}_gradcam_{word}")
            assert tour.exists() == bool(wanted)
            if wanted:
                found = geopandas.read_file(tour, layer="waypoints" if kind == "gpx" else word)
                assert set(found["name" if kind == "gpx" else "Name"]) == wanted


def test_flow_run_shows_summary_metrics_and_prototypes(first: Finished) -> None:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[first.flow_run_id]))
        )
    artifacts = {artifact.key: artifact for artifact in found if artifact.key}
    shown = ("summary", "metrics", "evaluation", "drift", "prototypes-gradcam", "harvest-map")
    assert {f"small--{kind}" for kind in shown} <= set(artifacts)
    summary = str(artifacts["small--summary"].data)
    assert "## Decisions" in summary and " to harvest, " in summary
    assert {a.type for a in found} >= {"markdown", "table", "image", "progress"}
    assert "small" in summary


def test_second_run_is_cached_and_changes_nothing(first: Finished, store: Path) -> None:
    before = table_bytes(store)
    second = run_small(small_campaign(), store)
    assert {name for name, state in second.states().items() if state != "Cached"} == ALWAYS_RUN
    assert second.record == first.record
    assert table_bytes(store) == before


def test_runtime_enters_no_digest_and_exports_only_their_own(first: Finished, store: Path) -> None:
    params = small_campaign(export=ExportParams(crs="EPSG:25833"))
    record = analyse_campaign(params, str(store), Runtime(device="cpu", batch_size=5, workers=1))
    changed = {role for role, ref in record.artifacts.items() if first.record.artifacts[role] != ref}
    # The map of the report turns positions of the plants into latitude and longitude, by this system.
    assert changed == {*(f"decisions gradcam {day}" for day in DATES), "report"}
    assert geopandas.read_parquet(export(store, DATES[0], "parquet")).crs == "EPSG:25833"


def test_missing_and_damaged_artefacts_are_made_again(first: Finished, store: Path) -> None:
    before, opened = table_bytes(store), Store(store)
    shutil.rmtree(local(opened.folder(first.record.artifacts["predictions 2022-08-25"])))
    saliency = opened.folder(first.record.artifacts["saliency gradcam 2022-09-03"])
    shard = next(path for path in (local(saliency / "saliency" / "c")).rglob("*") if path.is_file())
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)  # the same file is the shard's of its own
    export(store, DATES[0], "geojson").unlink()
    problems = verify_store(opened).problems
    assert {text.split("/")[1] for text in problems if "changed content" in text} == {"saliency", "saliency_shard"}
    assert "exports/small/2022-08-25: file small_2022-08-25_gradcam.geojson is missing" in problems
    third = run_small(small_campaign(), store)
    again = {name for name, state in third.states().items() if state != "Cached"}
    (explained,) = (name for name in explain_names(first, store) if "2022-09-03" in name)
    assert again - ALWAYS_RUN == {"predict small 2022-08-25", explained, "gather small 2022-09-03 gradcam"}
    assert verify_store(opened).problems == []
    assert table_bytes(store) == before
    decisions = opened.open(first.record.artifacts[f"decisions gradcam {DATES[0]}"])
    assert export(store, DATES[0], "geojson").read_bytes() == decisions.read_bytes("decisions.geojson")


def test_other_clusters_are_fitted_on_the_same_maps(first: Finished, store: Path) -> None:
    """Nothing before the clusters runs again when only their number changes."""
    params = small_campaign(cluster=ClusterParams(n_clusters=2, n_seeds=2, neighbours=3))
    states = run_small(params, store).states()
    cached = {"train small", "augment small"} | {f"{s} small {d}" for s in ("ingest", "predict") for d in DATES}
    cached |= {f"gather small {day} gradcam" for day in DATES} | explain_names(first, store)
    assert {states[name] for name in cached} == {"Cached"}
    assert states["cluster small gradcam"] == "Completed"


def test_clusters_of_a_refit_are_matched_to_those_before(first: Finished, store: Path) -> None:
    """The mapping stays when the same campaign runs again."""
    before = analyse_campaign(small_campaign(), str(store))
    params = small_campaign(cluster=ClusterParams(n_clusters=4, n_seeds=2))
    refit, again = run_small(params, store), run_small(params, store)
    assert refit.states()["match small gradcam"] == "Completed"
    assert again.states()["match small gradcam"] == "Cached" and again.record == refit.record
    rows = read_table(Store(store).open(refit.record.artifacts["matches gradcam"]), CLUSTER_MATCHES)
    assert rows["cluster"] == [1, 2, 3, 4]
    assert sorted(c for c in rows["earlier_cluster"] if c is not None) == [1, 2, 3]
    assert set(rows["earlier"]) == {before.artifacts["clusters gradcam"].digest}
    assert set(rows["clusters"]) == {refit.record.artifacts["clusters gradcam"].digest}


def test_figures_of_validation_are_crossfitted_and_agree_over_tables(first: Finished, store: Path) -> None:
    """What one table says of a plant, another says too, and nobody is judged by himself."""
    tables = f"{store}/tables/{{}}/campaign=small/**/*.parquet"
    query = f"""
        select r.novelty = c.novelty and r.softmax = c.softmax and r.combined_reliability = c.combined_reliability
        from read_parquet('{tables.format("reliability")}', hive_partitioning=true) r
        join read_parquet('{tables.format("crossfit")}') c
        on r.plant_id = c.plant_id and r.date = c.acquired and r.method = c.method"""
    analyse_campaign(small_campaign(), str(store))
    agreed = duckdb.execute(query).fetchall()
    n = duckdb.execute(f"select count(*) from read_parquet('{tables.format('crossfit')}')").fetchone()
    assert n is not None and len(agreed) == n[0] > 0 and all(same for (same,) in agreed)
    folds = duckdb.execute(
        f"select max(k) from (select count(distinct fold) k from '{tables.format('crossfit')}' group by plant_id)"
    ).fetchone()
    assert folds == (1,)


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
