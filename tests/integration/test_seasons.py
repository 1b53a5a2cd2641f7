"""What comes after a campaign: new dates scored with its fit, looked for, announced, and many seasons of them."""

import json
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import geopandas
import numpy as np
import pytest
from PIL import Image
from prefect import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Completed, Failed
from prefect.utilities.callables import parameter_schema

from flows import cli, discover
from flows.acquisition import SCORING_SLOTS, acquisition_rows, n_tasks, score_acquisition
from flows.backfill import BackfillError, backfill_seasons
from flows.discover import DiscoveryError, discover_acquisitions, scoring_key
from flows.fit import expected, fit_and_explain, needed
from flows.parameters import CAMPAIGN_NAME, CampaignParams
from flows.seasonsfile import BackfillParams
from flows.sending import find_runs
from storage.acquisitions import (
    AcquisitionRecord,
    find_acquisition,
    fit_digest,
    list_acquisitions,
    write_acquisition,
)
from storage.arrays import COORDINATES, LABELS, PCA_COMPONENTS, PCA_MEAN, ROWS, read_array
from storage.arrivals import arrival_path
from storage.artifacts import Artifact, ArtifactRef, Store
from storage.errors import ArtifactError, InputError
from storage.parquet import load_table, read_table
from storage.publish import CampaignRecord, partition, write_record
from storage.tables import CLUSTER_SCORES, SWAPS, TABLES
from storage.verify import verify_store
from tasks.arrival import Arrival, ArrivalParams, NotSettled, look_again
from tasks.axes import map_vectors
from tasks.classifier import predict_logits, softmax
from tasks.cluster_checks import ClusterParams
from tasks.loading import load_classifier
from tasks.parameters import Runtime
from tasks.score import ScoreParams
from tasks.sources.growliflower import GrowliFlowerSource
from tasks.sources.layouts import write_season
from tasks.sources.season import grow_season
from tasks.sources.season_params import SeasonParams
from tasks.sources.synthetic import SyntheticSource
from tasks.validation import read_maps
from tests.integration.conftest import (
    DATES,
    analyse_campaign,
    most_at_once,
    small_campaign,
    task_runs,
    wait_until,
)
from tests.local_stores import local

BAD, NEW, LATE = date(2022, 8, 27), date(2022, 8, 30), date(2022, 9, 1)
YEAR_LATER = (date(2023, 8, 25), date(2023, 8, 28), date(2023, 8, 31), date(2023, 9, 3))
AT_ONCE = ArrivalParams(settle_seconds=0, patience_minutes=0)
PER_DATE = [spec for spec in TABLES.values() if spec.per_date]
LEARNED = ("classifier", "clusters gradcam", "crossfit gradcam", "scores gradcam", "swaps gradcam")
ALWAYS = {f"{verb} small {NEW}" for verb in ("await", "survey", "check", "publish")} | {"publish report small"}
REUSED = {f"reuse small {role}" for role in LEARNED}
TINY: dict[str, Any] = {"n_plots": 1, "rows": 2, "plants_per_row": 4, "image_size": 64, "days_to_harvest": 82}


def day_folder(root: Path, day: date) -> Path:
    return root / f"GrowliFlowerR/Field2/{day:%Y_%m_%d}"


def write_field(root: Path, **season: Any) -> Path:
    """A season in the layout of the real release; a folder a date."""
    write_season(grow_season(SeasonParams(**season)), root, "growliflower")
    return root


def arrive(whole: Path, root: Path, day: date, names: slice = slice(None)) -> list[Path]:
    """Copy (some of) a date's images from the whole season."""
    target = day_folder(root, day)
    target.mkdir(parents=True, exist_ok=True)
    files = sorted(day_folder(whole, day).iterdir())[names]
    return [Path(shutil.copy(file, target)) for file in files]


def spoil(root: Path, day: date) -> None:
    """Make every image of a date unreadable."""
    for path in day_folder(root, day).iterdir():
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + path.name.encode())


@pytest.fixture(scope="module", autouse=True)
def no_heartbeats() -> Generator[None]:
    """A flow run waits at its end for a thread that sleeps whole seconds between heartbeats."""
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    season: dict[str, Any] = {"n_plots": 2, "rows": 3, "plants_per_row": 10, "image_size": 64, "seed": 1}
    return write_field(tmp_path_factory.mktemp("season") / "whole", dates=sorted((*DATES, NEW)), **season)


def own_dates(whole: Path, root: Path) -> Path:
    """A field of which only the campaign's own dates have arrived."""
    root.mkdir()
    for table in [path for path in whole.iterdir() if path.is_file()]:
        shutil.copy(table, root)
    for day in DATES:
        arrive(whole, root, day)
    return root


@pytest.fixture(scope="module")
def field(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_dates(whole, tmp_path_factory.mktemp("field") / "root")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def fitted(store: Path, field: Path) -> CampaignRecord:
    return analyse_campaign(small_campaign(source=GrowliFlowerSource(root=str(field))), str(store))


@dataclass(frozen=True)
class Scored:
    """A scored date, its task runs, and the published tables before and after."""

    record: AcquisitionRecord
    tasks: dict[str, TaskRun]
    before: dict[str, bytes]
    after: dict[str, bytes]

    def named(self, state: str) -> set[str]:
        """Names of the task runs in a state."""
        return {name for name, run in self.tasks.items() if run.state_name == state}


def table_bytes(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted((store / "tables").rglob("*.parquet"))}


def flow_runs(*names: str) -> list[FlowRun]:
    """Flow runs whose name begins in one of these ways, the oldest first."""
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(sort=FlowRunSort.START_TIME_ASC, limit=200)
    return [run for run in found if run.name.startswith(names)]


def score(store: Path) -> Scored:
    """Score a date of `small`, and read back what the server knows of it."""
    before, n_before = table_bytes(store), len(flow_runs(f"score small {NEW}"))
    record = score_acquisition("small", NEW, str(store), arrival=AT_ONCE)
    *_, last = runs = flow_runs(f"score small {NEW}")
    assert len(runs) == n_before + 1
    n_renewing = 2  # the report is written and published
    tasks = task_runs(last.id, n_tasks(CampaignParams.model_validate(record.params)) + n_renewing)
    return Scored(record, {run.name: run for run in tasks}, before, table_bytes(store))


@pytest.fixture(scope="module")
def scored(whole: Path, field: Path, store: Path, fitted: CampaignRecord) -> Scored:
    arrive(whole, field, NEW)
    return score(store)


def part_of(store: Path, table: str, fit: str, campaign: str = "small", day: date = NEW) -> Path:
    """The file with a date's rows by one fit, or for tables that no fit makes."""
    spec = TABLES[table]
    name = f"fit-{fit}.parquet" if spec.is_fitted else "part-0.parquet"
    return local(partition(Store(store), spec, campaign, day) / name)


def rows(store: Path, table: str, fit: str, campaign: str = "small", day: date = NEW) -> dict[str, list[Any]]:
    return load_table(part_of(store, table, fit, campaign, day), TABLES[table]).to_pydict()


def own_part(store: Path, fitted: CampaignRecord, table: str, role: str) -> dict[str, list[Any]]:
    return read_table(Store(store).open(fitted.artifacts[role]), TABLES[table])


class TestNewDate:
    def test_nothing_is_trained_or_fitted(self, scored: Scored) -> None:
        """The task runs are exactly these, and each of them ended well."""
        verbs = ("ingest small {}", "predict small {}", "sum up small {}")
        verbs += tuple(
            f"{verb} small {{}} gradcam" for verb in ("gather", "assign", "reliability", "adjust", "drift", "export")
        )
        made = {name.format(NEW) for name in verbs}
        (explained,) = (name for name in scored.tasks if name.startswith(f"explain small {NEW} gradcam 0.."))
        assert set(scored.tasks) == ALWAYS | REUSED | made | {explained, "report small"}
        assert scored.named("Completed") == set(scored.tasks)

    def test_every_table_of_a_date_is_in_the_part_of_its_fit(
        self, scored: Scored, fitted: CampaignRecord, store: Path
    ) -> None:
        fit = fit_digest(fitted.artifacts)
        assert (scored.record.fit, scored.record.fitted_by, scored.record.date) == (fit, "small", NEW)
        added = {str(part_of(store, spec.name, fit).relative_to(store)) for spec in PER_DATE}
        assert set(scored.after) - set(scored.before) == added
        assert all(rows(store, spec.name, fit) for spec in PER_DATE)
        assert find_acquisition(Store(store), "small", NEW, fit) == scored.record

    def test_decisions_lie_where_the_split_files_say_the_plants_stand(
        self, scored: Scored, store: Path, field: Path
    ) -> None:
        (path,) = (store / f"exports/small/{NEW}").glob("*.parquet")
        assert path.name == f"small_{NEW}_gradcam_fit-{scored.record.fit}.parquet"
        decided = geopandas.read_parquet(path)
        lines = [line for file in field.glob("*UTM*.txt") for line in file.read_text().splitlines()]
        stands = {cells[0]: (float(cells[1]), float(cells[2])) for cells in (line.split(",") for line in lines)}
        points = zip(decided.geometry.x, decided.geometry.y, strict=True)
        found = dict(zip(decided["plant_id"], points, strict=True))
        assert found == {plant: stands[plant] for plant in rows(store, "adjusted", scored.record.fit)["plant_id"]}

    def test_the_campaign_s_own_tables_stay(self, scored: Scored) -> None:
        assert len(scored.before) > len(TABLES)
        assert {name: scored.after[name] for name in scored.before} == scored.before

    def test_rows_say_which_fit_made_them(self, scored: Scored, fitted: CampaignRecord, store: Path) -> None:
        for spec in [spec for spec in PER_DATE if spec.is_fitted]:
            found = rows(store, spec.name, scored.record.fit)
            for name, role in (("classifier", "classifier"), ("clusters", "clusters gradcam")):
                if name in {column.name for column in spec.columns}:
                    assert set(found[name]) == {fitted.artifacts[role].digest}, spec.name

    def test_verify(self, scored: Scored, store: Path) -> None:
        assert verify_store(Store(store)).problems == []

    def test_other_programs_see_the_date_as_any_other(self, scored: Scored, store: Path) -> None:
        query = f"""select date, count(*) from read_parquet('{store}/tables/reliability/campaign=small/**/*.parquet',
            hive_partitioning=true) group by date order by date"""
        counts = dict(duckdb.execute(query).fetchall())
        assert list(counts) == sorted((*DATES, NEW))
        assert counts[NEW] == len(rows(store, "reliability", scored.record.fit)["row"])

    def test_predictions_are_the_classifier_s_of_the_files(
        self, scored: Scored, fitted: CampaignRecord, store: Path, field: Path
    ) -> None:
        found = rows(store, "predictions", scored.record.fit)
        files = [day_folder(field, NEW) / f"{plant}.png" for plant in found["plant_id"]]
        images = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
        classifier = load_classifier(Store(store).open(fitted.artifacts["classifier"]), Runtime(device="cpu"))
        probabilities = softmax(predict_logits(classifier, images, 7))
        np.testing.assert_allclose(np.asarray(found["probabilities"]), probabilities, atol=1e-5)
        assert found["predicted"] == probabilities.argmax(axis=1).tolist()

    def test_every_image_is_explained_whatever_its_split(self, scored: Scored, store: Path) -> None:
        """Nothing was trained on the date, so plants of the training split get an answer too."""
        observed = rows(store, "observations", scored.record.fit)
        assert "train" not in observed["split"] and "new" in observed["split"]
        assert sorted(rows(store, "reliability", scored.record.fit)["row"]) == sorted(observed["row"])

    def test_clusters_are_those_of_the_nearest_validation_maps(
        self, scored: Scored, fitted: CampaignRecord, store: Path
    ) -> None:
        files = Store(store)
        fit, maps = (files.open(ref) for ref in (fitted.artifacts["clusters gradcam"], saliency_of(scored)))
        assigned = rows(store, "assignments", scored.record.fit)
        by_row = dict(zip(assigned["row"], assigned["cluster"], strict=True))
        nearest = {int(row): cluster for row, cluster in zip(read_array(maps, ROWS), vote(fit, maps), strict=True)}
        assert by_row == nearest and len(set(nearest.values())) > 1

    def test_reliability_is_that_of_the_campaign_s_cluster(
        self, scored: Scored, fitted: CampaignRecord, store: Path
    ) -> None:
        of_fit = own_part(store, fitted, "clusters", "scores gradcam")
        share = dict(zip(of_fit["cluster"], of_fit["error_share"], strict=True))
        found = rows(store, "reliability", scored.record.fit)
        assert found["reliability"] == pytest.approx([1 - share[cluster] for cluster in found["cluster"]])
        assert of_fit["cluster"] == list(range(1, 4)) and CLUSTER_SCORES.name == "clusters"

    def test_answers_are_swapped_where_the_campaign_swaps(
        self, scored: Scored, fitted: CampaignRecord, store: Path
    ) -> None:
        decided = own_part(store, fitted, SWAPS.name, "swaps gradcam")
        swapped = dict(zip(decided["cluster"], decided["is_swapped"], strict=True))
        clusters, found = (rows(store, table, scored.record.fit) for table in ("assignments", "adjusted"))
        of_plant = dict(zip(clusters["plant_id"], clusters["cluster"], strict=True))
        assert found["is_swapped"] == [swapped[of_plant[plant]] for plant in found["plant_id"]]

    def test_sums_are_those_of_the_tables(self, scored: Scored, store: Path) -> None:
        fit = scored.record.fit
        reliability, adjusted = rows(store, "reliability", fit), rows(store, "adjusted", fit)
        (sums,) = acquisition_rows(Store(store), scored.record)
        labelled = [i for i, label in enumerate(adjusted["label"]) if label is not None]
        assert sums["n_images"] == len(rows(store, "observations", fit)["row"]) == sums["n_explained"]
        assert sums["n_rejected"] == len(rows(store, "rejected", fit)["plant_id"])
        assert sums["n_abstain"] == sum(reliability["abstain"]) and sums["n_swapped"] == sum(adjusted["is_swapped"])
        assert sums["mean_reliability"] == pytest.approx(np.mean(reliability["reliability"]))
        right = [adjusted["predicted"][i] == adjusted["label"][i] for i in labelled]
        assert (sums["n_labelled"], sums["accuracy_before"]) == (len(labelled), pytest.approx(np.mean(right)))

    def test_the_run_shows_what_came_out(self, scored: Scored, store: Path) -> None:
        run_id = next(iter(scored.tasks.values())).flow_run_id
        assert run_id is not None
        shown = artifacts_of(run_id)
        assert {"summary", "acquisition", "report"} <= set(shown)
        assert f"scored by the fit `{scored.record.fit}` of small" in str(shown["summary"])
        adjusted = rows(store, "adjusted", scored.record.fit)
        n_check, n = sum(adjusted["abstain"]), len(adjusted["abstain"])
        assert f"30 August 2022: {n} plants, " in str(shown["summary"]) and f"{n_check} to check." in str(
            shown["summary"]
        )

    def test_the_campaign_s_report_shows_the_date(self, scored: Scored, store: Path) -> None:
        page = (store / "reports" / "small" / "index.html").read_text()
        adjusted = rows(store, "adjusted", scored.record.fit)
        kept = [
            answer for answer, doubted in zip(adjusted["adjusted"], adjusted["abstain"], strict=True) if not doubted
        ]
        cells = [len(adjusted["abstain"]), kept.count(1), kept.count(0), sum(adjusted["abstain"])]
        row = f'<th scope="row" class="nowrap">{NEW}</th>' + "".join(f'<td class="number">{n}</td>' for n in cells)
        assert row in page and "scored later with this fit" in page

    def test_scored_again_everything_is_cached(self, scored: Scored, store: Path) -> None:
        again = score(store)
        assert again.record == scored.record and again.after == again.before
        assert again.named("Completed") == ALWAYS | REUSED
        assert again.named("Cached") == set(scored.tasks) - ALWAYS - REUSED

    def test_a_newer_fit_writes_beside_the_old(self, scored: Scored, store: Path, field: Path, tmp_path: Path) -> None:
        """Rows that no part of the fit changed (the classifier is the same) are there once."""
        copy = tmp_path / "store"
        shutil.copytree(store, copy)
        source, old = GrowliFlowerSource(root=str(field)), scored.record.fit
        params = small_campaign(source=source, cluster=ClusterParams(n_clusters=2, n_seeds=2, neighbours=3))
        newer = analyse_campaign(params, str(copy))
        again = score(copy)
        assert again.record.fit == fit_digest(newer.artifacts) != old
        assert {name for name in again.named("Completed") if "cluster" in name} == {"reuse small clusters gradcam"}
        assert f"predict small {NEW}" in again.named("Cached")
        assert {name: again.after[name] for name in again.before} == again.before
        by_clusters = [spec.name for spec in PER_DATE if "clusters" in {column.name for column in spec.columns}]
        added = {str(part_of(copy, table, again.record.fit).relative_to(copy)) for table in by_clusters}
        assert set(again.after) - set(again.before) == added and len(by_clusters) == 5
        for table in by_clusters:
            sides = [set(rows(copy, table, fit)["clusters"]) for fit in (old, again.record.fit)]
            assert sides == [{r.artifacts["clusters gradcam"].digest} for r in (scored.record, newer)], table
        assert len(list_acquisitions(Store(copy))) == 2 and verify_store(Store(copy)).problems == []
        kinds = {path.suffix for path in (copy / f"exports/small/{NEW}").iterdir()}
        names = {path.stem for path in (copy / f"exports/small/{NEW}").glob("*.geojson")}
        assert kinds == {".csv", ".geojson", ".parquet", ".json"}
        assert names == {f"small_{NEW}_gradcam_fit-{fit}" for fit in (old, again.record.fit)}

    def test_so_do_other_thresholds_on_the_same_clusters(
        self, scored: Scored, store: Path, field: Path, tmp_path: Path
    ) -> None:
        """What was scored by the ones before does not count as done."""
        copy = tmp_path / "store"
        shutil.copytree(store, copy)
        lax = ScoreParams(widest=1, least_novelty=0, undecided=(0.5, 0.5))
        newer = analyse_campaign(small_campaign(source=GrowliFlowerSource(root=str(field)), score=lax), str(copy))
        fit, old = fit_digest(newer.artifacts), scored.record.fit
        assert fit != old and find_acquisition(Store(copy), "small", NEW, fit) is None
        again = score(copy)
        assert again.record.fit == fit and {name: again.after[name] for name in again.before} == again.before
        changed = ("reliability", "adjusted", "acquisitions")
        assert set(again.after) - set(again.before) == {
            str(part_of(copy, table, fit).relative_to(copy)) for table in changed
        }
        assert any(rows(copy, "reliability", old)["abstain"]) and not any(rows(copy, "reliability", fit)["abstain"])
        assert verify_store(Store(copy)).problems == []

    def test_another_field_on_the_fit_s_own_date(self, fitted: CampaignRecord, store: Path, tmp_path: Path) -> None:
        """Its images are not the fit's validation images of that date: they are judged as on any other date."""
        same_day, day_before = DATES[0], DATES[0] - timedelta(days=1)
        root = write_field(tmp_path / "same-day", dates=[same_day], **{**TINY, "plants_per_row": 20})
        moved = Path(shutil.copytree(root, tmp_path / "day-before"))
        day_folder(moved, same_day).rename(day_folder(moved, day_before))
        found: list[list[dict[str, Any]]] = []
        for place, day in ((root, same_day), (moved, day_before)):
            source = GrowliFlowerSource(root=str(place))
            fit = score_acquisition(place.name, day, str(store), "small", source, AT_ONCE).fit
            tables = (rows(store, table, fit, place.name, day) for table in ("assignments", "reliability"))
            found.append([by_plant(table) for table in tables])
        members = dict(Store(store).open(fitted.artifacts["clusters gradcam"]).read_json("members.json"))
        for here, there in zip(*found, strict=True):
            both = here.keys() & there.keys()
            assert {here[plant].pop("row") for plant in both} & set(members[str(same_day)])  # could be mistaken
            for plant in both:
                assert here[plant] == pytest.approx({name: there[plant][name] for name in here[plant]}, abs=1e-6)

    def test_a_date_in_the_dark_is_outside_what_was_validated(
        self, whole: Path, scored: Scored, store: Path, tmp_path: Path
    ) -> None:
        """A tenth of the light: nothing tells the plants apart, so their maps fall into few clusters."""
        assert not any(rows(store, "drift", scored.record.fit)["is_outside"])  # the same images as they are
        root = own_dates(whole, tmp_path / "dark")
        for path in arrive(whole, root, NEW):
            Image.fromarray(np.asarray(Image.open(path).convert("RGB")) // 10).save(path)
        record = score_acquisition("dark", NEW, str(store), "small", GrowliFlowerSource(root=str(root)), AT_ONCE)
        drift = rows(store, "drift", record.fit, "dark")
        assert any(drift["is_outside"]) and (record.fit, record.fitted_by) == (scored.record.fit, "small")
        reasons = {word for reason in drift["reason"] for word in reason.split()}
        summed = rows(store, "acquisitions", record.fit, "dark")
        assert summed["is_outside"] == [True] and set(summed["outside_reason"][0].split()) == reasons
        (run,) = flow_runs(f"score dark {NEW}")
        assert f"**Outside what was validated: {summed['outside_reason'][0]}.**" in str(artifacts_of(run.id)["summary"])


class TestFit:
    """What the GPU's run makes is known before, so the run that needs it can tell whether to send for it."""

    def test_what_is_expected_is_what_a_run_made(self, scored: Scored, fitted: CampaignRecord) -> None:
        """Of a campaign, which trains, and of a date, whose classifier is given."""
        for record in (fitted, scored.record):
            made = {str(ref) for role, ref in record.artifacts.items() if role.split()[0] in FIT}
            found = [str(ref) for ref in expected(params_of(record), Runtime(), given_to_fit(record))]
            assert sorted(found) == sorted(made)
        assert set(given_to_fit(scored.record)) == {"classifier", f"images {NEW}"}
        assert set(given_to_fit(fitted)) == {"augmentation", *(f"images {day}" for day in DATES)}

    def test_maps_are_expected_by_every_method(self, fitted: CampaignRecord) -> None:
        params, given = params_of(fitted), given_to_fit(fitted)
        both = params.explain.model_copy(update={"methods": ("gradcam", "occlusion")})
        one = expected(params, Runtime(), given)
        two = expected(params.model_copy(update={"explain": both}), Runtime(), given)
        assert set(one) < set(two) and len(two) == len(one) + len(DATES)

    def test_the_flow_of_the_gpu_makes_just_that(self, fitted: CampaignRecord, store: Path) -> None:
        """Everything is there already, so each of its tasks is cached; without a slot it does not begin."""
        params, given = params_of(fitted), given_to_fit(fitted)
        with pytest.raises(ConcurrencySlotAcquisitionError, match="gpu"):
            fit_and_explain(params, str(store), given)
        with get_client(sync_client=True) as client:
            client.upsert_global_concurrency_limit_by_name("gpu", 1)
        fit_and_explain(params, str(store), given)
        *_, last = flow_runs("small 2022-08-25..2022-09-03")
        runs = task_runs(last.id, len(given) + 1 + len(DATES) * 3)
        assert {run.name for run in runs if run.state_name != "Cached"} == {f"reuse small {role}" for role in given}
        assert {"fit", "epochs"} <= set(artifacts_of(last.id))


FIT = ("classifier", "predictions", "saliency")


def by_plant(columns: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Rows of a table by plant."""
    return {plant: {name: columns[name][i] for name in columns} for i, plant in enumerate(columns["plant_id"])}


def params_of(record: CampaignRecord | AcquisitionRecord) -> CampaignParams:
    return CampaignParams.model_validate(record.params)


def given_to_fit(record: CampaignRecord | AcquisitionRecord) -> dict[str, ArtifactRef]:
    """What the fit takes: of a campaign that trains, the plan of training samples and not the classifier."""
    is_trained = "augmentation" in record.artifacts
    there = {role: ref for role, ref in record.artifacts.items() if not (is_trained and role == "classifier")}
    return {role: there[role] for role in needed(params_of(record), there)}


def saliency_of(scored: Scored) -> ArtifactRef:
    return scored.record.artifacts[f"saliency gradcam {NEW}"]


def vote(fit: Artifact, maps: Artifact, k: int = 5) -> list[int]:
    """Cluster of the majority of the k nearest validation maps, map by map; equal votes go to the nearer."""
    vectors = map_vectors(read_maps(maps), 64) - read_array(fit, PCA_MEAN)
    here, there, labels = (
        vectors @ read_array(fit, PCA_COMPONENTS).T,
        read_array(fit, COORDINATES),
        read_array(fit, LABELS),
    )
    found: list[int] = []
    for one in here:
        near = [int(labels[i]) for i in np.argsort(np.linalg.norm(there - one, axis=1), kind="stable")[:k]]
        found.append(max(near, key=lambda cluster: (near.count(cluster), -near.index(cluster))))
    return found


def artifacts_of(flow_run_id: UUID) -> dict[str, Any]:
    """Content of what a flow run shows, by key."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        return {made.key: made.data for made in client.read_artifacts(artifact_filter=of_run) if made.key}


def copy_of(fitted: CampaignRecord, store: Path, name: str, **params: Any) -> CampaignRecord:
    """A campaign with the same artefacts, and other parameters, under another name."""
    record = fitted.model_copy(update={"campaign": name, "params": {**fitted.params, "campaign": name, **params}})
    write_record(Store(store), record)
    return record


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"date": DATES[0]}, f"{DATES[0]} is one of the dates of small"),
            ({"campaign": "absent"}, "no record of 'absent'.*campaigns there: .*small"),
            ({"fitted_by": "absent"}, "no record of 'absent'"),
            ({"source": SyntheticSource(season=SeasonParams(dates=DATES, **TINY))}, f"{NEW}; the season has"),
        ],
    )
    def test_before_anything_is_written(self, scored: Scored, store: Path, changes: dict[str, Any], said: str) -> None:
        beside = sorted(store.parent.iterdir())
        before = contents_but_results(store)
        with pytest.raises(InputError, match=f"(?s){said}"):
            parameters: Any = {"campaign": "small", "date": NEW, "store": str(store), "arrival": AT_ONCE, **changes}
            score_acquisition(**parameters)
        assert contents_but_results(store) == before and sorted(store.parent.iterdir()) == beside

    @pytest.mark.parametrize("name", ["../small", "a/b", "Small", "small\n", ""])
    def test_names_that_are_none(self, fitted: CampaignRecord, store: Path, name: str) -> None:
        """They become parts of paths; Prefect refuses them as the run form does."""
        before = contents_but_results(store)
        for campaign, fitted_by in ((name, "small"), ("small", name)):
            with pytest.raises(ParameterTypeError, match="should match pattern"):
                score_acquisition(campaign, NEW, str(store), fitted_by, arrival=AT_ONCE)
        with pytest.raises(ParameterTypeError, match="should match pattern"):
            discover_acquisitions(name, str(store))
        assert contents_but_results(store) == before

    def test_the_run_form_bounds_names(self) -> None:
        for wanted in (score_acquisition, discover_acquisitions):
            assert parameter_schema(wanted).properties["campaign"]["pattern"] == CAMPAIGN_NAME
        (named, _) = parameter_schema(score_acquisition).properties["fitted_by"]["anyOf"]
        assert named["pattern"] == CAMPAIGN_NAME

    def test_a_campaign_s_own_date_by_another_s_fit(self, fitted: CampaignRecord, store: Path) -> None:
        """The tables that no fit makes would be replaced."""
        copy_of(fitted, store, "sister", dates=[str(LATE)])
        with pytest.raises(InputError, match=f"{LATE} is one of the dates of sister"):
            score_acquisition("sister", LATE, str(store), "small", arrival=AT_ONCE)

    def test_maps_of_the_true_class(self, fitted: CampaignRecord, store: Path) -> None:
        copy_of(fitted, store, "labelled", explain={**fitted.params["explain"], "explained_class": "label"})
        with pytest.raises(InputError, match="New dates are scored by maps of the predicted class"):
            score_acquisition("labelled", NEW, str(store), arrival=AT_ONCE)

    def test_too_many_bad_files(self, fitted: CampaignRecord, store: Path, tmp_path: Path) -> None:
        root = write_field(tmp_path / "bad", dates=YEAR_LATER[:1], **TINY)
        spoil(root, YEAR_LATER[0])
        with pytest.raises(InputError, match=r"(?s)may be bad.*unreadable"):
            score_acquisition("bad", YEAR_LATER[0], str(store), "small", GrowliFlowerSource(root=str(root)), AT_ONCE)
        assert not (store / "tables/observations/campaign=bad").exists()

    def test_a_damaged_artefact_of_the_fit(self, scored: Scored, store: Path, tmp_path: Path) -> None:
        copy = tmp_path / "store"
        shutil.copytree(store, copy)
        lost = Store(copy).folder(scored.record.artifacts["scores gradcam"])
        (lost / "clusters.parquet").write_bytes(b"")
        with pytest.raises(ArtifactError, match=r"scores gradcam of small: .*`harvest run` makes it again"):
            score_acquisition("small", NEW, str(copy), arrival=AT_ONCE)


def contents_but_results(store: Path) -> set[str]:
    """Names of a store's tables, records and looks."""
    folders = ("tables", "campaigns", "acquisitions", "reports")
    return {str(path) for folder in folders for path in (store / folder).rglob("*")}


@pytest.fixture
def late(tmp_path: Path) -> tuple[Path, Path]:
    """A whole date of a small field, and the same field before its images arrive."""
    whole = write_field(tmp_path / "whole", dates=YEAR_LATER[:1], **TINY)
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    shutil.rmtree(root / "GrowliFlowerR")
    return whole, root


class TestArrival:
    DAY = YEAR_LATER[0]

    def score(self, store: Path, campaign: str, root: Path, **arrival: Any) -> AcquisitionRecord:
        source = GrowliFlowerSource(root=str(root))
        return score_acquisition(campaign, self.DAY, str(store), "small", source, ArrivalParams(**arrival))

    def n_seen(self, store: Path, record: AcquisitionRecord) -> int:
        """Images and left-out plants of the scored date."""
        tables = (rows(store, name, record.fit, record.campaign, self.DAY) for name in ("observations", "rejected"))
        return sum(len(table["plant_id"]) for table in tables)

    def n_looks(self, campaign: str) -> int:
        (run,) = flow_runs(f"score {campaign} {self.DAY}")
        with get_client(sync_client=True) as client:
            of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
            found = wait_until(
                lambda: [one for one in client.read_task_runs(flow_run_filter=of_run) if one.name.startswith("await ")]
            )
        return found[0].run_count

    def test_half_a_date_waits_for_the_other_half(
        self, fitted: CampaignRecord, store: Path, late: tuple[Path, Path]
    ) -> None:
        """Half of the images are there and one is being copied, until the date has been looked at."""
        whole, root = late
        *_, last = arrive(whole, root, self.DAY, slice(0, 4))
        partial = last.rename(last.with_name(f".{last.name}.Ab3dEf"))

        def copy_the_rest() -> None:
            wait_until(lambda: local(arrival_path(Store(store), "half", self.DAY)).exists())
            arrive(whole, root, self.DAY, slice(4, None))
            partial.rename(last)

        copying = threading.Thread(target=copy_the_rest)
        copying.start()
        record = self.score(store, "half", root, settle_seconds=1, patience_minutes=2)
        copying.join()
        assert self.n_seen(store, record) == len(list(day_folder(whole, self.DAY).iterdir())) == 8
        assert self.n_looks("half") >= 3  # one saw half of it, one the whole, one that it stayed

    def test_a_marker_decides(self, fitted: CampaignRecord, store: Path, late: tuple[Path, Path]) -> None:
        whole, root = late
        arrive(whole, root, self.DAY)
        marker = {"marker": "_COMPLETE", "settle_seconds": 0, "patience_minutes": 0}
        with pytest.raises(NotSettled, match=f"marked {self.DAY} are not known to be complete: waits for the marker"):
            self.score(store, "marked", root, **marker)
        assert not (store / "tables/observations/campaign=marked").exists()
        (day_folder(root, self.DAY) / "_COMPLETE").touch()
        assert self.n_seen(store, self.score(store, "marked", root, **marker)) == 8

    def test_patience_ends(self, fitted: CampaignRecord, store: Path, late: tuple[Path, Path]) -> None:
        """The error names what is missing."""
        whole, root = late
        last = arrive(whole, root, self.DAY)[-1]
        last.rename(last.with_suffix(".png.part"))
        with pytest.raises(NotSettled, match=f"a file is being copied: .*{last.name}.part"):
            self.score(store, "never", root, settle_seconds=0, patience_minutes=0.02)
        assert self.n_looks("never") == 3  # 1.2 s of patience, a look a second
        assert not (store / "tables/observations/campaign=never").exists()


@pytest.fixture
def deployed() -> Generator[None]:
    """A server with the deployment `score-acquisition`, whose pool has no worker."""
    with get_client(sync_client=True) as client:
        made = client.create_deployment(
            flow_id=client.create_flow_from_name("score-acquisition"), name="score-acquisition"
        )
        yield
        client.delete_deployment(made)


@pytest.fixture
def one_slot() -> Generator[None]:
    """One date at a time."""
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(SCORING_SLOTS, 1)
        yield
        client.delete_global_concurrency_limit_by_name(SCORING_SLOTS)


class TestTurn:
    def test_a_date_that_waits_for_files_takes_no_slot(self, deployed: None, scored: Scored, store: Path) -> None:
        """The server has none, so that who takes one fails by that."""
        with pytest.raises(NotSettled):
            score_acquisition("small", LATE, str(store), arrival=AT_ONCE)
        with pytest.raises(ConcurrencySlotAcquisitionError, match=SCORING_SLOTS):
            score_acquisition("small", NEW, str(store), arrival=AT_ONCE)

    def test_one_with_files_waits_for_its_turn(
        self, deployed: None, one_slot: None, scored: Scored, store: Path
    ) -> None:
        n_before = len(flow_runs(f"score small {NEW}"))

        def began() -> list[FlowRun]:
            return [run for run in flow_runs(f"score small {NEW}")[n_before:] if seen(run).get(f"await small {NEW}")]

        with ThreadPoolExecutor(1) as thread:
            with concurrency(SCORING_SLOTS, strict=True):
                scoring = thread.submit(copy_context().run, score, store)
                (run,) = wait_until(began)
                time.sleep(1)
                freed = datetime.now(UTC)
            assert scoring.result().record == scored.record
        states = wait_until(lambda: (found := seen(run)).get(f"survey small {NEW}") and found)
        assert states[f"await small {NEW}"] < freed < states[f"survey small {NEW}"]
        with get_client(sync_client=True) as client:
            assert client.read_global_concurrency_limit_by_name(SCORING_SLOTS).active_slots == 0


def seen(run: FlowRun) -> dict[str, datetime]:
    """When the task runs of a flow run began, by name, as far as the server knows."""
    with get_client(sync_client=True) as client:
        found = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return {task.name: task.start_time for task in found if task.start_time}


class TestDiscovery:
    def look(self, store: Path, **changes: Any) -> list[tuple[str, str]]:
        """Date and state of every new date; what each says is in the last `details`."""
        parameters: Any = {"campaign": "watched", "store": str(store), "arrival": AT_ONCE, **changes}
        try:
            found: Any = discover_acquisitions(**parameters)
        except DiscoveryError as error:
            found = error.rows
        self.details = {row["date"]: row["detail"] for row in found}
        return [(row["date"], row["state"]) for row in found]

    def test_unseen_dates_are_scored_once(self, fitted: CampaignRecord, store: Path, tmp_path: Path) -> None:
        whole = write_field(tmp_path / "whole", dates=sorted((*DATES, BAD, NEW, LATE)), seed=2, **TINY)
        root = own_dates(whole, tmp_path / "root")
        copy_of(fitted, store, "watched", source={"kind": "growliflower", "root": str(root)})
        assert self.look(store) == [] and shown_dates() == [{"date": "", "state": "no new date", "detail": ""}]
        # One date is complete, one half-copied, and one, the first, cannot be read.
        for day in (BAD, NEW):
            arrive(whole, root, day)
        spoil(root, BAD)
        *_, last = arrive(whole, root, LATE, slice(0, 4))
        partial = last.rename(last.with_suffix(".png.part"))
        assert self.look(store) == [(str(BAD), "failed"), (str(NEW), "scored"), (str(LATE), "waiting")]
        assert "may be bad" in self.details[str(BAD)] and "in place" in self.details[str(NEW)]
        assert self.details[str(LATE)].startswith("a file is being copied") and partial.name in self.details[str(LATE)]
        assert shown_dates()[1:] == [
            {"date": str(day), "state": state, "detail": self.details[str(day)]}
            for day, state in ((NEW, "scored"), (LATE, "waiting"))
        ]
        # What is scored is not scored again; what has only just become whole must rest.
        partial.rename(last)
        arrive(whole, root, LATE, slice(4, None))
        arrive(whole, root, BAD)
        resting = ArrivalParams(settle_seconds=1, patience_minutes=0)
        assert self.look(store, arrival=resting) == [
            (str(BAD), "waiting"),
            (str(NEW), "scored"),
            (str(LATE), "waiting"),
        ]
        assert self.details[str(NEW)] == f"by the fit {fit_digest(fitted.artifacts)}"
        assert "unchanged for 0 of 1 s" in self.details[str(LATE)]
        time.sleep(1)
        assert self.look(store, arrival=resting) == [(str(day), "scored") for day in (BAD, NEW, LATE)]
        assert self.look(store, date=LATE) == [(str(LATE), "scored")]  # announced once more
        runs = Counter(run.name for run in flow_runs("score watched"))
        assert runs == {f"score watched {BAD}": 2, f"score watched {NEW}": 1, f"score watched {LATE}": 1}
        assert verify_store(Store(store)).problems == []

        # A damaged record stops no other date.
        (record,) = (store / "acquisitions/watched" / str(BAD)).iterdir()
        whole_record = record.read_bytes()
        record.write_bytes(b"{")
        assert self.look(store) == [(str(BAD), "failed"), (str(NEW), "scored"), (str(LATE), "scored")]
        assert self.details[str(BAD)].startswith(f"{record} cannot be read as the record of a scored date")
        *_, last = flow_runs("discover watched")
        assert last.state_name == "Failed" and last.state is not None
        assert f"1 of 3 dates failed:\n{BAD}: {record} cannot be read" in (last.state.message or "")
        record.write_bytes(whole_record)

    def test_a_worker_s_date_is_sent_for_once(
        self, deployed: None, fitted: CampaignRecord, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = SyntheticSource(season=SeasonParams(dates=(*DATES[:1], NEW, *DATES[1:]), **TINY))
        copy_of(fitted, store, "sent", source=source.model_dump(mode="json"))
        fit = fit_digest(fitted.artifacts)

        def runs() -> list[FlowRun]:
            return [run for _, run in sorted(find_runs(scoring_key(Store(store), "sent", NEW, fit, source)).items())]

        def end(run: FlowRun, state: State[Any]) -> None:
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(run.id, state, force=True)

        for _ in range(2):
            assert self.look(store, campaign="sent") == [(str(NEW), "Scheduled")]
        (first,) = runs()
        assert "sent" in first.tags and str(first.id) in self.details[str(NEW)]
        end(first, Failed())
        assert self.look(store, campaign="sent") == [(str(NEW), "Failed")]
        assert self.look(store, campaign="sent", date=NEW) == [(str(NEW), "Scheduled")]
        _, second = runs()

        def look_while_it_ends(*looked: Any) -> Arrival:
            """The run writes its record, and ends, while the date's files are looked at."""
            scored = AcquisitionRecord(campaign="sent", date=NEW, fitted_by="sent", fit=fit, params={}, artifacts={})
            write_acquisition(Store(store), scored)
            end(second, Completed())
            return look_again(*looked)

        monkeypatch.setattr(discover, "look_again", look_while_it_ends)
        assert self.look(store, campaign="sent") == [(str(NEW), "scored")]
        assert [run.id for run in runs()] == [first.id, second.id]


def shown_dates() -> Any:
    """The table that the last look for new dates shows."""
    *_, last = flow_runs("discover watched")
    shown = artifacts_of(last.id)["dates"]
    return json.loads(shown) if isinstance(shown, str) else shown


@dataclass
class Seasons:
    """Three seasons of four dates in one store; one date of the third cannot be read."""

    store: Path
    root: Path
    whole: Path

    @property
    def params(self) -> BackfillParams:
        """North and south are drawn in memory, east lies in a folder."""
        drawn = {
            name: {"kind": "synthetic", "season": SeasonParams(dates=YEAR_LATER, seed=seed, **TINY)}
            for name, seed in (("north", 3), ("south", 4))
        }
        sources = {**drawn, "east": {"kind": "growliflower", "root": str(self.root)}}
        seasons = [{"campaign": name, "fitted_by": "small", "source": one} for name, one in sources.items()]
        return BackfillParams.model_validate({"name": "all-seasons", "at_most": 2, "seasons": seasons})

    def run(self) -> list[dict[str, Any]]:
        """Rows of a backfill; where dates fail, of its error."""
        try:
            return backfill_seasons(self.params, str(self.store))
        except BackfillError as error:
            return error.rows

    def table(self) -> list[dict[str, Any]]:
        file = self.store / "tables/backfill/backfill=all-seasons/part-0.parquet"
        return load_table(file, TABLES["backfill"]).to_pylist()


BROKEN = YEAR_LATER[1]


@pytest.fixture(scope="module")
def seasons(fitted: CampaignRecord, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Seasons:
    folder = tmp_path_factory.mktemp("seasons")
    whole = write_field(folder / "whole", dates=YEAR_LATER, seed=5, **TINY)
    root = folder / "east"
    shutil.copytree(whole, root)
    spoil(root, BROKEN)
    return Seasons(store, root, whole)


class TestBackfill:
    def test_many_seasons_and_a_broken_date(self, seasons: Seasons, fitted: CampaignRecord) -> None:
        fit, names = fit_digest(fitted.artifacts), ("score north", "score south", "score east")
        first = seasons.run()
        days = [(season, str(day)) for season in ("north", "south", "east") for day in YEAR_LATER]
        assert [(row["season"], row["acquired"]) for row in first] == days
        assert Counter(row["state"] for row in first) == {"scored": 11, "failed": 1}
        (failed,) = (row for row in first if row["state"] == "failed")
        assert (failed["season"], failed["acquired"]) == ("east", str(BROKEN)) and "may be bad" in failed["detail"]
        assert failed["n_images"] is None and {row["fit"] for row in first} == {fit}
        by_id = {str(run.id): run.name for run in flow_runs(*names)}
        assert [by_id[row["flow_run"]] for row in first] == [
            f"score {row['season']} {row['acquired']}" for row in first
        ]
        written = seasons.table()
        assert [{**row, "acquired": str(row["acquired"])} for row in written] == first and len(written) == 12
        runs = flow_runs(*names)
        assert len(runs) == 12 and most_at_once(runs) <= 2
        # What runs two at a time are the tasks; a flow run in them may have to wait for a server that keeps SQLite.
        tasks = task_runs(flow_runs("backfill all-seasons")[-1].id, 12 + len(runs) + 1)
        assert most_at_once([task for task in tasks if task.name.startswith("backfill ")]) == 2
        shown = artifacts_of(flow_runs("backfill all-seasons")[-1].id)["summary"].splitlines()
        assert shown[0] == "1 failed, 11 scored" and f"- east {BROKEN}: {failed['detail']}".startswith(shown[2])

        # Again: nothing is computed but what failed, which fails again.
        before = table_bytes(seasons.store)
        again = seasons.run()
        assert Counter(row["state"] for row in again) == {"present": 11, "failed": 1}
        counts = ("n_images", "n_abstain", "n_swapped", "is_outside")
        assert [[row[name] for name in counts] for row in again] == [[row[name] for name in counts] for row in first]
        after = table_bytes(seasons.store)
        assert {name for name in before if before[name] != after[name]} == {
            "tables/backfill/backfill=all-seasons/part-0.parquet"
        }
        assert [run.name for run in flow_runs(*names)[12:]] == [f"score east {BROKEN}"]

        # Mended: that date alone.
        arrive(seasons.whole, seasons.root, BROKEN)
        mended = seasons.run()
        assert Counter(row["state"] for row in mended) == {"present": 11, "scored": 1}
        assert [(row["season"], row["acquired"]) for row in mended if row["state"] == "scored"] == [
            ("east", str(BROKEN))
        ]
        assert [run.name for run in flow_runs(*names)[13:]] == [f"score east {BROKEN}"]
        assert [row["detail"] for row in seasons.table()] == [""] * 12
        assert verify_store(Store(seasons.store)).problems == []

    def test_an_unknown_campaign_stops_everything_before_it_begins(self, seasons: Seasons) -> None:
        listed = [*seasons.params.model_dump()["seasons"], {"campaign": "absent"}]
        params = BackfillParams.model_validate({"name": "wrong", "seasons": listed})
        n_before = len(flow_runs("score "))
        with pytest.raises(InputError, match="no record of 'absent'"):
            backfill_seasons(params, str(seasons.store))
        assert len(flow_runs("score ")) == n_before
        assert not (seasons.store / "tables/backfill/backfill=wrong").exists()


SET_BY_COMMANDS = (
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL",
    "PREFECT_SERVER_ANALYTICS_ENABLED",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS",
    "DO_NOT_TRACK",
)


def harvest(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit code of the command line, in this process."""
    for name in SET_BY_COMMANDS:
        monkeypatch.setenv(name, "")  # so that what the command sets ends with this test
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["harvest", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


SEASONS = """
[[seasons]]
campaign = "west"
fitted_by = "small"
dates = [{dates}]
[seasons.source]
kind = "growliflower"
root = "field"
"""


class TestCommands:
    def test_score(
        self, scored: Scored, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command = ("score", "small", "--date", str(NEW), "--store", store)
        assert harvest(monkeypatch, *command, "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["campaign"], found["date"], found["fit"]) == ("small", str(NEW), scored.record.fit)
        assert found["rows"] == acquisition_rows(Store(store), scored.record)
        places = {"folder": str(store / "exports/small"), "n_rows": found["rows"][0]["n_explained"]}
        assert found["exports"] == {**places, "n_without_position": 0}
        assert harvest(monkeypatch, *command) == 0
        head, *said = capsys.readouterr().out.splitlines()
        assert head == f"small {NEW}, by the fit {scored.record.fit}:"
        n = found["rows"][0]["n_images"]
        assert said[0].startswith(f"- gradcam: {n} of {n} images explained, ")
        assert said[1:] == [f"exports: {store}/exports/small"]

    @pytest.mark.parametrize(
        ("campaign", "day", "said"),
        [
            ("small", DATES[0], "is one of the dates of small"),
            ("small", LATE, f"the files of small {LATE} are not known to be complete: no file of this date yet"),
            ("absent", NEW, "no record of 'absent'"),
            ("../campaigns/small", NEW, "'../campaigns/small'"),
        ],
    )
    def test_score_refuses_in_one_message(
        self,
        fitted: CampaignRecord,
        store: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        campaign: str,
        day: date,
        said: str,
    ) -> None:
        assert harvest(monkeypatch, "score", campaign, "--date", str(day), "--store", store) == 2
        shown = capsys.readouterr()
        messages = [line for line in shown.err.splitlines() if line.startswith("error: ")]
        assert shown.out == "" and len(messages) == 1 and said in shown.err

    def test_backfill(
        self,
        fitted: CampaignRecord,
        store: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """One date of the field, and one that it does not have."""
        write_field(tmp_path / "field", dates=YEAR_LATER[:1], **TINY)
        file = tmp_path / "western.toml"
        command = ("backfill", file, "--store", store)
        file.write_text(SEASONS.format(dates=f"'{YEAR_LATER[0]}', '{YEAR_LATER[1]}'"))
        assert harvest(monkeypatch, *command) == 1
        table = capsys.readouterr().out
        assert "scored" in table and "failed" in table and "no file of this date yet" in " ".join(table.split())
        file.write_text(SEASONS.format(dates=f"'{YEAR_LATER[0]}'"))
        assert harvest(monkeypatch, *command, "--json") == 0
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["season"], row["acquired"], row["state"]) == ("west", str(YEAR_LATER[0]), "present")
        assert (store / "tables/backfill/backfill=western/part-0.parquet").exists()

    def test_announce(
        self,
        fitted: CampaignRecord,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert harvest(monkeypatch, "announce", "small", "--date", str(NEW)) == 0
        first = capsys.readouterr().out
        assert first.startswith(f"announced small {NEW}: event ")
        assert harvest(monkeypatch, "announce", "small", "--date", str(NEW), "--json") == 0
        ids = {first.split()[-1], json.loads(capsys.readouterr().out)["event"]}
        found = wait_until(lambda: {one["id"]: one for one in arrivals() if one["id"] in ids})
        for one in found.values():
            assert one["payload"] == {"campaign": "small", "date": str(NEW)}
            assert one["resource"]["prefect.resource.id"] == "harvest.campaign.small"
        assert len(ids) == 2


def arrivals() -> list[dict[str, Any]]:
    """Events that announce a date, as the server has them."""
    asked = {"filter": {"event": {"name": ["acquisition.arrived"]}}, "limit": 50}
    with get_client(sync_client=True) as client:
        return client.request("POST", "/events/filter", json=asked).json()["events"]
