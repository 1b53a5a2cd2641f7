"""Test the source of plain folders and manifests, hand-made and real."""

from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from storage.errors import AwayError, InputError
from tasks.sources.contract import Source, SourceListing
from tasks.sources.files import LITTER_KIND
from tasks.sources.folder.source import FolderSource
from tests.support.repository import ROOT

DAY, LATER = date(2024, 5, 1), date(2024, 5, 8)
APPLES = ROOT.parent / "shared/real_images/plantvillage_apple"


def save(root: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, dtype=np.uint8)).save(root / path)


def read(root: Path, *dates: date, **options: object) -> SourceListing:
    return FolderSource.model_validate({"root": str(root), **options}).list_images(dates or [DAY])


def rows(listing: SourceListing) -> list[tuple[str, str, str, int | None]]:
    return [(one.plant_id, one.split, one.split_source, one.label) for one in listing.images]


def test_folders(tmp_path: Path) -> None:
    save(tmp_path, "train/ripe/b.png", "Validation/green/a.jpg", "test/ripe/deep/c.tif", "new/d.png", "new/green/e.png")
    save(tmp_path, "train/f.png", "other/g.png", "h.png", "train/ripe/._b.png")
    (tmp_path / "train/readme.txt").write_text("no image")
    source: Source = FolderSource(root=str(tmp_path))
    listing = source.list_images([DAY])
    assert source.available_dates() == ()
    assert listing.classes == ("green", "ripe")
    assert rows(listing) == [
        ("Validation/green/a", "val", "folder", 0),
        ("new/d", "new", "folder", None),
        ("new/green/e", "new", "folder", 0),
        ("test/ripe/deep/c", "test", "folder", 1),
        ("train/ripe/b", "train", "folder", 1),
    ]
    assert {one.acquired for one in listing.images} == {DAY}
    assert [(one.path, one.reason) for one in listing.left_out] == [
        ("h.png", "no_split_folder"),
        ("other/g.png", "no_split_folder"),
        ("train/f.png", "no_class_folder"),
        ("train/readme.txt", "not_an_image"),
    ]
    assert listing.notes == (f"1 {LITTER_KIND} passed by",)
    np.testing.assert_array_equal(source.read_image(listing.images[1]), np.full((8, 8, 3), 3))
    assert source.fingerprint(listing.images[1]) != source.fingerprint(listing.images[2])


def test_classes_can_be_given_in_order(tmp_path: Path) -> None:
    save(tmp_path, "train/ripe/b.png", "val/green/a.jpg")
    assert [row[3] for row in rows(read(tmp_path, classes=("ripe", "green")))] == [0, 1]
    assert read(tmp_path, classes=("ripe", "green", "rotten")).classes == ("ripe", "green", "rotten")
    for classes in (("ripe",), ("ripe", "green", "ripe")):
        with pytest.raises(InputError, match="the images have green, ripe"):
            read(tmp_path, classes=classes)


def test_manifest(tmp_path: Path) -> None:
    save(tmp_path, "train/ripe/a.png", "flat/b.png", "flat/c.png", "flat/d.png")
    manifest = "split;label;file\ntrain;ripe;train/ripe/a.png\nvalid;;flat/b.png\nnew;green;flat/c.png\n"
    (tmp_path / "manifest.csv").write_text(manifest + "test;green;flat/gone.png\n;ripe;train/ripe/e.png\n")
    listing = read(tmp_path)
    assert rows(listing) == [
        ("flat/b", "val", "manifest", None),
        ("flat/c", "new", "manifest", 0),
        ("train/ripe/a", "train", "manifest", 1),
    ]
    assert [(one.path, one.reason) for one in listing.left_out] == [
        ("flat/d.png", "not_in_manifest"),
        ("flat/gone.png", "missing_file"),
        ("train/ripe/e.png", "missing_file"),
    ]


def test_manifest_with_dates_plants_and_own_column_names(tmp_path: Path) -> None:
    save(tmp_path, "a1.png", "a2.png", "b1.png", "stray.png")
    table = (
        "image,set,class,plant,day\na1.png,train,x,a,01.05.24\na2.png,train,y,a,08.05.24\nb1.png,test,x,b,01.05.24\n"
    )
    (tmp_path / "list.csv").write_text(table)
    columns = {"file_column": "image", "split_column": "set", "label_column": "class", "plant_column": "plant"}
    options = {"manifest": "list.csv", "date_column": "day", "date_format": "%d.%m.%y", **columns}
    source = FolderSource.model_validate({"root": str(tmp_path), **options})
    assert source.available_dates() == (DAY, LATER)
    assert rows(read(tmp_path, **options)) == [("a", "train", "manifest", 0), ("b", "test", "manifest", 0)]
    later = read(tmp_path, LATER, **options)
    assert (rows(later), later.classes) == ([("a", "train", "manifest", 1)], ("x", "y"))
    assert later.notes == ("1 files without a date left out: 1 not_in_manifest",)
    with pytest.raises(InputError, match="no image for 2024-05-02"):
        read(tmp_path, date(2024, 5, 2), **options)
    with pytest.raises(InputError, match="Dates must be written as ISO"):
        read(tmp_path, **{**options, "date_format": None})


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("train/ripe/a.png,test,ripe", "agree on split"),
        ("train/ripe/a.png,train,green", "agree on split"),
        ("train/ripe/a.png,somewhere,ripe", "train, val, test or new"),
        ("flat.png,,ripe", "train, val, test or new"),
        (",train,ripe", "names no file"),
        ("../outside.png,train,ripe", "inside the root"),
        ("link/outside.png,train,ripe", "inside the root"),
        ("train/ripe/a.png,train,ripe\nroot/train/ripe/a.png,train,ripe", "each file once"),
    ],
)
def test_wrong_manifests_stop(tmp_path: Path, manifest: str, message: str) -> None:
    root = tmp_path / "root"
    save(root, "train/ripe/a.png", "flat.png")
    save(tmp_path, "outside.png")
    (root / "link").symlink_to(tmp_path)
    (root / "manifest.csv").write_text(f"file,split,label\n{manifest}\n")
    with pytest.raises(InputError, match=message):
        read(root)


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    save(tmp_path, "elsewhere/ripe/a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "root")
    assert rows(read(tmp_path / "root")) == [("train/ripe/a", "train", "folder", 0)]


def test_rules_of_dates_plants_and_roots(tmp_path: Path) -> None:
    with pytest.raises(AwayError, match="is empty"):
        read(tmp_path)
    (tmp_path / "README").touch()
    with pytest.raises(InputError, match="A folder source must have images"):
        read(tmp_path)
    save(tmp_path, "train/ripe/a.png")
    for dates in ([DAY, LATER], []):
        with pytest.raises(InputError, match="one acquisition date"):
            FolderSource(root=str(tmp_path)).list_images(dates)
    with pytest.raises(InputError, match="manifest must be a file"):
        read(tmp_path, manifest="list.csv")
    save(tmp_path, "train/ripe/a.jpg")
    with pytest.raises(InputError, match="only one image"):
        read(tmp_path)
    (tmp_path / "manifest.csv").write_text(
        "file,split,label,plant_id\ntrain/ripe/a.jpg,train,ripe,p\nb.png,val,ripe,p\n"
    )
    with pytest.raises(InputError, match="same split"):
        read(tmp_path)


@pytest.mark.skipif(not APPLES.is_dir(), reason="the real photographs are not in ../shared/real_images")
def test_real_photographs() -> None:
    listing = read(APPLES)
    assert listing.classes == ("diseased", "healthy")
    assert Counter(one.split for one in listing.images) == {"train": 720, "val": 240, "test": 240}
    assert Counter(one.label for one in listing.images) == {0: 600, 1: 600}
    assert (listing.left_out, listing.notes) == ((), ())
    labels = {one.label for one in listing.images if "/healthy/" in one.path}
    assert labels == {1}
    source = FolderSource(root=str(APPLES))
    assert source.read_image(listing.images[0]).shape == (256, 256, 3)
    # The manifest gives SHA-256 in its last column.
    stated = {line.split(",")[1]: line.split(",")[-1] for line in (APPLES / "manifest.csv").read_text().splitlines()}
    for image in listing.images[::200]:
        assert source.fingerprint(image) == stated[f"plantvillage_apple/{image.path}"]
