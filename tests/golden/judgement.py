"""Compute pinned numbers of the stages from clusters to drift, from inputs without a random generator."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.records.reviews import Review
from storage.tables.names import SCORES
from tasks.adjust import adjust, decide, review, review_choices, rules
from tasks.audit import audit
from tasks.classify.answers import Answers
from tasks.cluster import assign, cluster, match
from tasks.cluster.affinity import affinity_matrix
from tasks.cluster.axes import fit_axes, map_vectors
from tasks.cluster.folds import choose_kernel
from tasks.cluster.nearest import assign_clusters, own_agreement
from tasks.cluster.params import ClusterParams, Kernel
from tasks.cluster.spectral import match_clusters, spectral_clusters
from tasks.measure import accuracy, drift, evaluation
from tasks.publish import reuse
from tasks.score import crossfit, sensitivity
from tasks.score.held_out import Validation, combined_cross_fit, cross_fit
from tasks.score.signals import answer_evidence
from tasks.score.uncertainty import ready_model, resampled_models
from tests.golden.images import digests, ref

MARKS = ("method", "explained_class", "classifier", "clusters")
FEW = ClusterParams(n_clusters=3, n_seeds=2)
PAPER = rules.AdjustParams(rule="paper")


def small_maps() -> NDArray[np.float64]:
    """Make eighteen maps of three patterns (a corner, a column, a slope), with ripples and various strengths."""
    number = np.arange(18)
    y, x = np.mgrid[0:4, 0:4]
    patterns = np.stack([(y < 2) & (x < 2), x == 3, (y + x) / 6.0]).astype(np.float64)
    ripples = (number[:, None, None] * 7 + y * 5 + x * 3) % 11 / 40
    return (patterns[number * number % 7 % 3] + ripples) * (1 + number[:, None, None])


def golden_cluster() -> dict[str, Any]:
    params = ClusterParams()
    vectors = map_vectors(small_maps(), 64)
    axes = fit_axes(vectors, params.n_components)
    coordinates = axes.coordinates(vectors)
    fit = spectral_clusters(affinity_matrix(coordinates, "sigma", 0.2), 3, params.n_seeds, params.seed)
    new = axes.coordinates(map_vectors(small_maps()[:, ::-1], 64))
    assigned, agreement = assign_clusters(new, coordinates, fit.labels, params.neighbours)
    return {
        "labels": fit.labels.tolist(),
        "eigenvalues": fit.eigenvalues.tolist(),
        "stability": fit.stability,
        "coordinates": coordinates[:, :3].tolist(),
        "rms": np.linalg.norm(map_vectors(small_maps(), 64, "rms"), axis=1).tolist(),
        "assigned": assigned.tolist(),
        "agreement": agreement.tolist(),
        "own agreement": own_agreement(coordinates, fit.labels, params.neighbours).tolist(),
        "digests": digests(
            cluster.clusters_recipe(params, 256, [ref("saliency")], [ref("predictions")]).ref,
            assign.assignments_recipe(ref("clusters"), ref("crossfit"), ref("saliency"), ref("predictions")).ref,
            assign.assignments_recipe(
                ref("clusters"), ref("crossfit"), ref("saliency"), ref("predictions"), ref("plants")
            ).ref,
        ),
    }


def judged_maps() -> Validation:
    """Make eighteen different maps of nine plants; answers with the first pattern are wrong more often."""
    number = np.arange(18)
    y, x = np.mgrid[0:4, 0:4]
    maps = small_maps() * (1 + 0.1 * np.sin(number[:, None, None] * 1.7 + y * 2.3 + x * 0.9))
    logits = np.stack([np.sin(number * 2.1), np.cos(number * 0.7)], axis=1)
    features = np.sin(np.outer(number + 1, [0.3, 1.1, 2.7])) + logits[:, :1]
    is_wrong = (number * number % 7 % 3 == 0) | (number % 8 == 5)
    truth = logits.argmax(axis=1) ^ is_wrong
    plants, days = [f"p{i // 2}" for i in number], [f"2021-08-{20 + i % 2}" for i in number]
    return Validation(map_vectors(maps, 64), Answers(logits, features), truth, plants, days)


def golden_crossfit() -> dict[str, Any]:
    found = judged_maps()
    judged = cross_fit(found, FEW, FEW.kernel)
    chosen = choose_kernel(found.vectors, found.is_wrong, found.plants, FEW)
    of_campaign = (ref("clusters"), [ref("saliency")], [ref("predictions")])
    return {
        "fold": judged.fold.tolist(),
        "signals": {name: values.tolist() for name, values in judged.signals.items()},
        "clusters": {str(fold): vars(one) for fold, one in judged.clusters.items()},
        "temperature": answer_evidence(found.answers, found.truth).temperature,
        "model": ready_model(found, judged.signals).as_json(),
        "resampled": [one.as_json() for one in resampled_models(found, judged.signals, 2)],
        "combined": combined_cross_fit(found, judged, FEW, FEW.kernel).tolist(),
        "kernel": list(chosen),
        "digests": digests(crossfit.crossfit_recipe(ClusterParams(), 256, *of_campaign).ref),
    }


def golden_sensitivity() -> dict[str, Any]:
    found = judged_maps()
    choices = [Kernel("sigma", 0.2), Kernel("gamma", 0.2), Kernel("sigma", 1e-4)]
    inputs = (found.vectors, found.is_wrong, found.plants, FEW)
    recipe = sensitivity.sensitivity_recipe(
        ClusterParams(), PAPER, 256, ref("clusters"), [ref("saliency")], [ref("predictions")]
    )
    return {
        "rows": [sensitivity.sensitivity_row(*inputs, kernel, PAPER, 2, kernel) for kernel in choices],
        "variants": [
            [p.n_clusters, p.neighbours, *kernel, rule.threshold]
            for p, kernel, rule in sensitivity.variants(FEW, choices[0], PAPER)
        ],
        "digests": digests(recipe.ref),
    }


def golden_decide() -> dict[str, Any]:
    n, n_wrong = np.asarray([40, 20, 20, 12, 4]), np.asarray([4, 19, 15, 12, 4])
    p_value = np.asarray([1 - 1e-9, 2e-5, 0.021, 2.5e-4, 0.0625])
    params = [PAPER, rules.AdjustParams()]
    found = [rules.decide(n, n_wrong, p_value, one, 2) for one in params]
    return {
        "holm": found[0].p_holm.tolist(),
        "is_swapped": [one.is_swapped.tolist() for one in found],
        "reasons": [rules.reasons(one, n, p, 2) for one, p in zip(found, params, strict=True)],
        "digests": digests(*(decide.swaps_recipe(one, ref("scores"), ref("crossfit")).ref for one in params)),
    }


def golden_adjust() -> dict[str, Any]:
    number = np.arange(20)
    return {
        "adjusted": rules.swap(number * 7 % 3 % 2, number % 4 == 3).tolist(),
        "digests": digests(adjust.adjusted_recipe(ref("swaps"), ref("reliability")).ref),
    }


def judged_tables() -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Make columns of 60 images of three splits, and the cross-fitted columns of the validation images."""
    number = np.arange(60)
    predicted = number * 7 % 3 % 2
    whole: dict[str, list[Any]] = {
        "plant_id": [f"p{i // 4}" for i in number],
        "split": [("val", "test", "new")[i % 3] for i in number],
        "label": [None if i % 3 == 2 else int(i % 5 % 2) for i in number],
        "predicted": predicted.tolist(),
        "adjusted": rules.swap(predicted, number % 4 == 3).tolist(),
        **{name: ["-"] * 60 for name in MARKS},
        **{name: (0.5 + 0.5 * np.sin(number * (k + 0.7))).tolist() for k, name in enumerate(SCORES)},
        "error_share": np.asarray([0.1, 0.5, 0.8, 1.0])[number % 4].tolist(),
        "cluster": (number % 4 + 1).tolist(),
    }
    return whole, {name: values[::3] for name, values in whole.items()}


def golden_measure() -> dict[str, Any]:
    whole, validation = judged_tables()
    without_fold = rules.swap(np.asarray(validation["predicted"]), np.arange(20) % 6 == 5)
    plants, judged = ref("plants"), ref("crossfit")
    decided = {**whole, "answer": rules.swap(np.asarray(whole["predicted"]), np.arange(60) % 5 == 4).tolist()}
    return {
        "metrics": accuracy.metric_rows(whole, validation, without_fold.tolist(), decided, 2),
        "evaluation": evaluation.evaluation_rows(whole, validation)[::3],
        "digests": digests(
            accuracy.metrics_recipe(plants, judged, ref("swaps"), [ref("adjusted")], [ref("decided")]).ref,
            evaluation.evaluation_recipe(judged, [ref("reliability")]).ref,
        ),
    }


def golden_matching() -> dict[str, Any]:
    ours, theirs = small_maps()[[0, 1, 3, 4]], small_maps()[[4, 7, 9], :3, :3]
    found, likeness = match_clusters(ours, theirs)
    return {
        "matches": found.tolist(),
        "likeness": likeness.tolist(),
        "digests": digests(match.matches_recipe(ref("clusters", 1), ref("clusters", 2)).ref),
    }


def golden_drift() -> dict[str, Any]:
    """Compare forty plants with twenty validation plants that were seen on two days."""
    number, params = np.arange(40), drift.DriftParams()
    plants, days = [f"v{i % 20:02}" for i in number], [f"day {i // 20}" for i in number]
    known = drift.Validated(number % 7 % 3 + 1, number % 5 % 2, plants, days)
    natural = drift.natural_shifts(known)
    return {
        "natural shifts": natural,
        "rows": [
            drift.compare(number % 4 % 3 + 1, number % 2, number / 40, known, natural, params),
            drift.compare(np.full(40, 3), np.ones(40), number / 400, known, natural, params),
        ],
        "digests": digests(drift.drift_recipe(params, ref("crossfit"), ref("assignments"), ref("predictions")).ref),
    }


def golden_audit() -> dict[str, Any]:
    """Audit forty images. The digest is left out, because it covers the page's template."""
    number = np.arange(40)
    plants = [f"p{i // 2}" for i in number]
    images = audit.Judged(np.sin(number * 1.3) ** 2, number % 4 + 1, (number % 4 == 3) | (number % 9 == 0), plants)
    marks = dict.fromkeys((*MARKS, "split"), "-") | {"split": "val", "n": 40}
    states = ("before", "after", "cross-fitted")
    metrics = [{**marks, "state": state, "overall_accuracy": k / 4} for k, state in enumerate(states)]
    evaluation = [{"split": "val", "score": "reliability", "auroc": 0.7}]
    return {"rows": audit.audit_rows(metrics, evaluation, {"val": images}, audit.AuditParams())}


def golden_reuse() -> dict[str, Any]:
    table: dict[str, list[Any]] = {
        "label": [0, None, None, 1, None],
        "split": ["val", "val", "train", "test", "new"],
    }
    return {
        "unlabelled": reuse.unlabelled(table),
        "digests": digests(reuse.labelled_recipe(ref("predictions")).ref),
    }


def golden_review() -> dict[str, Any]:
    """Review four clusters: once with a person's decision on two of them, once without an answer in time."""
    said = {"n": 20, "error_share": 0.5, **dict.fromkeys(MARKS, "-"), "decided_by": "rule", "reviewer": None}
    swaps: list[dict[str, Any]] = [
        {**said, "cluster": c, "n_wrong": 5 * c, "is_proposed": c > 2, "is_swapped": c > 2, "reason": "by the rule"}
        for c in (1, 2, 3, 4)
    ]
    scores, when = ref("scores"), datetime(2021, 9, 10, 8, 30, tzinfo=UTC)
    who = {"campaign": "field", "method": "gradcam", "scores": scores, "reviewer": "Ada", "reason": "a marker"}
    made = Review.model_validate({**who, "choices": {2: "swap", 4: "abstain"}, "decided": when})
    reviews, missed = review_choices.review_rows(swaps, made, 72), review_choices.review_rows(swaps, None, 72)
    return {
        "reviews": reviews,
        "missed": missed,
        "swaps": review_choices.honoured(swaps, reviews),
        "swaps missed": review_choices.honoured(swaps, missed),
        "digests": digests(
            review.review_recipe(ref("swaps"), made, 72).ref,
            review.review_recipe(ref("swaps"), None, 72).ref,
            review.reviewed_swaps_recipe(ref("swaps"), ref("review")).ref,
        ),
    }
