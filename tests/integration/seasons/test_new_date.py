"""A new date that is scored with the fit of a campaign."""

from pathlib import Path
from typing import Any

import duckdb
import geopandas
import numpy as np
import pytest
from PIL import Image

from flows.acquisition import acquisition_rows
from storage.arrays.specs import COORDINATES, LABELS, PCA_COMPONENTS, PCA_MEAN, ROWS
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact, ArtifactRef, Store
from storage.records.acquisitions import find_acquisition, fit_digest
from storage.records.campaigns import CampaignRecord
from storage.tables import CLUSTER_SCORES, CROSSFIT, PLANTS, SWAPS, TABLES
from storage.tables.parquet import load_table, read_table
from storage.verify import verify_store
from tasks.classify.loading import load_classifier
from tasks.classify.model import predict_logits, softmax
from tasks.cluster.axes import map_vectors
from tasks.parameters import Runtime
from tests.support.campaigns import DATES
from tests.support.planted_campaign import all_maps
from tests.support.season_fields import NEW, day_folder
from tests.support.season_runs import PER_DATE, Scored, artifacts_of, file_of, rows, score

LEARNED = ("classifier", *(f"{kind} gradcam" for kind in ("clusters", "crossfit", "scores", "swaps", "promises")))
ALWAYS = {f"{verb} small {NEW}" for verb in ("await", "survey", "check", "background", "publish")} | {
    "publish report small"
}
REUSED = {f"reuse small {role}" for role in LEARNED}


def test_nothing_is_trained_or_fitted(scored: Scored) -> None:
    """The task runs are exactly these, and each of them ended well."""
    verbs = ("ingest small {}", "predict small {}", "sum up small {}")
    verbs += tuple(
        f"{verb} small {{}} gradcam"
        for verb in ("gather", "assign", "reliability", "adjust", "drift", "decide", "export")
    )
    made = {name.format(NEW) for name in verbs}
    (explained,) = (name for name in scored.tasks if name.startswith(f"explain small {NEW} gradcam 0.."))
    assert set(scored.tasks) == ALWAYS | REUSED | made | {explained, "report small"}
    assert scored.named("Completed") == set(scored.tasks)


def test_every_table_of_a_date_is_in_its_partition(scored: Scored, fitted: CampaignRecord, store: Path) -> None:
    fit = fit_digest(fitted.artifacts)
    assert (scored.record.fit, scored.record.fitted_by, scored.record.date) == (fit, "small", NEW)
    added = {str(file_of(store, spec.name).relative_to(store)) for spec in PER_DATE}
    assert set(scored.after) - set(scored.before) == added
    for spec in PER_DATE:
        assert load_table(file_of(store, spec.name), spec).to_pydict() == rows(store, spec.name, fit), spec.name
    assert find_acquisition(Store(store), "small", NEW, fit) == scored.record


def test_decisions_lie_where_the_split_files_say_the_plants_stand(scored: Scored, store: Path, field: Path) -> None:
    (path,) = (store / f"exports/small/{NEW}").glob("*.parquet")
    assert path.name == f"small_{NEW}_gradcam.parquet"
    decided = geopandas.read_parquet(path)
    lines = [line for file in field.glob("*UTM*.txt") for line in file.read_text().splitlines()]
    stands = {cells[0]: (float(cells[1]), float(cells[2])) for cells in (line.split(",") for line in lines)}
    points = zip(decided.geometry.x, decided.geometry.y, strict=True)
    found = dict(zip(decided["plant_id"], points, strict=True))
    assert found == {plant: stands[plant] for plant in rows(store, "adjusted", scored.record.fit)["plant_id"]}


def test_the_campaign_s_own_tables_stay(scored: Scored) -> None:
    assert len(scored.before) > len(TABLES)
    assert {name: scored.after[name] for name in scored.before} == scored.before


def test_rows_say_which_fit_made_them(scored: Scored, fitted: CampaignRecord, store: Path) -> None:
    for spec in PER_DATE:
        found = rows(store, spec.name, scored.record.fit)
        for name, role in (("classifier", "classifier"), ("clusters", "clusters gradcam")):
            if name in {column.name for column in spec.columns}:
                assert set(found[name]) == {fitted.artifacts[role].digest}, spec.name


def test_verify(scored: Scored, store: Path) -> None:
    assert verify_store(Store(store)).problems == []


def test_other_programs_see_the_date_as_any_other(scored: Scored, store: Path) -> None:
    query = f"""select date, count(*) from read_parquet('{store}/tables/reliability/campaign=small/**/*.parquet',
        hive_partitioning=true) group by date order by date"""
    counts = dict(duckdb.execute(query).fetchall())
    assert list(counts) == sorted((*DATES, NEW))
    assert counts[NEW] == len(rows(store, "reliability", scored.record.fit)["row"])


def test_predictions_are_the_classifier_s_of_the_files(
    scored: Scored, fitted: CampaignRecord, store: Path, field: Path
) -> None:
    found = rows(store, "predictions", scored.record.fit)
    files = [day_folder(field, NEW) / f"{plant}.png" for plant in found["plant_id"]]
    images = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    classifier = load_classifier(Store(store).open(fitted.artifacts["classifier"]), Runtime(device="cpu"))
    probabilities = softmax(predict_logits(classifier, images, 7))
    np.testing.assert_allclose(np.asarray(found["probabilities"]), probabilities, atol=1e-5)
    assert found["predicted"] == probabilities.argmax(axis=1).tolist()


def test_every_image_is_explained_whatever_its_split(scored: Scored, store: Path) -> None:
    """Nothing was trained on the date, so plants of the training split get an answer too."""
    observed = rows(store, "observations", scored.record.fit)
    assert "train" not in observed["split"] and "new" in observed["split"]
    assert sorted(rows(store, "reliability", scored.record.fit)["row"]) == sorted(observed["row"])


def test_clusters_are_those_of_the_nearest_validation_maps_of_other_plants(
    scored: Scored, fitted: CampaignRecord, store: Path
) -> None:
    opened = Store(store)
    fit, maps = (opened.open(ref) for ref in (fitted.artifacts["clusters gradcam"], saliency_of(scored)))
    assigned = rows(store, "assignments", scored.record.fit)
    by_row = dict(zip(assigned["row"], assigned["cluster"], strict=True))
    plant_of = dict(zip(assigned["row"], assigned["plant_id"], strict=True))
    known = own_part(store, fitted, CROSSFIT.name, "crossfit gradcam")["plant_id"]
    places = [int(row) for row in read_array(maps, ROWS)]
    found = vote(fit, maps, [[plant != plant_of[row] for plant in known] for row in places])
    assert by_row == dict(zip(places, found, strict=True)) and len(set(found)) > 1


def test_plants_that_the_fit_has_seen_are_marked_and_left_out_of_drift(
    scored: Scored, fitted: CampaignRecord, store: Path
) -> None:
    split = dict(
        zip(*(own_part(store, fitted, PLANTS.name, "plants")[name] for name in ("plant_id", "split")), strict=True)
    )
    known = set(own_part(store, fitted, CROSSFIT.name, "crossfit gradcam")["plant_id"])
    found = rows(store, "assignments", scored.record.fit)
    for plant, seen in zip(found["plant_id"], found["seen"], strict=True):
        assert seen == ("val" if plant in known else "train" if split.get(plant) == "train" else None)
    assert {"val", "train", None} == set(found["seen"])
    drift = rows(store, "drift", scored.record.fit)
    for of_split, n, n_seen in zip(*(drift[name] for name in ("split", "n", "n_seen")), strict=True):
        marks = [seen for seen, other in zip(found["seen"], found["split"], strict=True) if other == of_split]
        assert (n, n_seen) == (marks.count(None), len(marks) - marks.count(None))
    assert sum(drift["n_seen"]) == found["seen"].count("train")


def test_reliability_is_that_of_the_campaign_s_cluster(scored: Scored, fitted: CampaignRecord, store: Path) -> None:
    of_fit = own_part(store, fitted, "clusters", "scores gradcam")
    share = dict(zip(of_fit["cluster"], of_fit["error_share"], strict=True))
    found = rows(store, "reliability", scored.record.fit)
    assert found["reliability"] == pytest.approx([1 - share[cluster] for cluster in found["cluster"]])
    assert of_fit["cluster"] == list(range(1, 4)) and CLUSTER_SCORES.name == "clusters"


def test_answers_are_swapped_where_the_campaign_swaps(scored: Scored, fitted: CampaignRecord, store: Path) -> None:
    decided = own_part(store, fitted, SWAPS.name, "swaps gradcam")
    swapped = dict(zip(decided["cluster"], decided["is_swapped"], strict=True))
    clusters, found = (rows(store, table, scored.record.fit) for table in ("assignments", "adjusted"))
    of_plant = dict(zip(clusters["plant_id"], clusters["cluster"], strict=True))
    assert found["is_swapped"] == [swapped[of_plant[plant]] for plant in found["plant_id"]]


def test_sums_are_those_of_the_tables(scored: Scored, store: Path) -> None:
    fit = scored.record.fit
    decided, adjusted = rows(store, "decided", fit), rows(store, "adjusted", fit)
    (sums,) = acquisition_rows(Store(store), scored.record)
    labelled = [i for i, label in enumerate(adjusted["label"]) if label is not None]
    assert sums["n_images"] == len(rows(store, "observations", fit)["row"]) == sums["n_explained"]
    assert sums["n_rejected"] == len(rows(store, "rejected", fit)["plant_id"])
    assert sums["n_check"] == decided["decision"].count("check") and sums["n_swapped"] == sum(adjusted["is_swapped"])
    changed = [one != other for one, other in zip(decided["answer"], decided["predicted"], strict=True)]
    assert sums["n_corrected"] == sum(changed)
    assert sums["mean_reliability"] == pytest.approx(np.mean(decided["answer_reliability"]))
    assert adjusted["plant_id"] == decided["plant_id"] and sums["n_labelled"] == len(labelled)
    answers = {"before": adjusted["predicted"], "after": adjusted["adjusted"], "decided": decided["answer"]}
    for state, given in answers.items():
        right = [given[i] == adjusted["label"][i] for i in labelled]
        assert sums[f"accuracy_{state}"] == pytest.approx(np.mean(right)), state


def test_the_run_shows_what_came_out(scored: Scored, store: Path) -> None:
    run_id = next(iter(scored.tasks.values())).flow_run_id
    assert run_id is not None
    shown = artifacts_of(run_id)
    assert {f"small--summary-{NEW}", f"small--acquisition-{NEW}", "small--report"} <= set(shown)
    summary = str(shown[f"small--summary-{NEW}"])
    assert f"scored by the fit `{scored.record.fit}` of small" in summary
    decisions = rows(store, "decided", scored.record.fit)["decision"]
    n_check, n = decisions.count("check"), len(decisions)
    assert f"30 August 2022: {n} plants, " in summary and f"{n_check} to check." in summary


def test_the_campaign_s_report_shows_the_date(scored: Scored, store: Path) -> None:
    page = (store / "reports" / "small" / "analysis.html").read_text()
    decisions = rows(store, "decided", scored.record.fit)["decision"]
    cells = [len(decisions), *(decisions.count(one) for one in ("harvest", "leave", "check"))]
    row = f'<th scope="row" class="nowrap">{NEW}</th>' + "".join(f'<td class="number">{n}</td>' for n in cells)
    assert row in page and "scored later with this fit" in page


def test_scored_again_everything_is_cached(scored: Scored, store: Path) -> None:
    again = score(store)
    assert again.record == scored.record and again.after == again.before
    assert again.named("Completed") == ALWAYS | REUSED
    assert again.named("Cached") == set(scored.tasks) - ALWAYS - REUSED


def saliency_of(scored: Scored) -> ArtifactRef:
    return scored.record.artifacts[f"saliency gradcam {NEW}"]


def vote(fit: Artifact, maps: Artifact, votes: list[list[bool]], k: int = 5) -> list[int]:
    """Cluster of the majority of the k nearest validation maps that vote, map by map; equal votes go to the nearer."""
    vectors = map_vectors(all_maps(maps), 64) - read_array(fit, PCA_MEAN)
    here, there, labels = (
        vectors @ read_array(fit, PCA_COMPONENTS).T,
        read_array(fit, COORDINATES),
        read_array(fit, LABELS),
    )
    found: list[int] = []
    for one, is_asked in zip(here, votes, strict=True):
        apart = np.where(is_asked, np.linalg.norm(there - one, axis=1), np.inf)
        near = [int(labels[i]) for i in np.argsort(apart, kind="stable")[:k]]
        found.append(max(near, key=lambda cluster: (near.count(cluster), -near.index(cluster))))
    return found


def own_part(store: Path, fitted: CampaignRecord, table: str, role: str) -> dict[str, list[Any]]:
    return read_table(Store(store).open(fitted.artifacts[role]), TABLES[table])
