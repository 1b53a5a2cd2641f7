"""Judge a synthetic campaign in feature space by the product's own functions, and compare with its truth."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.tables.names import CLUSTER_SCORE, COMBINED_SCORE, PRODUCT_SCORE, SCORES
from tasks.adjust.rules import AdjustParams, which_swapped
from tasks.classify.answers import Floats
from tasks.cluster.assign import Reference, new_signals
from tasks.cluster.evidence import MapEvidence, Signals, cluster_evidence, place
from tasks.cluster.params import ClusterParams, Kernel
from tasks.decide.counts import ready_counts
from tasks.decide.decisions import Answered, more_probable, right_where_shifted
from tasks.decide.guarantee import rank_answers
from tasks.decide.params import DecideParams
from tasks.score.combine import answer_sign, inputs
from tasks.score.date_share import DateShare, estimated_share, validated_share
from tasks.score.held_out import Validation, combined_cross_fit, cross_fit
from tasks.score.params import ScoreParams
from tasks.score.rating import Judged, right_probability
from tasks.score.score import score_cluster
from tasks.score.signals import answer_evidence, answer_signals
from tasks.score.uncertainty import ReadyModel, ready_model, resampled_models
from tasks.statistics.by_plant import intra_plant_correlation
from tests.benchmarks.feature_space import Campaign, Images, Scenario, draw_campaign

Flags = NDArray[np.bool_]
Claims = dict[str, tuple[Floats, Flags]]  # by score, its values (n,) and whether the answers are wrong (n,)
TOLERATED, CONFIDENCE = (0.1, 0.15, 0.2), 0.9
PARAMS = ClusterParams(n_seeds=2)  # more k-means seeds take most of the time and change little
DECIDE = DecideParams()
LEAST = 30  # least images of a date and answer whose calibration is looked at


@dataclass(frozen=True)
class Rated:
    """Scores of n images.

    Attributes
    ----------
    answered : the more probable classes.
    scores : values (n,) of the baselines by name.
    is_vetoed : (n,) whether the plant is checked whatever its probability.
    """

    answered: Answered
    scores: Signals
    is_vetoed: Flags

    def claims(self, images: Images) -> Claims:
        """Return for every score its values (n,), and whether the answers that belong to it are wrong (n,)."""
        product = self.answered.reliability, self.answered.answer != images.truth
        return {PRODUCT_SCORE: product, **{name: (self.scores[name], images.is_wrong) for name in SCORES}}


@dataclass(frozen=True)
class Outcome:
    """Result of a campaign on its unseen plants.

    Attributes
    ----------
    before, paper, decided : share of right answers of the classifier, after the paper's swaps, and of the more probable
        classes.
    gap, worst_gap : difference of promised and observed share of right answers by date and answer, mean and largest.
    brier : mean squared error of the probability that a plant is ready.
    outside : share of plants on dates outside what was validated, all of which are to be checked.
    is_covered : on each other date, whether the interval of the number of ready plants contains the true number.
    answered : share of plants acted on, by score and tolerated error.
    kept : whether at most the tolerated share of these answers was wrong, by score and tolerated error.
    possible : share of plants acted on if truth were known to the choice of the product's threshold.
    seconds : CPU time.
    """

    scenario: str
    seed: int
    before: float
    paper: float
    decided: float
    gap: float
    worst_gap: float
    brier: float
    outside: float
    is_covered: list[bool]
    answered: dict[str, list[float]]
    kept: dict[str, list[bool]]
    possible: list[float]
    seconds: float


def outcome(name: str, scenario: Scenario, seed: int) -> Outcome:
    """Draw and judge a campaign, certify thresholds on validation, and compare with the truth of unseen plants."""
    start = time.process_time()
    campaign = draw_campaign(scenario, seed)
    known, unseen = campaign.validation, campaign.unseen
    rated, new, is_swapped, is_outside, is_covered = judge(campaign, PARAMS, Kernel(PARAMS.affinity, PARAMS.scale))
    answer, promised = new.answered.answer, new.answered.reliability
    is_right = answer == unseen.truth
    gaps = calibration_gaps(unseen.date, answer, promised, is_right)
    answered, kept = promises(rated.claims(known), rated.is_vetoed, known.plants, new.claims(unseen), new.is_vetoed)
    return Outcome(
        scenario=name,
        seed=seed,
        before=float(1 - unseen.is_wrong.mean()),
        paper=float(1 - (unseen.is_wrong ^ is_swapped).mean()),
        decided=float(is_right.mean()),
        gap=float(np.mean(gaps)),
        worst_gap=max(gaps),
        brier=float(((promised - is_right) ** 2).mean()),
        outside=float(is_outside.mean()),
        is_covered=is_covered,
        answered=answered,
        kept=kept,
        possible=[possible_share(promised, ~is_right, tolerated) for tolerated in TOLERATED],
        seconds=time.process_time() - start,
    )


def judge(campaign: Campaign, params: ClusterParams, kernel: Kernel) -> tuple[Rated, Rated, Flags, Flags, list[bool]]:
    """Judge validation, cross-fitted, and unseen plants by all of validation.

    Returns
    -------
    Scores of validation and of unseen images; which of the latter the paper's rule swaps, and which lie outside; and by
    date that is not outside, whether the interval of the number of ready plants contains the true number.
    """
    known, unseen = campaign.validation.labelled, campaign.unseen
    found = cross_fit(known, params, kernel)
    evidence, _ = cluster_evidence(known.vectors, known.is_wrong, params, kernel)
    reference = Reference(evidence, found.fold, found.signals["map_distance"], np.zeros(0, np.int64), {})
    signals = new_signals(reference, *place(evidence.axes, unseen.vectors), params.neighbours, None)
    signals |= answer_signals(answer_evidence(known.answers, known.truth), unseen.answers)
    signals["answer"] = answer_sign(unseen.answers.predicted)
    own = combined_cross_fit(known, found, params, kernel)
    model, resampled = ready_model(known, found.signals), resampled_models(known, found.signals)
    right, is_outside = np.empty(len(unseen.date)), np.zeros(len(unseen.date), np.bool_)
    values, is_covered = inputs(signals), list[bool]()
    least_wrong = least_error_shares(known, evidence.labels)[signals["cluster"].astype(np.int64) - 1]
    for day in np.unique(unseen.date).tolist():
        here = unseen.date == day
        judged = Judged({}, values[here], signals["answer"][here])
        share = (
            validated_share(model, resampled, str(day))
            if str(day) in known.dates
            else estimated_share(model, resampled, judged.inputs, judged.answer)
        )
        right[here], is_outside[here] = right_probability(judged, model, share), share.distance > DECIDE.max_share_shift
        if is_outside[here].any():
            right[here] = right_where_shifted(right[here], signals["calibrated_softmax"][here], least_wrong[here])
        if not is_outside[here].any():
            is_covered.append(counts_hold(judged, right[here], share, resampled, unseen.truth[here]))
    swaps = swapped_by_paper(evidence, signals["cluster"])
    return (
        rate(campaign.validation, found.signals, own, np.zeros(len(own), np.bool_)),
        rate(unseen, signals, right, is_outside),
        swaps,
        is_outside,
        is_covered,
    )


def rate(images: Images, signals: Signals, right: Floats, is_outside: Flags) -> Rated:
    """Return the scores of n images whose predicted classes are right with probability `right` (n,)."""
    known = {**signals, CLUSTER_SCORE: 1 - signals["error_share"], COMBINED_SCORE: right}
    return Rated(
        more_probable(images.answers.predicted, right, 2),
        {name: known[name] for name in SCORES},
        is_outside | (signals["novelty"] < DECIDE.least_novelty),
    )


def counts_hold(
    judged: Judged, right: Floats, share: DateShare, resampled: Sequence[ReadyModel], truth: NDArray[np.int64]
) -> bool:
    """Return whether the interval of the number of ready plants on a date contains the true number."""
    ready = np.where(judged.answer > 0, right, 1 - right)
    field = ready_counts(ready, judged.inputs, judged.answer, [None] * len(truth), share, resampled)[0]
    return bool(field["n_ready_lower"] <= truth.sum() <= field["n_ready_upper"])


def least_error_shares(known: Validation, labels: NDArray[np.int64]) -> Floats:
    """Return the lower end of the interval of each cluster's error share, (q,) from cluster 1."""
    plants, predicted = np.asarray(known.plants), known.answers.predicted
    rho = intra_plant_correlation(known.is_wrong, plants, labels)
    members = [labels == cluster for cluster in range(1, labels.max() + 1)]
    scores = [
        score_cluster(known.truth[own], predicted[own], plants[own], 2, rho, ScoreParams().confidence)
        for own in members
    ]
    return np.asarray([one["error_share_lower"] for one in scores])


def swapped_by_paper(evidence: MapEvidence, cluster: Floats) -> Flags:
    """Return whether the paper's rule swaps the answers of images of these clusters (n,)."""
    n = np.bincount(evidence.labels)[1:]
    n_wrong = np.bincount(evidence.labels, evidence.is_wrong)[1:].astype(np.int64)
    is_swapped = which_swapped(n, n_wrong, np.ones(len(n)), AdjustParams(rule="paper"), 2)
    return is_swapped[cluster.astype(np.int64) - 1]


def promises(
    validated: Claims, is_vetoed: Flags, plants: Sequence[str], claimed: Claims, is_checked: Flags
) -> tuple[dict[str, list[float]], dict[str, list[bool]]]:
    """Return the share of unseen plants acted on, and whether the promise was kept, by score and tolerated error.

    Parameters
    ----------
    validated, is_vetoed, plants : claims about validation images, which of them are vetoed (n,), and their plants.
    claimed, is_checked : claims about unseen images, and which of them are vetoed (m,).
    """
    answered: dict[str, list[float]] = {score: [] for score in claimed}
    kept: dict[str, list[bool]] = {score: [] for score in claimed}
    names = [plant for plant, is_out in zip(plants, is_vetoed, strict=True) if not is_out]
    for score, (values, is_wrong) in claimed.items():
        own, own_wrong = (one[~is_vetoed] for one in validated[score])
        believed = validated[PRODUCT_SCORE if score == PRODUCT_SCORE else COMBINED_SCORE][0]
        ranked = rank_answers(own, own_wrong, names, 1 - believed[~is_vetoed])
        for tolerated in TOLERATED:
            found = ranked.certify(tolerated, CONFIDENCE)
            chosen = ~is_checked & (values >= (np.inf if found.threshold is None else found.threshold))
            answered[score].append(float(chosen.mean()))
            kept[score].append(not chosen.any() or bool(is_wrong[chosen].mean() <= tolerated))
    return answered, kept


def calibration_gaps(
    date: NDArray[np.int64], answer: NDArray[np.int64], promised: Floats, is_right: Flags
) -> list[float]:
    """Return how far the promised share of right answers is off, for every date and answer with enough images."""
    cells = [(date == d) & (answer == a) for d in np.unique(date) for a in (0, 1)]
    return [abs(float(promised[c].mean() - is_right[c].mean())) for c in cells if c.sum() >= LEAST]


def possible_share(confidence: Floats, is_wrong: Flags, tolerated: float) -> float:
    """Return the largest share of images, the most confident first, of which at most the tolerated share is wrong."""
    wrong = np.cumsum(is_wrong[np.argsort(-confidence, kind="stable")])
    n = np.arange(1, len(wrong) + 1)
    return float(n[wrong <= tolerated * n].max(initial=0) / len(wrong))
