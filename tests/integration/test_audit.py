"""The audit of a small campaign: what it adds, what it leaves alone, what it refuses."""

import csv
import json
import sys
from pathlib import Path

import pytest
from prefect import flow, get_client
from prefect.client.schemas.sorting import FlowRunSort

from flows.audit import Audit, analyse_variants, audit_campaign, n_more_tasks, reuse
from flows.campaign import analyse_campaign
from flows.cli import main as cli
from flows.cli.audit import audit_results
from flows.parameters import CampaignParams
from flows.running.stages import Stages, n_tasks
from storage.arrays.specs import EXPLAINED_CLASS
from storage.arrays.zarr_files import open_array
from storage.artifacts import ArtifactRef, Store
from storage.errors import ArtifactError, InputError
from storage.records.campaigns import CampaignRecord, read_record
from storage.tables import METRICS, PREDICTIONS
from storage.tables.parquet import read_table
from storage.verify import verify_store
from tasks.parameters import Runtime
from tasks.sources.folder.source import FolderSource
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season
from tests.support.campaigns import DATES, contents, small_campaign, task_runs
from tests.support.local_stores import local

pytestmark = pytest.mark.nightly  # tests/unit/flows/test_audit.py has its parts
N_UNLABELLED = 3


def write_folder(root: Path) -> None:
    """A season as a plain folder, with some test plants that nobody has labelled yet."""
    season = SeasonParams(dates=DATES, n_plots=2, rows=3, plants_per_row=20, image_size=64, seed=1, label_noise=0.3)
    write_season(grow_season(season), root, "folder")
    with (root / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    (root / "new").mkdir()
    for row in [row for row in rows if row["split"] == "test" and row["date"] == str(DATES[0])][:N_UNLABELLED]:
        moved = f"new/{Path(row['file']).name}"
        (root / row["file"]).rename(root / moved)
        row |= {"file": moved, "split": "new", "label": ""}
    with (root / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    return Store(folder / "store")


@pytest.fixture(scope="module")
def record(folder: Path, store: Store) -> CampaignRecord:
    write_folder(folder / "season")
    return analyse_campaign(small_campaign(source=FolderSource(root=str(folder / "season"))), str(store.root))


def published(store: Store) -> dict[str, bytes]:
    return {k: v for name in ("tables", "campaigns", "reports") for k, v in contents(local(store.root / name)).items()}


@pytest.fixture(scope="module")
def before(record: CampaignRecord, store: Store) -> dict[str, bytes]:
    """Everything the campaign published."""
    return published(store)


@pytest.fixture(scope="module")
def audit(before: dict[str, bytes], store: Store) -> Audit:
    return audit_campaign("small", str(store.root))


@pytest.fixture(scope="module")
def states(audit: Audit, record: CampaignRecord) -> dict[str, list[str]]:
    """States of the audit's task runs by name."""
    params = small_campaign(source=FolderSource(root="x"))
    with get_client(sync_client=True) as client:
        (last,) = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
    assert last.name == "audit small"
    found: dict[str, list[str]] = {}
    for run in task_runs(last.id, n_tasks(params) + n_more_tasks(params, 3)):
        found.setdefault(run.name, []).append(run.state_name or "")
    return found


def test_every_explained_class_has_rows_of_the_same_answers(audit: Audit, store: Store) -> None:
    rows = audit_results(store, audit)["rows"]
    assert [(row["explained_class"], row["split"]) for row in rows] == [
        (choice, split) for choice in ("predicted", "ready", "label") for split in ("val", "test")
    ]
    for split in ("val", "test"):
        same = {(row["n"], row["accuracy_before"], row["classifier"]) for row in rows if row["split"] == split}
        assert len(same) == 1
    assert len({row["clusters"] for row in rows}) == 3
    for row in rows:
        assert (row["accuracy_crossfitted"] is not None) == (row["split"] == "val")
        assert (row["heterogeneity_p"] is not None) == (row["split"] == "val")
        assert row["label_probe"] is None or 0 <= row["label_probe"] <= 1


def test_the_probe_tells_maps_that_carry_the_label(audit: Audit, store: Store) -> None:
    """Labels are noise here; only maps of the true class know which answers are wrong."""
    probes = {choice: set[float]() for choice in ("predicted", "ready", "label")}
    for row in audit_results(store, audit)["rows"]:
        probes[row["explained_class"]].add(row["label_probe"])
    assert min(probes["label"]) > 0.9 > max(probes["predicted"] | probes["ready"])


def test_predicted_says_what_the_campaign_says(audit: Audit, store: Store, record: CampaignRecord) -> None:
    metrics = read_table(store.open(record.artifacts["metrics gradcam"]), METRICS)
    claimed = {
        (split, state): share
        for split, state, share in zip(metrics["split"], metrics["state"], metrics["overall_accuracy"], strict=True)
    }
    for row in audit_results(store, audit)["rows"][:2]:
        assert row["accuracy_before"] == claimed[row["split"], "before"]
        assert row["accuracy_after"] == claimed[row["split"], "after"]
        assert row["accuracy_crossfitted"] == claimed.get((row["split"], "cross-fitted"))


def test_label_leaves_out_what_has_none_and_says_so(audit: Audit, store: Store, record: CampaignRecord) -> None:
    assert audit_results(store, audit)["left_out"] == {"new": N_UNLABELLED}
    assert f"{N_UNLABELLED} new." in (local(store.root / audit.page)).read_text()
    inputs = store.open(audit.artifact).manifest.inputs
    for day in DATES:
        kind, digest = inputs[f"label/saliency gradcam {day}"].split("/")
        maps = store.open(ArtifactRef(kind=kind, digest=digest))
        table = read_table(store.open(record.artifacts[f"predictions {day}"]), PREDICTIONS)
        labels = [v for v, s in zip(table["label"], table["split"], strict=True) if s != "train" and v is not None]
        assert open_array(maps, EXPLAINED_CLASS)[...].tolist() == labels  # pyright: ignore
        assert maps.manifest.params["explained_class"] == "label"


def test_what_the_campaign_made_is_not_made_again(states: dict[str, list[str]]) -> None:
    shared = [names for names in states if names.startswith(("reuse", "labelled", "publish"))]
    assert len(shared) == 2 + 2 * len(DATES) + len(DATES) + 1
    assert sorted(states["cluster small gradcam"]) == ["Cached", "Completed", "Completed"]
    assert sorted(states["measure small gradcam"]) == ["Cached", "Completed", "Completed"]
    assert not any(name.startswith(("train", "ingest", "predict", "survey")) for name in states)


def test_the_campaign_stays_as_it_is(
    audit: Audit, store: Store, record: CampaignRecord, before: dict[str, bytes]
) -> None:
    after = {
        **contents(local(store.root / "tables")),
        **contents(local(store.root / "campaigns")),
        **contents(local(store.root / "reports")),
    }
    assert {name: after[name] for name in before} == before
    added = {name.split("/")[0] for name in set(after) - set(before)}
    assert added == {"audit", "small+audit"}
    assert read_record(store, "small") == record
    assert verify_store(store).problems == []


def test_the_command_prints_the_rows_as_json(
    audit: Audit, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["harvest", "audit", "small", "--store", str(store.root), "--method", "gradcam", "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == audit_results(store, audit)


def test_unknown_campaigns_and_methods_are_refused(record: CampaignRecord, store: Store) -> None:
    with pytest.raises(InputError, match="campaigns there: small"):
        audit_campaign("other", str(store.root))
    with pytest.raises(InputError, match="lime; the campaign has gradcam"):
        audit_campaign("small", str(store.root), ["lime"])


def test_a_deployment_never_audits(record: CampaignRecord, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "0123")
    with pytest.raises(InputError, match="A deployment never explains the true class"):
        audit_campaign("small", str(store.root))


def test_an_explained_class_that_cannot_be_analysed_is_a_problem_not_the_end(
    audit: Audit, record: CampaignRecord, store: Store
) -> None:
    params = CampaignParams.model_validate(record.params)

    @flow(name="two-variants")
    def two_variants() -> tuple[dict[str, list[str]], list[str]]:
        with Stages("small", str(store.root), 1, Runtime(workers=1)) as stages:
            roles = reuse(stages, params, record)
            found, problems = analyse_variants(stages, params, Runtime(), ["predicted", "unripe"], roles)
        return {choice: sorted(roles) for choice, roles in found.items()}, problems

    found, problems = two_variants()
    assert len(found["predicted"]) == 2 + 2 * len(DATES) and found["unripe"] == []
    assert problems == [
        "unripe, gradcam: explain.explained_class is 'unripe'; explain.explained_class must be predicted, label or the "
        "name of a class."
    ]


def test_a_damaged_artefact_of_the_campaign_is_named(audit: Audit, store: Store, record: CampaignRecord) -> None:
    """Last, as it spoils the store."""
    path = store.open(record.artifacts[f"predictions {DATES[0]}"]).file("predictions.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=f"predictions {DATES[0]} of small"):
        audit_campaign("small", str(store.root))
