"""Study which more evidence lets more plants be answered at a kept promise, without training the classifier again.

`python -m tests.benchmarks.evidence_study` reads the campaigns that `tests.benchmarks.study` left in build/study, and
prints a Markdown table. Each candidate is stacked on the combined model: a logistic regression on the log-odds of a
right answer and the candidate, cross-fitted by the campaign's folds. The weight of a candidate may not be negative,
because its direction is known. A candidate is compared with the same regression without it.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy.optimize import minimize
from scipy.special import expit

from storage.artifacts import Store
from storage.records.campaigns import read_record
from tasks.decide.decisions import Answered, more_probable
from tasks.decide.guarantee import rank_answers
from tests.benchmarks.evidence import CANDIDATES, Floats, Judged, judged_images
from tests.benchmarks.study import FOLDER, SCENARIOS, TOLERATED, study_campaign

CONFIDENCE = 0.9
PENALTY = 10.0  # penalty of a squared weight of a standardised candidate, as in the combined model
ADDED: dict[str, list[int]] = {  # places of the candidates that are added
    "nothing": [],
    **{name: [place] for place, name in enumerate(CANDIDATES)},
    "both of the symmetries": [0, 1],
    "all": list(range(len(CANDIDATES))),
}


@dataclass(frozen=True)
class Gain:
    """Result of a campaign on its unseen plants: share of right answers, Brier score, and by tolerated share of errors
    the share of plants answered and whether the promise was kept."""

    right: float
    brier: float
    answered: tuple[float, ...]
    kept: tuple[bool, ...]


def stack(odds: Floats, added: Floats, is_wrong: NDArray[np.bool_]) -> Floats:
    """Fit the regression of right answers on log-odds (n,) and added candidates (n, c).

    Returns
    -------
    weights : (2 + c,) of the log-odds, the intercept and the candidates.
    """
    values = np.column_stack([odds, np.ones(len(odds)), added])
    start, sign = np.r_[1.0, np.zeros(values.shape[1] - 1)], np.where(is_wrong, -1.0, 1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        found, step = values @ weights, weights - start
        total = np.logaddexp(0, -sign * found).sum() + PENALTY * (step**2).sum() / 2
        return float(total), values.T @ (-sign * expit(-sign * found)) + PENALTY * step

    bounds = [(0.0, None), (None, None)] + [(0.0, None)] * added.shape[1]
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)


def stacked(weights: Floats, odds: Floats, added: Floats) -> Floats:
    """Return the probability (n,) of a right answer by the regression."""
    return expit(np.column_stack([odds, np.ones(len(odds)), added]) @ weights)


def gain(known: Judged, unseen: Judged, places: Sequence[int]) -> Gain:
    """Add candidates to the combined model, and judge the decisions on unseen plants."""
    mean_known, scale = known.candidates.mean(axis=0), known.candidates.std(axis=0) + 1e-9
    own, new = (((one.candidates - mean_known) / scale)[:, list(places)] for one in (known, unseen))
    is_wrong, right = known.predicted != known.truth, np.empty(len(known.truth))
    for fold in np.unique(known.fold):
        out = known.fold == fold
        right[out] = stacked(stack(known.odds[~out], own[~out], is_wrong[~out]), known.odds[out], own[out])
    validated = more_probable(known.predicted, right, 2)
    claimed = more_probable(unseen.predicted, stacked(stack(known.odds, own, is_wrong), unseen.odds, new), 2)
    return judge(known, validated, right, unseen, claimed)


def judge(known: Judged, validated: Answered, right: Floats, unseen: Judged, claimed: Answered) -> Gain:
    """Certify thresholds on validation answers, and count what they let through of the unseen answers."""
    used = ~known.is_vetoed
    plants = [plant for plant, is_used in zip(known.plants, used, strict=True) if is_used]
    ranked = rank_answers(validated.reliability[used], (validated.answer != known.truth)[used], plants, 1 - right[used])
    is_right, answered, kept = claimed.answer == unseen.truth, list[float](), list[bool]()
    for tolerated in TOLERATED:
        limit = ranked.certify(tolerated, CONFIDENCE).threshold
        acted = ~unseen.is_vetoed & (claimed.reliability >= (np.inf if limit is None else limit))
        answered.append(float(acted.mean()))
        kept.append(not acted.any() or float((~is_right)[acted].mean()) <= tolerated)
    brier = float(((claimed.reliability - is_right) ** 2).mean())
    return Gain(float(is_right.mean()), brier, tuple(answered), tuple(kept))


def table(gains: dict[tuple[str, str], list[Gain]]) -> str:
    """Format the means over seeds as Markdown."""
    lines = [
        "| scenario | added | right | Brier | " + " | ".join(f"answered at {t:g} (broken)" for t in TOLERATED) + " |",
        "|---|---|" + "---:|" * (2 + len(TOLERATED)),
    ]
    for (scenario, added), rows in gains.items():
        cells = [f"{100 * mean(row.right for row in rows):.1f} %", f"{mean(row.brier for row in rows):.4f}"]
        cells += [
            f"{mean(row.answered[i] for row in rows):.2f} ({1 - mean(row.kept[i] for row in rows):.2f})"
            for i in range(len(TOLERATED))
        ]
        lines.append(f"| {scenario} | {added} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Judge every candidate on every finished campaign and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(10, 20), help="first seed, and the one after the last")
    parser.add_argument("--store", type=Path, default=FOLDER, help="store of the study")
    arguments = parser.parse_args()
    store, gains = Store(arguments.store), dict[tuple[str, str], list[Gain]]()
    for name, scenario in SCENARIOS.items():
        if scenario.new_date is None:
            for seed in range(*arguments.seeds):
                record = read_record(store, study_campaign(scenario, seed).campaign)
                known, unseen = judged_images(store, record.artifacts, study_campaign(scenario, seed).dates)
                for added, places in ADDED.items():
                    gains.setdefault((name, added), []).append(gain(known, unseen, places))
    everywhere = {("all", added): [g for (_, a), rows in gains.items() if a == added for g in rows] for added in ADDED}
    Console(width=300, highlight=False).print(table({**gains, **everywhere}), markup=False)


if __name__ == "__main__":
    main()
