"""Check that `harvest verify` finds every kind of damage to a store and names folder and file."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import write_array
from storage.artifacts import MANIFEST, ArtifactRef, Recipe, Store
from storage.errors import InputError
from storage.places.files import describe_file, list_files
from storage.published.publish import publish_report, publish_table
from storage.records.acquisitions import AcquisitionRecord, write_acquisition
from storage.records.campaigns import CampaignRecord, write_record
from storage.tables import BACKFILL, EPOCHS, REJECTED
from storage.tables.parquet import rows_to_columns, write_table
from storage.verify import verify_store
from tests.support.earlier_layout import write_earlier
from tests.support.local_stores import local

N_IMAGES = 70
IMAGES_RECIPE, REPORT_RECIPE, CLASSIFIER_RECIPE = Recipe("images", 1), Recipe("report", 1), Recipe("classifier", 1)
IMAGES_AT = f"artifacts/{IMAGES_RECIPE.ref}"
REPORT_AT = f"artifacts/{REPORT_RECIPE.ref}"
TABLE_AT = "tables/rejected/campaign=field2/date=2021-08-23"
EPOCHS_AT = "tables/epochs/campaign=field2"
NO_MANIFEST = "{0} has no manifest manifests/{0}.json: never finished, or deleted"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write a store with images of two shards, tables of a date and of a campaign, a report and a record."""
    store = Store(tmp_path / "store")
    with store.create(IMAGES_RECIPE) as draft:
        write_array(draft, IMAGES, np.random.default_rng(0).integers(0, 255, (N_IMAGES, 8, 8, 3)))
        row = {"plant_id": "a", "path": "a.png", "reason": "blank", "detail": ""}
        write_table(draft, REJECTED, rows_to_columns(REJECTED, [row] * 3))
    with store.create(CLASSIFIER_RECIPE) as draft:
        write_table(draft, EPOCHS, {column.name: [1] for column in EPOCHS.columns})
    with store.create(REPORT_RECIPE) as draft:
        draft.write_bytes("index.html", b"<html></html>")
    publish_table(store, REJECTED, [IMAGES_RECIPE.ref], "field2", date(2021, 8, 23))
    publish_table(store, EPOCHS, [CLASSIFIER_RECIPE.ref], "field2")
    publish_report(store, REPORT_RECIPE.ref, "field2")
    artifacts = {"images 2021-08-23": IMAGES_RECIPE.ref, "classifier": CLASSIFIER_RECIPE.ref}
    record = CampaignRecord(campaign="field2", params={}, artifacts=artifacts, report="reports/field2/index.html")
    write_record(store, record)
    return local(store.root)


def flip(path: Path, position: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def with_other_schema(path: Path) -> None:
    """Rewrite a table as another tool would: one column has another type, everything else is unchanged."""
    table = pq.ParquetFile(path).read()
    schema = table.schema.set(1, pa.field("path", pa.large_string(), nullable=False))
    pq.write_table(table.cast(schema), path)


def with_other_columns(path: Path) -> None:
    pq.write_table(pa.table({"season": ["a"]}), path)


def agree_with_manifest(folder: Path, place: Path | None = None) -> None:
    """Update a folder's manifest to its files, so that only their content can be wrong."""
    place = place or folder / MANIFEST
    manifest = json.loads(place.read_text())
    files = {name: describe_file(path).model_dump() for name, path in list_files(folder).items() if name != MANIFEST}
    place.write_text(json.dumps({**manifest, "files": files}))


def problems(root: Path) -> list[str]:
    return verify_store(Store(root)).problems


def test_a_whole_store(root: Path) -> None:
    found = verify_store(Store(root))
    assert (found.problems, found.unfinished) == ([], [])
    assert (found.n_artifacts, found.n_published) == (3, 3)
    n_files = sum(
        1 for top in ("artifacts", "tables", "manifests", "reports") for p in (root / top).rglob("*") if p.is_file()
    )
    assert found.n_files == n_files == (2 + 1 + 1 + 1) + 2 + 2 + 2 + 2 + 2


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (flip, f"{IMAGES_AT}/images/c/1/0/0/0", "shard images/c/1/0/0/0 has changed content"),
        (flip, f"{IMAGES_AT}/images/zarr.json", "file images/zarr.json has changed content"),
        (truncate, f"{IMAGES_AT}/images/c/0/0/0/0", "shard images/c/0/0/0/0 has "),
        (Path.unlink, f"{IMAGES_AT}/images/c/1/0/0/0", "shard images/c/1/0/0/0 is missing"),
        (Path.unlink, f"{IMAGES_AT}/rejected.parquet", "file rejected.parquet is missing"),
        (flip, f"{IMAGES_AT}/rejected.parquet", "file rejected.parquet has changed content"),
        (flip, f"{REPORT_AT}/index.html", "file index.html has changed content"),
        (Path.touch, f"{REPORT_AT}/extra.txt", "file extra.txt is not in the manifest"),
        (Path.touch, f"{IMAGES_AT}/images/c/9", "shard images/c/9 is not in the manifest"),
        (flip, f"{TABLE_AT}/part-0.parquet", "file part-0.parquet has changed content"),
        (truncate, f"{TABLE_AT}/part-0.parquet", "file part-0.parquet has "),
        (Path.unlink, f"{EPOCHS_AT}/part-0.parquet", "file part-0.parquet is missing"),
        (Path.touch, f"{EPOCHS_AT}/part-1.csv", "file part-1.csv is not in the manifest"),
        (truncate, "reports/field2/index.html", "file index.html has 12 bytes, its manifest says 13"),
        (Path.unlink, f"{IMAGES_AT}/{MANIFEST}", "has no manifest.json: never finished, or deleted"),
        (Path.unlink, f"manifests/{TABLE_AT}.json", NO_MANIFEST.format(TABLE_AT)),
        (Path.unlink, f"reports/field2/{MANIFEST}", "has no manifest.json: never finished, or deleted"),
        (truncate, f"manifests/{EPOCHS_AT}.json", f"manifests/{EPOCHS_AT}.json cannot be read as a manifest"),
    ],
)
def test_damage_is_named(root: Path, damage: Callable[[Path], None], file: str, message: str) -> None:
    damage(root / file)
    folder = file.split("/images")[0] if "/images" in file else Path(file).parent.as_posix()
    if file.startswith("manifests/"):
        folder = file.removeprefix("manifests/").removesuffix(".json")
    found = problems(root)
    assert any(folder in problem and message in problem for problem in found)
    assert all(folder in problem for problem in found)  # no other folder is reported


def test_every_damaged_folder_is_named(root: Path) -> None:
    flip(root / f"{IMAGES_AT}/images/c/0/0/0/0")
    (root / f"{REPORT_AT}/index.html").unlink()
    (root / f"manifests/{TABLE_AT}.json").unlink()
    found = problems(root)
    assert [sum(folder in problem for problem in found) for folder in (IMAGES_AT, REPORT_AT, TABLE_AT)] == [1, 1, 1]


@pytest.mark.parametrize("file", [f"{IMAGES_AT}/rejected.parquet", f"{TABLE_AT}/part-0.parquet"])
@pytest.mark.parametrize("has_matching_manifest", [True, False])
def test_a_table_with_another_schema(root: Path, file: str, has_matching_manifest: bool) -> None:
    with_other_schema(root / file)
    if has_matching_manifest:
        folder = Path(file).parent
        agree_with_manifest(root / folder, root / f"manifests/{folder}.json" if file.startswith(TABLE_AT) else None)
    folder, name = file.rsplit("/", 1)
    schema = f"{folder}: {name}: table rejected has the wrong schema: path is large_string, expected string"
    *changed, last = problems(root)
    assert last == schema
    assert [problem.startswith(f"{folder}: file {name} has ") for problem in changed] == [True] * (
        not has_matching_manifest
    )


def test_a_table_that_no_schema_knows(root: Path) -> None:
    shutil.copy(root / f"{IMAGES_AT}/rejected.parquet", root / f"{IMAGES_AT}/surprise.parquet")
    agree_with_manifest(root / IMAGES_AT)
    assert problems(root) == [f"{IMAGES_AT}: file surprise.parquet has no schema: this program has no table surprise"]


def test_an_array_that_cannot_be_opened(root: Path) -> None:
    truncate(root / f"{IMAGES_AT}/images/zarr.json")
    agree_with_manifest(root / IMAGES_AT)
    (problem,) = problems(root)
    assert problem.startswith(f"{IMAGES_AT}: array images cannot be opened: ")


def test_a_folder_under_another_s_name(root: Path) -> None:
    other = f"artifacts/images/{'0' * 24}"
    (root / IMAGES_AT).rename(root / other)
    assert f"{other}: the manifest belongs to {IMAGES_RECIPE.ref}" in problems(root)


def test_an_artefact_that_is_gone_whole(root: Path) -> None:
    shutil.rmtree(root / IMAGES_AT)
    missing = f"campaigns/field2.json: the artefact images 2021-08-23, {IMAGES_RECIPE.ref}, is missing"
    assert problems(root) == [missing]


def test_a_damaged_record(root: Path) -> None:
    truncate(root / "campaigns/field2.json")
    (problem,) = problems(root)
    assert "campaigns/field2.json cannot be read" in problem


@pytest.fixture
def with_fits(root: Path) -> Path:
    """Extend the store by a backfill, the record of a scored date, and two parts that an earlier version published."""
    store = Store(root)
    (root / f"manifests/{TABLE_AT}.json").rename(root / TABLE_AT / MANIFEST)
    for i, part in enumerate(("fit-11aa", "fit-22bb")):
        recipe = Recipe("images", 1, {"i": i})
        with store.create(recipe) as draft:
            write_table(draft, REJECTED, {column.name: [f"{i}"] for column in REJECTED.columns})
        content = store.open(recipe.ref).read_bytes("rejected.parquet")
        write_earlier(root / TABLE_AT, part, [recipe.ref], {f"{part}.parquet": content})
    backfill = Recipe("backfill", 1)
    with store.create(backfill) as draft:
        write_table(draft, BACKFILL, {column.name: [] for column in BACKFILL.columns})
    publish_table(store, BACKFILL, [backfill.ref], "all-fields")
    write_acquisition(store, scored({"images 2021-08-23": IMAGES_RECIPE.ref}))
    return root


def scored(artifacts: dict[str, ArtifactRef]) -> AcquisitionRecord:
    return AcquisitionRecord(
        campaign="field2", date=date(2021, 9, 3), fitted_by="field1", fit="11aa", params={}, artifacts=artifacts
    )


SCORED_AT = "acquisitions/field2/2021-09-03/11aa.json"
BACKFILL_AT = "tables/backfill/backfill=all-fields"


def test_several_parts_in_a_folder(with_fits: Path) -> None:
    found = verify_store(Store(with_fits))
    assert (found.problems, found.unfinished) == ([], [])
    assert (found.n_artifacts, found.n_published) == (6, 4)


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (flip, "fit-11aa.parquet", "file fit-11aa.parquet has changed content"),
        (truncate, "fit-11aa.parquet", "file fit-11aa.parquet has "),
        (Path.unlink, "fit-11aa.parquet", "file fit-11aa.parquet is missing"),
        (Path.unlink, "fit-11aa.json", "file fit-11aa.parquet is not in the manifest"),
        (truncate, "fit-11aa.json", "fit-11aa.json cannot be read as a manifest"),
        (Path.unlink, MANIFEST, "file part-0.parquet is not in the manifest"),
        (truncate, MANIFEST, "manifest.json cannot be read as a manifest"),
        (Path.touch, "fit-33cc.parquet", "file fit-33cc.parquet is not in the manifest"),
        (Path.touch, "fit-33cc.json", "fit-33cc.json cannot be read as a manifest"),
        (Path.touch, "notes.json", "file notes.json is not in the manifest"),
    ],
)
def test_damage_of_one_part_is_that_part_s_alone(
    with_fits: Path, damage: Callable[[Path], None], file: str, message: str
) -> None:
    damage(with_fits / TABLE_AT / file)
    found = problems(with_fits)
    assert TABLE_AT in found[0] and message in found[0]
    part = "part-0" if file == MANIFEST else file.split(".")[0]
    whole = {"part-0", "fit-11aa", "fit-22bb"} - {part}
    assert not [problem for problem in found if any(name in problem for name in whole)]


def test_two_damaged_parts_are_both_named(with_fits: Path) -> None:
    truncate(with_fits / TABLE_AT / "fit-11aa.json")
    (with_fits / TABLE_AT / "fit-22bb.parquet").unlink()
    broken, missing = problems(with_fits)
    assert "fit-11aa.json cannot be read" in broken and missing == f"{TABLE_AT}: file fit-22bb.parquet is missing"


def test_tables_of_an_earlier_version_are_no_damage_and_of_a_later_one_are(root: Path, tmp_path: Path) -> None:
    for version, place in ((EPOCHS.version - 1, "earlier"), (EPOCHS.version + 1, "later")):
        copy = shutil.copytree(root, tmp_path / place)
        recipe = Recipe("classifier", 2)
        with Store(copy).create(recipe) as draft:
            spec = dataclasses.replace(EPOCHS, version=version)
            write_table(draft, spec, {column.name: [1] for column in EPOCHS.columns})
    name = f"artifacts/{Recipe('classifier', 2).ref}/epochs.parquet"
    earlier, later = (verify_store(Store(tmp_path / place)) for place in ("earlier", "later"))
    assert (earlier.problems, earlier.outdated, later.outdated) == ([], [name], [])
    assert later.problems == [
        f"{name.removesuffix('/epochs.parquet')}: epochs.parquet: table epochs has version {EPOCHS.version + 1}, "
        f"this program reads {EPOCHS.version}"
    ]


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (flip, "part-0.parquet", "file part-0.parquet has changed content"),
        (Path.unlink, f"../../../manifests/{BACKFILL_AT}.json", NO_MANIFEST.format(BACKFILL_AT)),
        (with_other_columns, "part-0.parquet", "part-0.parquet: table backfill has version none"),
    ],
)
def test_damage_of_a_backfill(with_fits: Path, damage: Callable[[Path], None], file: str, message: str) -> None:
    damage(with_fits / BACKFILL_AT / file)
    found = problems(with_fits)
    assert any(message in problem for problem in found) and all(BACKFILL_AT in problem for problem in found)


def test_a_damaged_record_of_a_scored_date(with_fits: Path) -> None:
    truncate(with_fits / SCORED_AT)
    (problem,) = problems(with_fits)
    assert f"{SCORED_AT} cannot be read as the record of a scored date" in problem


def test_a_record_of_a_scored_date_that_was_moved(with_fits: Path) -> None:
    (with_fits / SCORED_AT).rename(with_fits / SCORED_AT.replace("11aa", "22bb"))
    (problem,) = problems(with_fits)
    assert problem.endswith("22bb.json is the record of field2 2021-09-03 11aa")


def test_a_scored_date_whose_artefacts_are_gone(with_fits: Path) -> None:
    gone = ArtifactRef(kind="adjusted", digest="0" * 24)
    write_acquisition(Store(with_fits), scored({"classifier": CLASSIFIER_RECIPE.ref, "adjusted gradcam": gone}))
    assert problems(with_fits) == [f"{SCORED_AT}: the artefact adjusted gradcam, {gone}, is missing"]


def test_a_file_where_a_folder_belongs(root: Path) -> None:
    (root / "artifacts/images/notes.txt").touch()
    (problem,) = problems(root)
    assert "artifacts/images/notes.txt has no manifest.json" in problem


def test_what_a_killed_run_left_is_no_damage(root: Path) -> None:
    names = [f"artifacts/images/.tmp-{'0' * 24}-01234567", "reports/field2/.tmp-index.html-01234567"]
    (root / names[0] / "images").mkdir(parents=True)
    (root / names[0] / "images/zarr.json").write_text("{")
    (root / names[1]).write_text("<htm")
    found = verify_store(Store(root))
    assert (found.problems, found.unfinished) == ([], names)
    assert found.n_artifacts == 3


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_is_no_store(tmp_path: Path, is_there: bool) -> None:
    root = tmp_path / "elsewhere"
    if is_there:
        (root / "tables").mkdir(parents=True)
    with pytest.raises(InputError, match=f"{root} has no folder `artifacts`"):
        verify_store(Store(root))
