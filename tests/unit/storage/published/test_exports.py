"""Check exports of a date: whose rows they hold, how they are named, and how they change with the campaign."""

from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows.cli.run_file import load_run_file
from flows.parameters import CampaignParams
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from storage.published.decisions import DECISIONS, write_decisions
from storage.published.exports import publish_decisions, published_name
from storage.tables.rows import ColumnRows
from storage.verify import verify_store
from tasks.export.params import ExportParams
from tasks.export.rows import export_rows
from tasks.publish.publish import decisions_of
from tests.support.local_stores import local
from tests.unit.storage.published.test_geodata import FORM, LOOKS, decision, origin

DAY = date(2021, 8, 23)
AT = f"exports/field2/{DAY}"
KINDS = ("csv", "geojson", "gpkg", "parquet")
MADE = {"classifier": "c", "clusters": "k", "explained_class": "predicted", "method": "gradcam"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "artifacts").mkdir()
    return Store(tmp_path)


def made(store: Store, plant: str, easting: float | None = 1.0) -> ArtifactRef:
    """Write an artefact with the decision about one plant."""
    recipe = Recipe("decisions", 1, {"plant": plant, "easting": easting})
    with store.create(recipe) as draft:
        rows = ColumnRows.of([decision(plant, easting, 2.0)])
        write_decisions(draft, rows, (), origin(), "point", LOOKS, FORM)
    return recipe.ref


def names(store: Store) -> list[str]:
    return sorted(path.name for path in (local(store.root / AT)).iterdir())


def files_of(*stems: str) -> list[str]:
    return [f"field2_{DAY}_{stem}.{kind}" for stem in stems for kind in KINDS]


def publish(store: Store, **sources: ArtifactRef) -> Path:
    return local(publish_decisions(store, sources, "field2", DAY).folder)


class TestRows:
    def test_a_row_says_whose_it_is_and_what_to_do(self) -> None:
        decided = {"plant_id": "2021_Ref_Plot2_E18", "predicted": 0, "answer": 1, "is_corrected": True, "label": 1}
        decided |= {"split": "test", "cluster": 4, "ready_probability": 0.9, "answer_reliability": 0.9}
        decided |= {"decision": "harvest", "check_reason": "", "is_outside": False}
        place: dict[str, Any] = {"plant_id": "2021_Ref_Plot2_E18", "easting": 1.5, "northing": 2.5}
        (row,) = export_rows("field2", DAY, [place], [{**decided, **MADE}], ("not ready", "ready"), 1.0)
        assert row.keys() == {column.name for column in DECISIONS.columns}
        assert (row["campaign"], row["date"], row["decision"], row["label"]) == ("field2", DAY, "harvest", "ready")
        assert row["is_audit"] is True
        assert (row["answer"], row["predicted"], row["is_corrected"]) == ("ready", "not ready", True)
        assert (row["ready_probability"], row["answer_reliability"], row["easting"]) == (0.9, 0.9, 1.5)
        assert {name: row[name] for name in MADE} == MADE


class TestCrs:
    @pytest.mark.parametrize("code", ["EPSG:25832", "EPSG:32633", "EPSG:31467", "EPSG:28992"])
    def test_projected_in_metres(self, code: str) -> None:
        assert ExportParams(crs=code).crs == code

    @pytest.mark.parametrize(
        ("crs", "message"),
        [
            ("EPSG:4326", "WGS 84 does not have two axes in metres"),
            ("EPSG:2263", "NAD83 / New York Long Island .* does not have two axes in metres"),
            ("EPSG:5555", "ETRS89 / UTM zone 32N .* does not have two axes in metres"),
            ("EPSG:999999", "PROJ knows no such"),
            ("utm32", "should match pattern"),
        ],
    )
    def test_others_are_refused(self, crs: str, message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            ExportParams(crs=crs)

    def test_a_run_is_refused_before_its_source_is_looked_for(self, tmp_path: Path) -> None:
        path = tmp_path / "field2.toml"
        path.write_text(
            'dates = ["2021-08-23"]\n[source]\nkind = "growliflower"\nroot = "nowhere"\n[export]\ncrs = "EPSG:4326"\n'
        )
        with pytest.raises(InputError, match=r"export\.crs: .*WGS 84 does not have two axes.*, got 'EPSG:4326'"):
            load_run_file(path)

    def test_it_is_no_parameter_of_the_numbers(self) -> None:
        given = {"campaign": "x", "source": {"kind": "synthetic"}, "dates": ["2021-08-23"]}
        one, other = (CampaignParams.model_validate({**given, "export": {"crs": f"EPSG:2583{i}"}}) for i in (2, 3))
        assert one.of_numbers() == other.of_numbers() and one != other
        assert one.differences_from_paper() == other.differences_from_paper()


class TestPublication:
    def test_a_set_of_files_for_every_method(self, store: Store) -> None:
        refs = {method: made(store, method) for method in ("gradcam", "occlusion_preview")}
        assert publish_decisions(store, refs, "field2", DAY) == (store.root / AT, {})
        assert names(store) == [*files_of("gradcam", "occlusion_preview"), "manifest.json"]
        for method, ref in refs.items():
            for kind in KINDS:
                published = (store.root / AT / f"field2_{DAY}_{method}.{kind}").read_bytes()
                assert published == store.open(ref).read_bytes(f"decisions.{kind}")
        assert verify_store(store).problems == []

    def test_a_date_that_is_decided_again_has_the_latest_files_alone(self, store: Store) -> None:
        publish(store, gradcam=made(store, "a"))
        path = publish(store, gradcam=made(store, "b")) / f"field2_{DAY}_gradcam.csv"
        assert names(store) == [*files_of("gradcam"), "manifest.json"] and ",b," in path.read_text("utf-8-sig")
        assert verify_store(store).problems == []

    def test_files_of_a_method_or_format_that_is_gone_are_removed(self, store: Store) -> None:
        publish(store, gradcam=made(store, "a"), lime=made(store, "c"))
        publish(store, gradcam=made(store, "a", easting=None))
        assert names(store) == [f"field2_{DAY}_gradcam.csv", "manifest.json"]
        assert verify_store(store).problems == []

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("damage", ["deleted", "edited"])
    def test_damage_is_found_and_repaired(self, store: Store, kind: str, damage: str) -> None:
        ref = made(store, "a")
        path = publish(store, gradcam=ref) / f"field2_{DAY}_gradcam.{kind}"
        before = path.read_bytes()
        if damage == "deleted":
            path.unlink()
        else:
            path.write_bytes(before[:-1] + b"?")
        (problem,) = verify_store(store).problems
        assert problem.startswith(f"{AT}: file {path.name} ")
        publish(store, gradcam=ref)
        assert path.read_bytes() == before and verify_store(store).problems == []

    @pytest.mark.parametrize("is_decided_again", [False, True])
    def test_what_people_filled_in_is_kept_beside_the_new_file(self, store: Store, is_decided_again: bool) -> None:
        """A run after the edit writes the exports anew, of the same decisions or of others. Nothing is kept twice."""
        first = made(store, "a")
        path = publish(store, gradcam=first) / f"field2_{DAY}_gradcam.csv"
        path.write_bytes(path.read_bytes() + b"filled in")
        filled = path.read_bytes()
        ref = made(store, "b") if is_decided_again else first
        folder, kept = publish_decisions(store, {"gradcam": ref}, "field2", DAY)
        name = f"field2_{DAY}_gradcam.edited-{sha256(filled).hexdigest()[:8]}.csv"
        assert kept == {path.name: folder / name} and local(folder / name).read_bytes() == filled
        assert path.read_bytes() == store.open(ref).read_bytes("decisions.csv")
        assert names(store) == sorted([*files_of("gradcam"), name, "manifest.json"])
        assert publish_decisions(store, {"gradcam": ref}, "field2", DAY).kept == {}
        assert verify_store(store).problems == []
        publish(store, lime=made(store, "c"))
        assert (path.parent / name).read_bytes() == filled

    def test_equal_files_are_left_untouched(self, store: Store) -> None:
        ref = made(store, "a")
        folder = publish(store, gradcam=ref)
        before = {path: path.stat().st_ino for path in folder.iterdir()}
        assert {path: path.stat().st_ino for path in publish(store, gradcam=ref).iterdir()} == before


@pytest.mark.slow
def test_a_bucket_keeps_what_people_filled_in(address: str) -> None:
    store = Store(address)
    folder, _ = publish_decisions(store, {"gradcam": made(store, "a")}, "field2", DAY)
    path = folder / f"field2_{DAY}_gradcam.csv"
    path.write_bytes(b"filled in")
    (kept,) = publish_decisions(store, {"gradcam": made(store, "b")}, "field2", DAY).kept.values()
    assert kept.read_bytes() == b"filled in" and b",b," in path.read_bytes()
    assert verify_store(store).problems == []


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("decisions.csv", "field2_lime.csv"),
        ("decisions.gpkg", "field2_lime.gpkg"),
        ("walk.csv", "field2_lime_walk.csv"),
        ("check.gpx", "field2_lime_check.gpx"),
    ],
)
def test_names_of_published_files(name: str, published: str) -> None:
    assert published_name("field2_lime", name) == published


def test_artefacts_of_a_date_by_method() -> None:
    refs = {name: ArtifactRef(kind="decisions", digest=name * 24) for name in "abc"}
    roles = {f"decisions gradcam {DAY}": refs["a"], f"decisions lime {DAY}": refs["b"]}
    more = {"decisions gradcam 2021-09-03": refs["c"], f"adjusted gradcam {DAY}": refs["c"], "plants": refs["c"]}
    assert decisions_of({**roles, **more}, str(DAY)) == {"gradcam": refs["a"], "lime": refs["b"]}
