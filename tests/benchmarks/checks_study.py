"""Study what checks say about a promise, when doubtful plants are looked at more often than others.

`python -m tests.benchmarks.checks_study` draws fields with known truth and prints a Markdown table. In each field all
plants to check are looked at, and most of the plants drawn at random. People also look at plants that are acted on but
seem wrong. Three estimates of the share of wrong answers among those acted on are compared: that of the table `found`,
the share of wrong answers among all checks, and that among all checks of plants acted on.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from rich.console import Console

from tasks.decide.audit_plants import audit_plants
from tasks.decide.decisions import CHECK, HARVEST, LEAVE
from tasks.decide.found import CheckedDay, found_rows

CLASSES = ("not_ready", "ready")
THRESHOLD = 0.8  # least probability of a right answer that is acted on
TOLERATED = 0.15
ASKED_AND_CHECKED = 0.9  # share of the plants drawn at random that somebody looks at
DAY = date(2021, 9, 3)


@dataclass(frozen=True)
class Field:
    """A field: number of plants, share that is drawn, and how overconfident its probabilities are.

    Attributes
    ----------
    odds : factor of the odds that an answer is wrong, against what its probability says.
    """

    n: int = 1000
    audit_share: float = 0.05
    odds: float = 1.0


FIELDS = {
    "300 plants": Field(300),
    "1,000 plants": Field(),
    "1,000 plants, 10 % drawn": Field(audit_share=0.1),
    "10,000 plants": Field(10_000),
    "1,000 plants, errors twice as likely": Field(odds=2),
    "1,000 plants, errors three times as likely": Field(odds=3),
    "10,000 plants, errors twice as likely": Field(10_000, odds=2),
}


@dataclass(frozen=True)
class Outcome:
    """Result of one field: the true share of wrong answers acted on, and its estimates."""

    truth: float
    row: dict[str, Any]
    of_all_checks: float
    of_acted_on: float

    @property
    def is_covered(self) -> bool:
        """Return whether the interval holds the true share."""
        return self.row["error_share_lower"] - 1e-12 <= self.truth <= self.row["error_share_upper"] + 1e-12


def draw_field(field: Field, generator: np.random.Generator) -> Outcome:
    """Draw a field with its checks, and estimate from these how many answers acted on are wrong."""
    right = generator.beta(5, 1, field.n).clip(0.5)  # probability that each answer is right
    wrong_odds = field.odds * (1 - right) / right
    is_wrong = generator.random(field.n) < wrong_odds / (1 + wrong_odds)
    answer = (generator.random(field.n) < 0.3).astype(np.int64)
    words = np.where(right < THRESHOLD, CHECK, np.where(answer, HARVEST, LEAVE))
    ids = [f"p{i}" for i in range(field.n)]
    named = [{"plant_id": name, "decision": str(word)} for name, word in zip(ids, words, strict=True)]
    drawn = audit_plants(named, field.audit_share, str(generator.integers(2**62)))
    is_drawn = np.asarray([name in drawn for name in ids])
    # People look at a plant that seems wrong ten times as often as at one that seems right, and at all plants to check.
    is_noticed = generator.random(field.n) < np.where(is_wrong, 0.2, 0.02)
    answers_call = generator.random(field.n) < ASKED_AND_CHECKED
    is_acted_on = words != CHECK
    is_checked = np.where(is_acted_on, np.where(is_drawn, answers_call, is_noticed), True)
    rows = [
        {**row, "answer": CLASSES[a], "is_audit": bool(d)} for row, a, d in zip(named, answer, is_drawn, strict=True)
    ]
    found = {ids[i]: CLASSES[answer[i] ^ is_wrong[i]] for i in np.flatnonzero(is_checked)}
    (row, *_) = found_rows([CheckedDay(DAY, rows, found)], CLASSES, {"all": TOLERATED})
    return Outcome(
        float(is_wrong[is_acted_on].mean()),
        row,
        float(is_wrong[is_checked].mean()),
        float(is_wrong[is_checked & is_acted_on].mean()),
    )


def draw_fields(field: Field, n: int, seed: int = 0) -> list[Outcome]:
    """Draw n fields of a kind."""
    generator = np.random.default_rng(seed)
    return [draw_field(field, generator) for _ in range(n)]


def table_lines(n: int) -> Iterator[str]:
    """Yield the lines of a Markdown table over n fields of every kind."""
    yield (
        "| fields | truth | estimate | interval holds the truth | width | share of all checks | "
        f"of checks of plants acted on | truth above {TOLERATED:g} | called broken if above | if not |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, field in FIELDS.items():
        yield table_line(name, draw_fields(field, n))


def table_line(name: str, drawn: list[Outcome]) -> str:
    """Return a line of the table about fields of one kind."""
    estimated = [one for one in drawn if one.row["error_share"] is not None]
    rows = [one.row for one in estimated]
    above = [one.row["is_broken"] for one in drawn if one.truth > TOLERATED]
    below = [one.row["is_broken"] for one in drawn if one.truth <= TOLERATED]
    means = (
        np.mean([one.truth for one in drawn]),
        np.mean([row["error_share"] for row in rows]),
        np.mean([one.is_covered for one in estimated]),
        np.mean([row["error_share_upper"] - row["error_share_lower"] for row in rows]),
        np.mean([one.of_all_checks for one in drawn]),
        np.mean([one.of_acted_on for one in drawn]),
        len(above) / len(drawn),
    )
    shares = [f"{np.mean(some):.3f}" if len(some) >= 20 else "–" for some in (above, below)]
    return " | ".join(["| " + name, *(f"{value:.3f}" for value in means), *shares]) + " |"


def main() -> None:
    """Draw fields and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=2000, help="number of fields of each kind")
    console = Console(width=200, highlight=False)
    for line in table_lines(parser.parse_args().fields):
        console.print(line, markup=False)


if __name__ == "__main__":
    main()
