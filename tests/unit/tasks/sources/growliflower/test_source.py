"""Test the source of the original GrowliFlowerR folders on fixtures of a few plants."""

import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from storage.errors import InputError
from tasks.sources.contract import Harvest, Source, SourceListing, UnreadableImage
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.harvest_table import FlagWords, HarvestTable

DAY, LATER = date(2021, 8, 23), date(2021, 8, 30)
FOLDER, LATER_FOLDER = "GrowliFlowerR/Field2/2021_08_23", "GrowliFlowerR/Field2/2021_08_30"
SPLITS = "2021_Ref_Plot1_A4,1.0,2.0,3.0,train\n2021_Ref_Plot1_B1,4.5,5.5,6.0,val,extra\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "coordinates/2021_Ref_Plot1_UTM_Coordinates.txt", SPLITS)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def pixels(seed: int = 0, size: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def save(path: Path, image: NDArray[np.uint8] | None = None, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels() if image is None else image).convert(mode).save(path)


def read(root: Path, *dates: date, **options: object) -> SourceListing:
    return GrowliFlowerSource.model_validate({"root": str(root), **options}).list_images(dates or [DAY])


def test_patches_with_harvest_table(root: Path) -> None:
    for folder in (FOLDER, LATER_FOLDER):
        save(root / folder / "2021_Ref_Plot1_A4.png")
        save(root / folder / "2021_Ref_Plot1_B1.png")
    save(root / FOLDER / "2021_Ref_Plot1_C9.png")
    save(root / "GrowliFlowerR/Field1/2021_08_23/2021_Ref_Plot1_A9.png")
    save(root / FOLDER / "overview.png")
    rows = "2021_Ref_Plot1_A4;2021-09-01\n2021_Ref_Plot1_B1;\n2021_Ref_Plot1_D1;Never\n"
    write(root / "harvest.csv", "plant_id;harvest_date\n" + rows)

    source: Source = GrowliFlowerSource(root=str(root))
    listing = source.list_images([LATER, DAY, DAY])

    assert source.available_dates() == (DAY, LATER)
    assert listing.classes == ("not ready", "ready")
    rows = [(one.acquired, one.plant_id, one.split, one.split_source, one.easting) for one in listing.images]
    assert rows == [
        (DAY, "2021_Ref_Plot1_A4", "train", "utm", 1.0),
        (DAY, "2021_Ref_Plot1_B1", "val", "utm", 4.5),
        (DAY, "2021_Ref_Plot1_C9", "new", "none", None),
        (LATER, "2021_Ref_Plot1_A4", "train", "utm", 1.0),
        (LATER, "2021_Ref_Plot1_B1", "val", "utm", 4.5),
    ]
    assert listing.images[0].harvest == Harvest.on(date(2021, 9, 1), date(2021, 9, 1))
    assert listing.images[1].harvest == Harvest.not_by(date(2021, 9, 1))
    assert listing.images[2].harvest is None
    assert [one.flags for one in listing.images] == [(), (), (), ("known_blurry",), ()]
    assert listing.images[0].path == f"{FOLDER}/2021_Ref_Plot1_A4.png"
    assert listing.notes == (
        "1 of 5 images have neither a harvest record nor a label",
        "1 plants are in no split and count as new",
        "1 files of other fields passed by",
        "1 images or coordinate files whose names are not understood passed by",
    )
    assert listing.assumed_until == date(2021, 9, 1) and listing.matching is not None
    assert listing.matching.table == "harvest.csv"
    assert [one[-2:] for one in listing.matching.without_image] == ["D1"]
    assert [one[-2:] for one in listing.matching.without_row] == ["C9"]
    assert [one[-2:] for one in sorted(listing.matching.in_need)] == ["A4", "B1"]
    np.testing.assert_array_equal(source.read_image(listing.images[0]), pixels())


def test_plants_are_watched_until_the_day_that_is_stated(root: Path) -> None:
    for plant in ("A4", "B1", "C1"):
        save(root / FOLDER / f"2021_Ref_Plot1_{plant}.png")
    rows = "2021_Ref_Plot1_A4,2021-08-25\n2021_Ref_Plot1_B1,\n2021_Ref_Plot1_C1,never\n"
    write(root / "harvest.csv", "plant_id,harvest_date\n" + rows)
    listing = read(root, harvest_table=HarvestTable(observed_until=LATER))
    assert [one.harvest for one in listing.images] == [
        Harvest.on(date(2021, 8, 25), LATER),
        Harvest.not_by(LATER),
        Harvest.never(),
    ]
    assert listing.assumed_until is None
    with pytest.raises(InputError) as refused:
        read(root, harvest_table=HarvestTable(observed_until=date(2021, 8, 24)))
    assert refused.value.found.startswith("Harvest dates in harvest.csv after observed_until, 2021-08-24: 1\n")
    assert ["2021_Ref_Plot1_A4", "2021-08-25"] in [line.split() for line in refused.value.found.splitlines()]


def test_a_table_without_dates_knows_nothing_but_what_it_states(root: Path) -> None:
    for plant in ("A4", "B1"):
        save(root / FOLDER / f"2021_Ref_Plot1_{plant}.png")
    write(root / "harvest.csv", "plant_id,harvest_date\n2021_Ref_Plot1_A4,\n2021_Ref_Plot1_B1,never\n")
    listing = read(root)
    assert [one.harvest for one in listing.images] == [Harvest.not_by(date.min), Harvest.never()]
    assert listing.assumed_until == date.min


def test_visits_need_no_day_until_which_they_were_observed() -> None:
    with pytest.raises(
        ValueError, match=r"observed_until is 2021-08-30 and flag_column is cut; .* remove observed_until"
    ):
        HarvestTable(flag_column="cut", observed_until=LATER)


def test_without_a_harvest_table_images_stay_unlabelled_and_absent_plants_are_counted(root: Path) -> None:
    save(root / FOLDER / "2021_Ref_Plot1_A4.png")
    listing = read(root)
    assert [one.harvest for one in listing.images] == [None]
    assert "1 of 2 plants of the split files have no image on 2021-08-23" in listing.notes


def test_prepared_names_carry_labels_and_copies_collapse(root: Path) -> None:
    for name in ("rot90", "orig", "flip"):
        save(root / f"{FOLDER}/2021_08_23_Ref_Plot1_A4_{name}_1.tif", pixels(len(name)))
    save(root / "prepared/val/2021_08_23_Ref_Plot1_B1_0.tif")
    save(root / "prepared/test/2021_08_23_Ref_Plot1_D2_1.tif")
    for name in ("rot90", "flip_h"):
        save(root / f"prepared/train/2021_08_23_Ref_Plot1_E18_{name}_0.tif")
    listing = read(root)
    assert [(one.plant_id, one.split, one.split_source, one.label, one.path) for one in listing.images] == [
        ("2021_Ref_Plot1_A4", "train", "utm", 1, f"{FOLDER}/2021_08_23_Ref_Plot1_A4_orig_1.tif"),
        ("2021_Ref_Plot1_B1", "val", "utm", 0, "prepared/val/2021_08_23_Ref_Plot1_B1_0.tif"),
        ("2021_Ref_Plot1_D2", "test", "folder", 1, "prepared/test/2021_08_23_Ref_Plot1_D2_1.tif"),
        ("2021_Ref_Plot1_E18", "train", "folder", 0, "prepared/train/2021_08_23_Ref_Plot1_E18_flip_h_0.tif"),
    ]
    assert "3 augmented copies of 4 images passed by" in listing.notes
    assert "1 images have no copy named as the original; the first copy by name stands for it" in listing.notes


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(["2021_08_23_Ref_Plot1_A4_a_0.tif", "2021_08_23_Ref_Plot1_A4_b_1.tif"], "same label", id="labels"),
        pytest.param(["2021_Ref_Plot1_A4.png", "2021_Ref_Plot1_A4.jpg"], "one image", id="png and jpg"),
        pytest.param(["2021_Ref_Plot1_A4.png", "2021_08_23_Ref_Plot1_A4_0.tif"], "one image", id="patch and prepared"),
        pytest.param(["2021_08_23_Ref_Plot1_A4_0.tif", "2021_08_23_Ref_Plot1_A4_0.png"], "one image", id="tif and png"),
        pytest.param(["2021_08_23_Ref_Plot1_A4_2.tif"], "label 0 or 1", id="label 2"),
        pytest.param(["2021_08_99_Ref_Plot1_A4_1.tif"], "start with a date", id="no date"),
        pytest.param(["2021_08_24_Ref_Plot1_A4_1.tif"], "own date", id="other date than the folder"),
        pytest.param(["val/2021_08_23_Ref_Plot1_A4_1.tif"], "folder of its plant's split", id="other split"),
    ],
)
def test_contradicting_files_stop(root: Path, names: list[str], message: str) -> None:
    for name in names:
        save(root / FOLDER / name)
    with pytest.raises(InputError, match=message) as caught:
        read(root)
    assert "A4" in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2021_Ref_Plot1_A4,1,2,3,test\n", "same split"),
        ("2021_Ref_Plot1_A4,1,9,3,train\n", "one place"),
        ("2021_Ref_Plot1_A5,1,2,3\n", "plant id, easting"),
        ("2021_Ref_Plot1_A5,1,x,3,train\n", "plant id, easting"),
        ("2021_Ref_Plot1_A5,1,2,3,spare\n", "plant id, easting"),
        ("A5,1,2,3,train\n", "line 1"),
    ],
)
def test_wrong_split_rows_stop(root: Path, rows: str, message: str) -> None:
    save(root / FOLDER / "2021_Ref_Plot1_A4.png")
    write(root / "more/2021_Ref_Plot2_UTM_Coordinates.txt", rows)
    with pytest.raises(InputError, match=message):
        read(root)


def test_a_copy_of_a_split_file_is_fine(root: Path) -> None:
    save(root / FOLDER / "2021_Ref_Plot1_A4.png")
    write(root / "copy/2021_Ref_Plot1_UTM_Coordinates.txt", SPLITS)
    assert read(root).images[0].split == "train"


def test_dates_and_root_are_checked(root: Path) -> None:
    save(root / FOLDER / "2021_Ref_Plot1_A4.png")
    with pytest.raises(InputError, match=r"no image for 2021-08-30; dates available: 2021-08-23"):
        read(root, LATER)
    with pytest.raises(InputError, match="At least one"):
        GrowliFlowerSource(root=str(root)).list_images([])
    with pytest.raises(InputError, match="must be a folder"):
        read(root / "nowhere")


VISITS = """plant,seen,cut
2021_Ref_Plot1_A4,20.08.2021,no
2021_Ref_Plot1_A4,23.08.2021,NO
2021_Ref_Plot1_A4,30.08.2021,Yes
2021_Ref_Plot1_B1,20.08.2021,no
2021_Ref_Plot1_B1,30.08.2021,no
2021_Ref_Plot1_C1,20.08.2021,no
2021_Ref_Plot1_C1,30.08.2021,
2021_Ref_Plot1_C2,20.08.2021,yes
2021_Ref_Plot1_C3,20.08.2021,yes
2021_Ref_Plot1_C3,23.08.2021,no
"""
VISIT_TABLE = HarvestTable(
    path="visits.csv", plant_column="plant", flag_column="cut", visit_column="seen", date_format="%d.%m.%Y"
)


def test_visit_flags_become_intervals(root: Path) -> None:
    for plant in ("A4", "B1", "C1", "C2", "C3", "C4"):
        save(root / FOLDER / f"2021_Ref_Plot1_{plant}.png")
    write(root / "visits.csv", VISITS)
    listing = read(root, harvest_table=VISIT_TABLE)
    assert {one.plant_id[-2:]: one.harvest for one in listing.images} == {
        "A4": Harvest(DAY, LATER, LATER),
        "B1": Harvest.not_by(LATER),
        "C1": Harvest.not_by(date(2021, 8, 20)),
        "C2": Harvest(date.min, date(2021, 8, 20), LATER),
        "C4": None,
    }
    assert listing.assumed_until is None and listing.matching is not None
    assert listing.matching.table == "visits.csv" and listing.matching.without_image == []
    assert [one[-2:] for one in listing.matching.without_row] == ["C4"]
    assert [(one.plant_id, one.reason) for one in listing.left_out] == [("2021_Ref_Plot1_C3", "flag_turns_off")]
    assert listing.left_out[0].detail == "flagged on 2021-08-20, not flagged on 2021-08-23"


def test_an_unknown_flag_word_shows_all_values(root: Path) -> None:
    save(root / FOLDER / "2021_Ref_Plot1_A4.png")
    write(root / "visits.csv", VISITS + "2021_Ref_Plot1_A4,31.08.2021,maybe\n")
    with pytest.raises(InputError) as caught:
        read(root, harvest_table=VISIT_TABLE)
    table = [line.split() for line in str(caught.value).splitlines()]
    assert [row for row in (["maybe", "1"], ["no", "5"], ["(empty)", "1"]) if row not in table] == []


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("plant,harvest_date\n", "must have the columns"),
        ("plant_id,harvest_date\n2021_Ref_Plot1_A4,soon\n", "ISO"),
        ("plant_id,harvest_date\n2021_Ref_Plot1_A4,not ever\n", "ISO"),
        ("plant_id,harvest_date\n2021_Ref_Plot1_A4,0001-01-01\n", "ISO"),
        ("plant_id,harvest_date\n,2021-09-01\n", "must have a plant_id"),
        ("plant_id,harvest_date\n2021_Ref_Plot1_A4\n", "one cell per column"),
        ("plant_id,plant_id\n", "each once"),
    ],
)
def test_a_malformed_harvest_table_stops(root: Path, table: str, message: str) -> None:
    save(root / FOLDER / "2021_Ref_Plot1_A4.png")
    write(root / "harvest.csv", table)
    with pytest.raises(InputError, match=message):
        read(root)


def test_two_harvest_dates_leave_the_plant_out(root: Path) -> None:
    save(root / FOLDER / "2021_Ref_Plot1_A4.png")
    write(root / "harvest.csv", "plant_id,harvest_date\n2021_Ref_Plot1_A4,2021-09-01\n2021_Ref_Plot1_A4,\n")
    listing = read(root)
    assert [one.reason for one in listing.left_out] == ["two_harvest_dates"]
    assert listing.images == ()


def test_a_harvest_table_asked_for_must_be_there(root: Path) -> None:
    save(root / FOLDER / "2021_Ref_Plot1_A4.png")
    with pytest.raises(InputError, match="UTF-8"):
        read(root, harvest_table=HarvestTable())


def test_a_word_means_one_thing() -> None:
    with pytest.raises(ValueError, match="both have no;"):
        FlagWords(true_words=("NO",))


# Orthophotos: a raster of 40 x 24 pixels, crops of 8.


def save_raster(path: Path, bands: NDArray[Any], **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    profile: dict[str, Any] = {"dtype": bands.dtype, "count": count, "height": height, "width": width, **options}
    # The raster has no georeference. rasterio warns about it, and the reader must not.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="PNG" if path.suffix == ".png" else "GTiff", **profile) as file:
            file.write(bands)


def raster() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(1, 256, (3, 24, 40), dtype=np.uint8)


ORTHOPHOTO = f"{FOLDER}/Ref_Plot1_ortho.tif"
COORDINATES = f"{FOLDER}/Ref_Plot1_pix_Coordinates.txt"


def crop_by_loop(bands: NDArray[np.uint8], x: int, y: int, size: int) -> NDArray[np.uint8]:
    """Cut a crop pixel by pixel, with its corner half a size left of and above the centre."""
    crop = np.zeros((size, size, 3), dtype=np.uint8)
    for row in range(size):
        for column in range(size):
            source_row, source_column = y - size // 2 + row, x - size // 2 + column
            if 0 <= source_row < bands.shape[1] and 0 <= source_column < bands.shape[2]:
                crop[row, column] = bands[:3, source_row, source_column]
    return crop


@pytest.mark.parametrize("separator", [" ", "\t", ",", " ; "])
@pytest.mark.parametrize("header", ["", "image_name X Y DAP\n"])
def test_crops(root: Path, separator: str, header: str) -> None:
    save_raster(root / ORTHOPHOTO, raster())
    rows = "2021_Ref_Plot1_A4-13.jpg 20 12 69\n2021_Ref_Plot1_B1 1.4 22.5 69\nRef_Plot1_C1 39 30 69\n"
    write(root / COORDINATES, (header + rows + "Ref_Plot1_C2 99 99 69\n").replace(" ", separator))
    source = GrowliFlowerSource(root=str(root), crop_size=8)
    listing = source.list_images([DAY])
    found = [(one.plant_id[-2:], one.centre, one.flags, one.split) for one in listing.images]
    assert found == [
        ("A4", (20.0, 12.0), (), "train"),
        ("B1", (1.4, 22.5), ("crop_leaves_raster", "mostly_no_data"), "val"),
    ]
    assert [(one.plant_id[-2:], one.reason) for one in listing.left_out] == [
        ("C1", "outside_raster"),
        ("C2", "outside_raster"),
    ]
    centre_pixels = [(20, 12), (1, 23)]
    for image, (x, y) in zip(listing.images, centre_pixels, strict=True):
        np.testing.assert_array_equal(source.read_image(image), crop_by_loop(raster(), x, y, 8))


def with_alpha(path: Path, half: NDArray[np.bool_]) -> None:
    bands = np.concatenate([raster(), np.where(half, 0, 255).astype(np.uint8)[None]])
    save_raster(path, bands, photometric="RGB", alpha="yes")


def with_no_data(path: Path, half: NDArray[np.bool_]) -> None:
    save_raster(path, np.where(half, 0, raster()).astype(np.uint8), nodata=0)


@pytest.mark.parametrize("save_holes", [with_alpha, with_no_data])
def test_no_data_is_flagged_by_more_than_half(
    root: Path, save_holes: Callable[[Path, NDArray[np.bool_]], None]
) -> None:
    holes = np.zeros((24, 40), dtype=bool)
    holes[:, :20] = True
    save_holes(root / ORTHOPHOTO, holes)
    write(root / COORDINATES, "Ref_Plot1_A4 20 12 1\nRef_Plot1_B1 19 12 1\n")
    listing = read(root, crop_size=8)
    assert [one.flags for one in listing.images] == [(), ("mostly_no_data",)]


def test_bands_are_taken_by_colour(root: Path) -> None:
    save_raster(root / ORTHOPHOTO, raster()[::-1].copy(), photometric="minisblack")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(root / ORTHOPHOTO, "r+") as file:
            file.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    write(root / COORDINATES, "Ref_Plot1_A4 20 12 1\n")
    source = GrowliFlowerSource(root=str(root), crop_size=8)
    np.testing.assert_array_equal(
        source.read_image(source.list_images([DAY]).images[0]), crop_by_loop(raster(), 20, 12, 8)
    )


def test_fingerprints_follow_content_centre_and_size(root: Path) -> None:
    save_raster(root / ORTHOPHOTO, raster())
    write(root / COORDINATES, "Ref_Plot1_A4 20 12 1\nRef_Plot1_B1 21 12 1\n")
    source = GrowliFlowerSource(root=str(root), crop_size=8)
    first, second = source.list_images([DAY]).images
    before = source.fingerprint(first)
    assert before == source.fingerprint(first) != source.fingerprint(second)
    assert before != GrowliFlowerSource(root=str(root), crop_size=10).fingerprint(first)
    save_raster(root / ORTHOPHOTO, 255 - raster())
    assert source.fingerprint(first) != before


def test_missing_and_damaged_rasters_leave_out_their_plants(root: Path) -> None:
    write(root / COORDINATES, "Ref_Plot1_A4 20 12 1\n")
    assert [one.reason for one in read(root).left_out] == ["missing_raster"]
    write(root / ORTHOPHOTO, "no raster")
    (one,) = read(root).left_out
    assert one.reason == "unreadable_raster" and one.detail.startswith("Ref_Plot1_ortho.tif: ")
    assert str(root) not in one.detail


def test_crops_of_a_palette_are_read_and_say_so(root: Path) -> None:
    palette = Image.fromarray(np.moveaxis(raster(), 0, -1)).convert("P")
    (root / ORTHOPHOTO).parent.mkdir(parents=True, exist_ok=True)
    palette.save(root / ORTHOPHOTO)
    write(root / COORDINATES, "Ref_Plot1_A4 20 12 1\n")
    source = GrowliFlowerSource(root=str(root), crop_size=8)
    (image,) = source.list_images([DAY]).images
    assert image.flags == ("recoded",)
    expected = crop_by_loop(np.moveaxis(np.array(palette.convert("RGB")), -1, 0), 20, 12, 8)
    np.testing.assert_array_equal(source.read_image(image), expected)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("Ref_Plot2_A4 20 12 1\n", "plant of plot 1"),
        ("something 20 12 1\n", "plant of plot 1"),
        ("Ref_Plot1_A4 20\n", "image_name X Y DAP"),
        ("Ref_Plot1_A4 20 12 1\nRef_Plot1_A5 x 12 1\n", "line 2"),
        ("Ref_Plot1_A4 20 12 1\nRef_Plot1_A4 30 12 1\n", "one image"),
    ],
)
def test_wrong_coordinate_rows_stop(root: Path, rows: str, message: str) -> None:
    save_raster(root / ORTHOPHOTO, raster())
    write(root / COORDINATES, rows)
    with pytest.raises(InputError, match=message):
        read(root)


def test_two_rasters_of_a_plot_stop(root: Path) -> None:
    for name in ("rgb", "dsm"):
        save_raster(root / FOLDER / f"Ref_Plot1_{name}.tif", raster())
    write(root / COORDINATES, "Ref_Plot1_A4 20 12 1\n")
    with pytest.raises(InputError, match=r"Ref_Plot1_dsm.tif, .*Ref_Plot1_rgb.tif"):
        read(root)


# Files that are no plain 8-bit RGB.


def read_only_image(root: Path) -> NDArray[np.uint8]:
    source = GrowliFlowerSource(root=str(root), crop_size=8)
    return source.read_image(source.list_images([DAY]).images[0])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_modes_with_an_rgb_reading(root: Path, mode: str) -> None:
    path = root / FOLDER / "2021_Ref_Plot1_A4.png"
    save(path, mode=mode)
    with Image.open(path) as image:
        assert image.mode == mode
        expected = np.array(image.convert("RGB"))
    np.testing.assert_array_equal(read_only_image(root), expected)


def test_alpha_is_dropped_not_blended(root: Path) -> None:
    rgba = np.dstack([pixels(), np.zeros((8, 8), dtype=np.uint8)])
    save(root / FOLDER / "2021_Ref_Plot1_A4.png", rgba, "RGBA")
    np.testing.assert_array_equal(read_only_image(root), pixels())


@pytest.mark.parametrize("name", ["2021_Ref_Plot1_A4.tif", "2021_Ref_Plot1_A4.png"])
@pytest.mark.parametrize("count", [1, 3])
def test_sixteen_bits_are_refused(root: Path, name: str, count: int) -> None:
    path = root / FOLDER / name
    colour = {"photometric": "RGB"} if count == 3 and path.suffix == ".tif" else {}
    save_raster(path, np.full((count, 8, 8), 300, dtype=np.uint16), **colour)
    with pytest.raises(UnreadableImage, match="8-bit RGB"):
        read_only_image(root)


@pytest.mark.parametrize("mode", ["F", "CMYK", "I"])
def test_other_modes_are_refused(root: Path, mode: str) -> None:
    save(root / FOLDER / "2021_Ref_Plot1_A4.tif", mode=mode)
    with pytest.raises(UnreadableImage, match="no 8-bit RGB reading"):
        read_only_image(root)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7])
def test_truncated_files_are_unreadable(root: Path, suffix: str, kept: float) -> None:
    path = root / FOLDER / f"2021_Ref_Plot1_A4.{suffix}"
    save(path, pixels(size=32))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UnreadableImage, match="A4"):
        read_only_image(root)


def test_a_truncated_raster_is_unreadable(root: Path) -> None:
    save_raster(root / ORTHOPHOTO, raster())
    write(root / COORDINATES, "Ref_Plot1_A4 20 20 1\n")
    source = GrowliFlowerSource(root=str(root), crop_size=8)
    image = source.list_images([DAY]).images[0]
    content = (root / ORTHOPHOTO).read_bytes()
    (root / ORTHOPHOTO).write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImage, match="Ref_Plot1_ortho"):
        source.read_image(image)
