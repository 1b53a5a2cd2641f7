"""Test published tables, reports and records: replaced after changes, repaired after a kill, else left unchanged."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from storage.artifacts import MANIFEST, ArtifactRef, Recipe, Store
from storage.errors import ArtifactError, AwayError, InputError
from storage.published import manifests
from storage.published.manifests import publish_files, read_published
from storage.published.publish import partition, publish_report, publish_table, table_manifest, unpublish_table
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


def publish(store: Store, *sources: ArtifactRef) -> Path:
    return local(publish_table(store, REJECTED, sources, "field2", DAY))


def manifest_of(store: Store) -> Path:
    return local(table_manifest(store, partition(store, REJECTED, "field2", DAY)))


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
        assert manifest_of(store) == local(store.root) / f"manifests/{PART.parent}.json"
        assert read_published(manifest_of(store)).sources == [ref]
        no_date = publish_table(store, REJECTED, [ref], "field2")
        assert no_date == store.root / "tables/rejected/campaign=field2/part-0.parquet"

    def test_two_artefacts_become_one_partition_in_order(self, store: Store) -> None:
        path = publish(store, rejected(store, "b", "c"), rejected(store, "a"))
        assert plants(path) == ["b", "c", "a"]

    def test_an_equal_partition_is_left_untouched(self, store: Store) -> None:
        sources = rejected(store, "a"), rejected(store, "b")
        path = publish(store, *sources)
        before = state(path.parent), state(manifest_of(store).parent)
        publish(store, *sources)
        assert (state(path.parent), state(manifest_of(store).parent)) == before

    @pytest.mark.parametrize("new", [("c",), ("a", "b")])
    def test_other_sources_replace(self, store: Store, new: tuple[str, ...]) -> None:
        publish(store, rejected(store, "a"))
        ref = rejected(store, *new)
        path = publish(store, ref)
        assert plants(path) == list(new) and read_published(manifest_of(store)).sources == [ref]
        assert names(path.parent) == ["part-0.parquet"] and problems(store) == []

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
                manifest_of(store).unlink()
            case "flipped":
                path.write_bytes(before[:-1] + b"?")
            case "no part":
                path.unlink()
            case _:
                manifest_of(store).write_text("{}")
        assert verify_store(store).problems
        assert publish(store, ref).read_bytes() == before
        found = verify_store(store)
        assert (found.problems, found.unfinished) == ([], [])

    @pytest.mark.parametrize("is_table", [True, False])
    def test_a_kill_while_a_file_is_written_is_no_lasting_damage(self, store: Store, is_table: bool) -> None:
        ref = rejected(store, "a")
        path, manifest = publish(store, ref), manifest_of(store)
        left = (path if is_table else manifest).with_name(".tmp-one-01234567")
        manifest.rename(left)
        assert f"has no manifest manifests/{PART.parent}.json" in verify_store(store).problems[0]
        publish(store, ref)
        before = state(path.parent)
        publish(store, ref)
        assert state(path.parent) == before  # the file left by the kill does not make it look changed
        found = verify_store(store)
        assert (found.problems, found.unfinished) == ([], [left.relative_to(local(store.root)).as_posix()])

    def test_a_table_that_is_unpublished_leaves_nothing(self, store: Store) -> None:
        folder = local(publish_table(store, REJECTED, [rejected(store, "a")], "field2").parent)
        for _ in range(2):
            unpublish_table(store, REJECTED, "field2")
        assert not folder.exists() and verify_store(store).problems == []

    def test_a_source_that_is_gone(self, store: Store) -> None:
        with pytest.raises(ArtifactError, match=r"images/0+ has no manifest\.json"):
            publish(store, ArtifactRef(kind="images", digest="0" * 24))
        assert not (local(store.root / "tables")).exists()


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def problems(store: Store) -> list[str]:
    return [problem.rpartition("2021-08-23: ")[2] for problem in verify_store(store).problems]


class TestSeveralFiles:
    """A folder may hold several files, under names that their publisher gives them."""

    def put(self, store: Store, ref: ArtifactRef, *files: str) -> Path:
        folder = local(store.root / "exports")
        names = publish_files(folder, folder / MANIFEST, [ref], lambda: {name: name.encode() for name in files})
        assert set(names) == set(files)
        return folder

    def test_files_that_the_new_sources_do_not_have_are_removed(self, store: Store) -> None:
        self.put(store, rejected(store, "old"), "a.csv", "b.csv")
        folder = self.put(store, rejected(store, "new"), "a.csv")
        assert names(folder) == ["a.csv", MANIFEST]

    def test_files_that_were_not_published_stay(self, store: Store) -> None:
        folder = self.put(store, rejected(store, "old"), "a.csv")
        (folder / "a.qmd").touch()
        self.put(store, rejected(store, "new"), "a.csv")
        assert names(folder) == ["a.csv", "a.qmd", MANIFEST]


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
    def test_other_rows_of_one_run_stay_whole(self, store: Store, i: int) -> None:
        sources = [rejected(store, plant) for plant in "abc"]
        paths = self.race(*(lambda ref=ref: publish(store, ref) for ref in sources))
        assert len(set(paths)) == 1 and plants(paths[0]) in (["a"], ["b"], ["c"])
        assert problems(store) == [] and names(paths[0].parent) == ["part-0.parquet"]

    def test_a_folder_that_others_always_change_is_told(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        written = manifests.write_atomically

        def write_and_lose(path: Path, content: bytes) -> None:
            written(path, content)
            written(path.with_name("a.csv"), b"of another run")

        monkeypatch.setattr(manifests, "write_atomically", write_and_lose)
        monkeypatch.setattr(manifests, "LONGEST_WAIT", 0.001)
        folder = local(store.root / "exports")
        with pytest.raises(ArtifactError, match=r"exports was changed by other runs each of the 8 times"):
            publish_files(folder, folder / MANIFEST, [], lambda: {"a.csv": b"of this run"})

    @pytest.mark.parametrize("i", range(10))
    def test_the_same_rows_are_there_once(self, store: Store, i: int) -> None:
        ref = rejected(store, "a")
        paths = self.race(*(lambda: publish(store, ref) for _ in range(3)))
        assert plants(paths[0]) == ["a"] and problems(store) == []


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

    def test_an_unknown_campaign_lists_the_known(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(AwayError, match=r"no store in .*: the folder is missing or empty\n"):
            read_record(store, "field3")
        (tmp_path / "artifacts").mkdir()
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
