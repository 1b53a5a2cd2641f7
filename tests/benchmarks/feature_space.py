"""Draw synthetic campaigns in feature space: a classifier's outputs and saliency maps of plants with known truth.

A campaign has no images, so hundreds of them are drawn and judged in minutes. The classifier sees noisy evidence of a
plant's readiness. With evidence for the true class of mean c and standard deviation 1, its accuracy is Phi(c) and its
log-odds are 2 c times the evidence (Fisher's linear discriminant). It is over-confident: its log-odds are `SHARPNESS`
times too large. Saliency maps carry information about errors only in scenarios where the classifier fails
systematically.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from tasks.classify.answers import Answers, Floats
from tasks.score.held_out import Validation

Ints = NDArray[np.int64]
SHARPNESS = 2.5  # factor by which the classifier's log-odds are too large, the softmax temperature that mends them
N_FEATURES, N_PIXELS = 12, 30  # dimensions of features and of saliency-map vectors
FEATURE_NOISE = 0.6  # standard deviation of features without evidence
CUE_FEATURE = 0.8  # shift of the feature that shows the shortcut's cue
PLAIN_MODES = (0.25, 0.2, 0.2, 0.15, 0.1, 0.1)  # shares of the modes of saliency maps that say nothing of errors
# Saliency maps are a common map of length 1, an offset to their mode and noise, both of these lengths. Then distances
# of unit maps are about 0.4 within a mode and 0.65 between modes, as in the demonstration's seasons.
OFFSET, MAP_NOISE = 0.4, 0.3
TRUSTED, FAILING = len(PLAIN_MODES), len(PLAIN_MODES) + 1  # modes of the shortcut's two parts


@dataclass(frozen=True)
class Scenario:
    """Plants, truth and classifier of a campaign.

    Attributes
    ----------
    ready : share of ready plants on each date of validation, 0..1. A plant stays ready where shares rise.
    unseen_ready : shares of ready plants on new dates, which hold all unseen plants; empty for the dates of validation.
    n_plants, n_unseen : number of validation plants, with an image on every date; and of unseen plants, with one image.
    clarity : mean evidence for the true class, in standard deviations; 0.83 gives an accuracy of 0.797.
    cue_shares : shares of images answered by a shortcut that is right, and of those where it is wrong.
    cue_clarity : mean evidence for the true class on these images; negative where the shortcut is wrong.
    label_noise : share of images with a wrong label, in validation and in truth.
    growth_seen : share of the log-odds of a date's share of ready plants that the classifier adds to its evidence.
    bias : log-odds that the classifier adds for "ready".
    plant_correlation : correlation of the evidence's noise between images of a plant; 0.8 gives errors one of 0.6.
    """

    ready: tuple[float, ...] = (0.45, 0.55)
    unseen_ready: tuple[float, ...] = ()
    n_plants: int = 98
    n_unseen: int = 3000
    clarity: float = 0.83
    cue_shares: tuple[float, float] = (0.0, 0.0)
    cue_clarity: tuple[float, float] = (1.8, -1.6)
    label_noise: float = 0.0
    growth_seen: float = 0.0
    bias: float = 0.0
    plant_correlation: float = 0.0


SCENARIOS = {
    "shortcut": Scenario(cue_shares=(0.12, 0.08)),
    "label noise": Scenario(label_noise=0.15),
    "nothing systematic": Scenario(),
    "growing": Scenario(ready=(0.1, 0.3, 0.6, 0.85), growth_seen=0.35, bias=0.2),
    "biased": Scenario(bias=1.0),
    "few ready": Scenario(ready=(0.5, 0.5), unseen_ready=(0.15,)),
    "many ready": Scenario(ready=(0.5, 0.5), unseen_ready=(0.85,)),
    "repeated plants": Scenario(ready=(0.4, 0.5, 0.6), n_plants=40, plant_correlation=0.8),
}


@dataclass(frozen=True)
class Images:
    """Images of plants with everything that the classifier computed for them.

    Attributes
    ----------
    plants : n ids of plants.
    date : (n,) index of the date. New dates follow those of validation.
    truth : (n,) classes as labelled: 1 is ready, 0 not ready.
    answers : logits (n, 2) and features (n, 12).
    vectors : (n, 30) saliency maps of unit length.
    mode : (n,) mode of each saliency map, which nobody knows.
    """

    plants: tuple[str, ...]
    date: Ints
    truth: Ints
    answers: Answers
    vectors: Floats
    mode: Ints

    @property
    def is_wrong(self) -> NDArray[np.bool_]:
        """Return whether the classifier's answers differ from truth, (n,)."""
        return self.answers.predicted != self.truth

    @property
    def labelled(self) -> Validation:
        """Return these images as labelled validation images."""
        return Validation(self.vectors, self.answers, self.truth, self.plants, [str(date) for date in self.date])


@dataclass(frozen=True)
class Campaign:
    """Labelled validation images, and unseen ones whose truth serves only for comparison."""

    validation: Images
    unseen: Images


def draw_campaign(scenario: Scenario, seed: int) -> Campaign:
    """Draw a campaign; a seed gives the same campaign each time."""
    generator = np.random.default_rng(seed)
    n_dates, n_new = len(scenario.ready), len(scenario.unseen_ready)
    plant, date = np.divmod(np.arange(scenario.n_plants * n_dates), n_dates)
    other = np.arange(scenario.n_unseen)
    new = n_dates + other % n_new if n_new else other % n_dates
    return Campaign(
        draw_images(scenario, plant, date, "val", generator), draw_images(scenario, other, new, "new", generator)
    )


def draw_images(scenario: Scenario, plant: Ints, date: Ints, split: str, generator: np.random.Generator) -> Images:
    """Draw images of plants (n,) on dates (n,), both numbered from 0; `split` begins the plants' names."""
    n, n_plants = len(plant), int(plant.max()) + 1
    share = np.asarray([*scenario.ready, *scenario.unseen_ready])[date]
    is_ready = generator.random(n_plants)[plant] < share
    r = scenario.plant_correlation
    noise = np.sqrt(r) * generator.normal(size=n_plants)[plant] + np.sqrt(1 - r) * generator.normal(size=n)
    cues = scenario.cue_shares
    mode = generator.choice(FAILING + 1, n, p=[*(np.asarray(PLAIN_MODES) * (1 - sum(cues))), *cues])
    clarity = np.asarray([scenario.clarity] * len(PLAIN_MODES) + list(scenario.cue_clarity))[mode]
    evidence = 2 * scenario.clarity * np.where(is_ready, 1, -1) * (clarity + noise)
    evidence += scenario.growth_seen * logit(share)
    log_odds = SHARPNESS * (evidence + scenario.bias)
    is_mislabelled = generator.random(n) < scenario.label_noise
    return Images(
        plants=tuple(f"{split}-{one:04d}" for one in plant),
        date=date,
        truth=(is_ready ^ is_mislabelled).astype(np.int64),
        answers=Answers(np.stack([-log_odds, log_odds], axis=1) / 2, draw_features(evidence, mode, generator)),
        vectors=draw_maps(mode, generator),
        mode=mode,
    )


def draw_features(evidence: Floats, mode: Ints, generator: np.random.Generator) -> Floats:
    """Draw features (n, 12): the classifier's evidence (n,), a weak sign of the shortcut's two parts, and noise."""
    features = FEATURE_NOISE * generator.normal(size=(len(evidence), N_FEATURES))
    features[:, 0] = evidence
    features[:, 1] += CUE_FEATURE * ((mode == FAILING).astype(np.float64) - (mode == TRUSTED))
    return features


def draw_maps(mode: Ints, generator: np.random.Generator) -> Floats:
    """Draw saliency maps (n, 30) of unit length around the centres of their modes (n,)."""
    centres = np.zeros((FAILING + 1, N_PIXELS))
    centres[:, 0] = 1
    centres[np.arange(TRUSTED), np.arange(TRUSTED) + 1] = OFFSET
    centres[[TRUSTED, FAILING], TRUSTED + 1] = OFFSET
    centres[[TRUSTED, FAILING], TRUSTED + 2] = OFFSET, -OFFSET
    noise = MAP_NOISE / np.sqrt(N_PIXELS) * generator.normal(size=(len(mode), N_PIXELS))
    maps = centres[mode] + noise
    return maps / np.linalg.norm(maps, axis=1, keepdims=True)
