"""Test how harvest dates become intervals, and how they fit the images; visits are tested with the label rule."""

from datetime import date

import pytest

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.contract import Harvest, LeftOut, SourceImage
from tasks.sources.harvests import (
    HarvestRecords,
    HarvestRow,
    attach_harvests,
    harvests_from_dates,
    last_harvest,
    match_images,
    parse_harvest,
    refuse_late_harvests,
)

DAY, LATER = date(2021, 8, 23), date(2021, 8, 30)


def test_words_and_dates() -> None:
    assert [parse_harvest(text) for text in ("never", "NEVER", "Never")] == ["never"] * 3
    assert parse_harvest("2021-08-23") == DAY and parse_harvest("23.08.2021", "%d.%m.%Y") == DAY
    assert [parse_harvest(text) for text in ("nevermore", "", "soon", "0001-01-01")] == [None] * 4


def test_cells_become_intervals() -> None:
    rows: list[HarvestRow] = [
        ("a", DAY),
        ("b", None),
        ("c", "never"),
        ("a", DAY),
        ("d", DAY),
        ("d", "never"),
        ("e", None),
        ("e", DAY),
    ]
    records = harvests_from_dates(rows, LATER)
    assert records.harvests == {
        "a": Harvest(date(2021, 8, 22), DAY, LATER),
        "b": Harvest(LATER, date.max, LATER),
        "c": Harvest(date.max, None, date.max),
    }
    assert records.faults == {
        "d": ("two_harvest_dates", "2021-08-23, never"),
        "e": ("two_harvest_dates", "2021-08-23, no date"),
    }


def test_last_harvest() -> None:
    assert last_harvest([("a", LATER), ("b", "never"), ("c", None), ("d", DAY)]) == LATER
    assert last_harvest([("b", "never"), ("c", None)]) == date.min


def test_harvests_after_the_last_watched_day_are_refused() -> None:
    rows: list[HarvestRow] = [("a", LATER), ("b", DAY), ("c", None), ("d", "never")]
    for until in (None, LATER):
        refuse_late_harvests(rows, until, "table.csv")
    with pytest.raises(InputError) as refused:
        refuse_late_harvests(rows, DAY, "table.csv")
    assert refused.value.found.splitlines()[0] == "Harvest dates in table.csv after observed_until, 2021-08-23: 1"
    assert [line.split() for line in refused.value.found.splitlines()[1:]] == [
        ["plant", "harvested"],
        ["a", str(LATER)],
    ]
    assert "observed_until" in refused.value.remedy


def image(plant_id: str, split: Split, label: int | None = None) -> SourceImage:
    return SourceImage(plant_id, DAY, split, "utm", f"{plant_id}.png", label=label)


def test_every_kind_of_plant_is_matched() -> None:
    images = [image("a", "train"), image("b", "new"), image("c", "val", label=1), image("d", "test")]
    left_out = [LeftOut("e", DAY, "plot.tif", "missing_raster")]
    records = HarvestRecords(table="visits.csv", plants=frozenset({"a", "e", "f"}))
    found = match_images(records, images, left_out)
    assert found is not None and found.table == "visits.csv"
    assert found.in_table == {"a", "e", "f"} and found.in_images == {"a", "b", "c", "d", "e"}
    assert found.in_need == {"a", "d"}, "new plants are only scored, and a stated label needs no row"
    assert match_images(HarvestRecords(), images, left_out) is None


def test_only_plants_that_were_harvested_have_a_day() -> None:
    harvests = {"a": Harvest.on(DAY), "b": Harvest.never(), "c": Harvest.not_by(DAY), "d": Harvest(DAY, LATER)}
    found = match_images(HarvestRecords(harvests=harvests, table="visits.csv"), [], [])
    assert found is not None and found.harvested == {"a": DAY, "d": LATER}


def test_images_without_a_record_are_counted() -> None:
    records = harvests_from_dates([("a", DAY), ("b", DAY), ("b", LATER)], LATER)
    known, left_out, notes = attach_harvests([image(name, "train") for name in "abc"] + [image("d", "val", 1)], records)
    assert [(one.plant_id, one.harvest) for one in known] == [("a", Harvest.on(DAY, LATER)), ("c", None), ("d", None)]
    assert [(one.plant_id, one.reason) for one in left_out] == [("b", "two_harvest_dates")]
    assert notes == ["1 of 3 images have neither a harvest record nor a label"]


def test_a_class_that_is_stated_stands_before_observations() -> None:
    observed = {
        name: {DAY: frozenset(seen)}
        for name, seen in zip("abcd", ([True], [False], [True, False], [True]), strict=True)
    }
    records = HarvestRecords(observed=observed, table="seen.csv")
    images = [image("a", "train", 0), image("b", "val", 0), image("c", "test", 1), image("d", "test")]
    known, left_out, notes = attach_harvests(images, records)
    assert [(one.plant_id, one.label) for one in known] == [("a", 0), ("b", 0), ("c", 1), ("d", 1)] and left_out == []
    assert notes == ["2 images have another class than seen.csv observes; the class that is stated stands"]
