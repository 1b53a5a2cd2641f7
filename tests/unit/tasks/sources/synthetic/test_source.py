"""Test the source `synthetic` and the folders that `write_season` makes: exact names, exact pixels, given faults."""

import csv
import json
import re
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import openpyxl
import pytest
import rasterio
from PIL import Image

from storage.errors import InputError
from tasks.sources.contract import Harvest, Source, UnreadableImage
from tasks.sources.synthetic.layout_files import LAYOUTS, ORTHOPHOTOS, Layout
from tasks.sources.synthetic.layouts import WrittenSeason, write_season
from tasks.sources.synthetic.season import Season, SeasonParams, grow_season
from tasks.sources.synthetic.source import SyntheticSource

DATES = (date(2021, 8, 23), date(2021, 8, 30))


def params(**changes: Any) -> SeasonParams:
    small: dict[str, Any] = {"n_plots": 2, "rows": 2, "plants_per_row": 4, "image_size": 32, "dates": DATES}
    return SeasonParams(**{**small, **changes})


def write(root: Path, layout: Layout, **changes: Any) -> tuple[Season, WrittenSeason]:
    season = grow_season(params(**changes))
    return season, write_season(season, root, layout)


def read(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


class TestSource:
    def test_lists_what_the_season_holds(self) -> None:
        season = grow_season(params())
        source: Source = SyntheticSource(season=season.params)
        listing = source.list_images(DATES)
        assert source.available_dates() == DATES
        assert listing.classes == ("not ready", "ready") and not listing.left_out
        assert [(i.acquired, i.plant_id) for i in listing.images] == sorted(
            (seen.acquired, seen.plant.plant_id) for seen in season.observations
        )
        for image in listing.images:
            plant = season.observation(image.plant_id, image.acquired).plant
            assert image.label is None and image.split == plant.split
            assert image.harvest == (Harvest.on(plant.harvest) if plant.harvest else Harvest.never())

    def test_reads_the_drawn_pixels(self) -> None:
        season = grow_season(params())
        source = SyntheticSource(season=season.params)
        first, second = source.list_images(DATES[:1]).images[:2]
        np.testing.assert_array_equal(
            source.read_image(first), season.image(season.observation(first.plant_id, first.acquired))
        )
        assert source.fingerprint(first) == source.fingerprint(first) != source.fingerprint(second)

    def test_spoiled_images_cannot_be_read(self) -> None:
        source = SyntheticSource(season=params(n_damaged=1, n_truncated=1, n_duplicates=1))
        listing = source.list_images(DATES)
        unreadable = []
        for image in listing.images:
            try:
                source.read_image(image)
            except UnreadableImage as error:
                unreadable.append(str(error))
        prints = [source.fingerprint(image) for image in listing.images]
        assert len(unreadable) == 2 and len(set(prints)) == len(prints) - 1

    def test_unknown_date(self) -> None:
        with pytest.raises(InputError, match="2021-01-01"):
            SyntheticSource(season=params()).list_images([date(2021, 1, 1)])


class TestFolders:
    @pytest.mark.parametrize("layout", [one for one in LAYOUTS if one not in ORTHOPHOTOS])
    def test_pixels_read_back_exactly(self, tmp_path: Path, layout: Layout) -> None:
        season, written = write(tmp_path / "season", layout)
        assert written.images
        for image in written.images:
            pixels, drawn = read(written.root / image.path), season.image(image.observation)
            turned = {"orig": drawn, "flip": np.fliplr(drawn), "rot90": np.rot90(drawn)}[image.augmentation]
            np.testing.assert_array_equal(pixels, turned)

    @pytest.mark.parametrize("layout", [one for one in LAYOUTS if one not in ORTHOPHOTOS])
    def test_faults_are_where_they_are_said_to_be(self, tmp_path: Path, layout: Layout) -> None:
        _, written = write(tmp_path / "season", layout, n_damaged=2, n_truncated=2, n_duplicates=1)
        spoiled = {*written.damaged, *written.truncated}
        assert len(written.damaged) >= 2 and len(written.truncated) >= 2 and len(written.duplicates) == 1
        for image in written.images:
            if image.path in spoiled:
                # Pillow's decoders raise SyntaxError for some damage.
                with pytest.raises((OSError, SyntaxError, ValueError)):
                    read(written.root / image.path)
            else:
                read(written.root / image.path)
        for kept, copy in written.duplicates:
            assert (written.root / kept).read_bytes() == (written.root / copy).read_bytes()

    def test_growliflower(self, tmp_path: Path) -> None:
        season, written = write(tmp_path / "season", "growliflower")
        root = written.root
        assert len(written.images) == len(season.observations)
        assert (root / "GrowliFlowerR/Field2/2021_08_23/2021_Ref_Plot2_B4.png").is_file()
        rows = list(csv.reader((root / "2021_Ref_Plot2_UTM_Coordinates.txt").read_text().splitlines()))
        assert [row[0] for row in rows] == [plant.plant_id for plant in season.plants if plant.plot == 2]
        assert {len(row) for row in rows} == {5} and {row[4] for row in rows} <= {"train", "val", "test"}
        harvests = list(csv.DictReader((root / "harvest.csv").read_text().splitlines()))
        assert [row["harvest_date"] for row in harvests] == [str(plant.harvest or "never") for plant in season.plants]

    def test_prepared(self, tmp_path: Path) -> None:
        season, written = write(tmp_path / "season", "growliflower-prepared")
        name = re.compile(
            r"^GrowliFlowerR/Field2/(\d{4}_\d\d_\d\d)/\1_Ref_Plot\d_[AB]\d(_orig|_flip|_rot90)?_([01])\.tif$"
        )
        standing = [seen for seen in season.observations if seen.state != "harvested"]
        n_files = sum(3 if seen.plant.split == "train" else 1 for seen in standing)
        assert len(written.images) == len({image.path for image in written.images}) == n_files
        for image in written.images:
            match = name.match(image.path)
            assert match and int(match[3]) == (image.observation.state == "ready")
            assert bool(match[2]) == (image.observation.plant.split == "train")
        assert not (written.root / "harvest.csv").exists()

    @pytest.mark.parametrize("harvested", ["dates", "visits"])
    def test_fiftyone(self, tmp_path: Path, harvested: Any) -> None:
        season = grow_season(params(days_to_harvest=72.5))
        written = write_season(season, tmp_path / "season", "fiftyone", harvested=harvested)
        samples = json.loads((written.root / "samples.json").read_text())["samples"]
        wanted = [one for one in samples if one["task"] == "reference" and one["field"] == "Field2"]
        assert len(wanted) == len(season.observations) < len(samples)
        assert {type(one[key]) for one in samples for key in one if key.startswith("in_situ")} <= {str, type(None)}
        assert re.fullmatch(r"data/data_21/2021_Ref_Plot1_A1-\d+\.png", wanted[0]["filepath"])
        assert "2P" in {one["in_situ_comment"] for one in wanted}
        for one in wanted:
            day = date.fromisoformat(one["acquisition_date"])
            plant = season.observation(one["plant_id"], day).plant
            was_cut = plant.harvest is not None and plant.harvest <= day
            date_word = str(plant.harvest) if plant.harvest else "never"
            assert one["in_situ_harvested"] == (date_word if harvested == "dates" else "yes" if was_cut else "no")
            assert one["tags"] == [plant.split] and (written.root / one["filepath"]).is_file()

    def test_tables_of_a_season_that_goes_on_know_no_later_harvest(self, tmp_path: Path) -> None:
        """A plant cut on the last recorded day is known; a later one, and one that is never cut, have empty cells."""
        grown = grow_season(params(days_to_harvest=72.5, never_share=0.2))
        last = sorted(plant.harvest for plant in grown.plants if plant.harvest)[3]
        season = replace(grown, recorded_until=last)
        known = {one.plant_id: one.harvest for one in grown.plants if one.harvest is not None and one.harvest <= last}
        assert 4 <= len(known) < len(grown.plants) and None in {plant.harvest for plant in grown.plants}
        roots = {layout: tmp_path / layout for layout in ("growliflower", "fiftyone", "field")}
        for layout, root in roots.items():
            write_season(season, root, layout)  # pyright: ignore[reportArgumentType]
        rows = list(csv.DictReader((roots["growliflower"] / "harvest.csv").read_text().splitlines()))
        assert {row["plant_id"]: row["harvest_date"] for row in rows if row["harvest_date"]} == {
            name: str(day) for name, day in known.items()
        }
        cells = openpyxl.load_workbook(roots["field"] / "harvest.xlsx").active
        assert cells is not None
        table = {str(name): day for name, day in cells.iter_rows(min_row=2, values_only=True)}
        assert len(table) == len(grown.plants)
        assert {name: day.date() for name, day in table.items() if isinstance(day, datetime)} == known
        assert all(table[name] is None for name in table.keys() - known.keys())
        samples = json.loads((roots["fiftyone"] / "samples.json").read_text())["samples"]
        own = [one for one in samples if one["task"] == "reference" and one["field"] == "Field2"]
        assert {one["plant_id"] for one in own if one["in_situ_harvested"] is not None} == set(known)
        with pytest.raises(InputError, match="holds something else"):
            write_season(grown, roots["field"], "field")

    def test_folder(self, tmp_path: Path) -> None:
        _, written = write(tmp_path / "season", "folder")
        rows = list(csv.DictReader((written.root / "manifest.csv").read_text().splitlines()))
        assert len(rows) == len(written.images)
        for row, image in zip(rows, written.images, strict=True):
            seen = image.observation
            assert row["file"] == f"{row['split']}/{row['label']}/{row['plant_id']}_{row['date']}.png" == image.path
            assert row["label"] == seen.state.replace(" ", "_") and row["plant_id"] == seen.plant.plant_id


class TestOrthophoto:
    def test_crops_give_the_drawn_pixels(self, tmp_path: Path) -> None:
        season, written = write(tmp_path / "season", "growliflower-orthophoto")
        flagged, n_checked = set(written.flagged), 0
        for plot, delimiter in ((1, None), (2, ",")):
            start = written.root / f"GrowliFlowerR/Field2/2021_08_30/2021_08_30_Ref_Plot{plot}"
            lines = Path(f"{start}_pix_Coordinates.txt").read_text().splitlines()
            assert lines[0].split(delimiter) == ["image_name", "X", "Y", "DAP"]
            with rasterio.open(f"{start}_orthophoto.tif") as raster:
                assert raster.crs.to_epsg() == 25832 and raster.count == 4
                rgb, mask = raster.read((1, 2, 3)).transpose(1, 2, 0), raster.dataset_mask()
                for line in lines[1:]:
                    plant_id, x, y, age = line.split(delimiter)
                    seen = season.observation(plant_id, DATES[1])
                    window = np.s_[int(y) - 16 : int(y) + 16, int(x) - 16 : int(x) + 16]
                    is_whole = mask[window].shape == (32, 32) and bool((mask[window] == 255).all())
                    assert is_whole == ((plant_id, DATES[1]) not in flagged) and age == "76"
                    grid = raster.transform
                    east, north = grid.c + grid.a * float(x), grid.f + grid.e * float(y)
                    assert (east, north) == pytest.approx((seen.plant.easting, seen.plant.northing), abs=1e-3)
                    if is_whole:
                        np.testing.assert_array_equal(rgb[window], season.image(seen))
                        n_checked += 1
        assert 0 < n_checked < 16 and len(written.flagged) == 2 * (16 - n_checked)

    def test_first_plant_is_mostly_no_data(self, tmp_path: Path) -> None:
        _, written = write(tmp_path / "season", "growliflower-orthophoto")
        name = "GrowliFlowerR/Field2/2021_08_23/2021_08_23_Ref_Plot1_orthophoto.tif"
        with rasterio.open(written.root / name) as raster:
            assert 0.5 < (raster.dataset_mask()[:32, :32] == 0).mean() < 0.75

    @pytest.mark.parametrize("layout", ORTHOPHOTOS)
    def test_no_file_per_plant_to_spoil(self, tmp_path: Path, layout: Layout) -> None:
        with pytest.raises(InputError, match="no separate file for a plant"):
            write(tmp_path / "season", layout, n_damaged=1)
        assert not list(tmp_path.iterdir())


class TestField:
    @pytest.mark.parametrize("size", [32, 36])  # with 36 pixels plots begin at half pixels
    def test_one_raster_of_every_date_has_every_plant_in_its_place(self, tmp_path: Path, size: int) -> None:
        season, written = write(tmp_path / "season", "field", image_size=size)
        assert not written.flagged
        for day in DATES:
            with rasterio.open(written.root / f"ortho_{day}.tif") as raster:
                rgba, to_map = raster.read().transpose(1, 2, 0), raster.transform
                assert raster.crs.to_epsg() == 25832
            n_opaque = int((rgba[..., 3] == 255).sum())
            assert n_opaque == len(season.plants) * size**2 and not rgba[rgba[..., 3] == 0].any()
            for plant in season.plants:
                column, row = (plant.easting - to_map.c) / to_map.a, (plant.northing - to_map.f) / to_map.e
                left, top = round(column - size / 2), int(np.floor(round(row - size / 2, 3) + 0.5))
                window = rgba[top : top + size, left : left + size, :3]
                np.testing.assert_array_equal(window, season.image(season.observation(plant.plant_id, day)))

    def test_plants_and_harvests(self, tmp_path: Path) -> None:
        season, written = write(tmp_path / "season", "field")
        assert {path.name for path in written.root.iterdir()} == {
            *(f"ortho_{day}.tif" for day in DATES), "plants.gpkg", "harvest.xlsx", "season.json"
        }  # fmt: skip
        plants: Any = geopandas.read_file(written.root / "plants.gpkg", layer="plants")
        assert plants.crs.to_epsg() == 25832
        columns = ["plant_id", "plot", "row", "number", "split"]
        assert plants[columns].to_numpy().tolist() == [[getattr(one, c) for c in columns] for one in season.plants]
        assert [(p.x, p.y) for p in plants.geometry] == [(one.easting, one.northing) for one in season.plants]
        (sheet,) = openpyxl.load_workbook(written.root / "harvest.xlsx").worksheets
        header, *rows = sheet.iter_rows(values_only=True)
        assert header == ("plant_id", "harvest_date")
        found = [(name, cell.date() if isinstance(cell, datetime) else cell) for name, cell in rows]
        assert found == [(one.plant_id, one.harvest or "never") for one in season.plants]


class TestWriting:
    def test_same_season_again_is_left_alone(self, tmp_path: Path) -> None:
        _, first = write(tmp_path / "season", "folder")
        before = {path: path.stat().st_mtime_ns for path in first.root.rglob("*")}
        _, again = write(tmp_path / "season", "folder")
        assert again == first and before == {path: path.stat().st_mtime_ns for path in first.root.rglob("*")}

    def test_another_season_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "season", "folder")
        with pytest.raises(InputError, match="must be empty"):
            write(tmp_path / "season", "folder", seed=5)
        with pytest.raises(InputError, match="must be empty"):
            write(tmp_path / "season", "growliflower")

    def test_folder_with_other_files_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(InputError, match="must be empty"):
            write(tmp_path, "folder")
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_empty_folder_is_filled(self, tmp_path: Path) -> None:
        (tmp_path / "season").mkdir()
        write(tmp_path / "season", "folder")
        assert (tmp_path / "season" / "season.json").is_file()

    def test_a_stop_half_way_leaves_nothing(self, tmp_path: Path) -> None:
        calls: list[int] = []

        def stop_at_third() -> None:
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_season(grow_season(params()), tmp_path / "season", "growliflower", on_image=stop_at_third)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_progress_counts_every_image(self, tmp_path: Path, layout: Layout) -> None:
        calls: list[int] = []
        season = grow_season(params())
        written = write_season(season, tmp_path / "season", layout, on_image=lambda: calls.append(1))
        assert len(calls) == (len(written.images) or len(season.observations))

    def test_unknown_layout(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="must be one of"):
            write_season(grow_season(params()), tmp_path / "season", "zip")  # pyright: ignore[reportArgumentType]
