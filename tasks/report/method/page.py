"""Prepare what the report says and draws of one saliency method, from the results that were read."""

from dataclasses import dataclass
from typing import Any

from tasks.decide.found_words import broken_sentences
from tasks.decide.promised import guarantee_sentences
from tasks.report import words
from tasks.report.inputs import MethodResults
from tasks.report.method.accuracy import Headline, accuracy_rows, effect_sentences, headline, rule_sentences
from tasks.report.method.cautions import (
    ReviewNote,
    check_sentence,
    check_words,
    decision_counts,
    drift_rows,
    outside_dates,
    outside_sentence,
    review_note,
)
from tasks.report.method.clusters import cluster_rows, diagnostics, small_swaps, unseen_splits
from tasks.report.method.promises import calibration_table, found_table
from tasks.report.method.scores import ScoreTable, score_tables, sensitivity_rows, verdict


@dataclass(frozen=True)
class MethodPage:
    """Content of the page for one saliency method.

    Attributes
    ----------
    name : the method's name for readers.
    is_signed : whether its maps have evidence against the explained class.
    is_approximate : whether its maps are estimates, and with them everything that follows.
    rule : a sentence about which answers are swapped.
    review : what a person decided, or that nobody answered in time; None if nobody was asked.
    decisions : counts of decisions by split (see `decision_counts`); `reasons` are its words for why to check.
    guarantees : sentences about what is promised.
    calibration : promised against observed by date and answer (see `calibration_table`).
    found : promised against found by date and answer (see `found_table`).
    outside : dates outside what was validated, each with the reason.
    notes : main sentences of the method's section, for use without the page: promises, checks, dates outside,
        scores.
    has_earlier : whether there is an earlier fit to compare clusters with.
    figures : PNG by kind: prototypes, clusters, confusion, risk-coverage, calibration, promise-curve, side-by-side. All
        but the first two exist only if there is something to draw.
    examples : captions and JPEG of typical images by cluster.
    """

    method: str
    name: str
    is_signed: bool
    is_approximate: bool
    headline: Headline
    rule: str
    review: ReviewNote | None
    accuracy: list[dict[str, Any]]
    effects: list[str]
    decisions: list[dict[str, Any]]
    guarantees: list[str]
    calibration: list[dict[str, Any]]
    found: list[dict[str, Any]]
    reasons: list[str]
    drift: list[dict[str, Any]]
    outside: list[tuple[str, str]]
    scores: list[ScoreTable]
    verdict: str
    sensitivity: list[dict[str, Any]]
    clusters: list[dict[str, Any]]
    has_earlier: bool
    unseen: list[str]
    diagnostics: list[tuple[str, str, str]]
    warnings: list[str]
    notes: list[str]
    figures: dict[str, bytes]
    examples: dict[int, list[dict[str, Any]]]


def method_page(results: MethodResults, classes: list[str], threshold: float) -> MethodPage:
    """Prepare the content of the page for one saliency method."""
    drawn = results.drawn
    rule, why_none = rule_sentences(results.swaps, len(classes), threshold)
    review = review_note(results.swaps)
    if review and review.decisions:
        rule, why_none = f"Where no person decided: {rule}", "the review swaps no cluster"
    clusters = cluster_rows(results.clusters, results.swaps, results.matches, drawn.adjusted, len(classes))
    decisions, guarantees = decision_counts(drawn.decided), guarantee_sentences(results.promises)
    said = (
        review.text if review else "",
        *guarantees,
        check_sentence(decisions),
        outside_sentence(results.drift),
        verdict(results.evaluation),
    )
    return MethodPage(
        method=results.method,
        name=words.method_name(results.method),
        is_signed=drawn.is_signed,
        is_approximate=results.summary["approximate"],
        headline=headline(results.metrics, drawn.adjusted, len(classes), why_none),
        rule=rule,
        review=review,
        accuracy=accuracy_rows(results.metrics, drawn.adjusted),
        effects=effect_sentences(results.metrics, drawn.adjusted),
        decisions=decisions,
        guarantees=guarantees,
        calibration=calibration_table(results.calibration),
        found=found_table(results.found),
        reasons=check_words(decisions),
        drift=drift_rows(results.drift),
        outside=outside_dates(results.drift),
        scores=score_tables(results.evaluation),
        verdict=verdict(results.evaluation),
        sensitivity=sensitivity_rows(results.sensitivity),
        clusters=clusters,
        has_earlier=bool(results.matches),
        unseen=unseen_splits(drawn.adjusted),
        diagnostics=diagnostics(results.summary),
        warnings=[*results.warnings, *small_swaps(clusters), *broken_sentences(results.found).values()],
        notes=[sentence for sentence in said if sentence],
        figures=drawn.figures,
        examples=_examples(results, [row["cluster"] for row in clusters]),
    )


def _examples(results: MethodResults, clusters: list[int]) -> dict[int, list[dict[str, Any]]]:
    shown: dict[int, list[dict[str, Any]]] = {cluster: [] for cluster in clusters}
    for one in results.drawn.examples:
        shown.setdefault(one["cluster"], []).append(one)
    return shown
