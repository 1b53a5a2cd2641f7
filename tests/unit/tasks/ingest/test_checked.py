"""Check which labels people's finds become, and that contradictions are told."""

from datetime import date, timedelta

import pytest

from storage.tables.names import Split
from tasks.ingest.checked import CHECKED, label_checked
from tasks.ingest.labels import label_observations
from tasks.sources.contract import Harvest, SourceImage, SourceListing

DAY = date(2022, 8, 25)
CLASSES = ("not_ready", "ready")
READY, NOT_READY = Harvest.on(DAY + timedelta(days=2)), Harvest.never()
GONE, OPEN = Harvest.on(DAY - timedelta(days=5)), Harvest.not_by(DAY)


def image(plant: str, split: Split, harvest: Harvest | None = None, label: int | None = None) -> SourceImage:
    return SourceImage(plant, DAY, split, "utm", f"{plant}.png", label=label, harvest=harvest)


def labelled(found: dict[str, str], *images: SourceImage) -> tuple[dict[str, int | None], list[str]]:
    listing, notes = label_checked(SourceListing(CLASSES, images), {DAY: found}, 3, "ready")
    kept, _ = label_observations(listing, 3, "ready")
    is_flagged = {one.plant_id for one in kept if CHECKED in one.flags}
    is_same = {one.plant_id for one in listing.images if one in images}
    assert is_flagged.isdisjoint(is_same)
    return {one.plant_id: one.label for one in kept if one.plant_id in is_flagged}, notes


@pytest.mark.parametrize("split", ["train", "val", "test", "new"])
def test_a_find_stands_against_the_harvest_in_every_split(split: Split) -> None:
    labels, notes = labelled(
        {"a": "not_ready", "b": "not_ready"}, image("a", split, READY), image("b", split, NOT_READY)
    )
    assert labels == {"a": 0, "b": 0}
    assert notes == [
        "2 labels come from checks of plants: 0 of training plants without another label, 1 that agree with the "
        "harvest table and 1 that contradict it",
        "checks that contradict the harvest table stand: a on 2022-08-25 (not_ready)",
    ]


@pytest.mark.parametrize(("split", "n"), [("train", 2), ("val", 0), ("test", 0), ("new", 0)])
def test_only_training_plants_get_a_label_that_no_harvest_gives(split: Split, n: int) -> None:
    """Doubtful plants are checked more often; they must not choose which plants judge the answers."""
    labels, notes = labelled({"a": "ready", "b": "ready"}, image("a", split), image("b", split, OPEN))
    assert labels == dict.fromkeys(("a", "b"), 1) if n else labels == {}
    assert f"{n} of training plants without another label" in notes[0]
    assert any("2 checks give no label: these are no training plants" in note for note in notes) == (n == 0)


def test_a_stated_class_and_an_earlier_harvest_stand() -> None:
    labels, notes = labelled({"a": "ready", "b": "ready"}, image("a", "train", label=0), image("b", "train", GONE))
    assert labels == {}
    assert [note.split(":")[0] for note in notes[1:]] == ["1 checks give no label"] * 2


def test_finds_that_fit_no_class_or_image_are_told() -> None:
    labels, notes = labelled({"a": "rotten", "b": "ready"}, image("a", "train"), image("c", "train"))
    assert labels == {}
    assert notes[1:] == [
        "1 checks give no label: the source does not have the class that was found",
        "1 checks label no image: their plants have none",
    ]


def test_long_lists_of_contradictions_are_cut() -> None:
    plants = [f"p{i}" for i in range(8)]
    _, notes = labelled(dict.fromkeys(plants, "not_ready"), *(image(plant, "val", READY) for plant in plants))
    assert notes[1].endswith("p4 on 2022-08-25 (not_ready) and 3 more")


def test_without_checks_a_listing_is_the_same() -> None:
    listing = SourceListing(CLASSES, (image("a", "train", READY), image("b", "val")))
    assert label_checked(listing, {}, 3, "ready") == (listing, [])
