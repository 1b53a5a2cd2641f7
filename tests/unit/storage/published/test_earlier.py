"""Check that what earlier versions published is verified, read, and replaced by the latest rows alone."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Barrier

import pandas
import pytest

from storage.artifacts import MANIFEST, ArtifactRef, Recipe, Store
from storage.places.files import list_files, write_atomically
from storage.published.exports import publish_decisions, renew_exports
from storage.published.manifests import read_published
from storage.published.publish import publish_table, renew_partitions, table_manifest, unpublish_table
from storage.tables import REJECTED, REVIEWS
from storage.tables.parquet import load_table, write_table
from storage.verify import verify_store
from tests.support.earlier_layout import write_earlier
from tests.support.local_stores import local

DAY = date(2021, 8, 23)
AT = f"tables/rejected/campaign=field2/date={DAY}"
EXPORTS_AT = f"exports/field2/{DAY}"
OLD, NEW = "fit-22bb", "fit-11aa"  # the later one comes first by name


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "artifacts").mkdir()
    return Store(tmp_path)


def rejected(store: Store, plant: str, made: str) -> ArtifactRef:
    """Write an artefact whose table `rejected` has this plant, and that was made at a time."""
    recipe = Recipe("images", 1, {"plant": plant})
    with store.create(recipe) as draft:
        write_table(draft, REJECTED, {column.name: [plant] for column in REJECTED.columns})
    manifest = local(store.folder(recipe.ref) / MANIFEST)
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "created": made}))
    return recipe.ref


def earlier(store: Store, part: str, plant: str, made: str) -> None:
    """Publish a plant as an earlier version did: as a table's part, and as the files of an export."""
    ref = rejected(store, plant, made)
    content = store.open(ref).read_bytes("rejected.parquet")
    write_earlier(local(store.root) / AT, part, [ref], {f"{part}.parquet": content})
    fit = "" if part == "part-0" else f"_{part}"
    write_earlier(
        local(store.root) / EXPORTS_AT,
        part,
        [ref],
        {f"field2_{DAY}_gradcam{fit}.csv": plant.encode(), f"field2_{DAY}_lime{fit}.csv": b"2"},
    )


def files(store: Store, folder: str) -> list[str]:
    return sorted(path.name for path in (local(store.root) / folder).iterdir())


def plants(store: Store) -> list[str]:
    return load_table(local(store.root) / AT / "part-0.parquet", REJECTED).column("plant_id").to_pylist()


def renew(store: Store) -> None:
    renew_partitions(store)
    renew_exports(store)


@pytest.fixture
def several(store: Store) -> Store:
    """A date that was scored twice, and then run with its campaign between the two."""
    earlier(store, OLD, "old", "2021-09-01T10:00:00+00:00")
    earlier(store, "part-0", "own", "2021-09-02T10:00:00+00:00")
    earlier(store, NEW, "new", "2021-09-03T10:00:00+00:00")
    return store


def test_an_earlier_store_is_whole_as_it_is(several: Store) -> None:
    found = verify_store(several)
    assert (found.problems, found.n_published) == ([], 2)


def test_the_latest_rows_stay_alone(several: Store) -> None:
    renew(several)
    assert plants(several) == ["new"] and files(several, AT) == ["part-0.parquet"]
    assert files(several, EXPORTS_AT) == [f"field2_{DAY}_gradcam.csv", f"field2_{DAY}_lime.csv", MANIFEST]
    assert (local(several.root) / EXPORTS_AT / f"field2_{DAY}_gradcam.csv").read_text() == "new"
    assert read_published(table_manifest(several, several.root / AT)).sources == [rejected_ref("new")]
    assert verify_store(several).problems == []
    assert pandas.read_parquet(local(several.root) / "tables/rejected").plant_id.tolist() == ["new"]


def rejected_ref(plant: str) -> ArtifactRef:
    return Recipe("images", 1, {"plant": plant}).ref


def test_rows_of_a_single_fit_stay(store: Store) -> None:
    earlier(store, NEW, "new", "2021-09-03T10:00:00+00:00")
    renew(store)
    assert plants(store) == ["new"] and files(store, AT) == ["part-0.parquet"]
    assert verify_store(store).problems == []


def test_a_table_that_stays_is_not_written_again(store: Store) -> None:
    earlier(store, "part-0", "own", "2021-09-02T10:00:00+00:00")
    before = (local(store.root) / AT / "part-0.parquet").read_bytes()
    renew(store)
    assert (local(store.root) / AT / "part-0.parquet").read_bytes() == before and files(store, AT) == ["part-0.parquet"]


def test_a_second_renewal_changes_nothing(several: Store) -> None:
    renew(several)
    root = local(several.root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    renew(several)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("i", range(5))
def test_runs_that_renew_a_store_at_the_same_time_leave_the_latest_rows(several: Store, i: int) -> None:
    barrier = Barrier(3)

    def run(_: int) -> None:
        barrier.wait()
        renew(several)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, range(3)))
    renew(several)
    assert plants(several) == ["new"] and files(several, AT) == ["part-0.parquet"]
    assert verify_store(several).problems == []


def test_what_is_published_now_counts_more_than_the_date_of_artefacts(several: Store) -> None:
    """A kill after the new table's manifest and before the old ones are removed."""
    copy = local(several.root).with_name("copy")
    shutil.copytree(local(several.root), copy)
    publish_table(several, REJECTED, [rejected_ref("old")], "field2", DAY)
    assert files(several, AT) == ["part-0.parquet"]
    shutil.copytree(copy / AT, local(several.root) / AT, dirs_exist_ok=True, ignore=lambda *_: ["part-0.parquet"])
    renew(several)
    assert plants(several) == ["old"] and verify_store(several).problems == []


def test_publishing_replaces_all_of_them(several: Store) -> None:
    publish_table(several, REJECTED, [rejected_ref("own")], "field2", DAY)
    publish_decisions(several, {"gradcam": rejected_ref("old")}, "field2", DAY)
    assert plants(several) == ["own"] and files(several, AT) == ["part-0.parquet"]
    assert files(several, EXPORTS_AT) == [f"field2_{DAY}_gradcam_rejected.parquet", MANIFEST]
    assert verify_store(several).problems == []


def test_artefacts_that_are_gone_count_as_the_oldest(several: Store) -> None:
    shutil.rmtree(local(several.folder(rejected_ref("new"))))
    renew(several)
    assert plants(several) == ["own"]


def flip(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize(
    ("damage", "file", "said"),
    [
        (flip, f"{NEW}.parquet", f"file {NEW}.parquet has changed content"),
        (Path.unlink, f"{NEW}.parquet", f"file {NEW}.parquet is missing"),
        (Path.unlink, f"{NEW}.json", f"file {NEW}.parquet is not in the manifest"),
        (flip, f"{NEW}.json", f"{NEW}.json cannot be read as a manifest"),
    ],
)
def test_damaged_rows_do_not_stay(several: Store, damage: Callable[[Path], None], file: str, said: str) -> None:
    damage(local(several.root) / AT / file)
    assert any(said in problem for problem in verify_store(several).problems)
    renew(several)
    assert plants(several) == ["own"] and files(several, AT) == ["part-0.parquet"]
    assert verify_store(several).problems == []


def test_nothing_is_removed_where_all_are_damaged(store: Store) -> None:
    earlier(store, "part-0", "own", "2021-09-02T10:00:00+00:00")
    flip(local(store.root) / AT / "part-0.parquet")
    before = verify_store(store).problems
    renew(store)
    assert verify_store(store).problems == before != [] and files(store, AT) == [MANIFEST, "part-0.parquet"]


def test_files_of_somebody_else_stay(several: Store) -> None:
    own = [local(several.root) / AT / "notes.json", local(several.root) / EXPORTS_AT / "field2.qgz"]
    for path in own:
        path.touch()
    renew(several)
    assert all(path.exists() for path in own)
    assert len([problem for problem in verify_store(several).problems if "is not in the manifest" in problem]) == 2


def test_a_table_of_a_campaign_is_unpublished(store: Store) -> None:
    folder = local(store.root) / "tables/reviews/campaign=field2"
    write_earlier(folder, "part-0", [rejected(store, "a", "")], {"part-0.parquet": b"PAR1"})
    unpublish_table(store, REVIEWS, "field2")
    assert not folder.exists()


def test_a_store_in_a_bucket_is_renewed(address: str) -> None:
    store = Store(address)
    recipes = [Recipe("images", 1, {"plant": plant}) for plant in ("own", "new")]
    for recipe, part in zip(recipes, ("part-0", NEW), strict=True):
        with store.create(recipe) as draft:
            write_table(draft, REJECTED, {column.name: [part] for column in REJECTED.columns})
            created = "2021-09-01" if part == "part-0" else "2021-09-02"
        content = store.open(recipe.ref).read_bytes("rejected.parquet")
        manifest = store.folder(recipe.ref) / MANIFEST
        write_atomically(manifest, json.dumps({**json.loads(manifest.read_bytes()), "created": created}).encode())
        write_earlier(store.root / AT, part, [recipe.ref], {f"{part}.parquet": content})
    assert verify_store(store).problems == []
    renew(store)
    assert list(list_files(store.root / "tables")) == [f"rejected/campaign=field2/date={DAY}/part-0.parquet"]
    assert load_table(store.root / AT / "part-0.parquet", REJECTED).column("plant_id").to_pylist() == [NEW]
    assert verify_store(store).problems == []
    publish_table(store, REJECTED, [recipes[0].ref], "field2", DAY)
    assert load_table(store.root / AT / "part-0.parquet", REJECTED).column("plant_id").to_pylist() == ["part-0"]
    assert verify_store(store).problems == []
