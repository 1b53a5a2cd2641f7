"""Tests of the form of a review: its fields, the values it accepts, and the review that an answer makes."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import ValidationError

from flows.parameters import CampaignParams
from flows.review.clusters import Question, check_somebody_can_answer, question_text, review_form, review_of
from flows.review.waiting import Answer
from storage.artifacts import ArtifactRef
from storage.errors import InputError
from tasks.adjust.params import ReviewParams
from tasks.sources.folder.source import FolderSource

WHO = {"reviewer": " Ada ", "reason": "markers\n"}
PARAMS = CampaignParams(campaign="field", source=FolderSource(root="/data"), dates=(date(2021, 8, 23),))


def question(n_classes: int = 2) -> Question:
    """Make a question about clusters 1 and 3, of which the rule swaps the second."""
    ends = {"error_share_lower": 0.1, "error_share_upper": 0.9}
    clusters = [{"cluster": c, "n": 10, "n_wrong": w, "error_share": w / 10, **ends} for c, w in ((1, 2), (3, 8))]
    swaps = [{"cluster": c, "is_proposed": c == 3, "reason": "the share"} for c in (1, 3)]
    return Question("occlusion_preview", n_classes, ArtifactRef(kind="scores", digest="s"), clusters, swaps)


def test_every_cluster_has_a_choice_that_is_at_first_the_rules() -> None:
    fields: dict[str, Any] = review_form(PARAMS, [question()]).model_json_schema()["properties"]
    assert set(fields) == {"reviewer", "reason", "occlusion_preview_cluster_1", "occlusion_preview_cluster_3"}
    third = fields["occlusion_preview_cluster_3"]
    assert (third["enum"], third["default"]) == (["swap", "keep", "abstain"], "swap")
    assert fields["occlusion_preview_cluster_1"]["default"] == "keep"
    assert "8 of 10 validation images wrong" in third["description"] and "The rule says swap" in third["description"]


def test_with_more_classes_the_form_has_no_swap() -> None:
    one = question(3)
    kept = [{**swap, "is_proposed": False} for swap in one.swaps]
    form = review_form(PARAMS, [Question(one.method, 3, one.scores, one.clusters, kept)])
    assert form.model_json_schema()["properties"]["occlusion_preview_cluster_3"]["enum"] == ["keep", "abstain"]


@pytest.mark.parametrize(
    "wrong", [{"reviewer": " "}, {"reason": ""}, {"occlusion_preview_cluster_1": "burn"}, {"x": 1}]
)
def test_bad_input_is_no_answer(wrong: dict[str, Any]) -> None:
    form = review_form(PARAMS, [question()])
    form.model_validate(WHO)
    with pytest.raises(ValidationError):
        form.model_validate({**WHO, **wrong})


def test_an_answer_is_a_review_of_its_method_and_time() -> None:
    """Take an unchanged field as the rule's choice, and ignore the fields of another method."""
    when = datetime(2021, 9, 10, 8, 30, 1, 999, tzinfo=UTC)
    fields = {**WHO, "occlusion_preview_cluster_1": "abstain", "occlusion_cluster_3": "keep"}
    review = review_of(Answer(fields, when), "field", question())
    assert review.choices == {1: "abstain", 3: "swap"}
    assert (review.reviewer, review.reason, review.decided) == ("Ada", "markers", when.replace(microsecond=0))


def test_a_review_is_asked_for_only_where_a_form_can_be_shown() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        check_somebody_can_answer(ReviewParams())
        with pytest.raises(InputError, match="PREFECT_API_URL is not set"):
            check_somebody_can_answer(ReviewParams(ask=True))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        check_somebody_can_answer(ReviewParams(ask=True))


def test_the_question_links_clusters_that_a_report_shows() -> None:
    plain = question_text("field", question(), {})
    assert "| 1 | 10 | 2 | 20% | 10% to 90% | keep: the share |" in plain and "](" not in plain
    address = "https://fields.example/reports/field/analysis.html#cluster=3&method=occlusion_preview"
    linked = question_text("field", question(), {("occlusion_preview", 3): address})
    assert f"| [3]({address}) | 10 | 8 |" in linked and "| 1 | 10 | 2 |" in linked
