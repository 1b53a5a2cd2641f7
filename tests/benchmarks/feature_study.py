"""Study in feature space what decisions promise and keep: hundreds of synthetic campaigns with known truth.

`python -m tests.benchmarks.feature_study --campaigns 200` prints Markdown tables and writes build/feature-study.json. A
campaign takes 0.35 s of one core, and `make study` repeats the main scenarios on images. The code under study is
the product's own: `tasks.cluster`, `tasks.score` and `tasks.adjust`.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import betainc

from tasks.adjust.rules import AdjustParams, which_swapped
from tasks.classify.answers import Floats
from tasks.cluster.evidence import MapEvidence, Signals, cluster_evidence, map_signals, place
from tasks.cluster.nearest import conformal_p
from tasks.cluster.params import ClusterParams, Kernel
from tasks.score.combine import fit_combination
from tasks.score.held_out import Validation, combined_cross_fit, cross_fit
from tasks.score.signals import answer_evidence, answer_signals
from tests.benchmarks.feature_space import SCENARIOS, Campaign, Images, Scenario, draw_campaign

Flags = NDArray[np.bool_]
Certify = Callable[[Floats, Flags, Sequence[str], float, float], float | None]
TOLERATED, CONFIDENCE = (0.1, 0.15, 0.2), 0.9
PARAMS = ClusterParams(n_seeds=2)  # more k-means seeds take most of the time and change little
LEAST = 30  # least images of a date and answer whose calibration is looked at
RESULT = Path("build/feature-study.json")
# Scores beside the combined one, by their signal; the cluster's reliability is one minus its error share.
BASELINES = {
    "cluster reliability": "error_share",
    "softmax": "softmax",
    "calibrated softmax": "calibrated_softmax",
    "nearest maps": "nearest_map_reliability",
    "nearest features": "feature_reliability",
    "trust score": "trust_score",
}


@dataclass(frozen=True)
class Claims:
    """Confidence (n,) in the answers that a score leads to, and whether these are wrong (n,)."""

    confidence: Floats
    is_wrong: Flags


@dataclass(frozen=True)
class Outcome:
    """Result of a campaign on its unseen plants.

    Attributes
    ----------
    before, paper, decided : share of right answers of the classifier, after the paper's swaps, and where the answer is
        the more probable class.
    gap, worst_gap : difference of promised and observed share of right answers by date and answer, mean and largest.
    brier : mean squared error of the probability that a plant is ready.
    answered : share of plants answered, by score and tolerated error.
    kept : whether at most the tolerated share of these answers was wrong, by score and tolerated error.
    possible : share of plants answered if truth were known to the choice of the threshold of the combined score.
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
    answered: dict[str, list[float]]
    kept: dict[str, list[bool]]
    possible: list[float]
    seconds: float


def judge(campaign: Campaign, params: ClusterParams, kernel: Kernel) -> tuple[Signals, Signals, MapEvidence]:
    """Return all signals of validation images, cross-fitted, and of unseen ones, with the clusters of validation.

    The signal `combined` is the probability that the classifier's answer is right.
    """
    known = campaign.validation.labelled
    found = cross_fit(known, params, kernel)
    evidence, _ = cluster_evidence(known.vectors, known.is_wrong, params, kernel)
    unseen = unseen_signals(known, campaign.unseen, evidence, found.signals["map_distance"], params)
    own = {**found.signals, "combined": combined_cross_fit(known, found, params, kernel)}
    unseen["combined"] = fit_combination(found.signals, known.is_wrong).reliability(unseen)
    return own, unseen, evidence


def unseen_signals(
    known: Validation, unseen: Images, evidence: MapEvidence, distances: Floats, params: ClusterParams
) -> Signals:
    """Return the signals of unseen images by all validation images, whose cross-fitted map distances are (n,)."""
    found = map_signals(evidence, *place(evidence.axes, unseen.vectors), params.neighbours)
    found["novelty"] = conformal_p(found["map_distance"], distances)
    return found | answer_signals(answer_evidence(known.answers, known.truth), unseen.answers)


def claims(images: Images, signals: Signals) -> dict[str, Claims]:
    """Return the claims of each score; the combined score leads to the more probable class."""
    right = signals["combined"]
    is_wrong = images.is_wrong
    found = {"combined": Claims(np.maximum(right, 1 - right), is_wrong ^ (right < 0.5))}
    for score, name in BASELINES.items():
        found[score] = Claims(1 - signals[name] if name == "error_share" else signals[name], is_wrong)
    return found


def calibration_gaps(date: NDArray[np.int64], answer: NDArray[np.int64], claim: Claims) -> list[float]:
    """Return promised minus observed share of right answers of every date and answer with enough images."""
    cells = [(date == d) & (answer == a) for d in np.unique(date) for a in (0, 1)]
    right = ~claim.is_wrong
    return [float(claim.confidence[c].mean() - right[c].mean()) for c in cells if c.sum() >= LEAST]


def possible_share(claim: Claims, tolerated: float) -> float:
    """Return the largest share of images, the most confident first, of which at most the tolerated share is wrong."""
    wrong = np.cumsum(claim.is_wrong[np.argsort(-claim.confidence, kind="stable")])
    n = np.arange(1, len(wrong) + 1)
    return float(n[wrong <= tolerated * n].max(initial=0) / len(wrong))


def plant_correlation(is_wrong: Flags, plants: Sequence[str]) -> float:
    """Estimate the intraclass correlation of errors within plants by analysis of variance, cut to 0..1."""
    member, size = np.unique(np.asarray(plants), return_inverse=True, return_counts=True)[1:]
    n, g = len(is_wrong), len(size)
    if n == g:
        return 0.0
    share = np.bincount(member, is_wrong) / size
    between = float((size * (share - is_wrong.mean()) ** 2).sum()) / (g - 1)
    within = float(((is_wrong - share[member]) ** 2).sum()) / (n - g)
    usual = (n - (size**2).sum() / n) / (g - 1)
    total = between + (usual - 1) * within
    return float(np.clip((between - within) / total, 0, 1)) if total > 0 else 0.0


def certify(
    confidence: Floats, is_wrong: Flags, plants: Sequence[str], tolerated: float, confidence_level: float
) -> float | None:
    """Return the lowest threshold whose answers are certified to hold the tolerated error share, or None.

    Thresholds at every twentieth of the images are tested in descending order by the fallback procedure (Wiens 2003,
    DOI 10.1002/pst.64). Errors are counted in effective images, of which a plant's further images add less.
    """
    order = np.sort(confidence)[::-1]
    level, start = 0.0, {4: 0.4, 10: 0.3, 16: 0.3}
    correlation, certified = plant_correlation(is_wrong, plants), None
    for step in range(1, 21):
        threshold = float(order[round(step * len(order) / 20) - 1])
        level += (1 - confidence_level) * start.get(step, 0.0)
        chosen = confidence >= threshold
        k, n_wrong = int(chosen.sum()), int(is_wrong[chosen].sum())
        size = np.unique(np.asarray(plants)[chosen], return_counts=True)[1]
        effect = 1 + ((size**2).sum() / k - 1) * correlation
        p = betainc((k - n_wrong) / effect, n_wrong / effect + 1, 1 - tolerated) if n_wrong < k else 1.0
        certified, level = (threshold, level) if p <= level else (certified, 0.0)
    return certified


def promises(
    validated: dict[str, Claims], claimed: dict[str, Claims], plants: Sequence[str], rule: Certify
) -> tuple[dict[str, list[float]], dict[str, list[bool]]]:
    """Return the share of unseen plants answered, and whether the promise was kept, by score and tolerated error."""
    answered: dict[str, list[float]] = {}
    kept: dict[str, list[bool]] = {}
    for score, claim in claimed.items():
        mine = validated[score]
        found = [rule(mine.confidence, mine.is_wrong, plants, tolerated, CONFIDENCE) for tolerated in TOLERATED]
        chosen = [claim.confidence >= (np.inf if threshold is None else threshold) for threshold in found]
        answered[score] = [float(c.mean()) for c in chosen]
        kept[score] = [
            not c.any() or bool(claim.is_wrong[c].mean() <= t) for c, t in zip(chosen, TOLERATED, strict=True)
        ]
    return answered, kept


def swapped_by_paper(evidence: MapEvidence, cluster: Floats) -> Flags:
    """Return whether the paper's rule swaps the answers of images of these clusters (n,)."""
    n = np.bincount(evidence.labels)[1:]
    n_wrong = np.bincount(evidence.labels, evidence.is_wrong)[1:].astype(np.int64)
    return which_swapped(n, n_wrong, AdjustParams(rule="paper"), 2)[cluster.astype(np.int64) - 1]


def outcome(name: str, scenario: Scenario, seed: int, rule: Certify) -> Outcome:
    """Draw and judge a campaign, certify thresholds on validation, and compare with the truth of unseen plants."""
    start = time.process_time()
    campaign = draw_campaign(scenario, seed)
    known, unseen = campaign.validation, campaign.unseen
    own, new, evidence = judge(campaign, PARAMS, Kernel(PARAMS.affinity, PARAMS.scale))
    claimed = claims(unseen, new)
    combined = claimed["combined"]
    answered, kept = promises(claims(known, own), claimed, known.plants, rule)
    answer = np.where(combined.is_wrong, 1 - unseen.truth, unseen.truth)
    gaps = np.abs(calibration_gaps(unseen.date, answer, combined))
    return Outcome(
        scenario=name,
        seed=seed,
        before=float(1 - unseen.is_wrong.mean()),
        paper=float(1 - (unseen.is_wrong ^ swapped_by_paper(evidence, new["cluster"])).mean()),
        decided=float(1 - combined.is_wrong.mean()),
        gap=float(gaps.mean()),
        worst_gap=float(gaps.max()),
        brier=float(((1 - combined.confidence - combined.is_wrong) ** 2).mean()),
        answered=answered,
        kept=kept,
        possible=[possible_share(combined, tolerated) for tolerated in TOLERATED],
        seconds=time.process_time() - start,
    )


def quality_table(outcomes: list[Outcome]) -> str:
    """Format accuracy and calibration of every scenario as Markdown, means over campaigns."""
    lines = [
        "| scenario | right before | paper's rule | more probable class | gap by date and answer, mean | worst | Brier "
        "| CPU s |",
        "|---|" + "---:|" * 7,
    ]
    for scenario in dict.fromkeys(one.scenario for one in outcomes):
        rows = [one for one in outcomes if one.scenario == scenario]
        names = ("before", "paper", "decided", "gap", "worst_gap", "brier", "seconds")
        lines.append(f"| {scenario} | " + " | ".join(f"{mean(getattr(r, n) for r in rows):.3f}" for n in names) + " |")
    return "\n".join(lines)


def promise_table(outcomes: list[Outcome]) -> str:
    """Format as Markdown the share of plants answered and, in brackets, of campaigns whose promise was broken."""
    scores = list(outcomes[0].answered)
    lines = [
        "| scenario | tolerated | " + " | ".join(scores) + " | possible |",
        "|---|---:|" + "---:|" * (len(scores) + 1),
    ]
    for scenario in dict.fromkeys(one.scenario for one in outcomes):
        rows = [one for one in outcomes if one.scenario == scenario]
        for i, tolerated in enumerate(TOLERATED):
            cells = [
                f"{mean(r.answered[s][i] for r in rows):.2f} ({1 - mean(r.kept[s][i] for r in rows):.2f})"
                for s in scores
            ]
            possible = mean(r.possible[i] for r in rows)
            lines.append(f"| {scenario} | {tolerated:.2f} | " + " | ".join(cells) + f" | {possible:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Study all scenarios and print the tables; write results after each scenario."""
    parser = argparse.ArgumentParser(description="study decisions in feature space")
    parser.add_argument("--campaigns", type=int, default=200, help="campaigns of each scenario")
    n_campaigns = parser.parse_args().campaigns
    RESULT.parent.mkdir(exist_ok=True)
    outcomes: list[Outcome] = []
    for name, scenario in SCENARIOS.items():
        outcomes += [outcome(name, scenario, seed, certify) for seed in range(n_campaigns)]
        RESULT.write_text(json.dumps([asdict(one) for one in outcomes], indent=1))
    console = Console(width=300, highlight=False)
    for table in (quality_table(outcomes), promise_table(outcomes)):
        console.print(table, markup=False)
        console.print()


if __name__ == "__main__":
    main()
