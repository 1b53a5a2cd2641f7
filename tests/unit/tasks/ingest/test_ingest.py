"""Test ingest: images that are listed, left out and rejected, and the arrays and tables that are written."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from storage.arrays.specs import IMAGES
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact, Recipe, Store
from storage.errors import InputError
from storage.tables import OBSERVATIONS, REJECTED
from storage.tables.names import SPLITS
from storage.tables.parquet import read_table
from tasks.ingest.ingest import images_recipe, plant_rows, prepare_image, read_observations, write_images
from tasks.ingest.listing import KeptImage, accepted_rows, listing_recipe, read_entries
from tasks.ingest.survey import IngestParams, image_json, source_image, survey
from tasks.sources.contract import (
    FileLook,
    Harvest,
    Place,
    ReadImage,
    Source,
    SourceImage,
    SourceListing,
    UnreadableImage,
)
from tasks.sources.folder.source import FolderSource
from tasks.sources.synthetic.season import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.orthophotos import NORTH, WEST, small_bands, small_transform, write_raster
from tests.support.small_field import CRS, make
from tests.support.small_field import save as save_plants

DAY, LATER = date(2022, 8, 25), date(2022, 9, 3)
PARAMS = IngestParams(image_size=32)

DAYS = st.dates()
HARVESTS = (
    st.builds(Harvest, DAYS, st.none() | DAYS)
    | st.builds(Harvest, DAYS, st.none() | DAYS, DAYS)
    | st.builds(Harvest.on, st.dates(min_value=date(2, 1, 1)))
)
EXTREMES = st.sampled_from(
    [
        Harvest.never(),
        Harvest(DAY, date.max),
        Harvest(date.min, DAY),
        Harvest(date.min, date.max),
        Harvest.not_by(DAY),
        Harvest.not_by(date.min),
        Harvest.on(DAY, LATER),
    ]
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.none() | st.text()
SOURCE_IMAGES = st.builds(
    SourceImage,
    plant_id=st.text(),
    acquired=DAYS,
    split=st.sampled_from(SPLITS),
    split_source=st.text(),
    path=st.text(),
    centre=st.none() | st.tuples(FINITE, FINITE),
    label=st.none() | st.integers(0, 9),
    harvest=st.none() | HARVESTS | EXTREMES,
    flags=st.lists(st.text(), max_size=3).map(tuple),
    easting=st.none() | FINITE,
    northing=st.none() | FINITE,
    place=st.none() | st.builds(Place, NAMES, NAMES, st.none() | st.integers(), NAMES),
)


def listings_of(source: Source, dates: Sequence[date], params: IngestParams) -> dict[date, dict[str, Any]]:
    found = survey(source, dates, params).listings
    return {day: one | {name: list(one[name]) for name in ("images", "left_out")} for day, one in found.items()}


def noise(seed: int, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def season(**changes: Any) -> SyntheticSource:
    small: dict[str, Any] = {"n_plots": 2, "rows": 2, "plants_per_row": 4, "image_size": 32, "dates": (DAY, LATER)}
    return SyntheticSource(season=SeasonParams(**{**small, **changes}))


def ingest(root: Path, source: Source, listing: dict[str, Any], size: int = 32) -> Artifact:
    """Write one date's images from a listing that went through JSON, as between tasks."""
    store, recipe = Store(root), Recipe("images", 1, {"date": listing["date"]})
    steps: list[int] = []
    with store.create(recipe) as draft:
        write_images(draft, source, json.loads(json.dumps(listing)), size, steps.append)
    assert sum(steps) == len(listing["images"])
    return store.open(recipe.ref)


@pytest.fixture
def spoiled(tmp_path: Path) -> FolderSource:
    """Return a season of six good images, one that is not square, one of each fault, and two byte-identical files."""
    root = tmp_path / "source"
    for i, split in enumerate(("train", "val", "test")):
        save(root / split / "ready/a.png", noise(2 * i))
        save(root / split / "unripe/b.png", noise(2 * i + 1, 64, 64))
    save(root / "train/ready/wide.png", noise(7, 32, 48))
    save(root / "train/ready/twin1.png", noise(8))
    save(root / "val/ready/twin2.png", noise(8))
    save(root / "train/unripe/grey.png", np.full((32, 32, 3), 127, np.uint8))
    save(root / "val/unripe/cut.jpg", noise(9, 64, 64))
    cut = root / "val/unripe/cut.jpg"
    cut.write_bytes(cut.read_bytes()[:1500])
    (root / "test/unripe/random.png").write_bytes(noise(10).tobytes())
    (root / "test/ready/empty.png").write_bytes(b"")
    save(root / "elsewhere/c.png", noise(11))
    return FolderSource(root=str(root))


class TestListingEntries:
    @given(SOURCE_IMAGES)
    def test_every_field_survives_json(self, image: SourceImage) -> None:
        entry = json.loads(json.dumps({**image_json(image), "sha256": "0" * 64}))
        assert source_image(entry) == image

    def test_open_ends_of_a_harvest(self) -> None:
        for harvest in (Harvest.never(), Harvest(DAY, date.max), Harvest(date.min, DAY), Harvest.on(DAY)):
            image = SourceImage("a", DAY, "train", "utm", "a.png", harvest=harvest)
            assert source_image(json.loads(json.dumps(image_json(image)))).harvest == harvest

    def test_the_last_watched_day_is_written_only_where_it_is_known(self) -> None:
        """A listing that censors nothing has the content that it had before, so its artefacts keep their names."""

        def harvest_json(harvest: Harvest) -> Any:
            return image_json(SourceImage("a", DAY, "train", "utm", "a.png", harvest=harvest))["harvest"]

        assert harvest_json(Harvest.on(LATER)) == {"after": "2022-09-02", "by": "2022-09-03"}
        assert harvest_json(Harvest.never()) == {"after": "9999-12-31", "by": None}
        censored = {"after": "2022-08-25", "by": "9999-12-31", "watched_until": "2022-08-25"}
        assert harvest_json(Harvest.not_by(DAY)) == censored

    def test_a_field_of_another_type_is_refused(self) -> None:
        entry = image_json(SourceImage("a", DAY, "train", "utm", "a.png"))
        for change in ({"split": "both"}, {"acquired": "yesterday"}, {"label": "ready"}):
            with pytest.raises(ValueError, match=next(iter(change))):
                source_image({**entry, **change})


class TestSurvey:
    def test_lists_what_the_source_lists_in_its_order(self) -> None:
        source = season()
        listings = listings_of(source, (DAY, LATER), PARAMS)
        assert list(listings) == [DAY, LATER]
        for day, listing in listings.items():
            everything = [image.plant_id for image in source.list_images([day]).images]
            listed = [entry["plant_id"] for entry in listing["images"]]
            gone = [entry["plant_id"] for entry in listing["left_out"]]
            assert sorted(listed + gone) == sorted(everything) and len(everything) == 16
            assert listed == [plant for plant in everything if plant in listed]
            assert (listing["date"], listing["classes"]) == (day.isoformat(), ["not ready", "ready"])
            for entry in listing["images"]:
                image = source_image(entry)
                assert entry["acquired"] == listing["date"] and entry["label"] in (0, 1)
                assert entry["sha256"] == source.fingerprint(image)
            assert {entry["reason"] for entry in listing["left_out"]} <= {"harvested"}

    def test_labels_by_counting_days(self) -> None:
        source, window = season(n_plots=5), 5
        harvests = {image.plant_id: image.harvest for image in source.list_images([LATER]).images}
        found = listings_of(source, [LATER], IngestParams(image_size=32, window_days=window))[LATER]["images"]
        assert {entry["label"] for entry in found} == {0, 1}
        for entry in found:
            harvest = harvests[entry["plant_id"]]
            assert harvest is not None
            days = None if harvest.by is None else (harvest.by - LATER).days
            assert entry["label"] == int(days is not None and days <= window)

    def test_duplicates_are_all_left_out(self, spoiled: FolderSource) -> None:
        listing = listings_of(spoiled, [DAY], PARAMS)[DAY]
        content = (Path(spoiled.root) / "train/ready/twin1.png").read_bytes()
        detail = f"2 files with SHA-256 {hashlib.sha256(content).hexdigest()}"
        gone = [(e["path"], e["reason"], e["detail"]) for e in listing["left_out"] if e["reason"] == "duplicate"]
        assert gone == [(f"{place}.png", "duplicate", detail) for place in ("train/ready/twin1", "val/ready/twin2")]
        assert not any("twin" in entry["path"] for entry in listing["images"])
        assert "elsewhere/c.png" in [entry["path"] for entry in listing["left_out"]]

    def test_duplicates_of_different_dates_are_left_out_on_both(self, tmp_path: Path) -> None:
        lines = ["file,split,label,plant_id,date"]
        for i, (plant, day) in enumerate([("a", DAY), ("b", DAY), ("a", LATER), ("b", LATER)]):
            save(tmp_path / f"{i}.png", noise(0 if i in (1, 2) else i + 1))
            lines.append(f"{i}.png,train,ready,{plant},{day}")
        (tmp_path / "manifest.csv").write_text("\n".join(lines))
        found = listings_of(FolderSource(root=str(tmp_path)), [DAY, LATER], PARAMS)
        assert [[e["path"] for e in found[day]["images"]] for day in (DAY, LATER)] == [["0.png"], ["3.png"]]
        assert [[e["path"] for e in found[day]["left_out"]] for day in (DAY, LATER)] == [["1.png"], ["2.png"]]

    def test_equal_content_has_one_name(self, tmp_path: Path) -> None:
        """The listing's digest changes with an image's bytes and with nothing else."""
        for folder in ("one", "two"):
            for i, name in enumerate(("train/ready/a.png", "val/unripe/b.png")):
                save(tmp_path / folder / name, noise(i))

        def digest(folder: str) -> str:
            listing = listings_of(FolderSource(root=str(tmp_path / folder)), [DAY], PARAMS)[DAY]
            return listing_recipe(listing).ref.digest

        assert digest("one") == digest("two")
        save(tmp_path / "two/val/unripe/b.png", noise(5))
        assert digest("one") != digest("two")

    def test_images_are_named_by_size_and_listing_alone(self) -> None:
        refs = [Recipe("listing", 1, {"n": n}).ref for n in (1, 2)]
        names = [
            images_recipe(params, ref).ref.digest
            for params, ref in (
                (PARAMS, refs[0]),
                (IngestParams(image_size=32, max_bad_share=1), refs[0]),
                (IngestParams(image_size=64), refs[0]),
                (PARAMS, refs[1]),
            )
        ]
        assert names[0] == names[1] and len(set(names)) == 3


class TestPrepareImage:
    def test_right_size_is_untouched(self) -> None:
        np.testing.assert_array_equal(prepare_image(noise(0), 32), noise(0))

    def test_shrinking_weighs_by_area(self) -> None:
        """Blocks of one colour shrink to that colour, and a fine checkerboard to its mean; point sampling would not."""
        colours = noise(1, 4, 4)
        blocks = colours.repeat(32, axis=0).repeat(32, axis=1)
        found = prepare_image(blocks, 32)
        assert found.shape == (32, 32, 3) and found.dtype == np.uint8
        np.testing.assert_array_equal(found[4::8, 4::8], colours)
        checks = (np.indices((128, 128)).sum(axis=0) % 2 * 200).astype(np.uint8)
        shrunk = prepare_image(np.stack([checks] * 3, axis=-1), 32)
        assert np.abs(shrunk.astype(int) - 100).max() <= 3

    def test_growing_and_not_square(self) -> None:
        assert prepare_image(noise(2, 16, 48), 32).shape == (32, 32, 3)

    @pytest.mark.parametrize(("spread", "is_blank"), [(0, True), (7, True), (8, False), (255, False)])
    def test_placeholder_frames_are_blank(self, spread: int, is_blank: bool) -> None:
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[5, 6, 1] = spread
        if is_blank:
            with pytest.raises(UnreadableImage, match=f"blank: all values within {spread} grey levels"):
                prepare_image(pixels, 32)
        else:
            np.testing.assert_array_equal(prepare_image(pixels, 32), pixels)


class TestReadObservations:
    def test_rows_and_reasons(self, spoiled: FolderSource) -> None:
        entries = listings_of(spoiled, [DAY], PARAMS)[DAY]["images"]
        found = list(read_observations(spoiled, *read_entries(entries), 32))
        paths = [entry["path"] for entry in entries]
        assert [one.position for one in found] == list(range(len(entries)))
        problems = {paths[one.position]: one.problem for one in found if one.image is None}
        assert set(problems) == {
            "train/unripe/grey.png",
            "val/unripe/cut.jpg",
            "test/unripe/random.png",
            "test/ready/empty.png",
        }
        assert problems["train/unripe/grey.png"].startswith("blank")
        assert all(Path(path).name in problem for path, problem in problems.items() if "grey" not in path)
        kept = [KeptImage(one.position, one.height, one.width) for one in found if one.image is not None]
        rows = {row["path"]: (row["height"], row["width"], row["flags"]) for row in accepted_rows(entries, kept)}
        assert rows["train/ready/wide.png"] == (32, 48, "not_square")
        assert rows["val/unripe/b.png"] == (64, 64, "") and len(rows) == 7

    def test_a_file_that_changed_since_it_was_listed(self, spoiled: FolderSource) -> None:
        entries = listings_of(spoiled, [DAY], PARAMS)[DAY]["images"]
        save(Path(spoiled.root) / entries[0]["path"], noise(99))
        with pytest.raises(InputError, match=f"{entries[0]['path']} has changed since it was listed"):
            list(read_observations(spoiled, *read_entries(entries), 32))


class TestWriteImages:
    def test_rejected_files_do_not_stop_the_run(self, tmp_path: Path, spoiled: FolderSource) -> None:
        listing = listings_of(spoiled, [DAY], PARAMS)[DAY]
        artifact = ingest(tmp_path / "store", spoiled, listing)
        seen, rejected = read_table(artifact, OBSERVATIONS), read_table(artifact, REJECTED)
        reasons = dict(zip(rejected["path"], rejected["reason"], strict=True))
        assert reasons == {
            "elsewhere/c.png": "no_split_folder",
            "train/ready/twin1.png": "duplicate",
            "val/ready/twin2.png": "duplicate",
            "train/unripe/grey.png": "blank",
            "val/unripe/cut.jpg": "unreadable",
            "test/unripe/random.png": "unreadable",
            "test/ready/empty.png": "unreadable",
        }
        assert len(seen["path"]) + len(reasons) == sum(1 for p in Path(spoiled.root).rglob("*") if p.is_file())
        assert artifact.summary["rejected"] == dict(Counter(reasons.values()))
        assert (artifact.summary["n_images"], artifact.summary["date"]) == (7, DAY.isoformat())

    def test_row_numbers_point_into_the_array(self, tmp_path: Path, spoiled: FolderSource) -> None:
        artifact = ingest(tmp_path / "store", spoiled, listings_of(spoiled, [DAY], PARAMS)[DAY])
        seen, images = read_table(artifact, OBSERVATIONS), read_array(artifact, IMAGES)
        assert seen["row"] == list(range(7)) and images.shape == (7, 32, 32, 3)
        assert seen["plant_id"] == sorted(seen["plant_id"])
        for row, path, digest in zip(seen["row"], seen["path"], seen["sha256"], strict=True):
            file = Path(spoiled.root) / path
            assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
            with Image.open(file) as image:
                pixels = np.asarray(image)
            if pixels.shape[:2] == (32, 32):
                np.testing.assert_array_equal(images[row], pixels)
        kept = artifact.read_json("listing.json")["images"]
        assert [(e["path"], e["row"]) for e in kept] == list(zip(seen["path"], seen["row"], strict=True))

    def test_more_images_than_a_shard_and_rejected_ones_among_them(self, tmp_path: Path) -> None:
        early = date(2022, 8, 15)  # nothing harvested yet
        source = season(n_plots=1, rows=5, plants_per_row=20, n_damaged=4, n_duplicates=1, dates=(early,))
        listing = listings_of(source, [early], PARAMS)[early]
        artifact = ingest(tmp_path, source, listing)
        seen, rejected = read_table(artifact, OBSERVATIONS), read_table(artifact, REJECTED)
        images, n = read_array(artifact, IMAGES), len(seen["row"])
        assert len(images) == n > 64 and n + len(rejected["reason"]) == 100
        assert {"unreadable": 4, "duplicate": 2}.items() <= Counter(rejected["reason"]).items()
        assert seen["row"] == list(range(n))
        listed = {image.plant_id: image for image in source.list_images([early]).images}
        for row in (0, 63, 64, n - 1):
            np.testing.assert_array_equal(images[row], source.read_image(listed[seen["plant_id"][row]]))
        shards = [name for name in artifact.manifest.files if name.startswith("images/c/")]
        assert len(shards) == -(-n // 64)

    @pytest.mark.parametrize("n", [0, 64])
    def test_no_image_left_and_exactly_a_shard(self, tmp_path: Path, n: int) -> None:
        for i in range(n + 2):
            save(tmp_path / f"source/train/ready/{i:02}.png", noise(i) if i < n else np.full((32, 32, 3), i, np.uint8))
        source = FolderSource(root=str(tmp_path / "source"))
        artifact = ingest(tmp_path / "store", source, listings_of(source, [DAY], PARAMS)[DAY])
        assert read_array(artifact, IMAGES).shape == (n, 32, 32, 3)
        assert read_table(artifact, OBSERVATIONS)["row"] == list(range(n))
        assert read_table(artifact, REJECTED)["reason"] == ["blank"] * 2

    def test_crops_read_in_another_order_stand_in_that_of_the_listing(self, tmp_path: Path) -> None:
        write_raster(tmp_path / f"ortho_{DAY}.tif", small_bands(), small_transform(), CRS)
        spots = np.random.default_rng(0).uniform(0.5, 3.5, (100, 2))
        save_plants(tmp_path, *(f"{n:02},{WEST + x},{NORTH - y}" for n, (x, y) in enumerate(spots)))
        source = make(tmp_path)
        artifact = ingest(tmp_path / "store", source, listings_of(source, [DAY], PARAMS)[DAY], size=20)
        plants, images = read_table(artifact, OBSERVATIONS)["plant_id"], read_array(artifact, IMAGES)
        listed = source.list_images([DAY]).images
        order = [listed[position].plant_id for position, _ in source.read_images(listed)]
        assert plants == sorted(plants) != order and len(plants) == 100
        for row, image in enumerate(listed):
            np.testing.assert_array_equal(images[row], source.read_image(image))

    def test_batches_of_a_listing_do_not_matter(self, tmp_path: Path) -> None:
        """The array of a subset of a listing is the same subset of the whole array."""
        source = season()
        listing = listings_of(source, [DAY], PARAMS)[DAY]
        whole = read_array(ingest(tmp_path / "whole", source, listing), IMAGES)
        part = {**listing, "images": listing["images"][3:9]}
        np.testing.assert_array_equal(read_array(ingest(tmp_path / "part", source, part), IMAGES), whole[3:9])


class TestPlants:
    def test_hand_worked_case(self) -> None:
        def entry(plant: str, harvest: Harvest | None, **fields: Any) -> dict[str, Any]:
            image = SourceImage(plant, DAY, "train", "utm", f"{plant}.png", harvest=harvest, **fields)
            return image_json(image)

        lost, never = Harvest.not_by(DAY), Harvest.never()
        first = {"images": [entry("b", lost), entry("a", Harvest.on(LATER, LATER), easting=1.5, northing=2.5)]}
        second = {"images": [entry("b", lost), entry("c", never), entry("d", Harvest(date.min, DAY)), entry("e", None)]}
        found = plant_rows([first, second])
        assert [(r["plant_id"], r["n_observations"]) for r in found] == [
            ("a", 1),
            ("b", 2),
            ("c", 1),
            ("d", 1),
            ("e", 1),
        ]
        assert [(r["harvest_after"], r["harvest_by"]) for r in found] == [
            (date(2022, 9, 2), LATER),
            (DAY, None),
            (None, None),
            (None, DAY),
            (None, None),
        ]
        assert (found[0]["easting"], found[0]["northing"], found[1]["easting"]) == (1.5, 2.5, None)


class ReversedDates:
    """A source that lists later dates first."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner

    def available_dates(self) -> tuple[date, ...]:
        return self.inner.available_dates()

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        listing = self.inner.list_images(dates)
        return dataclasses.replace(
            listing, images=tuple(sorted(listing.images, key=lambda i: i.acquired, reverse=True))
        )

    def fingerprint(self, image: SourceImage) -> str:
        return self.inner.fingerprint(image)

    def look_at(self, image: SourceImage) -> FileLook | None:
        return self.inner.look_at(image)

    def read_image(self, image: SourceImage) -> NDArray[np.uint8]:
        return self.inner.read_image(image)

    def read_images(self, images: Sequence[SourceImage]) -> Iterator[ReadImage]:
        return self.inner.read_images(images)


def test_a_date_s_listing_does_not_depend_on_other_dates() -> None:
    """Another date must not rename the artefacts of existing dates, which would recompute them."""
    source = season()
    alone = {day: listings_of(source, [day], PARAMS)[day] for day in (DAY, LATER)}
    assert listings_of(source, (DAY, LATER), PARAMS) == alone
    assert listings_of(ReversedDates(source), (DAY, LATER), PARAMS) == alone
