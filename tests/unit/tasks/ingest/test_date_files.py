"""Test the files of dates: which names hold a date, which files belong to one, and what a marker is."""

import errno
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import AwayError
from storage.records.acquisitions import DateFiles
from tasks.ingest.date_files import (
    FileStamp,
    date_files,
    dates_in,
    has_changed,
    own_files,
)
from tasks.sources.folder.source import FolderSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.arriving_files import DAY, FOLDER, NOON, OTHER, plant, put

OTHER_FOLDER = "Field2/2021_09_03"
DAYS = st.dates(date(1900, 1, 1), date(2099, 12, 31))


class TestDatesInNames:
    @given(DAYS, st.sampled_from(["%Y_%m_%d", "%Y-%m-%d", "%Y%m%d"]), st.sampled_from(["", "flight ", "Field2_", "x"]))
    def test_a_date_is_found_in_any_name(self, day: date, form: str, before: str) -> None:
        for behind in ("", "_Ref_Plot1_A4_0.tif", "T1015", " copy"):
            assert dates_in([f"{before}{day.strftime(form)}{behind}"]) == {day}

    @pytest.mark.parametrize(
        "name",
        [
            "2021_Ref_Plot2_E18.png",
            "2021_08_32",
            "2021_8_30",
            "2021_08-30",
            "120210830",
            "20210830101500",
            "10010830.png",
            "plot_2021",
            "",
        ],
    )
    def test_what_is_no_date(self, name: str) -> None:
        assert dates_in([name]) == set()

    def test_several_names_and_dates(self) -> None:
        assert dates_in(["planted_20210615", "2021_08_30_to_2021_09_03"]) == {date(2021, 6, 15), DAY, OTHER}


class TestDateFiles:
    def test_files_of_the_date_and_of_none(self, tmp_path: Path) -> None:
        for name in (
            plant(18),
            "Field2/2021-08-30/plot1/deep/a.png",
            "train/ready/2021_08_30_Ref_Plot1_A4_1.tif",
            "20210830.csv",
            "2021_Ref_Plot1_UTM_Coordinates.txt",
            "train/ready/2021_Ref_Plot2_E18.png",
            plant(18, OTHER_FOLDER),
            "train/ready/2021_09_03_Ref_Plot1_A4_1.tif",
            "flight_2021-09-03/a.png",
            "20210903/nested/a.png",
        ):
            put(tmp_path, name, len(name))
        found = date_files(tmp_path, DAY)
        assert (
            sorted(found)
            == list(found)
            == sorted(
                [
                    "20210830.csv",
                    "2021_Ref_Plot1_UTM_Coordinates.txt",
                    "Field2/2021-08-30/plot1/deep/a.png",
                    plant(18),
                    "train/ready/2021_08_30_Ref_Plot1_A4_1.tif",
                    "train/ready/2021_Ref_Plot2_E18.png",
                ]
            )
        )
        assert all(stamp == FileStamp(len(name), int(NOON.timestamp()) * 10**9) for name, stamp in found.items())

    def test_folders_of_other_dates_are_not_entered(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for folder in (FOLDER, OTHER_FOLDER, "Field2/2021-08-23", "deep/down/20210825/plot1"):
            put(tmp_path, plant(1, folder))
        entered: list[str] = []
        scandir: Callable[..., Any] = os.scandir

        def watched(path: str) -> Any:
            entered.append(Path(path).relative_to(tmp_path).as_posix())
            return scandir(path)

        monkeypatch.setattr(os, "scandir", watched)
        assert list(date_files(tmp_path, DAY)) == [plant(1)]
        assert sorted(entered) == [".", "Field2", FOLDER, "deep", "deep/down"]

    def test_a_delivery_s_date_does_not_hide_the_acquisition_s(self, tmp_path: Path) -> None:
        put(tmp_path, "delivery_2021-09-10/2021_08_30/a.png")
        put(tmp_path, "delivery_2021-09-10/2021_09_03/b.png")
        put(tmp_path, "2021_08_30/20210903/c.png")
        assert list(date_files(tmp_path, DAY)) == ["2021_08_30/20210903/c.png", "delivery_2021-09-10/2021_08_30/a.png"]

    def test_the_date_of_the_root_itself_means_nothing(self, tmp_path: Path) -> None:
        put(tmp_path, "export_2021-09-03/a.png")
        assert list(date_files(tmp_path / "export_2021-09-03", DAY)) == ["a.png"]

    def test_linked_folders_once_and_without_end(self, tmp_path: Path) -> None:
        put(tmp_path, "elsewhere/a.png")
        put(tmp_path, "season/b.png")
        (tmp_path / "season/link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "season/round").symlink_to(tmp_path / "season")
        (tmp_path / "season/self").symlink_to("self")
        (tmp_path / "season/dangling").symlink_to("nowhere")
        assert list(date_files(tmp_path / "season", DAY)) == ["b.png", "link/a.png"]

    def test_files_and_folders_that_vanish_meanwhile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        names = [put(tmp_path, name) for name in ("a.png", "b.png", "sub/c.png")]
        stat = Path.stat

        def vanishing(path: Path, **options: Any) -> os.stat_result:
            if path in names:
                names[0].unlink(missing_ok=True)
                names[2].unlink(missing_ok=True)
            return stat(path, **options)

        monkeypatch.setattr(Path, "stat", vanishing)
        assert set(date_files(tmp_path, DAY)) <= {"b.png"}
        with pytest.raises(AwayError, match="is empty"):
            date_files(tmp_path / "gone", DAY)

    def test_a_share_that_does_not_answer_is_not_an_empty_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, "sub/a.png")
        scandir: Callable[..., Any] = os.scandir

        def failing(code: int) -> Callable[[str], Any]:
            def scan(path: str) -> Any:
                if path.endswith("sub"):
                    raise OSError(code, "no answer", path)
                return scandir(path)

            return scan

        monkeypatch.setattr(os, "scandir", failing(errno.EIO))
        with pytest.raises(OSError, match="no answer"):
            date_files(tmp_path, DAY)
        monkeypatch.setattr(os, "scandir", failing(errno.EACCES))
        assert date_files(tmp_path, DAY) == {}


class TestOwnFiles:
    def test_only_files_of_the_date_count(self, tmp_path: Path) -> None:
        source, shared = GrowliFlowerSource(root=str(tmp_path)), tmp_path / "harvest.csv"
        first = put(tmp_path, plant(18), 3)
        shared.write_text("plant_id")
        found = own_files(source, DAY)
        assert found is not None and (found.n_files, found.n_bytes) == (1, 3)
        shared.write_text("plant_id,harvest_date")
        put(tmp_path, plant(18, OTHER_FOLDER))
        assert own_files(source, DAY) == found
        os.utime(first, ns=(1, 1))  # another time alone
        assert own_files(source, DAY) not in (None, found)
        put(tmp_path, plant(19), 4)
        more = own_files(source, DAY)
        assert more is not None and (more.n_files, more.n_bytes) == (2, 7)

    def test_it_does_not_matter_where_the_folder_lies(self, tmp_path: Path) -> None:
        put(tmp_path / "a", plant(18), 3)
        before = own_files(GrowliFlowerSource(root=str(tmp_path / "a")), DAY)
        (tmp_path / "a").rename(tmp_path / "b")
        assert own_files(GrowliFlowerSource(root=str(tmp_path / "b")), DAY) == before

    def test_a_manifest_names_the_images_of_a_date(self, tmp_path: Path) -> None:
        days = {"a": DAY, "b": DAY, "c": OTHER}
        rows = ["file,split,label,date", *(f"{name}.png,new,ready,{day}" for name, day in days.items())]
        (tmp_path / "manifest.csv").write_text("\n".join(rows))
        for name in "ac":
            put(tmp_path, f"{name}.png")
        source = FolderSource(root=str(tmp_path), classes=("not ready", "ready"))
        found = own_files(source, DAY)
        assert found is not None and found.n_files == 1
        put(tmp_path, "c.png", 7)
        assert own_files(source, DAY) == found
        put(tmp_path, "b.png")
        assert has_changed(found, own_files(source, DAY))
        assert own_files(source, date(2021, 9, 9)) is None  # the source does not list it

    def test_without_files_nothing_is_known(self, tmp_path: Path) -> None:
        assert own_files(SyntheticSource(), DAY) is None
        assert own_files(GrowliFlowerSource(root=str(tmp_path / "away")), DAY) is None
        assert own_files(GrowliFlowerSource(root=str(tmp_path)), DAY) is None


@pytest.mark.parametrize(
    ("now", "is_changed"),
    [
        (DateFiles(n_files=9, n_bytes=90, digest="a"), False),
        (DateFiles(n_files=9, n_bytes=90, digest="b"), True),  # names or times
        (DateFiles(n_files=10, n_bytes=99, digest="b"), True),
        (DateFiles(n_files=8, n_bytes=80, digest="b"), False),  # only gone
        (DateFiles(n_files=1, n_bytes=900, digest="b"), True),  # one mosaic in place of nine tiles
        (None, False),
    ],
)
def test_what_is_a_change(now: DateFiles | None, is_changed: bool) -> None:
    assert has_changed(DateFiles(n_files=9, n_bytes=90, digest="a"), now) == is_changed
    assert not has_changed(None, now)  # scored by an earlier version
