"""Test the label rule against an oracle that tries every possible harvest day, and every day that was watched."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.errors import InputError
from tasks.ingest.labels import Readiness, SameDay, decide, is_censored, label_observations
from tasks.sources.contract import Harvest, SourceImage, SourceListing
from tasks.sources.harvests import HarvestRow, harvests_from_dates, harvests_from_visits

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


FAR = 40  # days on either side of TODAY in which the oracle looks for a harvest; all histories lie well inside
WINDOWS, SAME_DAYS = st.integers(0, 6), st.sampled_from(["ready", "excluded"])


def outcome_of_all(
    harvest_days: Iterable[int | None], watched_until: int, window_days: int, same_day: SameDay
) -> Readiness:
    """Return the state that all possible harvest days give, if every day of the window was watched.

    Days are counted from TODAY, and None is a plant that is never harvested.
    """
    outcomes = {R.not_ready if h is None else outcome_on(day(h), window_days, same_day) for h in harvest_days}
    if len(outcomes) > 1:
        return R.ambiguous
    (outcome,) = outcomes
    has_label = outcome in {R.ready, R.not_ready}
    return R.ambiguous if has_label and any(d > watched_until for d in range(window_days + 1)) else outcome


def consistent_days(flags: Mapping[int, bool]) -> list[int | None]:
    """Return every harvest day that a plant's flags allow: flagged from the harvest on, and not before."""
    days: list[int | None] = [None, *range(-FAR, FAR)]
    return [h for h in days if all(flag == (h is not None and h <= visit) for visit, flag in flags.items())]


FLAGS = st.dictionaries(st.integers(-9, 9), st.booleans(), max_size=5)
HARVESTED_ON = st.none() | st.integers(-12, 12)


def truthful(harvest_day: int | None, visits: Iterable[int]) -> dict[int, bool]:
    """Return the flags of a plant that is harvested on a day, at some visits."""
    return {visit: harvest_day is not None and harvest_day <= visit for visit in visits}


HISTORIES = st.lists(
    FLAGS | st.builds(truthful, HARVESTED_ON, st.sets(st.integers(-9, 9), max_size=6)), min_size=1, max_size=6
)


@given(histories=HISTORIES, window_days=WINDOWS, same_day=SAME_DAYS)
@example(histories=[{0: False, 2: True}, {0: False, 2: False}], window_days=3, same_day="ready")
@example(histories=[{-1: False}, {-1: False, 3: False}, {3: True}], window_days=3, same_day="ready")
def test_visits_give_what_every_consistent_day_gives(
    histories: list[dict[int, bool]], window_days: int, same_day: SameDay
) -> None:
    visits = {str(i): {day(visit): flag for visit, flag in flags.items()} for i, flags in enumerate(histories)}
    last = max((visit for flags in histories for visit in flags), default=0)
    records = harvests_from_visits(visits, day(last))
    for i, flags in enumerate(histories):
        possible = consistent_days(flags)
        assert (str(i) in records.faults) == (not possible)
        assert (str(i) in records.harvests) == bool(flags and possible)
        if flags and possible:
            watched_until = last if any(flags.values()) else max(flags)
            expected = outcome_of_all(possible, watched_until, window_days, same_day)
            assert decide(records.harvests[str(i)], TODAY, window_days, same_day) == expected


CELLS = st.none() | st.just("never") | st.integers(-12, 12)


@given(cells=st.lists(CELLS, min_size=1, max_size=8), watched_until=st.integers(-12, 20), window_days=WINDOWS)
@example(cells=[1, None, "never"], watched_until=1, window_days=3)
def test_a_table_of_dates_gives_what_every_consistent_day_gives(
    cells: list[int | str | None], watched_until: int, window_days: int
) -> None:
    cells = [cell for cell in cells if not isinstance(cell, int) or cell <= watched_until]
    rows: list[HarvestRow] = [
        (str(i), "never" if cell == "never" else day(cell) if isinstance(cell, int) else None)
        for i, cell in enumerate(cells)
    ]
    records = harvests_from_dates(rows, day(watched_until))
    for i, cell in enumerate(cells):
        harvest = records.harvests[str(i)]
        if cell == "never":
            assert decide(harvest, TODAY, window_days) == R.not_ready
            continue
        later: list[int | None] = [None, *range(watched_until + 1, FAR)]
        possible = [cell] if isinstance(cell, int) else later
        assert decide(harvest, TODAY, window_days) == outcome_of_all(possible, watched_until, window_days, "ready")


@given(cells=st.lists(st.none() | st.integers(-5, 9), min_size=1, max_size=9), watched_until=st.integers(-5, 9))
def test_labels_of_a_date_are_not_selected_by_their_outcome(cells: list[int | None], watched_until: int) -> None:
    """A date loses the labels of all plants or of none, so the share of ready plants is that of the field."""
    known = [cell for cell in cells if cell is None or cell <= watched_until]
    rows: list[HarvestRow] = [(str(i), None if cell is None else day(cell)) for i, cell in enumerate(known)]
    states = [decide(harvest, TODAY) for harvest in harvests_from_dates(rows, day(watched_until)).harvests.values()]
    standing = [state for state in states if state != R.harvested]
    assert {state == R.ambiguous for state in standing} <= {watched_until < 3}


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


@given(
    after=st.integers(-12, 12),
    length=st.integers(1, 15),
    watched_until=st.integers(-12, 20),
    window_days=WINDOWS,
    same_day=SAME_DAYS,
)
def test_only_labels_need_the_whole_window(
    after: int, length: int, watched_until: int, window_days: int, same_day: SameDay
) -> None:
    harvest = Harvest(day(after), day(after + length), day(watched_until))
    possible = list(range(after + 1, after + length + 1))
    assert decide(harvest, TODAY, window_days, same_day) == outcome_of_all(
        possible, watched_until, window_days, same_day
    )
    known = outcome_of_all(possible, FAR, window_days, same_day)
    lost = known in {R.ready, R.not_ready} and watched_until < window_days
    assert is_censored(harvest, TODAY, window_days, same_day) == lost


@given(after=st.integers(-12, 12), window_days=st.integers(0, 6))
def test_a_lost_plant_is_not_ready_only_when_seen_to_the_end_of_the_window(after: int, window_days: int) -> None:
    expected = R.not_ready if day(after) >= day(window_days) else R.ambiguous
    assert decide(Harvest(day(after), date.max), TODAY, window_days) == expected
    harvest = Harvest.not_by(day(after))
    assert decide(harvest, TODAY, window_days) == expected
    assert is_censored(harvest, TODAY, window_days) == (expected == R.ambiguous)


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
        pytest.param(Harvest.on(day(2), day(2)), "ready", R.ambiguous, id="harvested in the window, watched no longer"),
        pytest.param(Harvest.on(day(2), day(3)), "ready", R.ready, id="watched to the end of the window"),
        pytest.param(Harvest.on(day(4), day(4)), "ready", R.not_ready, id="harvested after the window"),
        pytest.param(Harvest.on(day(-1), day(-1)), "ready", R.harvested, id="harvested before the last watched day"),
        pytest.param(Harvest.on(day(0), day(0)), "excluded", R.same_day, id="same day, the last watched one"),
        pytest.param(Harvest.not_by(day(2)), "ready", R.ambiguous, id="not harvested one day too early"),
        pytest.param(Harvest.not_by(day(3)), "ready", R.not_ready, id="not harvested by the end of the window"),
        pytest.param(Harvest.not_by(date.min), "ready", R.ambiguous, id="never watched"),
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
            image("cut early", harvest=Harvest.on(day(2), day(2))),
            image("open", harvest=Harvest.not_by(day(2))),
            image("unwatched", harvest=Harvest.not_by(date.min)),
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
        ("cut early", "ambiguous"),
        ("open", "ambiguous"),
        ("unwatched", "ambiguous"),
    ]
    assert [one.detail for one in left_out] == [
        "harvested on 2021-08-18",
        "harvested on 2021-08-23",
        "harvested after 2021-08-24, by 2021-09-01",
        "harvested on 2021-08-25, not watched after 2021-08-25",
        "not harvested by 2021-08-25, not watched after 2021-08-25",
        "harvest unknown",
    ]
    kept, gone = label_observations(listing, 3, "excluded", keep_censored=True)
    unlabelled = [(one.plant_id, one.label) for one in kept if one not in images]
    assert unlabelled == [("cut early", None), ("open", None), ("unwatched", None)]
    assert [one.plant_id for one in gone] == ["gone", "today", "unclear"]
