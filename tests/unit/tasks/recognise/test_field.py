"""What is recognised in folders of orthophotos and plants, with real small files of each kind."""

from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.transform import Affine
from shapely import box

from storage.errors import InputError
from tasks.recognise.keys import Key, content_of
from tasks.recognise.recognise import Found, recognise
from tasks.sources.field.source import FieldSource
from tests.support.first_field import (
    CRS,
    DAYS,
    PLANTS,
    SPACING,
    SPOTS,
    TRANSFORM,
    WIDTH,
    draw,
    harvest_day,
    harvest_rows,
    write_first_field,
    write_lines,
    write_orthos,
    write_plants,
)
from tests.support.orthophotos import NORTH, ORTHOPHOTOS, WEST, needs_orthophotos, write_raster, write_vrt
from tests.support.workbooks import write_workbook

ISO = [day.isoformat() for day in DAYS]


def look(root: Path, day: date | None = None) -> Found:
    """Recognise a field."""
    return recognise(root, "field", day, root / "campaign.toml")


def keys_of(found: Found) -> dict[str, Key]:
    """Return the keys by dotted name."""
    return {key.place: key for key in found.taken.keys}


def values(found: Found) -> dict[str, Any]:
    """Return the values that are set, by dotted name."""
    return {place: key.value for place, key in keys_of(found).items() if not key.is_open}


def listed(root: Path, found: Found) -> int:
    """Return the number of images that the source lists with the recognised keys."""
    content = content_of(found.taken.keys)
    source = FieldSource.model_validate({**content["source"], "root": str(root)})
    return len(source.list_images([date.fromisoformat(day) for day in content["dates"]]).images)


def refusal(root: Path, day: date | None = None) -> InputError:
    with pytest.raises(InputError) as refused:
        look(root, day)
    return refused.value


def test_a_whole_field(tmp_path: Path) -> None:
    found = look(write_first_field(tmp_path))
    assert values(found) == {
        "dates": ISO,
        "source.kind": "field",
        "source.rasters": "flights/{date}/ortho.tif",
        "source.crop_metres": SPACING,
        "source.crs": CRS,
        "source.plants.path": "plants.gpkg",
        "source.plants.id_column": "plant",
        "source.plants.plot_column": "bed",
        "source.harvest_table.path": "cut.xlsx",
        "source.harvest_table.sheet": "cut",
        "source.harvest_table.plant_column": "plant",
        "source.harvest_table.harvest_column": "harvest_date",
    }
    assert (
        found.unused == ("cut.xlsx, sheet notes: not needed",)
        and found.others == {}
        and listed(tmp_path, found) == len(PLANTS) * 2
    )
    until = keys_of(found)["source.harvest_table.observed_until"]
    assert until.is_open and until.value == "2024-06-20"
    assert not any(key.is_question for key in found.taken.keys)


class TestRasters:
    @pytest.fixture(autouse=True)
    def plants(self, tmp_path: Path) -> None:
        write_plants(tmp_path / "plants.gpkg")

    @pytest.mark.parametrize(
        "pattern",
        [
            "ortho_{date}.tif",
            'Flüge/{date:%Y_%m_%d}/mein "Feld" #1.tif',
            "{date:%Y%m%d}-ortho's.tif",
            "2023-01-01 old/{date}/{date}_ortho.tif",
        ],
    )
    def test_names_with_dates(self, tmp_path: Path, pattern: str) -> None:
        write_orthos(tmp_path, pattern)
        found = look(tmp_path)
        assert values(found)["dates"] == ISO and "{date}" in values(found)["source.rasters"]
        assert listed(tmp_path, found) == len(PLANTS) * 2

    def test_tiles_of_one_flight(self, tmp_path: Path) -> None:
        for day in DAYS:
            for name, left in (("west", 0), ("east", WIDTH // 2 - 15)):  # they overlap by 30 of some 100 columns
                part = draw(day)[:, :, left : left + WIDTH // 2 + 15]
                write_raster(tmp_path / f"{day}/{name}.tif", part, TRANSFORM @ Affine.translation(left, 0), CRS)
        found = look(tmp_path)
        assert values(found)["source.rasters"] == "{date}/*st.tif" and not found.taken.reasons
        assert listed(tmp_path, found) == len(PLANTS) * 2

    def test_a_vrt_of_tiles_is_taken_for_them(self, tmp_path: Path) -> None:
        tiles: dict[str, tuple[int, int, int, int]] = {}
        for name, left in (("west", 0), ("east", WIDTH // 2)):
            part = draw(DAYS[0])[:, :, left : left + WIDTH // 2]
            write_raster(tmp_path / f"{name}.tif", part, TRANSFORM @ Affine.translation(left, 0), CRS)
            tiles[f"../{name}.tif"] = (left, 0, WIDTH // 2, WIDTH)
        (tmp_path / ISO[0]).mkdir()
        write_vrt(tmp_path / f"{ISO[0]}/whole.vrt", (3, WIDTH, WIDTH), TRANSFORM, CRS, tiles)
        found = look(tmp_path)
        assert values(found)["source.rasters"] == "{date}/whole.vrt" and listed(tmp_path, found) == len(PLANTS)
        assert any("read through the VRT of its date" in line for line in found.unused)

    def test_files_that_fit_no_pattern_are_named(self, tmp_path: Path) -> None:
        write_orthos(tmp_path, "{date}.tif", DAYS[:1])
        write_orthos(tmp_path, "late/flight of {date}.tif", DAYS[1:])
        found = look(tmp_path)
        rows = {place: value for place, value in values(found).items() if place.startswith("source.rasters")}
        assert rows == {
            f"source.rasters.{ISO[0]}": [f"{ISO[0]}.tif"],
            f"source.rasters.{ISO[1]}": [f"late/flight of {ISO[1]}.tif"],
        }
        assert listed(tmp_path, found) == len(PLANTS) * 2

    def test_heights_masks_and_rasters_without_place_are_left_out_by_name(self, tmp_path: Path) -> None:
        write_orthos(tmp_path)
        heights = np.full((1, WIDTH, WIDTH), 71.5, np.float32)
        write_raster(tmp_path / f"flights/{ISO[0]}/dsm.tif", heights, TRANSFORM, CRS)
        write_raster(tmp_path / f"flights/{ISO[0]}/plain.tif", draw(DAYS[0]), TRANSFORM, None)
        write_raster(tmp_path / "overview.tif", draw(DAYS[0]), TRANSFORM, CRS)
        (tmp_path / "broken.tif").write_bytes(b"II*\0")
        (tmp_path / "settings.json").write_text("{}")
        found = look(tmp_path)
        said = "\n".join(found.unused)
        assert values(found)["source.rasters"] == "flights/{date}/ortho.tif"
        assert "dsm.tif: heights: 1 band of float32" in said and "plain.tif: states no coordinate" in said
        assert "1 other file (.json)" in said
        assert "overview.tif: an orthophoto without a date" in said and "broken.tif: " in said

    def test_of_two_sets_the_finer_one_with_more_dates_is_taken(self, tmp_path: Path) -> None:
        write_orthos(tmp_path, "fine/{date}.tif")
        for day in DAYS:
            coarse = draw(day)[:, ::2, ::2]
            write_raster(tmp_path / f"coarse/{day}.tif", coarse, TRANSFORM @ Affine.scale(2), CRS)
        found = look(tmp_path)
        key = keys_of(found)["source.rasters"]
        assert key.value == "fine/{date}.tif" and [value for value, _ in key.others] == ["coarse/{date}.tif"]
        assert any("coarse/" in line for line in found.unused)
        write_orthos(tmp_path, "coarse/{date}.tif", (date(2024, 6, 17),))
        assert values(look(tmp_path))["source.rasters"] == "coarse/{date}.tif"

    def test_one_date(self, tmp_path: Path) -> None:
        write_orthos(tmp_path, days=DAYS[:1])
        assert "One date alone" in keys_of(look(tmp_path))["dates"].why

    def test_no_dates(self, tmp_path: Path) -> None:
        write_raster(tmp_path / "ortho 20249999.tif", draw(DAYS[0]), TRANSFORM, CRS)
        error = refusal(tmp_path)
        assert "1 orthophotos without a date in their paths, such as ortho 20249999.tif" in error.found
        assert "--date" in error.remedy
        found = look(tmp_path, DAYS[0])
        assert values(found)["dates"] == ISO[:1] and listed(tmp_path, found) == len(PLANTS)
        write_raster(tmp_path / "other.tif", draw(DAYS[1]), TRANSFORM, CRS)
        error = refusal(tmp_path, DAYS[0])
        assert "2 orthophotos without a date" in error.found and "no tiles of one" in error.found
        assert "--date" not in error.remedy

    @pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
    def test_systems_in_which_crops_cannot_be_measured(self, tmp_path: Path, crs: str) -> None:
        x, y = Transformer.from_crs(CRS, crs, always_xy=True).transform([WEST, WEST + 4], [NORTH, NORTH - 4])
        matrix = Affine((x[1] - x[0]) / 100, 0, x[0], 0, (y[1] - y[0]) / 100, y[0])
        write_raster(tmp_path / "2024-06-03.tif", np.full((3, 100, 100), 9, np.uint8), matrix, crs)
        key = keys_of(look(tmp_path))["source.crs"]
        assert key.value == CRS and "UTM zone of the field" in key.why

    def test_bands_and_values(self, tmp_path: Path) -> None:
        bands = np.concatenate([draw(DAYS[0]), draw(DAYS[0])[:2]]).astype(np.uint16) * 100
        path = write_raster(tmp_path / "2024-06-03.tif", bands, TRANSFORM, CRS, photometric="minisblack")
        keys = keys_of(look(tmp_path))
        assert keys["source.bands"].is_question and keys["source.value_range"].is_question
        low, high = values(look(tmp_path))["source.value_range"]
        spread = np.percentile(bands[:3], (1, 99))
        assert low <= spread[0] < low * 1.1 and high >= spread[1] > high * 0.9
        assert listed(tmp_path, look(tmp_path)) == len(PLANTS)
        with rasterio.open(path, "r+") as file:
            file.descriptions = ("Blue", "Green", "Red", "NIR", "Edge")
        key = keys_of(look(tmp_path))["source.bands"]
        assert key.value == [3, 2, 1] and not key.is_question


class TestPlants:
    @pytest.fixture(autouse=True)
    def orthos(self, tmp_path: Path) -> None:
        write_orthos(tmp_path)

    @pytest.mark.parametrize("name", ["p.geojson", "p.shp", "p.fgb", "p.kml"])
    def test_map_files(self, tmp_path: Path, name: str) -> None:
        write_plants(tmp_path / name, Name=PLANTS)
        found = look(tmp_path)
        assert values(found)["source.plants.path"] == name and found.unused == ()
        assert listed(tmp_path, found) == len(PLANTS) * 2

    @pytest.mark.parametrize(
        ("header", "crs"),
        [("Easting [m];Northing [m]", CRS), ("x;y", CRS), ("Lon;Lat", "EPSG:4326"), ("X;Y", "EPSG:4326")],
    )
    def test_tables_of_coordinates(self, tmp_path: Path, header: str, crs: str) -> None:
        change = Transformer.from_crs(CRS, crs, always_xy=True)
        places = [change.transform(x, y) for x, y in SPOTS]
        rows = [f"{n};{x:.9f};{y:.9f}".replace(".", ",") for n, (x, y) in zip(PLANTS, places, strict=True)]
        write_lines(tmp_path / "plants.csv", f"Plant ID;{header}", *rows)
        found = look(tmp_path)
        x, y = header.split(";")
        assert values(found) | {
            "source.plants.crs": crs,
            "source.plants.x_column": x,
            "source.plants.y_column": y,
            "source.plants.id_column": "Plant ID",
        } == values(found)
        assert listed(tmp_path, found) == len(PLANTS) * 2

    def test_the_file_with_most_plants_in_the_orthophotos_is_taken(self, tmp_path: Path) -> None:
        write_plants(tmp_path / "plants.gpkg")
        frame: Any = geopandas.GeoDataFrame({"id": [1]}, geometry=[box(WEST, NORTH - 3, WEST + 3, NORTH)], crs=CRS)
        frame.to_file(tmp_path / "boundary.gpkg")
        far: Any = geopandas.GeoDataFrame(
            {"id": range(99)}, geometry=geopandas.points_from_xy([WEST + 900] * 99, [NORTH] * 99), crs=CRS
        )
        far.to_file(tmp_path / "all.gpkg", layer="other field")
        found = look(tmp_path)
        key = keys_of(found)["source.plants.path"]
        assert key.value == "plants.gpkg"
        assert [value for value, _ in key.others] == ["boundary.gpkg", "all.gpkg"]
        assert any("all.gpkg: positions too, of which 0 lie" in line for line in found.unused)

    def test_layers_ids_plots_and_splits(self, tmp_path: Path) -> None:
        path = write_plants(
            tmp_path / "all.gpkg",
            id=[7] * len(PLANTS),
            plot=[1 + i % 2 for i in range(len(PLANTS))],
            row=[name[1] for name in PLANTS],
            number=[name[3:] for name in PLANTS],
            split=["train", "val", "test", ""] * (len(PLANTS) // 4),
        )
        geopandas.read_file(path)[:3].to_file(path, layer="first", driver="GPKG")
        found = look(tmp_path)
        assert {place: value for place, value in values(found).items() if "plants" in place} == {
            "source.plants.path": "all.gpkg",
            "source.plants.layer": "all",
            "source.plants.plot_column": "plot",
            "source.plants.row_column": "row",
            "source.plants.number_column": "number",
            "source.plants.split_column": "split",
        }

    def test_blocks_where_nothing_states_a_split(self, tmp_path: Path) -> None:
        write_plants(tmp_path / "plants.gpkg", plot=[1 + i % 2 for i in range(len(PLANTS))])
        found = look(tmp_path)
        assert values(found)["source.block_metres"] == 1.2  # half of the 2.5 m; a third would be under two crops
        assert keys_of(found)["source.plants.id_column"].is_open and listed(tmp_path, found) == len(PLANTS) * 2

    def test_blocks_are_as_small_as_their_margin_allows(self, tmp_path: Path) -> None:
        spots = [(WEST + 0.1 * i, NORTH - 0.1 * j) for i in range(1, 31) for j in range(1, 31)]
        write_lines(tmp_path / "plants.csv", "easting,northing", *(f"{x},{y}" for x, y in spots))
        side = values(look(tmp_path))["source.block_metres"]
        assert 0.4 < side < 1  # three to six blocks along the 2.9 m

    def test_a_spacing_that_cannot_be_told_is_a_question(self, tmp_path: Path) -> None:
        rows = [f"{i},{x},{y}" for i, (x, y) in enumerate(SPOTS[:4])]
        write_lines(tmp_path / "plants.csv", "id,easting,northing", *rows)
        key = keys_of(look(tmp_path))["source.crop_metres"]
        assert key.is_question and key.value == 1.3  # 64 pixels of 2 cm

    def test_no_plants(self, tmp_path: Path) -> None:
        write_lines(tmp_path / "notes.csv", "day,weather", "2024-06-03,sun")
        error = refusal(tmp_path)
        assert "2 orthophotos, and no file of plant positions" in error.found and "easting and northing" in error.remedy


@needs_orthophotos
def test_the_real_soybean_field(tmp_path: Path) -> None:
    """EPSG:32414 is an odd system that its software wrote, and is in metres; positions are in WGS 84."""
    (tmp_path / "soybean 2020_01_15.tif").symlink_to(ORTHOPHOTOS / "soybean.tif")
    with rasterio.open(ORTHOPHOTOS / "soybean.tif") as file:
        left, low, right, high = file.bounds
    change = Transformer.from_crs("EPSG:32414", "EPSG:4326", always_xy=True)
    grid = [(x, y) for x in np.linspace(left + 1, right - 1, 6) for y in np.linspace(low + 1, high - 1, 4)]
    rows = [f"{lon},{lat}" for lon, lat in (change.transform(x, y) for x, y in grid)]
    write_lines(tmp_path / "plants.txt", "longitude,latitude", *rows)
    found = look(tmp_path)
    assert values(found)["source.crs"] == "EPSG:32414" and values(found)["source.plants.crs"] == "EPSG:4326"
    assert listed(tmp_path, found) == 24


def test_excel_sheets_and_places_of_plants(tmp_path: Path) -> None:
    """Write what a person has in one workbook: plants in one sheet, what was cut in another, and notes."""
    write_orthos(tmp_path)
    plants = [(name, name[1], int(name[3:]), "Flamenco", *spot) for name, spot in zip(PLANTS, SPOTS, strict=True)]
    cut = [(plant, harvest_day(i)) for i, plant in enumerate(PLANTS)]
    sheets = {
        "Plants": [("plant", "row", "number", "Sorte", "Easting", "Northing"), *plants],
        "Ernte": [("Pflanze", "geerntet"), *cut],
        "Notes": [("note",), ("rain",)],
    }
    write_workbook(tmp_path / "Feld 7.xlsx", sheets)
    found = look(tmp_path)
    assert values(found) | {
        "source.plants.path": "Feld 7.xlsx",
        "source.plants.layer": "Plants",
        "source.plants.crs": CRS,
        "source.plants.id_column": "plant",
        "source.plants.row_column": "row",
        "source.plants.number_column": "number",
        "source.plants.variety_column": "Sorte",
        "source.harvest_table.path": "Feld 7.xlsx",
        "source.harvest_table.sheet": "Ernte",
        "source.harvest_table.harvest_column": "geerntet",
    } == values(found)
    assert found.unused == ("Feld 7.xlsx, sheet Notes: not needed",)
    content = content_of(found.taken.keys)
    source = FieldSource.model_validate({**content["source"], "root": str(tmp_path)})
    images = source.list_images(DAYS).images
    assert len(images) == len(PLANTS) * 2 and all(image.harvest for image in images)


def test_harvests_choose_the_ids(tmp_path: Path) -> None:
    """Take, of two columns that name plants, the one whose values the table of harvests has."""
    write_orthos(tmp_path)
    write_plants(tmp_path / "plants.gpkg", id=list(range(len(PLANTS))), label=PLANTS)
    write_lines(tmp_path / "cut.csv", *harvest_rows("tag,cut on"))
    assert values(look(tmp_path))["source.plants.id_column"] == "label"
