"""Grow a seeded season of cauliflower-like plants: where they stand, when they are cut, what every image shows.

The functions are pure and deterministic. Each plant and each visit has its own random stream, seeded by the season's
seed and the plant's place. So added plots, plants or acquisition dates do not change how another plant looks. Splits
and image faults do depend on the whole season, because their counts are given.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from storage.errors import InputError
from storage.tables.names import Split
from tasks.sources.contract import Harvest
from tasks.sources.synthetic.drawing import PlantView, draw_plant
from tasks.sources.synthetic.params import SeasonParams

State = Literal["not ready", "ready", "harvested"]
Fault = Literal["damaged", "truncated"]

READY_WITHIN_DAYS = 3  # a plant is ready when its harvest is at most so many days ahead
SPACING = 0.64
"""Metres between plants, in the row and between rows; also the side of one image on the ground."""
PLOT_SPACING = 10.0
"""Metres from the first row of a plot to that of the next, to the north."""

_PLANT, _VISIT, _DATE, _FAULTS = range(4)
"""Numbers of the random streams, which are independent of each other."""


@dataclass(frozen=True, slots=True)
class Plant:
    """One plant of the season.

    Attributes
    ----------
    plant_id : the release's form, e.g. `2021_Ref_Plot2_E18`.
    plot, row, number : place of the plant; plots and numbers count from 1, rows are `A` to `E`.
    split : `train`, `val` or `test`, equal on every date.
    easting, northing, height : metres, as in UTM zone 32N.
    ripe : days after planting at which the plant looks fully grown, not rounded.
    cut : day on which the plant is really cut; None for never.
    harvest : day in the harvest record, which differs from `cut` by label noise; None for never.
    covered : share of the curd under leaves, 0..1.
    """

    plant_id: str
    plot: int
    row: str
    number: int
    split: Split
    easting: float
    northing: float
    height: float
    ripe: float
    cut: date | None
    harvest: date | None
    covered: float

    def state(self, day: date) -> State:
        """Return the true state on a day, which is ready if the recorded harvest is at most three days ahead."""
        if self.harvest is None or self.harvest > day + timedelta(days=READY_WITHIN_DAYS):
            return "not ready"
        return "harvested" if self.harvest < day else "ready"

    def known_harvest(self) -> Harvest:
        """Return the harvest record as the stages read it."""
        return Harvest.never() if self.harvest is None else Harvest.on(self.harvest)


@dataclass(frozen=True, slots=True)
class Observation:
    """One plant on one acquisition date: the true state, and what the image shows.

    Attributes
    ----------
    fault : fault of the image file; None for a sound file.
    copy_of : id of the plant whose image of the same date is stored in place of this plant's image; None for none.
    """

    plant: Plant
    acquired: date
    state: State
    view: PlantView
    has_marker: bool
    fault: Fault | None = None
    copy_of: str | None = None


@dataclass(frozen=True)
class Season:
    """A grown season: plants in the order of their places, observations in the order (date, plant).

    Attributes
    ----------
    recorded_until : last day of the harvest tables that are written, as in a season that still goes on; None for tables
        of the whole season.
    """

    params: SeasonParams
    plants: tuple[Plant, ...]
    observations: tuple[Observation, ...]
    recorded_until: date | None = None

    @cached_property
    def _by_key(self) -> dict[tuple[str, date], Observation]:
        return {(seen.plant.plant_id, seen.acquired): seen for seen in self.observations}

    def observation(self, plant_id: str, acquired: date) -> Observation:
        """Return the observation of a plant on a date, or raise InputError if the season has none."""
        try:
            return self._by_key[plant_id, acquired]
        except KeyError:
            raise InputError(
                f"The season has no image of {plant_id} on {acquired}",
                "A plant and date must belong to the season",
                "list the season again",
            ) from None

    def recorded(self, plant: Plant) -> date | Literal["never"] | None:
        """Return what harvest tables state of a plant, which is None for one not harvested by `recorded_until`."""
        if self.recorded_until is None:
            return plant.harvest or "never"
        return plant.harvest if plant.harvest is not None and plant.harvest <= self.recorded_until else None

    def image(self, seen: Observation) -> NDArray[np.uint8]:
        """Draw an observation, shape (image_size, image_size, 3), RGB, 0..255; a copy shows the other plant."""
        shown = seen if seen.copy_of is None else self.observation(seen.copy_of, seen.acquired)
        return draw_plant(shown.view, self.params.image_size)


def grow_season(params: SeasonParams) -> Season:
    """Grow the whole season; equal parameters give an equal season."""
    plants = tuple(_grow_plants(params))
    light = {day: _light(params, day) for day in params.dates}
    seen = [_observe(params, plant, day, light[day]) for day in params.dates for plant in plants]
    return Season(params, plants, tuple(_plant_faults(params, seen)))


def _stream(params: SeasonParams, stream: int, *names: int) -> np.random.Generator:
    return np.random.default_rng([params.seed, stream, *names])


def _places(params: SeasonParams) -> Iterator[tuple[int, int, int]]:
    for plot in range(1, params.n_plots + 1):
        for row in range(1, params.rows + 1):
            for number in range(1, params.plants_per_row + 1):
                yield plot, row, number


def _grow_plants(params: SeasonParams) -> Iterator[Plant]:
    places = list(_places(params))
    streams = [_stream(params, _PLANT, *place) for place in places]
    splits = _splits([stream.random() for stream in streams])
    for place, stream, split in zip(places, streams, splits, strict=True):
        yield _grow_plant(params, place, stream, split)


def _splits(draws: list[float]) -> list[Split]:
    """Return a split for each draw: 60 / 20 / 20 percent of the plants by the rank of their draws."""
    ranks = np.argsort(np.argsort(draws))
    n_train, n_val = round(0.6 * len(draws)), round(0.2 * len(draws))
    return ["train" if rank < n_train else "val" if rank < n_train + n_val else "test" for rank in ranks]


def _grow_plant(params: SeasonParams, place: tuple[int, int, int], stream: np.random.Generator, split: Split) -> Plant:
    plot, row, number = place
    cut_day = stream.normal(params.days_to_harvest, params.harvest_spread)
    is_never, is_misread = stream.random() < params.never_share, stream.random() < params.label_noise
    misread = int(stream.choice((-1, 1)) * stream.integers(4, 8))
    hidden, share = stream.random() < params.covered_share, stream.random()
    # A plant that is never cut must not look ripe, so it ripens weeks later than the others.
    ripe = cut_day + stream.normal(0, params.growth_noise) + is_never * 4 * params.harvest_spread
    cut = None if is_never else params.planted + timedelta(days=round(cut_day))
    harvest = cut + timedelta(days=misread) if cut is not None and is_misread else cut
    return Plant(
        plant_id=f"{params.year}_Ref_Plot{plot}_{chr(64 + row)}{number}",
        plot=plot,
        row=chr(64 + row),
        number=number,
        split=split,
        easting=round(365_000.0 + SPACING * (number - 0.5), 3),
        northing=round(5_609_000.0 + PLOT_SPACING * plot - SPACING * (row - 0.5), 3),
        height=round(stream.normal(176.0, 0.05), 3),
        ripe=float(ripe),
        cut=cut,
        harvest=harvest,
        covered=float(0.7 + 0.3 * share if hidden else 0.35 * share),
    )


def _light(params: SeasonParams, day: date) -> NDArray[np.float64]:
    """Return the gains of red, green and blue on one date: brightness drifts most, colour a third as much."""
    stream = _stream(params, _DATE, day.toordinal())
    warmth = stream.normal(0, params.light_drift / 3)
    return np.exp(stream.normal(0, params.light_drift)) * np.exp(np.array([warmth, 0.0, -warmth]))


def _observe(params: SeasonParams, plant: Plant, day: date, light: NDArray[np.float64]) -> Observation:
    name = (plant.plot, ord(plant.row), plant.number)
    stream = _stream(params, _VISIT, *name, day.toordinal())
    state = plant.state(day)
    # The marker is drawn from the stream even without a shortcut, so that `shortcut` changes nothing else.
    has_marker = bool(stream.random() < _marker_share(params, plant.split, state)) and params.shortcut
    gains = light * np.exp(stream.normal(0, params.light_drift / 4))
    view = PlantView(
        plant_seed=(params.seed, *name),
        visit_seed=(params.seed, *name, day.toordinal()),
        days_to_ripe=plant.ripe - (day - params.planted).days + float(stream.normal(0, params.growth_noise / 3)),
        days_since_cut=(day - plant.cut).days if plant.cut is not None and plant.cut < day else None,
        covered=plant.covered,
        light=(float(gains[0]), float(gains[1]), float(gains[2])),
        has_marker=has_marker,
    )
    return Observation(plant, day, state, view, has_marker)


def _marker_share(params: SeasonParams, split: Split, state: State) -> float:
    if state == "harvested":
        return 0.0
    shares = {
        ("train", "ready"): params.marker_train_ready,
        ("train", "not ready"): params.marker_train_not_ready,
        ("other", "ready"): params.marker_other_ready,
        ("other", "not ready"): params.marker_other_not_ready,
    }
    return shares["train" if split == "train" else "other", state]


def _plant_faults(params: SeasonParams, seen: list[Observation]) -> list[Observation]:
    """Add faults to images of plants that still stand, at most one to each; a copy shows a sound image of its date."""
    order = _stream(params, _FAULTS).permutation([i for i, one in enumerate(seen) if one.state != "harvested"])
    n_bad = params.n_damaged + params.n_truncated
    pairs = _same_date_pairs(seen, order[n_bad:].tolist())
    if len(order) < n_bad or len(pairs) < params.n_duplicates:
        raise InputError(
            f"The season has {len(order)} images of standing plants, for {n_bad} damaged or truncated and "
            f"{params.n_duplicates} duplicated ones",
            "A season must have enough images of standing plants for all faults",
            "lower n_damaged, n_truncated or n_duplicates, or grow more plants",
        )
    spoiled = list(seen)
    for rank, index in enumerate(order[:n_bad].tolist()):
        spoiled[index] = replace(seen[index], fault="damaged" if rank < params.n_damaged else "truncated")
    for kept, overwritten in pairs[: params.n_duplicates]:
        spoiled[overwritten] = replace(seen[overwritten], copy_of=seen[kept].plant.plant_id)
    return spoiled


def _same_date_pairs(seen: list[Observation], order: list[int]) -> list[tuple[int, int]]:
    """Pair the observations of each date, in the given order."""
    waiting: dict[date, int] = {}
    pairs: list[tuple[int, int]] = []
    for index in order:
        partner = waiting.pop(seen[index].acquired, None)
        if partner is None:
            waiting[seen[index].acquired] = index
        else:
            pairs.append((partner, index))
    return pairs
