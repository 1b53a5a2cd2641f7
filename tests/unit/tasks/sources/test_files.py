"""Test the one walk of all sources: every entry of a folder is listed, faulty with a reason, or counted."""

import os
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import InputError
from tasks.sources.contract import LeftOut, SourceListing
from tasks.sources.fiftyone.source import FiftyOneSource
from tasks.sources.files import HIDDEN_KIND, LITTER_KIND, FoundFiles, find_fault, walk_files
from tasks.sources.folder.source import FolderSource
from tasks.sources.growliflower.source import GrowliFlowerSource

DAY = date(2021, 8, 23)
SAMPLE = (
    '{"task": "reference", "plant_id": "p1", "field": "Field2", "acquisition_date": "2021-08-23", '
    '"filepath": "%s", "in_situ_harvested": null}'
)


def put(path: Path, content: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def save(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_closed(path: Path) -> None:
    save(path)
    path.chmod(0)


def make_latin(path: Path) -> None:
    save(path)
    path.rename(os.fsdecode(os.fsencode(path.parent) + b"/latin_\xe4" + os.fsencode(path.suffix)))


FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "broken link": (lambda path: path.symlink_to("gone.png"), "missing_file", "a link to a file that is not there"),
    "link in a circle": (make_loop, "missing_file", "a link to a file that is not there"),
    "folder": (lambda path: path.mkdir(), "unreadable", "a folder with the name of an image"),
    "pipe": (make_pipe, "unreadable", "a pipe, socket or device"),
    "name in Latin-1": (make_latin, "unreadable", "the name is not UTF-8; rename the file"),
    "closed": (make_closed, "unreadable", "the file may not be read"),
}
AS_ROOT = os.geteuid() == 0
EACH_FAULT = [
    pytest.param(name, marks=pytest.mark.skipif(name == "closed" and AS_ROOT, reason="root may read every file"))
    for name in FAULTS
]


def shown(found: FoundFiles, root: Path) -> tuple[list[str], list[str]]:
    return [path.relative_to(root).as_posix() for path in found.files], [one.shown for one in found.faulty]


class TestWalk:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("._plant.png", LITTER_KIND),
            ("__MACOSX/a/b.png", LITTER_KIND),
            ("Thumbs.db", LITTER_KIND),
            ("THUMBS.DB", LITTER_KIND),
            ("desktop.ini", LITTER_KIND),
            (".DS_Store", LITTER_KIND),
            ("@eaDir/a.png/SYNOPHOTO_THUMB.jpg", LITTER_KIND),
            ("$RECYCLE.BIN/a.png", LITTER_KIND),
            (".Trashes/a.png", LITTER_KIND),
            (".hidden.png", HIDDEN_KIND),
            (".ipynb_checkpoints/a.png", HIDDEN_KIND),
            (".git/objects/a", HIDDEN_KIND),
            (".a.png.X3fG7q", HIDDEN_KIND),
        ],
    )
    def test_what_belongs_to_no_source_is_counted(self, tmp_path: Path, name: str, kind: str) -> None:
        put(tmp_path / "sub" / name)
        put(tmp_path / "sub/a.png")
        found = walk_files(tmp_path)
        assert shown(found, tmp_path) == (["sub/a.png"], [])
        assert found.passed_by == Counter({kind: 1})

    @pytest.mark.parametrize("fault", EACH_FAULT)
    def test_what_cannot_be_read_has_a_reason(self, tmp_path: Path, fault: str) -> None:
        make, reason, detail = FAULTS[fault]
        make(tmp_path / "a.png")
        found = walk_files(tmp_path)
        name = "latin_\\xe4.png" if fault == "name in Latin-1" else "a.png"
        assert found.files == () and [(one.shown, one.reason, one.detail) for one in found.faulty] == [
            (name, reason, detail)
        ]
        name.encode()  # can be written to a table

    def test_a_folder_with_the_name_of_an_image_is_entered(self, tmp_path: Path) -> None:
        put(tmp_path / "mosaic.tif/0/a.png")
        assert shown(walk_files(tmp_path), tmp_path) == (["mosaic.tif/0/a.png"], ["mosaic.tif"])

    def test_every_entry_is_somewhere(self, tmp_path: Path) -> None:
        names = ["a.png", "b.txt", "c/d.webp", ".e", "._f", "g/__MACOSX/h.png", "i.png/j", "Thumbs.db"]
        for name in names:
            put(tmp_path / name)
        found = walk_files(tmp_path)
        assert shown(found, tmp_path) == (["a.png", "b.txt", "c/d.webp", "i.png/j"], ["i.png"])
        assert sum(found.passed_by.values()) == 4

    def test_linked_folders_are_followed_once(self, tmp_path: Path) -> None:
        put(tmp_path / "root/a.png")
        put(tmp_path / "elsewhere/b.png")
        (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere/back").symlink_to(tmp_path / "root")
        assert shown(walk_files(tmp_path / "root"), tmp_path / "root") == (["a.png", "link/b.png"], [])

    def test_a_name_that_is_too_long_is_missing(self, tmp_path: Path) -> None:
        assert find_fault(tmp_path / ("a" * 300 + ".png"), tmp_path) == ("missing_file", "")

    def test_a_root_that_is_not_utf_8_spoils_no_file(self, tmp_path: Path) -> None:
        root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin_\xe4"))
        put(root / "a.png")
        assert shown(walk_files(root), root) == (["a.png"], [])


def folder_listing(root: Path, make: Callable[[Path], None]) -> SourceListing:
    save(root / "train/ready/good.png")
    make(root / "train/ready/bad.png")
    return FolderSource(root=str(root)).list_images([DAY])


def growliflower_listing(root: Path, make: Callable[[Path], None]) -> SourceListing:
    save(root / "Field2/2021_08_23/2021_Ref_Plot1_A1.png")
    make(root / "Field2/2021_08_23/2021_Ref_Plot1_A2.png")
    return GrowliFlowerSource(root=str(root)).list_images([DAY])


def fiftyone_listing(root: Path, make: Callable[[Path], None]) -> SourceListing:
    save(root / "data/good.png")
    make(root / "data/bad.png")
    second = SAMPLE.replace("p1", "p2") % "data/bad.png"
    put(root / "samples.json", f'{{"samples": [{SAMPLE % "data/good.png"}, {second}]}}'.encode())
    return FiftyOneSource(root=str(root)).list_images([DAY])


LISTINGS = {"folder": folder_listing, "growliflower": growliflower_listing, "fiftyone": fiftyone_listing}


@pytest.mark.parametrize("source", LISTINGS)
@pytest.mark.parametrize("fault", EACH_FAULT)
def test_every_source_tells_of_an_image_that_cannot_be_read(tmp_path: Path, source: str, fault: str) -> None:
    make, reason, detail = FAULTS[fault]
    listing = LISTINGS[source](tmp_path, make)
    assert len(listing.images) == 1
    # Samples name files, and a file that is named is followed to the end of its links.
    renamed = source == "fiftyone" and fault == "name in Latin-1"
    no_file = renamed or (source == "fiftyone" and fault == "broken link")
    (one,) = listing.left_out
    assert (one.reason, one.detail) == (("missing_file", "") if no_file else (reason, detail))
    assert one.acquired == DAY and str(tmp_path) not in str(one)
    if renamed:
        assert "1 files in no sample that cannot be read (the name is not UTF-8; rename the file) passed by" in (
            listing.notes
        )


@pytest.mark.parametrize("source", LISTINGS)
@pytest.mark.parametrize("name", ["._a.png", "Thumbs.db", ".DS_Store", "__MACOSX/a.png"])
def test_every_source_counts_leftovers(tmp_path: Path, source: str, name: str) -> None:
    put(tmp_path / "train/ready" / name)
    listing = LISTINGS[source](tmp_path, save)
    assert (len(listing.images), listing.left_out) == (2, ())
    assert f"1 {LITTER_KIND} passed by" in listing.notes


class TestFolderSource:
    def test_files_among_images_are_told(self, tmp_path: Path) -> None:
        for number, suffix in enumerate(("webp", "bmp", "gif", "jp2", "avif", "jpg", "png")):
            save(tmp_path / f"train/ready/plant{number}.{suffix}", number)
        save(tmp_path / "train/ready/plant.png")
        (tmp_path / "train/ready/plant.png").rename(tmp_path / "train/ready/no_suffix")
        for name in ("train/ready/plant0.txt", "train/list.csv", "test/ready/deep/notes.xml"):
            put(tmp_path / name)
        put(tmp_path / "readme.md")
        listing = FolderSource(root=str(tmp_path)).list_images([DAY])
        assert len(listing.images) == 8
        assert "train/ready/no_suffix" in {one.plant_id for one in listing.images}
        assert {(one.path, one.reason) for one in listing.left_out} == {
            ("train/ready/plant0.txt", "not_an_image"),
            ("train/list.csv", "not_an_image"),
            ("test/ready/deep/notes.xml", "not_an_image"),
        }
        assert listing.notes == ("1 files outside the split folders that are no images passed by",)

    def test_photographs_that_are_not_read_are_listed(self, tmp_path: Path) -> None:
        for suffix in ("heic", "dng", "NEF", "jxl"):
            put(tmp_path / f"train/ready/{suffix}.{suffix}")
        assert len(FolderSource(root=str(tmp_path)).list_images([DAY]).images) == 4

    def test_a_manifest_names_a_link_that_is_broken(self, tmp_path: Path) -> None:
        save(tmp_path / "a.png")
        (tmp_path / "b.png").mkdir()
        put(tmp_path / "manifest.csv", b"file,split,label\na.png,train,x\nb.png,train,x\nc.png,train,x\n")
        listing = FolderSource(root=str(tmp_path)).list_images([DAY])
        assert [(one.path, one.reason, one.detail) for one in listing.left_out] == [
            ("b.png", "unreadable", "a folder with the name of an image"),
            ("c.png", "missing_file", ""),
        ]


class TestGrowliFlowerSource:
    def test_any_image_format_is_a_patch(self, tmp_path: Path) -> None:
        folder = tmp_path / "Field2/2021_08_23"
        for number, suffix in enumerate(("webp", "bmp", "jp2", "jpeg"), 1):
            save(folder / f"2021_Ref_Plot1_A{number}.{suffix}", number)
        put(folder / "2021_Ref_Plot1_A5.heic")
        put(folder / "2021_Ref_Plot1_A5.txt")
        put(folder / "notes.md")
        listing = GrowliFlowerSource(root=str(tmp_path)).list_images([DAY])
        assert [one.plant_id[-2:] for one in listing.images] == ["A1", "A2", "A3", "A4", "A5"]
        assert "2 files that are no images or tables of the release passed by" in listing.notes

    def test_entries_without_a_date_are_counted(self, tmp_path: Path) -> None:
        save(tmp_path / "Field2/2021_08_23/2021_Ref_Plot1_A1.png")
        (tmp_path / "Field2/2021_Ref_Plot1_A2.png").symlink_to("gone")
        (tmp_path / "Field1").mkdir()
        (tmp_path / "Field1/2021_Ref_Plot1_A3.png").symlink_to("gone")
        notes = GrowliFlowerSource(root=str(tmp_path)).list_images([DAY]).notes
        assert "1 files of other fields passed by" in notes
        detail = "a link to a file that is not there"
        assert f"1 files outside a YYYY_MM_DD folder that cannot be read ({detail}) passed by" in notes

    def test_an_overview_that_cannot_be_read_is_told_by_its_path(self, tmp_path: Path) -> None:
        folder = tmp_path / "Field2/2021_08_23"
        save(folder / "2021_Ref_Plot1_A1.png")
        (folder / "overview.png").symlink_to("gone")
        listing = GrowliFlowerSource(root=str(tmp_path)).list_images([DAY])
        path = "Field2/2021_08_23/overview.png"
        assert listing.left_out == (LeftOut(path, DAY, path, "missing_file", "a link to a file that is not there"),)

    @pytest.mark.parametrize("name", ["2021_Ref_Plot1_UTM_Coordinates.txt", "Ref_Plot1_pix_Coordinates.txt"])
    def test_a_table_that_cannot_be_read_stops(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / "Field2/2021_08_23"
        save(folder / "2021_Ref_Plot1_A1.png")
        (folder / name).symlink_to("gone")
        with pytest.raises(InputError, match="cannot be read"):
            GrowliFlowerSource(root=str(tmp_path)).list_images([DAY])


def test_images_in_no_sample_are_counted(tmp_path: Path) -> None:
    save(tmp_path / "data/stray.webp")
    put(tmp_path / "readme.md")
    listing = LISTINGS["fiftyone"](tmp_path, save)
    assert {
        "1 images that are in no sample passed by",
        "1 files that are no images or tables passed by",
    } <= set(listing.notes)
