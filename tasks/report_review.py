"""What the report says of decisions by a person, from rows of the table `swaps`; no files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.review_rules import PERSON, TIMEOUT, rule_choice

Row = Mapping[str, Any]
WHAT_IT_MEANS = (
    "Whoever decided had seen these validation plants, so accuracy after adjustment on them cannot be cross-fitted. "
    "The row “cross-fitted rule” says what the rule alone would give; only unseen plants tell what the decisions are "
    "worth."
)


@dataclass(frozen=True)
class ReviewNote:
    """That a person decided on clusters, or was asked in vain.

    Attributes
    ----------
    text : all of it in one or two sentences.
    decisions : one phrase a cluster that a person decided on; none where nobody answered.
    """

    text: str
    decisions: list[str]


def review_note(swaps: Sequence[Row]) -> ReviewNote | None:
    """What to say of a review, by rows of the table `swaps`; None where none was made and none was asked for."""
    by_person = [row for row in swaps if row["decided_by"] == PERSON]
    if by_person:
        who = ", ".join(dict.fromkeys(row["reviewer"] for row in by_person))
        text = (
            f"Reviewed by {who}: a person decided on {len(by_person)} of {len(swaps)} clusters, in place of the rule."
        )
        return ReviewNote(text, [_decision(row) for row in by_person])
    if any(row["decided_by"] == TIMEOUT for row in swaps):
        return ReviewNote("A review was asked for and nobody answered in time: the rule decided.", [])
    return None


def _decision(row: Row) -> str:
    proposed = rule_choice(row["is_proposed"])
    agreed = "as the rule said" if proposed == row["decision"] else f"the rule said {proposed}"
    return f"cluster {row['cluster']}: {row['decision']} ({agreed}), by {row['reviewer']}: {row['reason']}"
