"""Check which of several fits that scored a date is published: the campaign's present one, and each plant once."""

from datetime import date
from pathlib import Path

import pandas
import pytest

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.published.decisions import write_decisions
from storage.records.acquisitions import AcquisitionRecord, fit_digest, write_acquisition
from storage.records.campaigns import CampaignRecord, write_record
from storage.tables import ACQUISITIONS, REJECTED
from storage.tables.parquet import write_table
from storage.tables.rows import ColumnRows
from storage.verify import verify_store
from tasks.publish.publish import publish_acquisition, publish_date, publish_results, publish_scored
from tests.support.local_stores import local
from tests.unit.storage.published.test_geodata import FORM, LOOKS, decision, origin
from tests.unit.storage.tables.test_tables import columns

DAY, OWN_DAY = date(2021, 9, 6), date(2021, 8, 23)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "artifacts").mkdir()
    return Store(tmp_path)


def campaign(store: Store, clusters: str, name: str = "field2", dates: tuple[date, ...] = (OWN_DAY,)) -> CampaignRecord:
    """Write the record of a campaign with these clusters, as its last run does."""
    recipe = Recipe("clusters", 1, {"clusters": clusters})
    with store.create(recipe) as draft:
        draft.write_json("clusters.json", clusters)
    record = CampaignRecord(
        campaign=name,
        params={"dates": [str(day) for day in dates]},
        artifacts={"clusters gradcam": recipe.ref},
        report="reports/field2/index.html",
    )
    write_record(store, record)
    return record


def scored(store: Store, fitted: CampaignRecord, plant: str, name: str = "field2") -> AcquisitionRecord:
    """Return the record of a date whose only plant was scored by a fit."""
    rows, files = Recipe("images", 1, {"plant": plant}), Recipe("decisions", 1, {"plant": plant})
    with store.create(rows) as draft:
        write_table(draft, REJECTED, {column.name: [plant] for column in REJECTED.columns})
    with store.create(files) as draft:
        write_decisions(draft, ColumnRows.of([decision(plant, 1.0, 2.0)]), (), origin(), "point", LOOKS, FORM)
    artifacts = {f"images {DAY}": rows.ref, f"decisions gradcam {DAY}": files.ref}
    fit = fit_digest(fitted.artifacts)
    return AcquisitionRecord(
        campaign=name, date=DAY, fitted_by=fitted.campaign, fit=fit, params={}, artifacts=artifacts
    )


def publish(store: Store, record: AcquisitionRecord) -> None:
    fields = {name: getattr(record, name) for name in ("campaign", "date", "fitted_by", "fit", "params", "artifacts")}
    assert publish_acquisition.fn(store.address, **fields) == record


def published(store: Store, name: str = "field2") -> tuple[list[str], list[str]]:
    """Plants of the date in the published table, and in the exported files."""
    assert verify_store(store).problems == []
    root = local(store.root)
    table = pandas.read_parquet(root / f"tables/rejected/campaign={name}/date={DAY}")
    exports = sorted((root / f"exports/{name}/{DAY}").glob("*.csv"))
    assert [path.name for path in exports] == [f"{name}_{DAY}_gradcam.csv"]
    return table.plant_id.tolist(), pandas.read_csv(exports[0]).plant_id.tolist()


def test_a_date_that_is_scored_by_a_newer_fit_has_its_rows_alone(store: Store) -> None:
    publish(store, scored(store, campaign(store, "old"), "a"))
    assert published(store) == (["a"], ["a"])
    publish(store, scored(store, campaign(store, "new"), "b"))
    assert published(store) == (["b"], ["b"])


def test_a_run_of_an_older_fit_that_ends_late_replaces_nothing(store: Store) -> None:
    late = scored(store, campaign(store, "old"), "a")
    publish(store, scored(store, campaign(store, "new"), "b"))
    publish(store, late)
    assert published(store) == (["b"], ["b"])


def test_an_older_fit_s_rows_stay_until_the_newer_has_some(store: Store) -> None:
    late = scored(store, campaign(store, "old"), "a")
    campaign(store, "new")
    publish(store, late)
    assert published(store) == (["a"], ["a"])


def test_a_date_of_the_campaign_itself_keeps_the_campaign_s_rows(store: Store) -> None:
    late = scored(store, campaign(store, "old"), "a")
    publish(store, late)
    own = campaign(store, "new", dates=(OWN_DAY, DAY))
    publish_date(store, scored(store, own, "b"))
    publish_scored(store, own)
    assert published(store) == (["a"], ["a"])  # publishing its own dates is the campaign's run


def test_an_earlier_fit_that_is_the_campaign_s_again_has_its_rows_back(store: Store) -> None:
    first = campaign(store, "old")
    publish(store, scored(store, first, "a"))
    publish(store, scored(store, campaign(store, "new"), "b"))
    publish_scored(store, campaign(store, "old"))
    assert published(store) == (["a"], ["a"])


def test_a_date_of_another_campaign_follows_the_fit_that_scored_it(store: Store) -> None:
    fitted = campaign(store, "old")
    publish(store, scored(store, fitted, "a", name="field3"))
    publish(store, scored(store, campaign(store, "new"), "b", name="field3"))
    assert published(store, "field3") == (["b"], ["b"])
    publish_scored(store, campaign(store, "old"))
    assert published(store, "field3") == (["a"], ["a"])
    publish_scored(store, campaign(store, "other", name="field4"))
    assert published(store, "field3") == (["a"], ["a"])


def test_a_scored_date_whose_artefacts_are_gone_does_not_stop_its_campaign(store: Store) -> None:
    first = campaign(store, "old")
    record = scored(store, first, "a")
    publish(store, record)
    publish(store, scored(store, campaign(store, "new"), "b"))
    gone = ArtifactRef(kind="images", digest="0" * 24)
    write_acquisition(store, record.model_copy(update={"artifacts": {f"images {DAY}": gone}}))
    again = campaign(store, "old")
    publish_scored(store, again)
    write_acquisition(store, record)
    assert published(store) == (["b"], ["b"])


def test_a_scored_date_that_the_campaign_is_fitted_on_leaves_nothing_of_its_scoring(store: Store) -> None:
    summed = Recipe("acquisition", 1)
    with store.create(summed) as draft:
        write_table(draft, ACQUISITIONS, columns(ACQUISITIONS))
    record = scored(store, campaign(store, "old"), "a")
    publish(store, record.model_copy(update={"artifacts": {**record.artifacts, f"acquisition {DAY}": summed.ref}}))
    folder = local(store.root) / f"tables/acquisitions/campaign=field2/date={DAY}"
    assert len(pandas.read_parquet(folder)) == 3
    page = Recipe("report", 1)
    with store.create(page) as draft:
        draft.write_bytes("index.html", b"<!doctype html>")
    own = scored(store, campaign(store, "new"), "b").artifacts
    publish_results.fn(store.address, "field2", {"dates": [str(DAY)]}, {**own, "report": page.ref})
    assert published(store) == (["b"], ["b"]) and not folder.exists()
