"""Test plants of a field: workbooks, places in plots, observations, crops as wide as plants, blocks with a margin."""

from collections.abc import Sequence
from datetime import date
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import geopandas
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.parameters import with_crop
from storage.errors import InputError
from storage.tables.names import Split
from tasks.ingest.labels import label_observations
from tasks.ingest.params import IngestParams
from tasks.ingest.survey import source_image, survey
from tasks.sources.contract import Place, SourceImage
from tasks.sources.field.source import FieldSource
from tasks.sources.field.splits import describe_splits, find_near, keep_apart
from tasks.sources.folder.source import FolderSource
from tests.support.orthophotos import NORTH, WEST
from tests.support.small_field import CRS, DAY, LATER, LINES, SPOTS, make, read, save
from tests.support.workbooks import write_workbook

SPLITS: tuple[Split, ...] = ("train", "val", "test")
COLUMNS = {"plot_column": "plot", "row_column": "row", "number_column": "nr", "variety_column": "kind"}


def rows_of_plants(root: Path, step: float, n: int) -> None:
    """Write n x n plants a step apart, in the middle of the small orthophoto."""
    first = 2 - step * (n - 1) / 2
    places = [(first + step * i, first + step * j) for j in range(n) for i in range(n)]
    save(root, *(f"{k},{WEST + x},{NORTH - y}" for k, (x, y) in enumerate(places)))


class TestWorkbook:
    def test_plants_and_observations_are_read_like_those_of_text_tables(self, root: Path) -> None:
        places = [[float(n), x, y, "train"] for n, (x, y) in enumerate(SPOTS, 1)]
        write_workbook(root / "field.xlsx", {"Plants": [["id", "easting", "northing", "set"], *places], "X": [["a"]]})
        write_workbook(root / "seen.xlsx", [["plant", "date", "state"], [1, DAY, "Ready"], [2, DAY, "not ready"]])
        table = {"path": "seen.xlsx", "plant_column": "plant", "visit_column": "date", "ready_column": "state"}
        listing = read(
            root, plants={"path": "field.xlsx", "layer": "Plants", "split_column": "set"}, harvest_table=table
        )
        assert [(one.plant_id, one.easting, one.northing, one.label) for one in listing.images] == [
            (str(n), x, y, label) for n, ((x, y), label) in enumerate(zip(SPOTS, (1, 0, None), strict=True), 1)
        ]
        with pytest.raises(InputError, match="has the sheets Plants, X"):
            read(root, plants={"path": "field.xlsx"})


class TestPlaces:
    HEADER = "id,plot,row,nr,kind,easting,northing"

    def save(self, root: Path, *places: str) -> None:
        lines = [f"{name},{place},{x},{y}" for name, place, (x, y) in zip("abc", places, SPOTS, strict=True)]
        save(root, *lines, header=self.HEADER)

    def test_all_columns_go_together_and_travel_through_a_listing(self, root: Path) -> None:
        self.save(root, "Plot 2,E,18,Clapton", "North,,7b,", "3,B,07,")
        listing = read(root, plants=COLUMNS)
        stated = {"a": Place("2", "E", 18, "Clapton"), "b": Place("North"), "c": Place("3", "B", 7)}
        assert {one.plant_id: one.place for one in listing.images} == stated
        assert {one.split for one in listing.images} == {"train", "val", "test"}, "whole plots are drawn"
        assert any("1 plants have a number in their row" in note and "'7b'" in note for note in listing.notes)
        found = survey(make(root, plants=COLUMNS), [DAY], IngestParams())
        assert {entry["plant_id"]: source_image(entry).place for entry in found.listings[DAY]["images"]} == stated
        assert any("from the next training plant" in note for note in found.notes), "as the report shows them"

    def test_varieties_are_counted_by_split(self, root: Path) -> None:
        lines = [
            f"{line},{rest}" for line, rest in zip(LINES, ("Clapton,train", "Clapton,val", "Korlanu,test"), strict=True)
        ]
        save(root, *lines, header="id,easting,northing,kind,set")
        listing = read(root, plants={"variety_column": "kind", "split_column": "set"})
        said = "plants by variety: Clapton 1 train, 1 val; Korlanu 1 test. No training plant is of Korlanu"
        assert said in listing.notes

    def test_what_states_no_place_is_listed_as_before(self, root: Path) -> None:
        (entry, *_) = survey(make(root), [DAY], IngestParams()).listings[DAY]["images"]
        assert "place" not in entry and source_image(entry).place is None

    def test_layers_state_places_too(self, root: Path) -> None:
        columns = {"id": ["a", "b", "c"], "plot": [1, 2, 3], "row": ["E", None, "F"], "nr": [4.0, np.nan, 5.0]}
        points: Any = geopandas.points_from_xy(*zip(*SPOTS, strict=True))
        frame: Any = geopandas.GeoDataFrame(columns, geometry=points, crs=CRS)
        frame.to_file(root / "plants.gpkg", engine="pyogrio")
        named = {name: column for name, column in COLUMNS.items() if column != "kind"}
        listing = read(root, plants={"path": "plants.gpkg", "crs": None, **named})
        assert [one.place for one in listing.images] == [Place("1", "E", 4), Place("2"), Place("3", "F", 5)]

    def test_ids_that_are_made_have_their_place_too(self, root: Path) -> None:
        self.save(root, "1,A,1,", "1,A,2,", "North,B,1,")
        listing = read(root, plants={**COLUMNS, "id_column": None, "variety_column": None}, block_metres=1.0)
        assert {one.plant_id: one.place for one in listing.images} == {
            "Plot1_A_1": Place("1", "A", 1), "Plot1_A_2": Place("1", "A", 2), "North_B_1": Place("North", "B", 1)
        }  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "place"),
    [
        (("plot_3", "", "", ""), Place("3")),
        (("Plot", "", "", ""), Place("Plot")),
        (("Plotter", "2", "10.0", ""), Place("Plotter", "2", 10)),
        (("", "", "", "Clapton"), Place(variety="Clapton")),
        (("", "", "1234567890", ""), None),
        (("", "", "-1", ""), None),
        (("", "", "", ""), None),
    ],
)
def test_cells_of_a_place(cells: tuple[str, str, str, str], place: Place | None) -> None:
    assert Place.read(*cells) == place


class TestObservations:
    TABLE: ClassVar = {"path": "seen.csv", "plant_column": "plant", "visit_column": "date", "ready_column": "ready"}

    def write(self, root: Path, *rows: str) -> None:
        (root / "seen.csv").write_text("\n".join(["plant,date,ready", *rows]))

    def source(self, root: Path) -> FieldSource:
        lines = [f"{line},{word}" for line, word in zip(LINES, ("train", "val", "test"), strict=True)]
        save(root, *lines, header="id,easting,northing,set")
        return make(root, plants={"split_column": "set"}, harvest_table=self.TABLE)

    def test_an_observation_labels_its_own_date_and_nothing_else(self, root: Path) -> None:
        self.write(root, f"a,{DAY},yes", f"a,{LATER},no", f"b,{LATER},READY", f"c,{DAY},", "c,2024-05-03,ready")
        listing = self.source(root).list_images([DAY, LATER])
        images, left_out = label_observations(listing)
        labels = {(one.plant_id, one.acquired): one.label for one in images}
        none = dict.fromkeys([("b", DAY), ("c", DAY), ("c", LATER)])
        assert labels == {("a", DAY): 1, ("a", LATER): 0, ("b", LATER): 1, **none}
        assert left_out == [] and listing.left_out == ()
        assert "3 of 6 images have neither a harvest record nor a label" in listing.notes
        assert any(note.startswith("1 of 4 observations in seen.csv label no image") for note in listing.notes)
        assert listing.matching is not None and listing.matching.in_table == {"a", "b", "c"}

    def test_observations_that_contradict_each_other_leave_their_image_out(self, root: Path) -> None:
        self.write(root, f"a,{DAY},yes", f"a,{DAY},no", f"a,{LATER},yes", f"b,{DAY},no", f"b,{DAY},no")
        listing = self.source(root).list_images([DAY, LATER])
        assert [(one.plant_id, one.acquired, one.reason, one.detail) for one in listing.left_out] == [
            ("a", DAY, "two_observations", f"ready and not ready on {DAY}")
        ]
        found = {(one.plant_id, one.acquired): one.label for one in listing.images if one.label is not None}
        assert found == {("a", LATER): 1, ("b", DAY): 0}

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (f"a,{DAY},harvested", "Unknown observations in seen.csv: 'harvested'.*ready_words.true_words"),
            ("a,01.05.2024,yes", "Malformed dates in seen.csv: 1"),
            ("a,2014-05-01,yes", "Dates in seen.csv outside the season: 1"),
            (f",{DAY},yes", "plant is empty in seen.csv"),
        ],
    )
    def test_what_is_no_observation_is_refused(self, root: Path, row: str, message: str) -> None:
        self.write(root, row)
        with pytest.raises(InputError, match=f"(?s){message}"):
            self.source(root).list_images([DAY])


class TestCrop:
    def test_crops_are_as_wide_as_the_plants_stand_apart(self, root: Path) -> None:
        rows_of_plants(root, 0.85, 5)
        listing = read(root, crop_metres=None)
        (note,) = [one for one in listing.notes if "source.crop_metres is not set" in one]
        assert "crops are 0.85 m wide" in note and "Write it into the campaign file" in note
        open_source, stated = make(root, crop_metres=None), make(root, crop_metres=0.85)
        image = listing.images[7]
        assert open_source.fingerprint(image) == stated.fingerprint(image) != make(root).fingerprint(image)
        np.testing.assert_array_equal(open_source.read_image(image), stated.read_image(image))
        assert [one for one in listing.notes if one is not note] == list(stated.list_images([DAY]).notes)

    def test_another_file_of_plants_has_another_crop_but_not_for_the_dates_of_a_fit(self, root: Path) -> None:
        rows_of_plants(root, 0.85, 5)
        source = make(root, crop_metres=None)
        fitted = with_crop(source)
        rows_of_plants(root, 0.8, 5)
        assert isinstance(fitted, FieldSource) and fitted.crop_side() == 0.85 and source.crop_side() == 0.8
        later = with_crop(source, fitted)
        assert isinstance(later, FieldSource) and later.crop_metres == 0.85, "the classifier knows crops of this width"
        assert with_crop(make(root), fitted) == make(root), "a width that is stated stands"
        folder = FolderSource(root=str(root))
        assert with_crop(folder) is folder and with_crop(source, folder) == make(root, crop_metres=0.8)


def slow_margin(places: NDArray[np.float64], splits: Sequence[Split], margin: float) -> list[Split]:
    """Set plants aside one by one, test before training, by comparing every pair."""
    kept = list(splits)
    for split, others in (("test", {"val"}), ("train", {"val", "test"})):
        before = list(kept)
        for i, here in enumerate(places):
            apart = [
                max(abs(here - there)) >= margin - 1e-3
                for there, name in zip(places, before, strict=True)
                if name in others
            ]
            if before[i] == split and not all(apart):
                kept[i] = "new"
    return kept


class TestMargin:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10**6), st.floats(0, 3))
    def test_plants_of_different_splits_keep_the_margin(self, seed: int, margin: float) -> None:
        random = np.random.default_rng(seed)
        places, drawn = random.uniform(0, 12, (40, 2)), random.choice(["train", "val", "test", "new"], 40).tolist()
        east, north = places[:, 0], places[:, 1]
        expected = slow_margin(places, drawn, margin)
        if not {"train", "val", "test"} <= set(expected):
            with pytest.raises(InputError, match="leaves no plant for"):
                keep_apart(east, north, drawn, margin)
            return
        kept = keep_apart(east, north, drawn, margin)
        assert kept == expected
        for one, other in permutations(SPLITS, 2):
            assert find_near(east, north, kept, one, [other], margin).size == 0
        assert kept.count("val") == drawn.count("val"), "validation keeps all plants"

    def test_crops_of_different_splits_share_no_ground_unless_the_margin_is_smaller(self, root: Path) -> None:
        rows_of_plants(root, 0.5, 7)
        wide = read(root, block_metres=1.0, crop_metres=0.8)
        aside = [one for one in wide.images if one.split == "new"]
        assert {one.split_source for one in wide.images} == {"blocks"} and 0 < len(aside) < 49
        assert any(note.startswith(f"{len(aside)} of 49 plants lie less than 0.8 m") for note in wide.notes)
        assert shared_ground(wide.images, 0.8) == 0 and not any("show ground" in note for note in wide.notes)
        narrow = read(root, block_metres=1.0, crop_metres=0.8, block_margin=0)
        n, far = shared_ground(narrow.images, 0.8), sum(one.split != "train" for one in narrow.images)
        assert {one.split for one in narrow.images} == set(SPLITS) and n > 0
        assert any(note.startswith(f"crops of {n} of {far} validation and test plants") for note in narrow.notes)

    def test_crops_that_touch_share_no_ground(self, root: Path) -> None:
        rows_of_plants(root, 0.8, 5)
        assert {one.split for one in read(root, block_metres=1.6, crop_metres=0.8).images} == set(SPLITS)

    def test_plants_that_are_set_aside_have_no_label(self, root: Path) -> None:
        rows_of_plants(root, 0.5, 7)
        rows = [f"{n},{'2024-05-02' if n % 2 else 'never'}" for n in range(49)]
        (root / "harvest.csv").write_text("\n".join(["plant_id,harvest_date", *rows]))
        table = {"observed_until": date(2024, 5, 30)}
        images, _ = label_observations(read(root, block_metres=1.0, crop_metres=0.8, harvest_table=table))
        assert {one.split == "new" for one in images if one.label is None} == {True}
        assert {one.label for one in images if one.split != "new"} == {0, 1}

    def test_plots_are_drawn_whole_and_what_their_crops_share_is_told(self, root: Path) -> None:
        lines = [f"{n},{n // 2},{WEST + 0.6 + 0.4 * n},{NORTH - 1}" for n in range(6)]
        save(root, *lines, header="id,plot,easting,northing")
        listing = read(root, plants={"plot_column": "plot"}, crop_metres=0.8)
        n, far = shared_ground(listing.images, 0.8), sum(one.split != "train" for one in listing.images)
        assert n > 0 and "new" not in {one.split for one in listing.images}
        assert any(note.startswith(f"crops of {n} of {far} validation and test plants") for note in listing.notes)


def shared_ground(images: Sequence[SourceImage], side: float) -> int:
    """Count validation and test plants whose crop overlaps that of a training plant."""
    places = {one.plant_id: (one.easting or 0, one.northing or 0) for one in images}
    near = [places[one.plant_id] for one in images if one.split == "train"]
    far = [places[one.plant_id] for one in images if one.split in {"val", "test"}]
    return sum(any(max(abs(x - u), abs(y - v)) < side - 1e-3 for u, v in near) for x, y in far)


def test_no_split_has_no_note_on_distance() -> None:
    assert describe_splits(np.arange(3.0), np.zeros(3), ["new", "train", "new"], 1.0) == []
