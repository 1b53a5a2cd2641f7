"""Test what is said of images whose plants were not watched to the end of the readiness window."""

from datetime import date

import pytest

from tasks.ingest.censoring import censored_images, describe_censoring, describe_intervals
from tasks.sources.contract import Harvest, SourceImage, SourceListing

DAY, LATER = date(2021, 8, 30), date(2021, 9, 3)


def image(plant_id: str, acquired: date, harvest: Harvest | None, label: int | None = None) -> SourceImage:
    return SourceImage(plant_id, acquired, "train", "utm", f"{plant_id}.png", label=label, harvest=harvest)


def notes(*images: SourceImage, assumed_until: date | None = None, window_days: int = 3) -> list[str]:
    listing = SourceListing(("not ready", "ready"), images, assumed_until=assumed_until)
    return describe_censoring(listing, window_days, "ready")


def test_hand_worked_case() -> None:
    until = date(2021, 9, 4)
    images = [
        image("cut", DAY, Harvest.on(until, until)),
        image("open", DAY, Harvest.not_by(until)),
        image("cut", LATER, Harvest.on(until, until)),
        image("open", LATER, Harvest.not_by(until)),
        image("gone", LATER, Harvest.on(DAY, until)),
        image("stated", LATER, Harvest.not_by(until), label=0),
        image("never", LATER, Harvest.never()),
        image("unknown", LATER, None),
    ]
    listing = SourceListing(("not ready", "ready"), tuple(images))
    assert censored_images(listing, 3, "ready") == images[2:4]
    line = (
        "2021-09-03: 2 of 6 images are ambiguous: the plants were not watched after 2021-09-04, and a label needs to "
        "know harvests until 2021-09-06"
    )
    assert notes(*images) == [line]
    first, second = notes(*images, assumed_until=until)
    assert first == line
    assert second.startswith("the source has no observed_until, so the last date, 2021-09-04, is taken.")
    assert "2 images of 2 plants ambiguous" in second
    assert notes(*images, assumed_until=until, window_days=1) == []


def test_an_interval_that_does_not_decide_is_not_for_want_of_watching() -> None:
    until = date(2021, 9, 5)
    assert notes(image("a", LATER, Harvest(DAY, until, until))) == []


def test_plants_were_watched_for_different_times() -> None:
    found = notes(image("a", LATER, Harvest.not_by(DAY)), image("b", LATER, Harvest.not_by(LATER)))
    assert ["not watched after 2021-09-03 or an earlier day" in note for note in found] == [True]


def test_visits_too_far_apart_leave_the_labels_of_one_answer() -> None:
    """Four plants at visits five days apart: two harvested between them, one standing, one harvested before."""
    until = date(2021, 9, 8)
    images = [
        image("a", LATER, Harvest(LATER, until, until)),
        image("b", LATER, Harvest(LATER, until, until)),
        image("c", LATER, Harvest.not_by(until)),
        image("d", LATER, Harvest(DAY, date(2021, 9, 2), until)),
        image("stated", LATER, Harvest(LATER, until, until), label=1),
        image("a", DAY, Harvest(LATER, until, until)),
    ]
    listing = SourceListing(("not ready", "ready"), tuple(images))
    assert describe_intervals(listing, 3, "ready") == [
        "2021-09-03: 2 images are ambiguous: the days between two visits mean both answers. The labels left are 1 "
        "not ready and 0 ready, which need not be the shares of the field"
    ]
    assert describe_intervals(listing, 9, "ready") == []
    assert describe_intervals(SourceListing((), (image("e", LATER, Harvest.not_by(DAY)),)), 3, "ready") == []


@pytest.mark.parametrize(("acquired", "end"), [(LATER, "2021-09-06"), (date.max, "9999-12-31")])
def test_a_table_without_any_date(acquired: date, end: str) -> None:
    first, second = notes(image("a", acquired, Harvest.not_by(date.min)), assumed_until=date.min)
    assert "the plants were never watched" in first and first.endswith(f"until {end}")
    assert "so there is no harvest date" in second and "1 images of 1 plants ambiguous" in second
