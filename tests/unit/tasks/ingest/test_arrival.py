"""Test arrival: half-copied dates wait, complete dates settle, and every look gives its reason."""

import errno
import os
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prefect.client.schemas.objects import State, StateType, TaskRun
from pydantic import ValidationError

from storage.artifacts import Store
from storage.errors import AwayError, InputError
from storage.records.arrivals import arrival_path, read_arrival, write_arrival
from tasks.ingest.arrival import (
    NOTHING_YET,
    Arrival,
    ArrivalParams,
    NotSettled,
    arrival_options,
    await_arrival,
    judge_arrival,
    look_again,
    retry_until_settled,
    same_since,
)
from tasks.ingest.date_files import (
    LEFT_BEHIND,
    FileStamp,
    Look,
    holds_marker,
    look_at,
    readable_size,
)
from tasks.sources.folder.source import FolderSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.arriving_files import DAY, FOLDER, NOON, OTHER, after, plant, put

OTHER_FOLDER = "Field2/2021_09_03"
PARAMS = ArrivalParams()


def stamped(sizes: dict[str, int], seconds: float = 0) -> dict[str, FileStamp]:
    """Return stamps of files of these sizes, written so many seconds after noon."""
    return {name: FileStamp(size, int(after(seconds).timestamp()) * 10**9) for name, size in sizes.items()}


def seen(sizes: dict[str, int], root: str = "") -> Look:
    """Return a look at noon at files that were written at noon."""
    return look_at(Path(root), stamped(sizes), NOON)


class Watcher:
    """Consecutive looks at a growing folder."""

    def __init__(self, tmp_path: Path, **params: Any) -> None:
        self.root = tmp_path / "season"
        self.root.mkdir()
        self.store = Store(tmp_path / "store")
        self.params = ArrivalParams(**params)

    def look(self, seconds: float, day: date = DAY) -> Arrival:
        source = GrowliFlowerSource(root=str(self.root))
        return look_again(self.store, "field2", source, day, self.params, after(seconds))


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    return Watcher(tmp_path)


class TestLook:
    def test_sums_and_words(self) -> None:
        look = seen({"a.png": 3_000_000, "b/c.png": 100_000})
        assert (look.n_files, look.n_bytes, look.copying) == (2, 3_100_000, None)
        assert str(look) == "2 files, 3.1 MB"
        assert str(seen({"a.png": 1})) == "1 file, 1 bytes"

    def test_the_digest_is_of_root_names_sizes_and_times(self) -> None:
        files = {"a": 1, "b": 2}
        same = [seen(files, "/x"), seen({"b": 2, "a": 1}, "/x")]
        others = [({"a": 2, "b": 1}, "/x"), ({"a": 1, "c": 2}, "/x"), ({"a": 1}, "/x"), (files, "/y")]
        looks = [same[0], *(seen(other, root) for other, root in others)]
        looks += [look_at(Path("/x"), {**stamped(files), **stamped({"b": 2}, seconds=1)}, NOON)]
        assert same[0] == same[1]
        assert len({look.digest for look in looks}) == 6

    @pytest.mark.parametrize(
        "name",
        [
            ".x.png.a81bc9",
            "plot1/.2021_Ref_Plot2_E18.png.Xa81bC",
            ".labels.csv.xxxxxX",
            ".~tmp~/x.png",
            ".rsync-partial/x.png",
            "x.png.part",
            "x.png.PARTIAL",
            "x.png.filepart",
            "x.tmp",
            "x.png.crdownload",
        ],
    )
    def test_files_of_copying_tools(self, name: str) -> None:
        assert seen({"a.png": 1, name: 5}).copying == name

    @pytest.mark.parametrize(
        "name",
        [
            ".DS_Store",
            "._x.png",
            ".hidden.jpeg",
            "x.part.png",
            "tmp/x.png",
            "Thumbs.db",
            "labels.csv~",
            ".config.json.backup",
            ".config.json.save1",
            ".config.json.Original",
            ".labels.csv.swp",
            ".png.Xa81bC",
        ],
    )
    def test_files_that_only_look_like_it(self, name: str) -> None:
        assert seen({name: 5}).copying is None

    @pytest.mark.parametrize("name", ["a.png", "plot1/a.JPG", "a.tiff"])
    def test_an_empty_image_is_being_copied(self, name: str) -> None:
        assert seen({name: 0}).copying == name
        assert seen({name: 1}).copying is None

    @pytest.mark.parametrize("name", ["_COMPLETE", "a.txt", "png"])
    def test_other_files_may_be_empty(self, name: str) -> None:
        assert seen({name: 0}).copying is None

    @pytest.mark.parametrize("name", ["a.png", ".a.png.Xa81bC", "a.png.part"])
    def test_what_nobody_writes_to_for_a_day_was_left_behind(self, name: str) -> None:
        files = stamped({name: 0})
        day = LEFT_BEHIND.total_seconds()
        assert day == 24 * 60 * 60
        assert [look_at(Path(), files, after(seconds)).copying for seconds in (day, day + 1)] == [name, None]
        assert look_at(Path(), files, after(day + 1)).n_files == 1

    def test_a_name_that_is_no_text_can_be_kept(self) -> None:
        look = seen({os.fsdecode(b"\xff.part"): 1})
        assert (
            Look.model_validate_json(look.model_dump_json()) == look
            and look.copying == "\N{REPLACEMENT CHARACTER}.part"
        )

    @pytest.mark.parametrize(
        ("n_bytes", "text"),
        [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_960, "1.0 MB"),
            (3.1e9, "3.1 GB"),
            (5e16, "50000.0 TB"),
        ],
    )
    def test_readable_sizes(self, n_bytes: float, text: str) -> None:
        assert readable_size(int(n_bytes)) == text


def look_of(n: int) -> Look:
    return Look(n_files=max(1, n), n_bytes=n, digest=str(n))


class TestJudgement:
    def test_words_for_people(self) -> None:
        before, grown = (seen(dict.fromkeys(map(str, range(n)), 250_000)) for n in (10, 12))

        def judge(look: Look, seconds: float, earlier: Look | None = before) -> Arrival:
            return judge_arrival(earlier, NOON, look, after(seconds), PARAMS)

        assert judge(before, 20.9) == Arrival(False, "10 files, 2.5 MB; unchanged for 20 of 60 s")
        assert judge(before, 60) == Arrival(True, "10 files, 2.5 MB; unchanged for 60 s")
        changed = "12 files, 3.0 MB (at the look before: 10 files, 2.5 MB); unchanged for 0 of 60 s"
        assert judge(grown, 90) == Arrival(False, changed)
        assert judge(grown, 90, None) == Arrival(False, "12 files, 3.0 MB; unchanged for 0 of 60 s")
        copying = seen({".x.png.a81bc9": 3})
        assert judge(copying, 90, copying) == Arrival(
            False,
            "a file is being copied: .x.png.a81bc9 (if an aborted copy left it behind, delete it; a day after its last "
            "change it no longer blocks the date)",
        )
        nothing = seen({})
        assert judge(nothing, 90, nothing) == Arrival(False, "no file of this date yet")

    def test_without_settling_time_the_first_look_is_enough(self) -> None:
        params = ArrivalParams(settle_seconds=0)
        assert judge_arrival(None, None, look_of(1), NOON, params).settled
        assert not judge_arrival(None, None, seen({}), NOON, params).settled

    def test_a_marker_alone_decides(self) -> None:
        copying, nothing = seen({"a.part": 1}), seen({})
        assert judge_arrival(None, None, copying, NOON, PARAMS, "DONE", has_marker=True) == Arrival(
            True, "the marker DONE is there"
        )
        for look in (nothing, look_of(3)):
            found = judge_arrival(look, NOON, look, after(1e6), PARAMS, "DONE")
            assert found == Arrival(False, "waits for the marker DONE")

    @given(
        st.lists(st.tuples(st.integers(1, 2), st.integers(-100, 100)), min_size=1, max_size=12),
        st.integers(0, 120),
    )
    def test_settled_means_equal_looks_for_the_whole_time(self, steps: list[tuple[int, int]], settle: int) -> None:
        """A date settles exactly when equal looks span the settling time and the clock was not set back meanwhile."""
        params, now = ArrivalParams(settle_seconds=settle), NOON
        before: Look | None = None
        since: datetime | None = None
        run: list[tuple[int, datetime]] = []
        for content, seconds in steps:
            now += timedelta(seconds=seconds)
            look = look_of(content)
            found = judge_arrival(before, since, look, now, params)
            before, since = look, same_since(before, since, look, now)
            run = [*run, (content, now)] if run and run[0][0] == content and run[0][1] <= now else [(content, now)]
            assert found.settled == ((now - run[0][1]).total_seconds() >= settle)
            assert since == run[0][1]

    @given(st.integers(1, 10_000))
    def test_a_clock_gone_back_neither_settles_nor_hangs(self, back: int) -> None:
        look = look_of(1)
        again = same_since(look, NOON, look, after(-back))
        assert not judge_arrival(look, NOON, look, after(-back), PARAMS).settled
        assert judge_arrival(look, again, look, after(60 - back), PARAMS).settled


class TestMarker:
    def test_with_the_files_or_named_by_the_date(self) -> None:
        images, markers = {plant(1): 5}, [f"{FOLDER}/DONE", f"{FOLDER}/plot1/DONE"]
        assert all(holds_marker({**images, marker: 0}, "DONE", DAY) for marker in markers)
        assert holds_marker({**images, "2021-08-30.complete": 0}, "2021-08-30.complete", DAY)
        for files in (images, {**images, f"{FOLDER}/DONE.txt": 0}, {**images, "DONE/a.png": 0}, {}):
            assert not holds_marker(files, "DONE", DAY)
        assert not holds_marker({**images, f"{FOLDER}/DONE": 0}, None, DAY)

    def test_one_left_beside_the_dates_says_nothing_of_this_date(self) -> None:
        assert not holds_marker({plant(1): 5, "DONE": 0}, "DONE", DAY)
        assert holds_marker({"train/ready/a.png": 5, "DONE": 0}, "DONE", DAY)

    def test_the_date_can_be_part_of_its_name(self) -> None:
        assert ArrivalParams(marker="{date}.complete").marker_of(DAY) == "2021-08-30.complete"
        assert ArrivalParams(marker="DONE").marker_of(DAY) == "DONE" and PARAMS.marker_of(DAY) is None


class TestLookAgain:
    def test_a_growing_date_waits_until_it_has_rested(self, watcher: Watcher) -> None:
        for number in range(1, 4):
            put(watcher.root, plant(number), 100, seconds=30 * number)
            assert not watcher.look(30 * number).settled
        put(watcher.root, plant(3), 500)  # the last file had not been written to its end
        found = watcher.look(149)
        assert found.why == "3 files, 700 bytes (at the look before: 3 files, 300 bytes); unchanged for 0 of 60 s"
        assert watcher.look(180).why == "3 files, 700 bytes; unchanged for 31 of 60 s"
        assert watcher.look(209) == Arrival(True, "3 files, 700 bytes; unchanged for 60 s")

    def test_a_file_that_has_its_full_size_from_the_start(self, watcher: Watcher) -> None:
        """Only the time of change shows that `rsync --preallocate` or `--inplace` writes over an older copy."""
        for seconds in (0, 60, 120):
            put(watcher.root, plant(1), 500, seconds=seconds)
            assert watcher.look(seconds).why.endswith("unchanged for 0 of 60 s")
        assert watcher.look(180).settled

    def test_an_image_without_content_yet(self, watcher: Watcher) -> None:
        put(watcher.root, plant(1))
        put(watcher.root, plant(2), 0)
        assert not watcher.look(0).settled
        assert watcher.look(1000).why.startswith(f"a file is being copied: {plant(2)} ")
        put(watcher.root, plant(2), 100)
        assert not watcher.look(1001).settled and watcher.look(1061).settled

    def test_a_stray_file_beside_the_dates_does_not_block_them(self, watcher: Watcher) -> None:
        put(watcher.root, plant(1))
        for name in ("labels.csv~", ".config.json.backup", "old/.labels.csv.Xa81bC"):
            put(watcher.root, name, seconds=-LEFT_BEHIND.total_seconds() - 1)
        assert not watcher.look(0).settled and watcher.look(60).settled

    def test_looks_of_different_runs_add_up(self, watcher: Watcher) -> None:
        put(watcher.root, plant(1))
        assert not watcher.look(0).settled
        watcher.params = ArrivalParams(settle_seconds=600)
        assert not watcher.look(599).settled and watcher.look(600).settled

    def test_other_dates_may_change_meanwhile(self, watcher: Watcher) -> None:
        put(watcher.root, plant(1))
        assert not watcher.look(0).settled
        put(watcher.root, plant(1, OTHER_FOLDER))
        assert watcher.look(60).settled and not watcher.look(60, OTHER).settled

    def test_a_vanished_file_and_one_renamed_are_changes(self, watcher: Watcher) -> None:
        put(watcher.root, plant(1))
        put(watcher.root, plant(2))
        assert not watcher.look(0).settled
        (watcher.root / plant(2)).unlink()
        assert not watcher.look(60).settled
        (watcher.root / plant(1)).rename(watcher.root / plant(7))
        assert not watcher.look(120).settled and watcher.look(180).settled

    def test_a_half_written_file_holds_up_until_it_is_whole(self, watcher: Watcher) -> None:
        put(watcher.root, plant(1))
        partial = put(watcher.root, f"{FOLDER}/.2021_Ref_Plot2_E2.png.Ab3dEf")
        assert not watcher.look(0).settled
        assert watcher.look(10_000).why.startswith(f"a file is being copied: {FOLDER}/.2021_Ref_Plot2_E2.png.Ab3dEf ")
        partial.rename(watcher.root / plant(2))
        assert not watcher.look(10_001).settled and watcher.look(10_061).settled

    def test_files_that_all_dates_share_are_no_date(self, watcher: Watcher) -> None:
        put(watcher.root, "2021_Ref_Plot1_UTM_Coordinates.txt")
        put(watcher.root, plant(1, OTHER_FOLDER))
        assert not watcher.look(0).settled
        assert watcher.look(1000) == Arrival(False, NOTHING_YET)

    def test_marker(self, tmp_path: Path) -> None:
        watcher = Watcher(tmp_path, marker="_COMPLETE")
        put(watcher.root, plant(1))
        put(watcher.root, f"{FOLDER}/old.part")
        put(watcher.root, f"{OTHER_FOLDER}/_COMPLETE", 0)
        put(watcher.root, "_COMPLETE", 0)
        assert watcher.look(0).why == watcher.look(1e6).why == "waits for the marker _COMPLETE"
        put(watcher.root, f"{FOLDER}/_COMPLETE", 0)
        assert watcher.look(1e6 + 1) == Arrival(True, "the marker _COMPLETE is there")

    def test_a_marker_of_a_date_without_images(self, tmp_path: Path) -> None:
        watcher = Watcher(tmp_path, marker="_COMPLETE")
        put(watcher.root, f"{FOLDER}/_COMPLETE", 0)
        assert watcher.look(0) == Arrival(False, NOTHING_YET)

    def test_a_clock_that_goes_back(self, watcher: Watcher) -> None:
        put(watcher.root, plant(1))
        assert not watcher.look(0).settled
        assert not watcher.look(-3600).settled
        assert not watcher.look(-3570).settled and watcher.look(-3540).settled

    def test_a_source_that_moved_is_looked_at_anew(self, watcher: Watcher) -> None:
        put(watcher.root, plant(1))
        assert not watcher.look(0).settled
        watcher.root = watcher.root.rename(watcher.root.with_name("moved"))
        assert not watcher.look(60).settled and watcher.look(120).settled

    @pytest.mark.parametrize("kept", ["", "{", "[]", "7", '{"look": 3}', '{"look": {}, "since": "today"}', "\udcff"])
    def test_a_damaged_memory_begins_anew(self, watcher: Watcher, kept: str) -> None:
        put(watcher.root, plant(1))
        assert not watcher.look(0).settled
        path = arrival_path(watcher.store, "field2", DAY)
        assert path == watcher.store.root / "arrivals/field2/2021-08-30.json"
        path.write_bytes(os.fsencode(kept))
        assert not watcher.look(60).settled and watcher.look(120).settled

    def test_what_is_kept(self, watcher: Watcher) -> None:
        assert read_arrival(watcher.store, "field2", DAY) is None
        write_arrival(watcher.store, "field2", DAY, {"a": 1})
        assert read_arrival(watcher.store, "field2", DAY) == {"a": 1}
        put(watcher.root, plant(1))
        watcher.look(0)
        kept = read_arrival(watcher.store, "field2", DAY)
        assert kept["since"] == "2021-08-31T12:00:00Z" and kept["look"]["n_files"] == 1

    def test_images_without_dates(self, tmp_path: Path) -> None:
        put(tmp_path / "season", "train/ready/a.png")
        store, source = Store(tmp_path / "store"), FolderSource(root=str(tmp_path / "season"))
        found = [look_again(store, "flat", source, DAY, PARAMS, after(seconds)).settled for seconds in (0, 59, 60)]
        assert found == [False, False, True]

    def test_a_source_without_files_is_there(self, tmp_path: Path) -> None:
        found = look_again(Store(tmp_path / "store"), "field2", SyntheticSource(), DAY, PARAMS, NOON)
        assert found.settled and not (tmp_path / "store").exists()

    def test_a_share_that_is_not_mounted_is_no_look(self, watcher: Watcher) -> None:
        """Its mount point is missing or empty. What was seen before is kept, and counts when the share is back."""
        put(watcher.root, plant(1))
        assert not watcher.look(0).settled
        share = watcher.root.rename(watcher.root.with_name("unmounted"))
        with pytest.raises(AwayError, match="There is no folder"):
            watcher.look(30)
        watcher.root.mkdir()
        with pytest.raises(AwayError, match="is empty"):
            watcher.look(30)
        watcher.root.rmdir()
        share.rename(watcher.root)
        found = watcher.look(60)
        assert found.settled and found.since == NOON


def failed_with(error: Exception) -> State[Any]:
    return State(type=StateType.FAILED, data=error)


class TestTask:
    def test_settled_and_not(self, watcher: Watcher) -> None:
        put(watcher.root, plant(1))
        fixed: dict[str, Any] = {
            "campaign": "field2",
            "date": DAY,
            "store": str(watcher.store.root),
            "source": GrowliFlowerSource(root=str(watcher.root)),
        }
        with pytest.raises(NotSettled, match="field2 2021-08-30 are not known to be complete: 1 file, 100 bytes; unch"):
            await_arrival.fn(**fixed, params=PARAMS)
        assert await_arrival.fn(**fixed, params=ArrivalParams(settle_seconds=0)).startswith("1 file, 100 bytes")

    @pytest.mark.parametrize(
        ("settle", "patience", "retries", "delay"),
        [
            (60, 720, 1440, 30),
            (60, 1, 2, 30),
            (0, 1, 60, 1),
            (1, 0.05, 3, 1),
            (60, 0, 0, 1),
            (43200, 720, 2, 21600),
            (7, 1, 18, 3.5),
            (0, 720, 5000, 8.64),
            (4, 72_000, 5000, 864),
        ],
    )
    def test_looks_again_until_patience_is_over(self, settle: int, patience: float, retries: int, delay: float) -> None:
        options = arrival_options(ArrivalParams(settle_seconds=settle, patience_minutes=patience))
        assert (options["retries"], options["retry_delay_seconds"]) == (retries, delay)
        waiting = await_arrival.with_options(**options)
        assert (waiting.retries, waiting.retry_delay_seconds) == (retries, delay)
        assert waiting.retry_condition_fn is retry_until_settled

    @example(settle=123, more=0.0)
    @given(st.integers(0, 43200), st.floats(0, 1e5))
    def test_patience_and_looks_fit(self, settle: int, more: float) -> None:
        patience = settle / 60 + more
        options = arrival_options(ArrivalParams(settle_seconds=settle, patience_minutes=patience))
        waited = options["retries"] * options["retry_delay_seconds"]
        assert 60 * patience * (1 - 1e-9) <= waited <= 60 * patience + options["retry_delay_seconds"]
        assert waited >= settle * (1 - 1e-9)
        assert options["retries"] <= 5001 and options["retry_delay_seconds"] >= 1

    def test_a_marker_needs_no_time_to_settle(self) -> None:
        options = arrival_options(ArrivalParams(settle_seconds=600, patience_minutes=1, marker="DONE"))
        assert (options["retries"], options["retry_delay_seconds"]) == (1, 60)

    @pytest.mark.parametrize(
        ("error", "is_retried"),
        [
            (NotSettled("1 file"), True),
            (OSError(errno.EIO, "busy"), True),
            (InputError("b", "a", "c"), False),
            (FileNotFoundError("gone"), False),
            (ValueError("a mistake of ours"), False),
        ],
    )
    def test_what_is_retried(self, error: Exception, is_retried: bool) -> None:
        run = TaskRun(task_key="await", dynamic_key="0", flow_run_id=uuid4())
        assert retry_until_settled(await_arrival, run, failed_with(error)) is is_retried


class TestParams:
    @pytest.mark.parametrize(
        "fields",
        [
            {"settle_seconds": -1},
            {"settle_seconds": 43201},
            {"settle_seconds": 61, "patience_minutes": 1},
            {"patience_minutes": -0.1},
            {"patience_minutes": float("inf")},
            {"marker": ""},
            {"marker": "a/b"},
            {"marker": "a\\b"},
            {"settle": 3},
        ],
    )
    def test_bounds(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            ArrivalParams(**fields)

    def test_patience_that_ends_before_anything_settles_is_refused_in_words(self) -> None:
        with pytest.raises(
            ValidationError, match=r"patience_minutes is 1 and settle_seconds is 61; patience_minutes must be 0 or as"
        ):
            ArrivalParams(settle_seconds=61, patience_minutes=1)
        assert ArrivalParams(settle_seconds=60, patience_minutes=1) == ArrivalParams(patience_minutes=1)
