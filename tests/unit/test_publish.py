"""Published tables, reports and records: replaced when their sources change, repaired after a kill, else left alone."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts import MANIFEST, ArtifactRef, Recipe, Store, read_manifest
from storage.errors import ArtifactError, InputError
from storage.parquet import load_table, rows_to_columns, write_table
from storage.publish import (
    CampaignRecord,
    PublishedManifest,
    publish_report,
    publish_table,
    read_record,
    write_record,
)
from storage.tables import AUGMENTATION, EPOCHS, REJECTED
from storage.verify import verify_store
from tasks.publish import OWNERS, holders

DAY = date(2021, 8, 23)
PART = Path("tables/rejected/campaign=field2/date=2021-08-23/part-0.parquet")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def rejected(store: Store, *plants: str) -> ArtifactRef:
    """An artefact whose table `rejected` has these plants."""
    recipe = Recipe("images", 1, {"plants": plants})
    rows = [{"plant_id": plant, "path": f"{plant}.png", "reason": "blank", "detail": ""} for plant in plants]
    with store.create(recipe) as draft:
        write_table(draft, REJECTED, rows_to_columns(REJECTED, rows))
    return recipe.ref


def report(store: Store, text: str) -> ArtifactRef:
    recipe = Recipe("report", 1, {"text": text})
    with store.create(recipe) as draft:
        draft.write_bytes("index.html", text.encode())
        (draft.folder / "figures").mkdir()
        draft.write_bytes("figures/map.svg", b"<svg/>")
    return recipe.ref


def publish(store: Store, *sources: ArtifactRef) -> Path:
    return publish_table(store, REJECTED, sources, "field2", DAY)


def plants(path: Path) -> list[str]:
    return load_table(path, REJECTED).column("plant_id").to_pylist()


def state(folder: Path) -> dict[str, Any]:
    """Content and time of every file."""
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.iterdir()}


class TestTable:
    def test_place_and_content(self, store: Store) -> None:
        ref = rejected(store, "a", "b")
        path = publish(store, ref)
        assert path == store.root / PART and plants(path) == ["a", "b"]
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
        before = state(other.parent)
        publish(store, rejected(store, "a"))
        publish(store, rejected(store, "b"))
        assert state(other.parent) == before

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
        assert not (store.root / "tables").exists()


class TestReport:
    def test_place_replacement_and_repair(self, store: Store) -> None:
        one, two = report(store, "one"), report(store, "two")
        page = publish_report(store, one, "field2")
        assert page == store.root / "reports/field2/index.html" and page.read_text() == "one"
        assert (page.parent / "figures/map.svg").read_bytes() == b"<svg/>"
        before = page.stat().st_ino
        publish_report(store, one, "field2")
        assert page.stat().st_ino == before
        assert publish_report(store, two, "field2").read_text() == "two"
        page.write_text("tow")
        assert publish_report(store, two, "field2").read_text() == "two"
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
