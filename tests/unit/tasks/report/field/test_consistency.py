"""Test that no decision on the page contradicts the probability beside it, over random tables."""

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from storage.records.reviews import Choice
from tasks.decide.decisions import check_reasons, decision_words, doubted, more_probable
from tasks.export.decisions import decision_rows
from tasks.report.field.data import field_data, json_in_page
from tasks.report.field.days import rows_in_plots
from tasks.report.field.head import lead_sentence
from tasks.report.field.pictures import Pictures
from tasks.report.field.selection import select_plants
from tasks.report.field.summary import FieldDay, summarise

CLASSES = ("not_ready", "ready")
PROBABILITIES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0, 0.4999999, 0.5000001]))
THRESHOLDS = st.one_of(st.none(), st.floats(0.5, 1))
CHOICES: st.SearchStrategy[Choice | None] = st.sampled_from([None, "swap", "keep", "abstain"])


@st.composite
def decided_tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw a date's table `decided`: any probability, class, threshold, novelty, review and drift."""
    plants = draw(st.lists(st.tuples(PROBABILITIES, st.integers(0, 1), st.floats(0, 1), st.integers(1, 3)), min_size=1))
    ready, predicted, novelty, cluster = (np.asarray(values) for values in zip(*plants, strict=True))
    right = np.where(predicted == 1, ready, 1 - ready)
    answered = more_probable(predicted, right, 2)
    chosen: dict[int, Choice] = {c: choice for c in (1, 2, 3) if (choice := draw(CHOICES)) is not None}
    is_outside = np.full(len(plants), draw(st.booleans()))
    limits = {0: draw(THRESHOLDS), 1: draw(THRESHOLDS)}
    is_doubted = doubted(cluster, answered.is_corrected, chosen)
    reasons = check_reasons(answered, limits, novelty, 0.02, is_doubted, is_outside)
    words = decision_words(answered.answer, reasons, CLASSES)
    return [
        {
            "plant_id": f"2021_Plot{1 + i % 2}_A{i}",
            "split": "new",
            "label": None,
            "cluster": int(cluster[i]),
            "predicted": int(predicted[i]),
            "answer": int(answered.answer[i]),
            "is_corrected": bool(answered.is_corrected[i]),
            "ready_probability": float(ready[i]),
            "answer_reliability": float(answered.reliability[i]),
            "decision": words[i],
            "check_reason": reasons[i],
            "is_outside": bool(is_outside[i]),
        }
        for i in range(len(plants))
    ]


@given(decided=decided_tables())
def test_no_decision_contradicts_its_probability(decided: list[dict[str, Any]]) -> None:
    places: list[Any] = [
        {"plant_id": row["plant_id"], "easting": float(i), "northing": 0.0} for i, row in enumerate(decided)
    ]
    rows = rows_in_plots(decision_rows(places, decided, CLASSES), places)
    date = FieldDay("2021-09-03", True, rows)
    data = field_data("c", [date], CLASSES, select_plants([date], places), Pictures())
    content = json.loads(json_in_page(data))
    (day,) = content["days"]
    names = [one["name"] for one in content["decisions"]]
    assert len(day["plant"]) == len(decided)
    by_id = {row["plant_id"]: row for row in decided}
    for i, plant in enumerate(day["plant"]):
        row = by_id[content["plants"]["id"][plant]]
        ready, word = row["ready_probability"], names[day["decision"][i]]
        assert word != "harvest" or ready >= 0.5
        assert word != "leave" or ready <= 0.5
        # The answer beside the decision is the more probable class, with its own probability.
        assert abs(day["reliability"][i] - max(ready, 1 - ready)) <= 5.1e-4 and abs(day["ready"][i] - ready) <= 5.1e-4
        assert ready == 0.5 or CLASSES[day["answer"][i]] == ("ready" if ready > 0.5 else "not_ready")
        assert word == "check" or (word == "harvest") == (CLASSES[day["answer"][i]] == "ready")
        assert bool(content["reasons"][day["reason"][i]]) == (word == "check")
    n_harvest = sum(row["decision"] == "harvest" for row in decided)
    plural = "" if n_harvest == 1 else "s"
    assert lead_sentence(summarise(date, CLASSES)) == f"{n_harvest} plant{plural} to harvest"
    listed = [content["plants"]["id"][day["plant"][i]] for i in day["checks"]]
    assert sorted(listed) == sorted(r["plant_id"] for r in decided if r["decision"] == "check")
