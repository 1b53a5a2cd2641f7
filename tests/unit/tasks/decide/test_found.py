"""Check that only plants drawn at random speak for others, and that broken promises are told from kept ones."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from tasks.decide.found import CheckedDay, Counts, count_checks, found_rows
from tasks.decide.found_words import broken_sentences
from tasks.statistics.finite import Stratum, estimate_share

DAY = date(2021, 9, 3)
CLASSES = ("not_ready", "ready")
WORDS = {"ready": "harvest", "not_ready": "leave"}


def plants(answer: str, n: int, n_drawn: int = 0, is_check: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "plant_id": f"{answer}{'?' * is_check}{i}",
            "answer": answer,
            "decision": "check" if is_check else WORDS[answer],
            "is_audit": i < n_drawn,
        }
        for i in range(n)
    ]


def looked_at(rows: Sequence[dict[str, Any]], n: int, n_wrong: int, first: int = 0) -> dict[str, str]:
    """Return what was found at n plants from a first one on, of which the first ones are wrong."""
    other = {"ready": "not_ready", "not_ready": "ready"}
    return {
        row["plant_id"]: other[row["answer"]] if i < n_wrong else row["answer"]
        for i, row in enumerate(rows[first : first + n])
    }


READY, NOT_READY, DOUBTFUL = plants("ready", 60, 6), plants("not_ready", 140, 14), plants("ready", 30, is_check=True)


def day(found: dict[str, str], day_of: int = 0) -> CheckedDay:
    return CheckedDay(DAY + timedelta(days=day_of), [*READY, *NOT_READY, *DOUBTFUL], found)


def by_kind(rows: Sequence[dict[str, Any]]) -> dict[tuple[date | None, str], dict[str, Any]]:
    return {(row["acquired"], row["answers"]): row for row in rows}


def test_checks_are_counted_by_how_their_plants_were_chosen() -> None:
    found = {**looked_at(NOT_READY, 10, 2), **looked_at(NOT_READY, 5, 4, first=20), "elsewhere": "ready"}
    assert count_checks(NOT_READY, found) == Counts(140, 14, 10, 2, 5, 4)


def test_each_kind_of_answers_has_a_row() -> None:
    rows = by_kind(found_rows([day({**looked_at(READY, 6, 1), **looked_at(NOT_READY, 14, 2)})], CLASSES, {"all": 0.15}))
    assert list(rows) == [(DAY, kind) for kind in ("all", "not_ready", "ready", "check")]
    told, ready = rows[DAY, "all"], rows[DAY, "ready"]
    assert told["error_share"] == pytest.approx(60 / 200 * 1 / 6 + 140 / 200 * 2 / 14)
    exact = estimate_share([Stratum(60, 6, 1)], 1, 0.95)
    assert (ready["error_share_lower"], ready["error_share_upper"]) == (exact.lower, exact.upper)
    assert [row["tolerated_error"] for row in rows.values()] == [0.15, None, None, None]
    assert ready["p_broken"] is None and told["p_broken"] > 0.05 and not told["is_broken"]


def test_checks_of_doubtful_plants_never_count_for_the_promise() -> None:
    random = {**looked_at(READY, 6, 1), **looked_at(NOT_READY, 14, 2)}
    alone, with_doubtful = (
        found_rows([day(found)], CLASSES, {"all": 0.15}) for found in (random, random | looked_at(DOUBTFUL, 30, 30))
    )
    assert alone[:3] == with_doubtful[:3]
    check = with_doubtful[3]
    assert (check["n"], check["n_other_checked"], check["n_other_wrong"]) == (30, 30, 30)
    assert (check["error_share"], check["error_share_lower"], check["error_share_upper"]) == (None, 1, 1)


def test_plants_that_somebody_chose_speak_for_themselves_only() -> None:
    random = {**looked_at(READY, 6, 0), **looked_at(NOT_READY, 14, 0)}
    told, *_ = found_rows([day(random | looked_at(NOT_READY, 20, 20, first=14))], CLASSES, {"all": 0.15})
    assert told["error_share"] == told["error_share_lower"] == 20 / 200  # they are known to be wrong, and no others are
    assert not told["is_broken"]


def test_a_promise_is_broken_only_beyond_chance() -> None:
    def told(*wrong: int) -> dict[str, Any]:
        found = {**looked_at(READY, 6, wrong[0]), **looked_at(NOT_READY, 14, wrong[1])}
        return found_rows([day(found)], CLASSES, {"all": 0.15})[0]

    assert not told(2, 3)["is_broken"] and told(2, 3)["error_share"] > 0.15
    assert told(3, 6)["is_broken"] and told(3, 6)["p_broken"] < 0.05


def test_promises_for_each_answer_are_tested_by_themselves() -> None:
    found = {**looked_at(READY, 6, 6), **looked_at(NOT_READY, 14, 0)}
    rows = by_kind(found_rows([day(found)], CLASSES, {"ready": 0.1, "not_ready": 0.2}))
    assert {kind for (_, kind), row in rows.items() if row["is_broken"]} == {"ready"}
    assert rows[DAY, "all"]["tolerated_error"] is None


def test_other_classes_have_rows_of_their_own() -> None:
    classes = ("healthy", "scab", "rot")
    rows: list[dict[str, Any]] = [
        {"plant_id": f"{name}{i}", "answer": name, "decision": name if i else "check", "is_audit": 0 < i < 4}
        for name in classes[:2]
        for i in range(20)
    ]
    found = {row["plant_id"]: "rot" if row["answer"] == "scab" else "healthy" for row in rows if row["is_audit"]}
    told = by_kind(found_rows([CheckedDay(DAY, rows, found)], classes, {"all": 0.15}))
    assert [(kind, row["n"], row["error_share"]) for (_, kind), row in told.items()] == [
        ("all", 38, 0.5),
        ("healthy", 19, 0),
        ("scab", 19, 1),
        ("check", 2, None),
    ]


def test_plants_that_nobody_looked_at_are_counted() -> None:
    found = {**looked_at(READY, 2, 0), **looked_at(NOT_READY, 9, 1)}
    told, *_ = found_rows([day(found)], CLASSES, {"all": 0.15})
    assert (told["n_drawn"], told["n_drawn_checked"]) == (20, 11)


def test_without_a_look_at_every_decision_nothing_is_estimated() -> None:
    rows = by_kind(found_rows([day(looked_at(READY, 6, 6))], CLASSES, {"all": 0.15}))
    assert rows[DAY, "all"]["error_share"] is None and rows[DAY, "all"]["p_broken"] is None
    assert rows[DAY, "ready"]["error_share"] == 1


def test_dates_together_have_rows_of_their_own() -> None:
    """Four dates that are each too few for a proof are one together; a date without a draw is left out."""
    some = {**looked_at(READY, 6, 2), **looked_at(NOT_READY, 14, 3)}
    days = [day(some, i) for i in range(4)]
    partly = day(looked_at(READY, 6, 0), 4)
    rows = by_kind(found_rows([*days, partly], CLASSES, {"all": 0.15}))
    assert [row["n"] for row in rows.values() if row["acquired"] is None] == [800, 560, 300, 150]
    assert {key for key, row in rows.items() if row["is_broken"]} == {(None, "all")}
    assert next(iter(rows)) == (None, "all")
    assert found_rows(days[:1], CLASSES, {"all": 0.15})[0]["acquired"] == DAY


@pytest.mark.nightly
def test_many_dates_do_not_break_a_kept_promise_by_chance() -> None:
    """With 15 % wrong, which is tolerated, one of 20 dates would break at level 0.05 in most seasons."""
    generator, n_broken = np.random.default_rng(1), 0
    for _ in range(40):
        days = [
            day(
                {
                    **looked_at(READY, 6, int(generator.hypergeometric(9, 51, 6))),
                    **looked_at(NOT_READY, 14, int(generator.hypergeometric(21, 119, 14))),
                },
                i,
            )
            for i in range(20)
        ]
        n_broken += any(row["is_broken"] for row in found_rows(days, CLASSES, {"all": 0.15}))
    assert n_broken <= 6  # of 40 at level 0.05, more are 1 in 50 times chance


class TestWords:
    def row(self, **changes: Any) -> dict[str, Any]:
        found = {**looked_at(READY, 6, 6), **looked_at(NOT_READY, 14, 14)}
        (row, *_) = found_rows([day(found)], CLASSES, {"all": 0.15})
        return {**row, "method": "gradcam", **changes}

    def test_a_broken_promise_says_what_was_found_and_promised(self) -> None:
        (sentence,) = broken_sentences([self.row(), self.row(is_broken=False)]).values()
        assert "on 2021-09-03: by what people found, about 100 of 100 answers acted on are wrong" in sentence
        assert "at most 15 were promised (gradcam)" in sentence
        (sentence,) = broken_sentences([self.row(acquired=None, answers="not_ready")]).values()
        assert "over all dates with checks" in sentence and "“not ready”" in sentence
