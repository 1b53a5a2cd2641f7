"""Test published tables, reports and records: replaced after changes, repaired after a kill, else left unchanged."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from storage.artifacts import MANIFEST, ArtifactRef, Recipe, Store, read_manifest
from storage.errors import ArtifactError, InputError
from storage.published.parts import PublishedManifest, list_parts, part_manifest, publish_part, remove_part
from storage.published.publish import publish_report, publish_table
from storage.records.campaigns import CampaignRecord, read_record, write_record
from storage.tables import AUGMENTATION, EPOCHS, REJECTED
from storage.tables.parquet import load_table, rows_to_columns, write_table
from storage.verify import verify_store
from tasks.publish.publish import OWNERS, holders
from tests.support.local_stores import local

DAY = date(2021, 8, 23)
PART = Path("tables/rejected/campaign=field2/date=2021-08-23/part-0.parquet")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def rejected(store: Store, *plants: str) -> ArtifactRef:
    """Write an artefact whose table `rejected` has these plants."""
    recipe = Recipe("images", 1, {"plants": plants})
    rows = [{"plant_id": plant, "path": f"{plant}.png", "reason": "blank", "detail": ""} for plant in plants]
    with store.create(recipe) as draft:
        write_table(draft, REJECTED, rows_to_columns(REJECTED, rows))
    return recipe.ref


def report(store: Store, text: str, figure: str = "map") -> ArtifactRef:
    recipe = Recipe("report", 1, {"text": text})
    with store.create(recipe) as draft:
        draft.write_bytes("index.html", text.encode())
        (draft.folder / "figures").mkdir()
        draft.write_bytes(f"figures/{figure}.svg", b"<svg/>")
    return recipe.ref


def publish(store: Store, *sources: ArtifactRef, part: str = "part-0") -> Path:
    return local(publish_table(store, REJECTED, sources, "field2", DAY, part))


def plants(path: Path) -> list[str]:
    return load_table(path, REJECTED).column("plant_id").to_pylist()


def state(folder: Path) -> dict[str, Any]:
    """Return content and time of every file."""
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.iterdir()}


class TestTable:
    def test_place_and_content(self, store: Store) -> None:
        ref = rejected(store, "a", "b")
        path = publish(store, ref)
        assert path == local(store.root) / PART and plants(path) == ["a", "b"]
        assert read_manifest(path.parent, PublishedManifest).sources == [ref]
        no_date = publish_table(store, REJECTED, [ref], "field2")
        assert no_date == store.root / "tables/rejected/campaign=field2/part-0.parquet"

    def test_two_artefacts_become_one_partition_in_order(self, store: Store) -> None:
        path = publish(store, rejected(store, "b", "c"), rejected(store, "a"))
        assert plants(path) == ["b", "c", "a"]

    def test_an_equal_partition_is_left_untouched(self, store: Store) -> None:
        sources = rejected(store, "a"), rejected(store, "b")
        before = state(publish(store, *sources).parent)
        assert state(publish(store, *sources).parent) == before

    @pytest.mark.parametrize("new", [("c",), ("a", "b")])
    def test_other_sources_replace(self, store: Store, new: tuple[str, ...]) -> None:
        publish(store, rejected(store, "a"))
        ref = rejected(store, *new)
        path = publish(store, ref)
        assert plants(path) == list(new) and read_manifest(path.parent, PublishedManifest).sources == [ref]
        assert sorted(p.name for p in path.parent.iterdir()) == [MANIFEST, "part-0.parquet"]

    def test_other_partitions_stay(self, store: Store) -> None:
        other = publish_table(store, REJECTED, [rejected(store, "x")], "field1", DAY)
        before = state(local(other.parent))
        publish(store, rejected(store, "a"))
        publish(store, rejected(store, "b"))
        assert state(local(other.parent)) == before

    @pytest.mark.parametrize("damage", ["no manifest", "flipped", "no part", "bad manifest"])
    def test_the_next_publication_repairs(self, store: Store, damage: str) -> None:
        """A kill between part and manifest leaves a partition without a manifest; the others are damage."""
        ref = rejected(store, "a")
        path = publish(store, ref)
        before = path.read_bytes()
        match damage:
            case "no manifest":
                (path.parent / MANIFEST).unlink()
            case "flipped":
                path.write_bytes(before[:-1] + b"?")
            case "no part":
                path.unlink()
            case _:
                (path.parent / MANIFEST).write_text("{}")
        assert verify_store(store).problems
        assert publish(store, ref).read_bytes() == before
        found = verify_store(store)
        assert (found.problems, found.unfinished) == ([], [])

    @pytest.mark.parametrize("written", [MANIFEST, "part-0.parquet"])
    def test_a_kill_while_a_file_is_written_is_no_lasting_damage(self, store: Store, written: str) -> None:
        ref = rejected(store, "a")
        path = publish(store, ref)
        (path.parent / MANIFEST).rename(path.with_name(f".tmp-{written}-01234567"))
        assert "has no manifest.json" in verify_store(store).problems[0]
        publish(store, ref)
        before = state(path.parent)
        publish(store, ref)
        assert state(path.parent) == before  # the file left by the kill does not make it look changed
        found = verify_store(store)
        left = PART.with_name(f".tmp-{written}-01234567").as_posix()
        assert (found.problems, found.unfinished) == ([], [left])

    def test_a_source_that_is_gone(self, store: Store) -> None:
        with pytest.raises(ArtifactError, match=r"images/0+ has no manifest\.json"):
            publish(store, ArtifactRef(kind="images", digest="0" * 24))
        assert not (local(store.root / "tables")).exists()


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def problems(store: Store) -> list[str]:
    return [problem.rpartition("2021-08-23: ")[2] for problem in verify_store(store).problems]


ONE, TWO = "fit-11aa", "fit-22bb"
BOTH_FILES = ["fit-11aa.json", "fit-11aa.parquet", "fit-22bb.json", "fit-22bb.parquet"]
FIRST_FILES = [MANIFEST, "part-0.parquet"]


class TestParts:
    """Rows of several fits in one table, each part complete or damaged independently."""

    def test_place_and_content(self, store: Store) -> None:
        ref, other = rejected(store, "a"), rejected(store, "b")
        publish(store, rejected(store, "c"))
        path, second = publish(store, ref, part=ONE), publish(store, other, part=TWO)
        assert path == local(store.root) / PART.with_name("fit-11aa.parquet") and plants(path) == ["a"]
        assert plants(second) == ["b"] and names(path.parent) == BOTH_FILES + FIRST_FILES
        manifest = read_manifest(path.parent, PublishedManifest, "fit-11aa.json")
        assert (manifest.sources, list(manifest.files)) == ([ref], ["fit-11aa.parquet"])
        assert list_parts(path.parent) == ["part-0", ONE, TWO]
        assert problems(store) == []

    @pytest.mark.parametrize("part", ["manifest", "part-0.parquet", "../part-1", "", "fit-"])
    def test_a_name_that_would_be_another_file_s(self, store: Store, part: str) -> None:
        with pytest.raises(ValueError, match="a part is named like"):
            publish(store, rejected(store, "a"), part=part)
        assert not (local(store.root / "tables")).exists()

    @pytest.mark.parametrize("part", ["part-0", ONE, TWO])
    def test_an_equal_part_is_left_untouched_and_a_changed_one_leaves_the_others(self, store: Store, part: str) -> None:
        sources = {name: rejected(store, name) for name in ("part-0", ONE, TWO)}
        folder = {publish(store, ref, part=name).parent for name, ref in sources.items()}.pop()
        before = state(folder)
        publish(store, sources[part], part=part)
        assert state(folder) == before
        assert plants(publish(store, rejected(store, "new"), part=part)) == ["new"]
        own = {f"{part}.parquet", MANIFEST if part == "part-0" else f"{part}.json"}
        after = state(folder)
        assert {name for name in before if after[name] != before[name]} == own and after.keys() == before.keys()
        assert problems(store) == []

    @pytest.mark.parametrize("damage", ["no manifest", "flipped", "no part", "bad manifest"])
    def test_damage_of_one_is_found_and_repaired_without_touching_the_others(self, store: Store, damage: str) -> None:
        ref = rejected(store, "a")
        path = publish(store, ref, part=ONE)
        publish(store, rejected(store, "b"), part=TWO)
        publish(store, rejected(store, "c"))
        others = {name: found for name, found in state(path.parent).items() if not name.startswith(ONE)}
        before, manifest = path.read_bytes(), path.with_suffix(".json")
        match damage:
            case "no manifest":  # what a kill between part and manifest leaves
                manifest.unlink()
                expected = "file fit-11aa.parquet is not in the manifest"
            case "flipped":
                path.write_bytes(before[:-1] + b"?")
                expected = "file fit-11aa.parquet has changed content (SHA-256 differs from its manifest)"
            case "no part":
                path.unlink()
                expected = "file fit-11aa.parquet is missing"
            case _:
                manifest.write_text("{}")
                expected = f"{manifest} cannot be read as a manifest"
        assert expected in problems(store)[0]
        assert all("fit-11aa" in problem for problem in problems(store))
        assert publish(store, ref, part=ONE).read_bytes() == before
        assert {name: found for name, found in state(path.parent).items() if not name.startswith(ONE)} == others
        assert problems(store) == []

    def test_the_first_part_does_not_take_the_others_for_damage(self, store: Store) -> None:
        ref = rejected(store, "a")
        path = publish(store, ref)
        before = state(path.parent)
        publish(store, rejected(store, "b"), part=ONE)
        publish(store, ref)
        assert before.items() <= state(path.parent).items()


class TestSameRows:
    """Rows of the same artefacts are published once, independent of the order of parts and of an earlier kill."""

    def test_what_another_part_has_is_not_written(self, store: Store) -> None:
        ref = rejected(store, "a")
        path = publish(store, ref)
        before = state(path.parent)
        assert publish(store, ref, part=ONE) == path
        assert state(path.parent) == before

    def test_of_two_fits_with_the_same_rows_the_first_written_has_them(self, store: Store) -> None:
        ref = rejected(store, "a")
        path = publish(store, ref, part=TWO)
        before = state(path.parent)
        assert publish(store, ref, part=ONE) == path and publish(store, ref, part=TWO) == path
        assert state(path.parent) == before

    def test_the_order_of_rows_does_not_make_them_others(self, store: Store) -> None:
        one, two = rejected(store, "a"), rejected(store, "b")
        path = publish(store, one, two)
        assert publish(store, two, one, part=ONE) == path and names(path.parent) == FIRST_FILES

    def test_some_of_the_same_artefacts_are_other_rows(self, store: Store) -> None:
        one, two = rejected(store, "a"), rejected(store, "b")
        publish(store, one, two)
        assert plants(publish(store, one, part=ONE)) == ["a"]

    def test_the_first_part_takes_over(self, store: Store) -> None:
        """A date is scored, then the campaign is run again with it and with the same given classifier."""
        ref = rejected(store, "a")
        publish(store, ref, part=ONE)
        other = publish(store, rejected(store, "b"), part=TWO)
        path = publish(store, ref)
        assert names(path.parent) == [*BOTH_FILES[2:], *FIRST_FILES]
        assert plants(path) == ["a"] and plants(other) == ["b"]
        assert publish(store, ref, part=ONE) == path and problems(store) == []

    def test_a_part_that_is_replaced_by_rows_of_another_is_removed(self, store: Store) -> None:
        publish(store, rejected(store, "old"), part=ONE)
        ref = rejected(store, "a")
        path = publish(store, ref)
        assert publish(store, ref, part=ONE) == path and names(path.parent) == FIRST_FILES

    def test_a_damaged_part_does_not_stand_for_another(self, store: Store) -> None:
        ref = rejected(store, "a")
        first = publish(store, ref)
        whole = first.read_bytes()
        first.write_bytes(b"PAR1")
        path = publish(store, ref, part=ONE)
        assert path.name == "fit-11aa.parquet" and plants(path) == ["a"]
        assert publish(store, ref) == first and first.read_bytes() == whole
        assert names(first.parent) == FIRST_FILES and problems(store) == []

    def killed_before_removal(self, folder: Path, before: dict[str, Any]) -> None:
        for name, (content, _, _) in before.items():
            (folder / name).write_bytes(content)

    def killed_while_removing(self, folder: Path, before: dict[str, Any]) -> None:
        (folder / "fit-11aa.json").write_bytes(before["fit-11aa.json"][0])

    def killed_before_its_manifest(self, folder: Path, before: dict[str, Any]) -> None:
        (folder / "fit-11aa.parquet").write_bytes(before["fit-11aa.parquet"][0])

    @pytest.mark.parametrize(
        ("killed", "found"),
        [
            (killed_before_removal, "file fit-11aa.parquet has the same rows as part-0.parquet"),
            (killed_while_removing, "file fit-11aa.parquet is missing"),
            (killed_before_its_manifest, "file fit-11aa.parquet is not in the manifest"),
        ],
    )
    @pytest.mark.parametrize("part", ["part-0", ONE])
    def test_what_a_kill_leaves_is_found_and_cleared(
        self, store: Store, killed: Callable[[Any, Path, dict[str, Any]], None], found: str, part: str
    ) -> None:
        ref = rejected(store, "a")
        folder = publish(store, ref, part=ONE).parent
        before = state(folder)
        path = publish(store, ref)
        killed(self, folder, before)
        assert problems(store) == [found]
        # Whose rows a table without a manifest holds, only its own publication knows.
        is_own = "not in the manifest" not in found or part == ONE
        assert publish(store, ref, part=part) == path
        assert names(folder) == (FIRST_FILES if is_own else ["fit-11aa.parquet", *FIRST_FILES])
        assert problems(store) == ([] if is_own else [found])

    def test_removing_twice_is_no_error(self, store: Store) -> None:
        folder = publish(store, rejected(store, "a"), part=ONE).parent
        remove_part(folder, ONE)
        remove_part(folder, ONE)
        assert names(folder) == []


class TestSeveralFiles:
    """A part may hold several files, under names that its publisher gives them."""

    def put(self, store: Store, part: str, ref: ArtifactRef, *files: str) -> Path:
        folder = store.root / "exports"
        publish_part(folder, part, [ref], lambda: {name: name.encode() for name in files})
        return local(folder)

    def test_files_that_the_new_sources_do_not_have_are_removed(self, store: Store) -> None:
        self.put(store, ONE, rejected(store, "other"), "a_11aa.csv", "b_11aa.csv")
        self.put(store, "part-0", rejected(store, "old"), "a.csv", "b.csv")
        folder = self.put(store, "part-0", rejected(store, "new"), "a.csv")
        assert names(folder) == sorted(["a.csv", MANIFEST, "a_11aa.csv", "b_11aa.csv", "fit-11aa.json"])

    def test_the_first_part_takes_over_every_file(self, store: Store) -> None:
        ref = rejected(store, "a")
        self.put(store, ONE, ref, "a_11aa.csv", "b_11aa.csv")
        folder = self.put(store, "part-0", ref, "a.csv", "b.csv")
        assert names(folder) == ["a.csv", "b.csv", MANIFEST]

    def test_a_file_that_two_manifests_name_is_left_to_the_other(self, store: Store) -> None:
        folder = self.put(store, "part-0", rejected(store, "a"), "a.csv")
        self.put(store, ONE, rejected(store, "b"), "b.csv")
        claim = read_manifest(folder, PublishedManifest).model_dump_json()
        (folder / part_manifest(ONE)).write_text(claim)
        remove_part(folder, ONE)
        assert names(folder) == ["a.csv", "b.csv", MANIFEST]


class TestAtTheSameTime:
    """Two threads start together, many times; neither waits for the other."""

    def race(self, *actions: Callable[[], Path]) -> list[Path]:
        barrier = Barrier(len(actions))

        def run(action: Callable[[], Path]) -> Path:
            barrier.wait()
            return action()

        with ThreadPoolExecutor(len(actions)) as pool:
            return [future.result() for future in [pool.submit(run, action) for action in actions]]

    @pytest.mark.parametrize("i", range(10))
    def test_different_parts(self, store: Store, i: int) -> None:
        parts = ("part-0", ONE, TWO)
        sources = [rejected(store, part) for part in parts]
        actions = [
            lambda part=part, ref=ref: publish(store, ref, part=part) for part, ref in zip(parts, sources, strict=True)
        ]
        paths = self.race(*actions)
        assert [plants(path) for path in paths] == [[part] for part in parts]
        assert names(paths[0].parent) == BOTH_FILES + FIRST_FILES and problems(store) == []

    @pytest.mark.parametrize("i", range(10))
    @pytest.mark.parametrize("parts", [("part-0", ONE), (ONE, TWO), (ONE, ONE)])
    def test_the_same_rows_are_there_once(self, store: Store, parts: tuple[str, str], i: int) -> None:
        ref = rejected(store, "a")
        paths = self.race(*(lambda part=part: publish(store, ref, part=part) for part in parts))
        folder = paths[0].parent
        assert [plants(path) for path in folder.glob("*.parquet")] == [["a"]]
        assert problems(store) == [] and len(names(folder)) == 2


class TestReport:
    def test_place_replacement_and_repair(self, store: Store) -> None:
        one, two = report(store, "one"), report(store, "two")
        page = publish_report(store, one, "field2")
        assert page == store.root / "reports/field2/index.html" and local(page).read_text() == "one"
        assert (page.parent / "figures/map.svg").read_bytes() == b"<svg/>"
        before = local(page).stat().st_ino
        publish_report(store, one, "field2")
        assert local(page).stat().st_ino == before
        assert local(publish_report(store, two, "field2")).read_text() == "two"
        local(page).write_text("tow")
        assert local(publish_report(store, two, "field2")).read_text() == "two"
        publish_report(store, report(store, "three", figure="plan"), "field2")
        assert [path.name for path in (local(page.parent / "figures")).iterdir()] == ["plan.svg"]
        assert verify_store(store).problems == []


class TestRecord:
    def record(self, campaign: str = "field2") -> CampaignRecord:
        artifacts = {"train": ArtifactRef(kind="classifier", digest="1" * 24)}
        params = {"dates": ["2021-08-23"], "deep": {"x": [0.1, None]}}
        return CampaignRecord(campaign=campaign, params=params, artifacts=artifacts, report="reports/x/index.html")

    def test_round_trip_and_replacement(self, store: Store) -> None:
        write_record(store, self.record())
        assert read_record(store, "field2") == self.record()
        changed = self.record().model_copy(update={"report": "elsewhere"})
        assert write_record(store, changed) == store.root / "campaigns/field2.json"
        assert read_record(store, "field2") == changed

    def test_an_unknown_campaign_lists_the_known(self, store: Store) -> None:
        with pytest.raises(InputError, match=r"no record of 'field3' .*; campaigns there: none\n"):
            read_record(store, "field3")
        for name in ("field2", "field1"):
            write_record(store, self.record(name))
        with pytest.raises(InputError, match=r"no record of 'field3' .*; campaigns there: field1, field2\n"):
            read_record(store, "field3")

    @pytest.mark.parametrize("content", [b"", b'{"campaign": "field2"}', b"\xff"])
    def test_a_damaged_record_is_named(self, store: Store, content: bytes) -> None:
        write_record(store, self.record()).write_bytes(content)
        with pytest.raises(ArtifactError, match=r"campaigns/field2\.json cannot be read"):
            read_record(store, "field2")


class TestHolders:
    def test_every_table_has_an_owner(self, store: Store) -> None:
        one, two, training = rejected(store, "a"), rejected(store, "b"), Recipe("augmentation", 1)
        with store.create(training) as draft:
            write_table(draft, AUGMENTATION, {column.name: [] for column in AUGMENTATION.columns})
        roles = {"images 2021-08-23": one, "images 2021-09-03": two, "augmentation": training.ref, "classifier": one}
        assert holders(store, roles, "rejected", "2021-09-03") == [two]
        assert holders(store, roles, "rejected", "2021-09-04") == []
        assert holders(store, roles, "augmentation", None) == [training.ref]
        assert OWNERS["epochs"] == "classifier" and EPOCHS.name == "epochs"
        assert holders(store, roles, "epochs", None) == []  # a given classifier was not trained here
