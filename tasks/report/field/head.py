"""State what the head of the field page says of a date: the number to act on, the promise, what to know; no files."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage.tables.names import ALL_ANSWERS
from storage.tables.rows import Row
from tasks.decide.decisions import HARVEST
from tasks.decide.promised import used_promises
from tasks.report.field.summary import DaySummary, changed_sentence
from tasks.report.field.texts import TEXTS, class_name, decision_name, left_out_name, text

WIDE = 0.5  # share of a date's plants beyond which the interval of their ready ones tells nothing worth a number


@dataclass(frozen=True)
class Head:
    """Head of the page for one date.

    Attributes
    ----------
    lead : the number to act on.
    numbers : name, count and meaning of every decision.
    checked : what people found at plants of the date; empty if nobody looked at one that was drawn at random.
    broken : warning that the promise is broken by what people found; empty if it is not.
    incomplete : warning that plants of the date are missing; empty if not.
    warning : why the date is outside what was validated; empty if it is not.
    sentences : what else to know about the answers.
    left_out : reasons and counts of plants left out; empty if none was.
    """

    lead: str
    numbers: list[tuple[str, int, str]]
    checked: str
    broken: str
    incomplete: str
    warning: str
    sentences: list[str]
    left_out: str


def day_head(summary: DaySummary) -> Head:
    """Prepare the head of the page for a date."""
    reasons = "; ".join(text(f"outside.{word}") for word in summary.outside_words)
    left_out = ", ".join(f"{n:,} {left_out_name(reason)}" for reason, n in summary.left_out)
    return Head(
        lead=lead_sentence(summary),
        numbers=[(decision_name(name), n, meaning_of(name)) for name, n in summary.counts.items()],
        checked=summary.checked,
        broken=" ".join(summary.broken),
        incomplete=text("incomplete", mark=summary.incomplete) if summary.incomplete else "",
        warning=text("outside", reasons=reasons) if reasons else "",
        sentences=reliance_sentences(summary),
        left_out=text("left-out", reasons=left_out) if left_out else "",
    )


def meaning_of(decision: str) -> str:
    """Return what a decision means; the name of a class says only besides that the answer can be used."""
    return TEXTS.get(f"meaning.{decision}", text("meaning.other"))


def lead_sentence(summary: DaySummary) -> str:
    """Return the first sentence about a date, which names the number of plants to act on."""
    if summary.n == 0:
        return text("lead.none")
    if summary.is_about_harvest:
        return text("lead.harvest", n=summary.counts[HARVEST])
    return text("lead.other", n=summary.n_to_act_on, total=summary.n)


def reliance_sentences(summary: DaySummary) -> list[str]:
    """Return sentences about how many plants are ready, how many answers are right, which were corrected or lack."""
    sentences: list[str] = []
    if summary.n and summary.is_about_harvest and summary.ready is not None:
        sentences.append(ready_sentence(summary.ready, summary.n))
    elif summary.n and summary.is_about_harvest and summary.outside:
        sentences.append(text("ready.unknown"))
    if summary.n_to_act_on:
        sentences.append(text("right", n=summary.n_to_act_on, right=f"{summary.n_right:.0f}"))
    sentences += [changed_sentence(summary)] * bool(summary.n)
    return [*sentences, *[text("unanswered", n=summary.n_unanswered)] * bool(summary.n_unanswered)]


def ready_sentence(ready: tuple[float, float, float], n: int) -> str:
    """State how many of n plants are ready, with the interval; no number in the middle of one that is too wide."""
    expected, low, high = (f"{number:.0f}" for number in ready)
    if ready[2] - ready[1] > WIDE * n:
        return text("ready.wide", low=low, high=high, n=n)
    return text("ready", expected=expected, low=low, high=high, n=n)


def promise_sentences(promises: Sequence[Row]) -> list[tuple[str, str]]:
    """Return for each promise that the decisions follow what is promised, and its evidence or what is lacking."""
    return [_promise(row) for row in used_promises(promises)]


def _promise(row: Row) -> tuple[str, str]:
    which = "" if row["answers"] == ALL_ANSWERS else text("promise.which", answer=class_name(row["answers"]))
    tolerated = 100 * row["tolerated_error"]
    if row["threshold"] is not None:
        plants, wrong, answered = row["n_plants"], row["n_wrong"], row["n_answered"]
        confidence = f"{100 * row['confidence']:.3g}"
        said = text("promise.evidence", plants=plants, wrong=wrong, answered=answered, confidence=confidence)
        return text("promise", right=f"{100 - tolerated:.3g}", which=which), said
    lacking = text("promise.lacking", which=which, tolerated=f"{tolerated:.3g}")
    n = row["n_more_plants"]
    return lacking, text("promise.never") if n is None else text("promise.more", n=n)
