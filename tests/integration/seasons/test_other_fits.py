"""Dates beside those of one fit: by newer ones, of other fields, and unlike what was validated."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows.acquisition import score_acquisition
from flows.campaign import analyse_campaign
from storage.artifacts import Store
from storage.records.acquisitions import find_acquisition, fit_digest, list_acquisitions, read_acquisition
from storage.records.campaigns import CampaignRecord
from storage.tables import TABLES
from storage.tables.parquet import load_table
from storage.verify import verify_store
from tasks.cluster.params import ClusterParams
from tasks.decide.params import DecideParams
from tasks.sources.growliflower.source import GrowliFlowerSource
from tests.support.campaigns import DATES, RESNET18, small_campaign
from tests.support.season_fields import AT_ONCE, NEW, TINY, arrive, day_folder, own_dates, write_field
from tests.support.season_runs import PER_DATE, Scored, artifacts_of, file_of, flow_runs, rows, score

BY_SHARE = {"combined_reliability", "ready_probability"}  # columns that the date's share of ready plants changes


def test_a_newer_fit_replaces_the_rows_of_the_old(scored: Scored, store: Path, field: Path, tmp_path: Path) -> None:
    """Rows that no part of the fit changed (the classifier is the same) stay as they are."""
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    source, old = GrowliFlowerSource(root=str(field)), scored.record.fit
    few = ClusterParams(n_clusters=2, n_seeds=2, neighbours=3)
    params = small_campaign(source=source, train=RESNET18, cluster=few)
    newer = analyse_campaign(params, str(copy))
    again = score(copy)
    assert again.record.fit == fit_digest(newer.artifacts) != old
    assert {name for name in again.named("Completed") if "cluster" in name} == {"reuse small clusters gradcam"}
    assert f"predict small {NEW}" in again.named("Cached")
    by_clusters = [spec.name for spec in PER_DATE if "clusters" in {column.name for column in spec.columns}]
    assert len(by_clusters) == 7 and changed(again) == {
        str(file_of(copy, table).relative_to(copy)) for table in by_clusters
    }
    for table in by_clusters:
        sides = [set(rows(copy, table, fit)["clusters"]) for fit in (old, again.record.fit)]
        assert sides == [{r.artifacts["clusters gradcam"].digest} for r in (scored.record, newer)], table
        published = load_table(file_of(copy, table), TABLES[table]).to_pydict()
        assert published == rows(copy, table, again.record.fit), table
    known = [read_acquisition(path) for path in list_acquisitions(Store(copy))]
    assert sorted(one.fit for one in known if one.campaign == "small") == sorted((old, again.record.fit))
    assert verify_store(Store(copy)).problems == []
    kinds = {path.suffix for path in (copy / f"exports/small/{NEW}").iterdir()}
    names = {path.stem for path in (copy / f"exports/small/{NEW}").glob("*.geojson")}
    assert kinds - {".gpx", ".kml"} == {".csv", ".geojson", ".gpkg", ".parquet", ".json", ".xlsx"}
    assert names == {f"small_{NEW}_gradcam"}


def changed(scored: Scored) -> set[str]:
    """Published tables that scoring a date again has changed; it adds none."""
    assert scored.before.keys() == scored.after.keys()
    return {name for name, content in scored.before.items() if scored.after[name] != content}


def test_so_do_other_promises_on_the_same_clusters(scored: Scored, store: Path, field: Path, tmp_path: Path) -> None:
    """What was decided by the ones before does not count as done."""
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    lax = DecideParams(tolerated_error=0.49, confidence=0.5)
    source = GrowliFlowerSource(root=str(field))
    newer = analyse_campaign(small_campaign(source=source, train=RESNET18, decide=lax), str(copy))
    fit, old = fit_digest(newer.artifacts), scored.record.fit
    assert fit != old and find_acquisition(Store(copy), "small", NEW, fit) is None
    again = score(copy)
    assert again.record.fit == fit
    decided, summed = (str(file_of(copy, table).relative_to(copy)) for table in ("decided", "acquisitions"))
    assert {decided} <= changed(again) <= {decided, summed}  # the sums change if more answers are acted on
    strictly, laxly = (rows(copy, "decided", one)["check_reason"] for one in (old, fit))
    assert all("unpromised" in reason for reason in strictly)
    assert not any("unpromised" in reason for reason in laxly) and len(laxly) == len(strictly)
    assert verify_store(Store(copy)).problems == []


def test_another_field_on_the_fit_s_own_date(fitted: CampaignRecord, store: Path, tmp_path: Path) -> None:
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
        apart = [ready_odds(here[plant]) - ready_odds(there[plant]) for plant in both if by_share(here[plant])]
        # Which plants a date has is its own, and so is the share of ready plants that all odds are moved by.
        assert apart == pytest.approx(apart[:1] * len(apart), abs=1e-6)
        for plant in both:
            kept = {name: value for name, value in here[plant].items() if name not in BY_SHARE}
            assert kept == pytest.approx({name: there[plant][name] for name in kept}, abs=1e-6)


def test_a_date_in_the_dark_is_outside_what_was_validated(
    whole: Path, fitted: CampaignRecord, store: Path, tmp_path: Path
) -> None:
    """A tenth of the light: nothing tells the plants apart, so their maps fall into few clusters.

    Both dates are another field's, or all but three of their plants would have been seen by the fit.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    for name, share in (("light", 1), ("dark", 10)):
        root = own_dates(whole, tmp_path / name)
        for path in arrive(whole, root, NEW):
            Image.fromarray(np.asarray(Image.open(path).convert("RGB")) // share).save(path)
        record = score_acquisition(name, NEW, str(store), "small", GrowliFlowerSource(root=str(root)), AT_ONCE)
        found[name] = rows(store, "drift", record.fit, name)
        assert (record.fit, record.fitted_by) == (fit_digest(fitted.artifacts), "small")
    drift = found["dark"]
    decided = rows(store, "decided", record.fit, "dark")
    assert all(decided["is_outside"]) and set(decided["decision"]) == {"check"}
    assert all("outside" in reason.split() for reason in decided["check_reason"])
    new = {name: one["split"].index("new") for name, one in found.items()}
    assert drift["is_outside"][new["dark"]]
    assert drift["share_shift_p"][new["dark"]] < found["light"]["share_shift_p"][new["light"]]
    reasons = {word for reason in drift["reason"] for word in reason.split()}
    summed = rows(store, "acquisitions", record.fit, "dark")
    assert summed["is_outside"] == [True] and set(summed["outside_reason"][0].split()) == reasons
    (run,) = flow_runs(f"score dark {NEW}")
    summary = str(artifacts_of(run.id)[f"dark--summary-{NEW}"])
    assert f"**Outside what was validated: {summed['outside_reason'][0]}.**" in summary


def by_share(row: dict[str, Any]) -> bool:
    """Whether a row has the probabilities that follow from the share of ready plants."""
    return row.keys() >= BY_SHARE


def ready_odds(row: dict[str, Any]) -> float:
    """Log-odds that the plant is ready."""
    return float(np.log(row["ready_probability"] / (1 - row["ready_probability"])))


def by_plant(columns: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Rows of a table by plant."""
    return {plant: {name: columns[name][i] for name in columns} for i, plant in enumerate(columns["plant_id"])}
