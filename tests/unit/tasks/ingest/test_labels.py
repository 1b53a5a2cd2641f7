"""Test the label rule against an oracle that tries every possible harvest day."""

from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.errors import InputError
from tasks.ingest.labels import Readiness, SameDay, decide, label_observations
from tasks.sources.contract import Harvest, SourceImage, SourceListing

TODAY = date(2021, 8, 23)
R = Readiness


def day(offset: int) -> date:
    return TODAY + timedelta(days=offset)


def outcome_on(harvest_day: date, window_days: int, same_day: SameDay) -> Readiness:
    """Return the state that the label rule gives for one known harvest day."""
    if harvest_day < TODAY:
        return R.harvested
    if harvest_day == TODAY:
        return R.ready if same_day == "ready" else R.same_day
    return R.ready if harvest_day <= TODAY + timedelta(days=window_days) else R.not_ready


@given(
    after=st.integers(-12, 12),
    length=st.integers(1, 15),
    window_days=st.integers(0, 6),
    same_day=st.sampled_from(["ready", "excluded"]),
)
@example(after=-1, length=1, window_days=0, same_day="excluded")
@example(after=-1, length=4, window_days=3, same_day="ready")
def test_decide_gives_what_every_possible_day_gives(
    after: int, length: int, window_days: int, same_day: SameDay
) -> None:
    outcomes = {outcome_on(day(after + step), window_days, same_day) for step in range(1, length + 1)}
    expected = outcomes.pop() if len(outcomes) == 1 else R.ambiguous
    assert decide(Harvest(day(after), day(after + length)), TODAY, window_days, same_day) == expected


@given(after=st.integers(-12, 12), window_days=st.integers(0, 6))
def test_a_lost_plant_is_not_ready_only_when_seen_to_the_end_of_the_window(after: int, window_days: int) -> None:
    expected = R.not_ready if day(after) >= day(window_days) else R.ambiguous
    assert decide(Harvest(day(after), date.max), TODAY, window_days) == expected


@pytest.mark.parametrize(
    ("harvest", "same_day", "expected"),
    [
        pytest.param(Harvest.on(day(-1)), "ready", R.harvested, id="before"),
        pytest.param(Harvest.on(day(0)), "ready", R.ready, id="same day, ready"),
        pytest.param(Harvest.on(day(0)), "excluded", R.same_day, id="same day, excluded"),
        pytest.param(Harvest.on(day(1)), "excluded", R.ready, id="first day of the window"),
        pytest.param(Harvest.on(day(3)), "ready", R.ready, id="last day of the window"),
        pytest.param(Harvest.on(day(4)), "ready", R.not_ready, id="after the window"),
        pytest.param(Harvest.never(), "ready", R.not_ready, id="never"),
        pytest.param(Harvest(day(0), day(5)), "ready", R.ambiguous, id="next visit after five days"),
        pytest.param(Harvest(day(0), day(2)), "ready", R.ready, id="next visit after two days"),
        pytest.param(Harvest(date.min, day(0)), "ready", R.ambiguous, id="flagged at the first visit, today"),
        pytest.param(Harvest(date.min, day(-1)), "ready", R.harvested, id="flagged before"),
    ],
)
def test_rows_of_the_table(harvest: Harvest, same_day: SameDay, expected: Readiness) -> None:
    assert decide(harvest, TODAY, 3, same_day) == expected


def test_refuses_a_negative_window_and_an_empty_interval() -> None:
    with pytest.raises(InputError, match="0 days or more"):
        decide(Harvest.on(TODAY), TODAY, -1)
    with pytest.raises(InputError, match="at least one day"):
        decide(Harvest(TODAY, TODAY), TODAY)


def image(plant_id: str, label: int | None = None, harvest: Harvest | None = None) -> SourceImage:
    return SourceImage(plant_id, TODAY, "train", "utm", f"{plant_id}.png", label=label, harvest=harvest)


def test_label_observations_keeps_fills_and_leaves_out() -> None:
    listing = SourceListing(
        ("not ready", "ready"),
        (
            image("stated", label=0, harvest=Harvest.on(day(-5))),
            image("ready", harvest=Harvest.on(day(2))),
            image("never", harvest=Harvest.never()),
            image("unknown"),
            image("gone", harvest=Harvest.on(day(-5))),
            image("today", harvest=Harvest.on(day(0))),
            image("unclear", harvest=Harvest(day(1), day(9))),
        ),
    )
    images, left_out = label_observations(listing, 3, "excluded")
    assert [(one.plant_id, one.label) for one in images] == [
        ("stated", 0),
        ("ready", 1),
        ("never", 0),
        ("unknown", None),
    ]
    assert [(one.plant_id, one.reason) for one in left_out] == [
        ("gone", "harvested"),
        ("today", "same_day"),
        ("unclear", "ambiguous"),
    ]
    assert [one.detail for one in left_out] == [
        "harvested on 2021-08-18",
        "harvested on 2021-08-23",
        "harvested after 2021-08-24, by 2021-09-01",
    ]
