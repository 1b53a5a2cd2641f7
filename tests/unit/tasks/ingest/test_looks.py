"""Test the look at image files before they are decoded, and that listings name what differs from the first reading."""

import json
import struct
import zlib
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from storage.artifacts import Artifact, Recipe, Store
from storage.tables import OBSERVATIONS, REJECTED
from storage.tables.parquet import read_table
from tasks.ingest.ingest import prepare_image, write_images
from tasks.ingest.listing import BAD_FILE_REASONS, listing_recipe
from tasks.ingest.looks import LEAST_SIDE, describe_blank, describe_size
from tasks.ingest.survey import IngestParams, survey
from tasks.report.words import REASONS
from tasks.sources.contract import FileLook, UnreadableImage
from tasks.sources.folder.source import FolderSource

DAY = date(2021, 8, 23)
PARAMS = IngestParams(image_size=32)
GREEN, MAGENTA, BLACK = (0, 135, 0), (255, 0, 255), (0, 0, 0)


def noise(seed: int, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, image: NDArray[np.uint8] | Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)


def claim_png(path: Path, width: int, height: int) -> None:
    """Write a PNG whose header claims a size, and whose pixels are missing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def listing_of(root: Path, params: IngestParams = PARAMS) -> dict[str, Any]:
    found = survey(FolderSource(root=str(root)), [DAY], params).listings[DAY]
    return found | {name: list(found[name]) for name in ("images", "left_out")}


def left_out(listing: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {entry["path"].split("/")[-1]: (entry["reason"], entry["detail"]) for entry in listing["left_out"]}


def ingest(store: Path, root: Path) -> Artifact:
    opened, recipe = Store(store), Recipe("images", 1, {})
    with opened.create(recipe) as draft:
        listing = json.loads(json.dumps(listing_of(root)))
        write_images(draft, FolderSource(root=str(root)), listing, 32, lambda _: None)
    return opened.open(recipe.ref)


class TestBlank:
    @pytest.mark.parametrize("colour", [BLACK, (127, 127, 127), (255, 255, 255), GREEN, MAGENTA, (1, 2, 250)])
    @pytest.mark.parametrize("spread", [0, 7])
    def test_placeholders_of_any_colour(self, colour: tuple[int, int, int], spread: int) -> None:
        steps = np.arange(40 * 50).reshape(40, 50, 1) % (spread + 1)
        pixels = np.abs(np.array(colour) - steps).astype(np.uint8)
        assert describe_blank(pixels).startswith("blank: ")
        with pytest.raises(UnreadableImage, match="blank"):
            prepare_image(pixels, 32)

    @pytest.mark.parametrize("place", [(0, 0), (1, 1), (39, 49), (20, 3)])
    def test_one_other_pixel_shows_something(self, place: tuple[int, int]) -> None:
        pixels = np.full((40, 50, 3), GREEN, np.uint8)
        pixels[place][1] += 8
        assert describe_blank(pixels) == ""

    @pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp", "gif", "jp2", "avif"])
    @pytest.mark.parametrize("colour", [GREEN, MAGENTA])
    def test_in_every_format_it_is_rejected(self, tmp_path: Path, suffix: str, colour: tuple[int, int, int]) -> None:
        save(tmp_path / f"in/train/ready/frame.{suffix}", Image.new("RGB", (64, 64), colour))
        save(tmp_path / "in/train/ready/plant.png", noise(0))
        rejected = read_table(ingest(tmp_path / "store", tmp_path / "in"), REJECTED)
        assert (rejected["plant_id"], rejected["reason"]) == (["train/ready/frame"], ["blank"])


class TestSize:
    @pytest.mark.parametrize(
        ("width", "height", "reason"),
        [
            (1, 1, "too_small"),
            (LEAST_SIDE - 1, 400, "too_small"),
            (400, LEAST_SIDE - 1, "too_small"),
            (LEAST_SIDE, LEAST_SIDE, None),
            (100, 100, None),
            (100, 101, "too_large"),
        ],
    )
    def test_limits(self, width: int, height: int, reason: str | None) -> None:
        found = describe_size(FileLook(width, height, 9), 10_000)
        assert (found[0] if found else None) == reason
        assert found is None or f"{width} x {height} pixels" in found[1]

    def test_images_outside_the_limits_are_not_decoded(self, tmp_path: Path) -> None:
        """The pixels of both files are missing, which would be told if they were decoded."""
        claim_png(tmp_path / "train/ready/huge.png", 1200, 1000)
        claim_png(tmp_path / "train/ready/tiny.png", 9, 9)
        save(tmp_path / "train/ready/plant.png", noise(1))
        listing = listing_of(tmp_path, IngestParams(image_size=32, max_pixels=1_000_000))
        assert left_out(listing) == {
            "huge.png": ("too_large", "1200 x 1000 pixels, over ingest.max_pixels = 1000000"),
            "tiny.png": ("too_small", "9 x 9 pixels; no side may be under 16"),
        }
        assert [entry["path"] for entry in listing["images"]] == ["train/ready/plant.png"]

    def test_pillow_s_own_limit_is_not_asked(self, tmp_path: Path) -> None:
        claim_png(tmp_path / "train/ready/huge.png", 12000, 15000)
        reason, _ = left_out(listing_of(tmp_path))["huge.png"]
        assert reason == "too_large"


class TestNames:
    """A listing names the images of its date, so it must differ wherever they are read in another way than at first."""

    def ordinary(self, root: Path) -> None:
        save(root / "train/ready/a.png", noise(0))
        save(root / "train/ready/grey.png", Image.new("RGB", (64, 64), (90, 90, 90)))
        save(root / "val/ready/b.jpg", noise(1, 64, 64))
        save(root / "val/ready/c.tif", noise(2))
        (root / "val/ready/broken.png").write_bytes(b"no image")

    def test_of_ordinary_files_stay(self, tmp_path: Path) -> None:
        """The listing of version 0.1.0 had these keys and values, also for grey placeholders and damaged files."""
        self.ordinary(tmp_path)
        entries = listing_of(tmp_path)["images"]
        assert [entry["path"].split("/")[-1] for entry in entries] == [
            "a.png",
            "grey.png",
            "b.jpg",
            "broken.png",
            "c.tif",
        ]
        for entry in entries:
            assert entry["flags"] in ([], ()) and set(entry) == {
                *("plant_id", "acquired", "split", "split_source", "path", "centre", "label", "harvest", "flags"),
                *("easting", "northing", "sha256"),
            }
        assert listing_of(tmp_path)["left_out"] == []

    @pytest.mark.parametrize("change", ["turned", "placeholder", "bands"])
    def test_of_others_change(self, tmp_path: Path, change: str) -> None:
        self.ordinary(tmp_path)
        path = tmp_path / "train/ready/other.png"
        if change == "turned":
            exif = Image.new("RGB", (8, 8)).getexif()
            exif[0x0112] = 6
            save(path, noise(5, 20, 40), exif=exif)
            (entry,) = [one for one in listing_of(tmp_path)["images"] if one["path"].endswith("other.png")]
            assert list(entry["flags"]) == ["turned"]
            table = read_table(ingest(tmp_path / "store", tmp_path), OBSERVATIONS)
            row = table["path"].index("train/ready/other.png")
            assert (table["height"][row], table["width"][row]) == (40, 20)
            assert table["flags"][row] == "turned not_square"
        elif change == "placeholder":
            save(path, Image.new("RGB", (64, 64), GREEN))
            assert left_out(listing_of(tmp_path))["other.png"][0] == "blank"
        else:
            path = path.with_suffix(".jp2")
            save(path, noise(5))
            (entry,) = [one for one in listing_of(tmp_path)["images"] if one["path"].endswith("jp2")]
            assert list(entry["flags"]) == ["read_as_raster"]

    def test_one_name_has_one_content_wherever_the_source_lies(self, tmp_path: Path) -> None:
        tables: list[Any] = []
        names: set[str] = set()
        for place in ("one", "another/deep"):
            root = tmp_path / place
            self.ordinary(root)
            for name in (
                "cut1.webp",
                "cut2.gif",
                "cut3.bmp",
                "cut4.jp2",
                "text.tif",
                "empty.png",
                "page.jpg",
                "x.heic",
            ):
                path = root / "test/ready" / name
                save(path, noise(7, 64, 64), **({"format": "PNG"} if "cut" not in name else {}))
                content = path.read_bytes()
                cut = {"empty.png": b"", "page.jpg": b"<html></html>", "text.tif": b"words"}
                path.write_bytes(cut.get(name, content[: len(content) // 2]))
            names.add(listing_recipe(listing_of(root)).ref.digest)
            tables.append(read_table(ingest(tmp_path / f"store {place[:3]}", root), REJECTED))
        assert len(names) == 1 and tables[0] == tables[1]
        assert len(tables[0]["path"]) == 10 and not any(str(tmp_path) in text for text in tables[0]["detail"])


def test_every_reason_of_files_has_words_in_the_report() -> None:
    assert {*BAD_FILE_REASONS, "not_an_image"} <= REASONS.keys()
