"""Compute pinned numbers of the stages from scores to decisions, from inputs without a random generator."""

from datetime import date
from typing import Any

import numpy as np
from scipy.special import expit

from storage.records.reviews import Choice
from storage.tables.names import PRODUCT_SCORE, SCORES
from tasks.decide import decide as decide_dates
from tasks.decide import promise
from tasks.decide.counts import ready_counts
from tasks.decide.decisions import check_reasons, decision_words, doubted, more_probable, plot_of
from tasks.decide.guarantee import rank_answers
from tasks.decide.params import DecideParams
from tasks.decide.promises import JudgedAnswers, promise_rows
from tasks.export import export
from tasks.export.params import ExportParams, FieldParams
from tasks.export.rows import export_rows
from tasks.measure import calibration, new_date
from tasks.score import rate, rating, score
from tasks.score.combine import inputs
from tasks.score.date_share import estimated_share, validated_share
from tasks.score.held_out import cross_fit
from tasks.score.params import ScoreParams
from tasks.score.uncertainty import ready_model, resampled_models
from tests.golden.images import digests, ref
from tests.golden.judgement import FEW, MARKS, judged_maps


def golden_score() -> dict[str, Any]:
    number = np.arange(40)
    labels, predicted = number % 2, number * number % 5 % 2
    plants = np.asarray([f"p{i // 3}" for i in number])
    params = ScoreParams()
    of_date = (ref("scores"), ref("crossfit"), ref("assignments"), ref("predictions"))
    return {
        "clusters": [
            score.score_cluster(labels[:n], predicted[:n], plants[:n], 2, 0.3, params.confidence) for n in (1, 7, 40)
        ],
        **ready_numbers(),
        "digests": digests(
            score.scores_recipe(params, ref("clusters"), [ref("assignments")], [ref("predictions")]).ref,
            rate.reliability_recipe(*of_date).ref,
        ),
    }


def ready_numbers() -> dict[str, Any]:
    """Compute the probability of being ready on validation's dates, and on two dates whose share is estimated."""
    found = judged_maps()
    signals = cross_fit(found, FEW, FEW.kernel).signals
    model, resampled = ready_model(found, signals), resampled_models(found, signals, 5)
    known = inputs(signals)
    without_labels = {"some": [0, 1, 3, 4, 7, 12, 13], "others": [2, 5, 6, 8, 9, 10, 11]}
    shares = {day: validated_share(model, resampled, day) for day in dict.fromkeys(found.dates)}
    shares |= {
        name: estimated_share(model, resampled, known[chosen], signals["answer"][chosen])
        for name, chosen in without_labels.items()
    }
    judged = rating.Judged({}, known, signals["answer"])
    right = {name: rating.right_probability(judged, model, share) for name, share in shares.items()}
    return {
        "shares": {name: share.as_json() for name, share in shares.items()},
        "ready": {name: rating.ready_probability(one, judged.answer, 2) for name, one in right.items()},
    }


def golden_promises() -> dict[str, Any]:
    """Certify thresholds on 120 answers of forty plants, one in seven wrong, and decide on twenty answers."""
    number, params = np.arange(120), DecideParams()
    is_right = (number % 7 > 0) | (number % 4 == 1)
    right = (0.35 + 0.6 * np.sin(number * 0.37) ** 2) * is_right + 0.45 * np.cos(number) ** 2 * ~is_right
    predicted, plants = number * 7 % 3 % 2, [f"p{i // 3}" for i in number]
    answered = more_probable(predicted, right, 2)
    scores = {name: right**k for k, name in enumerate(SCORES, start=1)}
    truth = np.where(is_right, predicted, 1 - predicted)
    classes = ("not ready", "ready")
    each = DecideParams(promise="each", tolerated_wrong_harvest=0.3)
    rows = {
        one.promise: promise_rows(JudgedAnswers(answered, truth, predicted, plants, scores), classes, one)
        for one in (params, each)
    }
    few = slice(20)
    some = more_probable(predicted[few], right[few], 2)
    choices: dict[int, Choice] = {1: "abstain", 2: "swap", 3: "keep"}
    is_doubted = doubted(number[few] % 7, some.is_corrected, choices)
    reasons = check_reasons(some, {0: 0.7, 1: None}, number[few] / 200, 0.02, is_doubted, number[few] > 16)
    needed = [
        rank_answers(right[:n], ~is_right[:n], plants[:n], 1 - right[:n]).certify(0.05, 0.9).n_more_plants
        for n in (10, 40, 90)
    ]
    return {
        "together": [row for row in rows["together"] if row["score"] == PRODUCT_SCORE],
        "used": [row for one in rows.values() for row in one if row["is_used"]],
        "shares answered": [row["share_answered"] for row in rows["together"] if row["answers"] == "all"],
        "plants needed": needed,
        "answers": [some.answer.tolist(), some.reliability.tolist(), some.is_corrected.tolist()],
        "reasons": reasons,
        "decisions": decision_words(some.answer, reasons, classes),
        "digests": digests(
            promise.promises_recipe(params, classes, ref("clusters"), ref("crossfit")).ref,
            promise.promises_recipe(each, classes, ref("clusters"), ref("crossfit"), ref("review")).ref,
            decide_dates.decided_recipe(
                params, classes, ref("promises"), ref("crossfit"), ref("reliability"), ref("drift")
            ).ref,
        ),
    }


def golden_counts() -> dict[str, Any]:
    """Count the ready plants of two plots by the validation maps' own signals and five resampled models."""
    found = judged_maps()
    signals = cross_fit(found, FEW, FEW.kernel).signals
    model, resampled = ready_model(found, signals), resampled_models(found, signals, 5)
    share, answer = validated_share(model, resampled, found.dates[0]), signals["answer"]
    probability = expit(model.ready_odds(inputs(signals), answer, share.shift))
    plots = [plot_of(f"2021_Plot{1 + i % 2}_A{i}") if i > 2 else None for i in range(18)]
    return {"rows": ready_counts(probability, inputs(signals), answer, plots, share, resampled)}


def golden_calibration() -> dict[str, Any]:
    """Compare promised with observed shares of ninety answers on three dates."""
    number, classes = np.arange(90), ("not ready", "ready")
    days = [date(2021, 8, 20 + i % 3) for i in number]
    columns: dict[str, list[Any]] = {
        **{name: ["-"] * 90 for name in MARKS},
        "plant_id": [f"p{i // 4}" for i in number],
        "split": [("val", "test", "val", "new", "val")[i % 5] for i in number],
        "label": (number % 2).tolist(),
        "answer": (number * number % 7 % 2).tolist(),
        "answer_reliability": (0.75 + 0.25 * np.sin(number * 0.7)).tolist(),
        "check_reason": ["unsure" if i % 4 == 1 else "" for i in number],
    }
    recipe = calibration.calibration_recipe((days[0],), classes, [ref("decided")])
    rows = calibration.calibration_rows(columns, days, classes)[::4]
    return {
        "rows": [{**row, "acquired": row["acquired"] and str(row["acquired"])} for row in rows],
        "digests": digests(recipe.ref),
    }


def golden_export() -> dict[str, Any]:
    """Export eight plants: two without position, two with a label, three on whose answer nobody should act."""
    marks, day = {**dict.fromkeys(MARKS, "-"), "split": "test"}, date(2021, 8, 23)
    plants = [f"2021_Ref_Plot{i % 3}_A{i}" for i in range(8)]
    places: list[Any] = [{"plant_id": p, "easting": 365_000.5 + i, "northing": 5.6e6} for i, p in enumerate(plants)]
    decided = [
        {
            **marks,
            "plant_id": plant,
            "cluster": i % 4 + 1,
            "predicted": i % 2,
            "answer": (i + (i > 5)) % 2,
            "is_corrected": i > 5,
            "ready_probability": 0.5 + ((i + (i > 5)) % 2 - 0.5) * (i * i % 7 / 7),
            "answer_reliability": 0.5 + i * i % 7 / 14,
            "decision": "check" if i % 3 == 0 else ("leave", "harvest")[(i + (i > 5)) % 2],
            "check_reason": "" if i % 3 else "unsure novel",
            "is_outside": i == 4,
            "label": i % 2 if i < 2 else None,
        }
        for i, plant in enumerate(plants)
    ]
    rows = export_rows("field2", day, places[:6], decided, ("not ready", "ready"), 0.05)
    made_from = (ref("images"), ref("decided"), ref("promises"))
    return {
        "rows": [{**row, "date": str(row["date"])} for row in rows],
        "digests": digests(export.decisions_recipe("field2", ExportParams(), FieldParams(), *made_from).ref),
    }


def golden_acquisition() -> dict[str, Any]:
    """Summarise ten images, every third without a label, and three images without labels."""
    number = range(10)
    marks = dict.fromkeys(MARKS, "-")
    adjusted: list[Any] = [
        {"label": None if i % 3 == 0 else i % 2, "predicted": i * 7 % 3 % 2, "adjusted": i % 5 % 2, "is_swapped": i > 7}
        for i in number
    ]
    decided: list[Any] = [
        {
            **marks,
            "label": adjusted[i]["label"],
            "answer": i * i % 3 % 2,
            "answer_reliability": 0.5 + i * i % 10 / 20,
            "is_corrected": i % 4 == 2,
            "check_reason": "unsure" if i % 4 == 1 else "",
            "is_outside": i < 3,
        }
        for i in number
    ]
    drift_rows: list[Any] = [
        {"is_outside": True, "reason": "novelty"},
        {"is_outside": False, "reason": ""},
        {"is_outside": True, "reason": "clusters novelty"},
    ]
    unlabelled = [[{**row, "label": None} for row in rows] for rows in (adjusted[:3], decided[:3])]
    parts = [ref("adjusted")], [ref("drift")], [ref("decided")]
    return {
        "rows": [
            new_date.acquisition_row(adjusted, drift_rows, decided),
            new_date.acquisition_row(unlabelled[0], drift_rows[1:2], unlabelled[1]),
        ],
        "digests": digests(new_date.acquisition_recipe(ref("images"), *parts).ref),
    }
