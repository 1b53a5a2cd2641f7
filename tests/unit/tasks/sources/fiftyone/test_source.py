"""Test the source of the FiftyOne export on a samples.json of a few plants."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from storage.errors import InputError
from tasks.sources.contract import Harvest, Source, SourceListing
from tasks.sources.fiftyone.source import FiftyOneSource

DAYS = (date(2021, 8, 23), date(2021, 8, 25), date(2021, 8, 30))


def plant(name: str) -> str:
    return f"2021_Ref_Plot1_{name}"


def sample(name: str, visit: int, harvested: str | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "task": "reference",
        "plant_id": plant(name),
        "field": "Field2",
        "acquisition_date": DAYS[visit].isoformat(),
        "filepath": f"data/data_21/{plant(name)}-{visit}.jpg",
        "in_situ_harvested": harvested,
        "in_situ_comment": None,
        **changes,
    }


def write(root: Path, *samples: dict[str, Any], without: tuple[str, ...] = ()) -> None:
    (root / "samples.json").write_text(json.dumps({"samples": samples}))
    for number, one in enumerate(samples):
        path = root / one["filepath"]
        if one["filepath"] not in without:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), number, dtype=np.uint8)).save(path)


def read(root: Path, *dates: date, **options: object) -> SourceListing:
    return FiftyOneSource.model_validate({"root": str(root), **options}).list_images(dates or [DAYS[0]])


def test_reference_samples_of_the_field(tmp_path: Path) -> None:
    write(
        tmp_path,
        sample("B1", 0, "no", tags=["validation", "x"], in_situ_comment="small, 2P"),
        sample("A4", 0, "no", split="train"),
        sample("A4", 2, "yes", split="train"),
        sample("C1", 0, "no"),
        sample("A4", 1, "?", task="maturity_stages"),
        sample("A9", 0, "?", field="Field1"),
    )
    source: Source = FiftyOneSource(root=str(tmp_path))
    listing = source.list_images([DAYS[2], DAYS[0]])
    assert source.available_dates() == (DAYS[0], DAYS[2])
    found = [(one.acquired, one.plant_id, one.split, one.split_source, one.flags) for one in listing.images]
    assert found == [
        (DAYS[0], plant("A4"), "train", "samples", ()),
        (DAYS[0], plant("B1"), "val", "samples", ("two_plants",)),
        (DAYS[0], plant("C1"), "new", "none", ()),
        (DAYS[2], plant("A4"), "train", "samples", ("known_blurry",)),
    ]
    assert listing.images[0].path == f"data/data_21/{plant('A4')}-0.jpg"
    assert listing.notes == (
        "1 samples of field Field1 passed by",
        "1 samples of task maturity_stages passed by",
        "1 plants are in no split and count as new",
    )
    assert source.read_image(listing.images[1]).shape == (8, 8, 3)
    assert len(source.fingerprint(listing.images[0])) == 64


def test_flags_of_all_dates_decide_even_those_not_requested(tmp_path: Path) -> None:
    flags = {
        "A1": ("no", "no", "yes"),
        "A2": ("no", "no", "no"),
        "A3": ("no", None, None),
        "A4": ("yes", "yes", "yes"),
        "A5": ("no", "Yes", "no"),
        "A6": (None, None, None),
    }
    write(tmp_path, *(sample(name, visit, flag) for name, found in flags.items() for visit, flag in enumerate(found)))
    listing = read(tmp_path)
    assert {one.plant_id[-2:]: one.harvest for one in listing.images} == {
        "A1": Harvest(DAYS[1], DAYS[2], DAYS[2]),
        "A2": Harvest.not_by(DAYS[2]),
        "A3": Harvest.not_by(DAYS[0]),
        "A4": Harvest(date.min, DAYS[0], DAYS[2]),
        "A6": None,
    }
    assert [(one.plant_id[-2:], one.reason) for one in listing.left_out] == [("A5", "flag_turns_off")]
    assert "1 of 5 images have neither a harvest record nor a label" in listing.notes


def test_null_as_not_harvested(tmp_path: Path) -> None:
    flags = {
        "A1": (None, "yes", None),
        "A2": (None, None, None),
        "A3": (None, None, "2021-09-01"),
        "A4": (None, "Never", None),
    }
    write(tmp_path, *(sample(name, visit, flag) for name, found in flags.items() for visit, flag in enumerate(found)))
    listing = read(tmp_path, null_means="not_harvested")
    assert {one.plant_id[-2:]: one.harvest for one in listing.images} == {
        "A1": Harvest(DAYS[0], DAYS[1], DAYS[2]),
        "A2": Harvest.not_by(DAYS[2]),
        "A3": Harvest.on(date(2021, 9, 1), date(2021, 9, 1)),
        "A4": Harvest.never(),
    }
    assert listing.assumed_until == date(2021, 9, 1)


def test_dates_are_watched_until_the_day_that_is_stated_or_the_last_of_the_source(tmp_path: Path) -> None:
    later = date(2021, 9, 4)
    write(
        tmp_path, sample("A1", 0, "2021-08-27"), sample("A2", 0, "never"), sample("A3", 0, "no"), sample("A3", 2, "no")
    )
    found = read(tmp_path)
    assert [one.harvest for one in found.images] == [
        Harvest.on(date(2021, 8, 27), DAYS[2]),
        Harvest.never(),
        Harvest.not_by(DAYS[2]),
    ]
    assert found.assumed_until == DAYS[2]
    stated = read(tmp_path, observed_until=later)
    assert [one.harvest for one in stated.images] == [
        Harvest.on(date(2021, 8, 27), later),
        Harvest.never(),
        Harvest.not_by(DAYS[2]),
    ]
    assert stated.assumed_until is None
    with pytest.raises(InputError, match="in_situ_harvested after observed_until, 2021-08-26: 1"):
        read(tmp_path, observed_until=date(2021, 8, 26))


def test_flags_alone_assume_no_day(tmp_path: Path) -> None:
    write(tmp_path, sample("A1", 0, "no"), sample("A1", 1, "yes"))
    assert read(tmp_path).assumed_until is None


def test_a_plant_that_was_never_harvested_has_no_true_flag(tmp_path: Path) -> None:
    write(tmp_path, sample("A1", 0, "never"), sample("A1", 1, "yes"), sample("A2", 0, "no"), sample("A2", 1, "never"))
    listing = read(tmp_path)
    assert [(one.plant_id[-2:], one.harvest) for one in listing.images] == [("A2", Harvest.never())]
    (one,) = listing.left_out
    assert (one.reason, one.detail) == ("flag_contradicts_date", "never harvested, but flagged True on 2021-08-25")


def test_dates_count_for_more_than_flags(tmp_path: Path) -> None:
    write(
        tmp_path,
        sample("A1", 0, "no"),
        sample("A1", 1, "2021-08-28T00:00:00"),
        sample("A1", 2, "yes"),
        sample("A2", 0, "2021-08-28"),
        sample("A2", 2, "no"),
        sample("A3", 0, "2021-08-28"),
        sample("A3", 2, "2021-08-29"),
        sample("A4", 0, "yes"),
        sample("A4", 1, "2021-08-28"),
    )
    listing = read(tmp_path)
    assert [(one.plant_id[-2:], one.harvest) for one in listing.images] == [
        ("A1", Harvest.on(date(2021, 8, 28), DAYS[2]))
    ]
    assert [(one.plant_id[-2:], one.reason) for one in listing.left_out] == [
        ("A2", "flag_contradicts_date"),
        ("A3", "two_harvest_dates"),
        ("A4", "flag_contradicts_date"),
    ]


def test_a_sample_with_a_date_is_a_visit_of_the_source(tmp_path: Path) -> None:
    write(tmp_path, sample("A1", 0, "no"), sample("A2", 0, "2021-08-28"), sample("A2", 1, "2021-08-28"))
    found = read(tmp_path, DAYS[0], DAYS[1])
    assert [one.harvest for one in found.images] == [
        Harvest.not_by(DAYS[0]),
        Harvest.on(date(2021, 8, 28), date(2021, 8, 28)),
        Harvest.on(date(2021, 8, 28), date(2021, 8, 28)),
    ]
    write(tmp_path, sample("A1", 0, "no"), sample("A1", 1, "yes"), sample("A2", 2, "2021-08-28"))
    assert read(tmp_path).images[0].harvest == Harvest(DAYS[0], DAYS[1], DAYS[2])


def test_an_unknown_word_shows_all_values(tmp_path: Path) -> None:
    write(tmp_path, sample("A1", 0, "no"), sample("A1", 1, "partly"), sample("A2", 1, "no"), sample("A2", 2, None))
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    table = [line.split() for line in str(caught.value).splitlines()]
    assert [row for row in (["partly", "1"], ["no", "2"], ["(empty)", "1"]) if row not in table] == []
    assert read(tmp_path, words={"true_words": ["partly"]}).images[0].harvest == Harvest(DAYS[0], DAYS[1], DAYS[1])


class TestValuesOfJson:
    """Exports of MongoDB and FiftyOne wrap dates, and write flags as JSON booleans."""

    @pytest.mark.parametrize(
        "stated",
        [
            "2021-08-27",
            "2021-08-27T00:00:00",
            "2021-08-27T10:30:00.000Z",
            {"$date": "2021-08-27"},
            {"$date": "2021-08-27T00:00:00Z"},
            {"$date": "2021-08-26T23:30:00-01:00"},
            {"$date": 1630022400000},
            {"$date": 1630022400000.0},
            {"$date": {"$numberLong": "1630022400000"}},
        ],
    )
    def test_dates(self, tmp_path: Path, stated: Any) -> None:
        write(tmp_path, sample("A1", 0, stated), sample("A2", 0, "no", acquisition_date=stated))
        source = FiftyOneSource(root=str(tmp_path))
        assert source.available_dates() == (DAYS[0], date(2021, 8, 27))
        assert read(tmp_path).images[0].harvest == Harvest.on(date(2021, 8, 27), date(2021, 8, 27))

    @pytest.mark.parametrize("stated", [{"$date": "soon"}, {"$date": None}, {"$date": 1e30}, {"$oid": "a"}, {}, [], 7])
    def test_what_is_no_date_stops(self, tmp_path: Path, stated: Any) -> None:
        for one in (sample("A1", 0, stated), sample("A1", 0, acquisition_date=stated)):
            write(tmp_path, one)
            with pytest.raises(InputError, match=r"sample 0 of samples\.json holds"):
                read(tmp_path)

    @pytest.mark.parametrize("words", [{}, {"words": {"true_words": ["cut"], "false_words": ["stands"]}}])
    def test_flags(self, tmp_path: Path, words: dict[str, Any]) -> None:
        """A JSON boolean says by itself what it means, whatever the words are."""
        flags: dict[str, tuple[Any, Any]] = {"A1": (False, True), "A2": (False, False), "A3": (None, False)}
        write(tmp_path, *(sample(name, visit, flag) for name, two in flags.items() for visit, flag in enumerate(two)))
        assert {one.plant_id[-2:]: one.harvest for one in read(tmp_path, **words).images} == {
            "A1": Harvest(DAYS[0], DAYS[1], DAYS[1]),
            "A2": Harvest.not_by(DAYS[1]),
            "A3": Harvest.not_by(DAYS[1]),
        }

    def test_missing_values_of_pandas(self, tmp_path: Path) -> None:
        write(tmp_path, sample("A1", 0, "no"))
        text = (tmp_path / "samples.json").read_text().replace('"in_situ_comment": null', '"in_situ_comment": NaN')
        (tmp_path / "samples.json").write_text(text.replace('"in_situ_harvested": "no"', '"in_situ_harvested": NaN'))
        assert read(tmp_path).images[0].harvest is None

    @pytest.mark.parametrize("plant", ["0x10", "1e5", "007", "1.0", "true", "null"])
    def test_ids_stay_text(self, tmp_path: Path, plant: str) -> None:
        write(tmp_path, sample("A1", 0, "no", plant_id=plant))
        assert read(tmp_path).images[0].plant_id == plant

    @pytest.mark.parametrize("plant", [7, 1e5, True, None])
    def test_ids_that_are_no_text_stop(self, tmp_path: Path, plant: Any) -> None:
        write(tmp_path, sample("A1", 0, "no", plant_id=plant))
        with pytest.raises(InputError, match="text as plant_id"):
            read(tmp_path)

    @pytest.mark.parametrize("changes", [{"plant_id": "a\ud800"}, {"filepath": "a\0.png"}, {"filepath": "\udce4.png"}])
    def test_texts_that_no_table_can_hold_stop(self, tmp_path: Path, changes: dict[str, str]) -> None:
        (tmp_path / "samples.json").write_text(json.dumps({"samples": [sample("A1", 0, "no", **changes)]}))
        with pytest.raises(InputError, match="text as plant_id"):
            read(tmp_path)

    @pytest.mark.parametrize("day", ["2012-08-27", "2201-08-27"])
    def test_a_slip_of_the_year_stops(self, tmp_path: Path, day: str) -> None:
        write(tmp_path, sample("A1", 0, day))
        with pytest.raises(InputError, match="Dates in in_situ_harvested outside the season: 1"):
            read(tmp_path)


def test_splits_from_utm_files(tmp_path: Path) -> None:
    write(tmp_path, sample("A1", 0, "no"), sample("A2", 0, "no"))
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/2021_Ref_Plot1_UTM_Coordinates.txt").write_text(f"{plant('A1')},1,2,3,test\n")
    for options in ({}, {"utm_folder": "splits"}, {"utm_folder": str(tmp_path / "splits")}):
        found = [(one.split, one.split_source, one.easting) for one in read(tmp_path, **options).images]
        assert found == [("test", "utm", 1.0), ("new", "none", None)]
    with pytest.raises(InputError, match="utm_folder must be a folder"):
        read(tmp_path, utm_folder="elsewhere")


def test_own_split_is_per_plant_seeded_and_60_20_20(tmp_path: Path) -> None:
    write(tmp_path, *(sample(f"A{number}", visit, "no") for number in range(1, 21) for visit in (0, 1)))
    first = {one.plant_id: one.split for one in read(tmp_path).images}
    later = {one.plant_id: one.split for one in read(tmp_path, DAYS[1]).images}
    other = {one.plant_id: one.split for one in read(tmp_path, split_seed=1).images}
    assert first == later != other
    splits = list(first.values())
    assert [splits.count(name) for name in ("train", "val", "test")] == [12, 4, 4]
    assert {one.split_source for one in read(tmp_path).images} == {"own"}


def test_missing_files_are_left_out(tmp_path: Path) -> None:
    one = sample("A1", 0, "no")
    write(tmp_path, one, sample("A2", 0, "no"), without=(one["filepath"],))
    listing = read(tmp_path)
    assert [(one.plant_id, one.reason, one.path) for one in listing.left_out] == [
        (plant("A1"), "missing_file", one["filepath"])
    ]
    assert [one.plant_id for one in listing.images] == [plant("A2")]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        pytest.param([sample("A1", 0), sample("A1", 0, filepath="b.jpg")], "one image", id="plant twice"),
        pytest.param([sample("A1", 0, split="train"), sample("A1", 1, split="test")], "same split", id="splits"),
        pytest.param([sample("A1", 0, split="train", tags=["test"])], "same split", id="split and tag"),
        pytest.param([sample("A1", 0, split="pool")], "train, val or test", id="unknown split"),
        pytest.param([sample("A1", 0, acquisition_date="Monday")], "ISO acquisition_date", id="date"),
        pytest.param([sample("A1", 0, in_situ_harvested=1)], "text or null", id="number"),
        pytest.param([sample("A1", 0, plant_id="")], "text as plant_id", id="no plant"),
        pytest.param([sample("A1", 0, filepath="../b.jpg")], "inside the root", id="outside"),
        pytest.param([sample("A1", 0, field="Field1")], "no reference sample of Field2", id="other field"),
        pytest.param([sample("A1", 1)], "every acquisition date", id="no such date"),
    ],
)
def test_wrong_samples_stop(tmp_path: Path, samples: list[dict[str, Any]], message: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write(root, *samples)
    with pytest.raises(InputError, match=message):
        read(root)


@pytest.mark.parametrize("key", ["task", "plant_id", "field", "acquisition_date", "filepath", "in_situ_harvested"])
def test_a_missing_key_stops(tmp_path: Path, key: str) -> None:
    one = sample("A1", 0)
    del one[key]
    (tmp_path / "samples.json").write_text(json.dumps({"samples": [one]}))
    with pytest.raises(InputError, match=rf"sample 0 of samples\.json has no {key}"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "must be JSON"), ("[]", '"samples"'), ('{"samples": {}}', '"samples"'), ('{"samples": [1]}', "JSON object")],
)
def test_malformed_json_stops(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "samples.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_without_samples_file_it_stops(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"samples\.json"):
        read(tmp_path)
