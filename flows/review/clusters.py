"""Ask a person which clusters' answers are swapped, kept, or not to be acted on, and apply the decisions.

One question covers the clusters of all saliency methods. A decision is stored under the scores that it was made on. So
later runs of the campaign use it, whether they ask or not, until the clusters change.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prefect import get_run_logger
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from prefect.input import RunInput
from pydantic import Field, create_model

from flows.parameters import CampaignParams
from flows.report.links import explorer_link
from flows.review.waiting import Answer, find_answer, is_too_late, wait_for_answer
from flows.running.names import artifact_key
from flows.running.servers import shared_server
from flows.running.stages import Roles, Stages, wait_for
from storage.artifacts import Artifact, ArtifactRef, Store, content_digest
from storage.errors import InputError
from storage.records.campaigns import find_record
from storage.records.reviews import Review, find_review, keep_review
from storage.tables import CLUSTER_SCORES, REVIEWS, SWAPS
from storage.tables.rows import Row, rows_of
from tasks.adjust.params import ReviewParams
from tasks.adjust.review import honour_review, write_decisions
from tasks.adjust.review_choices import allowed_choices, check_choices, check_words, rule_choice
from tasks.report.explorer.addresses import ANALYSIS
from tasks.report.words import method_name

WORDS = r"\S"  # pattern of a text that is not blank


class ReviewForm(RunInput):
    """Form of a review, with reviewer and reason; each question adds one field for each cluster."""

    reviewer: str = Field(pattern=WORDS, description="Your name; it is published with the decision")
    reason: str = Field(pattern=WORDS, description="Reason of the decision; it is published with it")


@dataclass(frozen=True)
class Question:
    """Clusters of one saliency method that a person is asked about.

    Attributes
    ----------
    scores : artefact that a decision is stored under.
    clusters : rows of the table `clusters`.
    swaps : rows of the table `swaps` by the rule.
    """

    method: str
    n_classes: int
    scores: ArtifactRef
    clusters: Sequence[Row]
    swaps: Sequence[Row]


def check_somebody_can_answer(params: ReviewParams) -> None:
    """Refuse a run that asks for a review where no form can be shown.

    Raises
    ------
    InputError : a review is asked for without a Prefect server; the embedded server has no UI.
    """
    if params.ask and not shared_server():
        raise InputError(
            "review.ask is true, but PREFECT_API_URL is not set",
            "A review is asked for in the UI of a Prefect server",
            "set PREFECT_API_URL to a server's address, or set review.ask = false and decide later: harvest review",
        )


def review_clusters(stages: Stages, params: CampaignParams, roles: Roles) -> Roles:
    """Ask a person about the clusters if the campaign says so, and apply the decisions.

    Returns
    -------
    `review <method>` and `swaps <method>` for each method that has a review; nothing where the rule decides.
    """
    methods = params.explain.methods
    scores = {method: roles[f"scores {method}"].result() for method in methods}
    unanswered = [m for m, ref in scores.items() if find_review(stages.store, params.campaign, ref) is None]
    missed: list[str] = []
    if params.review.ask and unanswered:
        questions = [question(stages, method, roles) for method in unanswered]
        answer = ask(stages, params, roles, questions)
        if answer is None:
            missed = unanswered
        else:
            for one in questions:
                keep_review(stages.store, review_of(answer, params.campaign, one))
    made = honour(stages, params, roles, missed)
    if made:
        show_decisions(stages, params, made)
    return made


def honour(stages: Stages, params: CampaignParams, roles: Roles, missed: Sequence[str] = ()) -> Roles:
    """Apply the reviews that the store has, in place of the rule.

    Parameters
    ----------
    roles : `scores <method>`, and `swaps <method>` by the rule; others are ignored.
    missed : methods whose clusters nobody decided on in time.
    """
    made: Roles = {}
    for method in params.explain.methods:
        review = find_review(stages.store, params.campaign, roles[f"scores {method}"].result())
        if review is None and method not in missed:
            continue
        stages.expect(2)
        fixed = {"method": method, "proposal": roles[f"swaps {method}"]}
        decided = stages.submit(write_decisions, review=review, patience_hours=params.review.timeout_hours, **fixed)
        made |= {f"review {method}": decided, f"swaps {method}": stages.submit(honour_review, review=decided, **fixed)}
    wait_for(made.values())
    return made


def ask(stages: Stages, params: CampaignParams, roles: Roles, questions: Sequence[Question]) -> Answer | None:
    """Ask a person about the clusters of some saliency methods; None if nobody answers in time."""
    # The key covers all methods, because an earlier process of this run may have stored decisions for some of them.
    about = [str(roles[f"scores {method}"].result()) for method in params.explain.methods]
    key = f"review-{content_digest(about)}"
    answer = find_answer(key)
    if answer is not None or is_too_late(key):
        return answer
    artifacts = {role: stages.store.open(future.result()) for role, future in roles.items()}
    show_question(artifacts, params, questions, explored_clusters(stages.store, params.campaign, questions))
    get_run_logger().warning("waiting up to %g hours for a review of the clusters", params.review.timeout_hours)
    return wait_for_answer(review_form(params, questions), key, 3600 * params.review.timeout_hours)


def question(stages: Stages, method: str, roles: Roles) -> Question:
    """Collect what a person is asked about one saliency method's clusters."""
    plants, scores, swaps = (
        stages.store.open(roles[role].result()) for role in ("plants", f"scores {method}", f"swaps {method}")
    )
    n_classes = len(plants.summary["classes"])
    return Question(method, n_classes, scores.ref, rows_of(scores, CLUSTER_SCORES), rows_of(swaps, SWAPS))


def review_form(params: CampaignParams, questions: Sequence[Question]) -> type[ReviewForm]:
    """Make the form: one choice for each cluster, preset to the rule's, then reviewer and reason."""
    fields: dict[str, Any] = {
        field_name(one.method, swap["cluster"]): (
            Literal[allowed_choices(one.n_classes)],
            Field(
                default=rule_choice(swap["is_proposed"]),
                title=f"{method_name(one.method)}, cluster {swap['cluster']}",
                description=cluster_sentence(row, swap),
            ),
        )
        for one in questions
        for row, swap in zip(one.clusters, one.swaps, strict=True)
    }
    form = create_model("Review", __base__=ReviewForm, **fields)
    return form.with_initial_data(
        description=f"**{params.campaign}**: what should be done with the answers of each cluster? Prototypes and "
        "example images are on the tab *Artifacts* of this run. **swap**: the answers are swapped for the other class; "
        "**keep**: they stay as they are; **abstain**: none of them should be acted on. Without an answer within "
        f"{params.review.timeout_hours:g} hours the rule decides."
    )


def field_name(method: str, cluster: int) -> str:
    """Return the name of a cluster's field in the form."""
    return f"{method}_cluster_{cluster}"


def cluster_sentence(row: Row, swap: Row) -> str:
    """Write a cluster's counts and the rule's proposal as a sentence."""
    return (
        f"{row['n_wrong']} of {row['n']} validation images wrong ({row['error_share']:.0%}, interval "
        f"{row['error_share_lower']:.0%} to {row['error_share_upper']:.0%}). "
        f"The rule says {rule_choice(swap['is_proposed'])}: {swap['reason']}."
    )


def review_of(answer: Answer, campaign: str, asked: Question) -> Review:
    """Make the review of one saliency method's clusters from an answer; a field left unchanged agrees with the rule."""
    reviewer, reason = (str(answer.fields[name]).strip() for name in ("reviewer", "reason"))
    check_words(reviewer, reason)
    choices = {
        swap["cluster"]: answer.fields.get(field_name(asked.method, swap["cluster"]), rule_choice(swap["is_proposed"]))
        for swap in asked.swaps
    }
    check_choices(choices, choices, asked.n_classes)
    return Review.model_validate(
        {
            "campaign": campaign,
            "method": asked.method,
            "scores": asked.scores,
            "choices": choices,
            "reviewer": reviewer,
            "reason": reason,
            "decided": answer.given.replace(microsecond=0),
        }
    )


def explored_clusters(store: Store, campaign: str, questions: Sequence[Question]) -> dict[tuple[str, int], str]:
    """Return addresses of clusters in the plant explorer of the campaign's last report, by method and cluster.

    Clusters that the report does not show, because they are new or an earlier version made it, are left out.
    """
    record = find_record(store, campaign)
    report = None if record is None else record.artifacts.get("report")
    if record is None or report is None or ANALYSIS not in store.open(report).manifest.files:
        return {}
    return {
        (one.method, row["cluster"]): explorer_link(store, record, one.method, row["cluster"])
        for one in questions
        if record.artifacts.get(f"scores {one.method}") == one.scores
        for row in one.clusters
    }


def show_question(
    artifacts: dict[str, Artifact],
    params: CampaignParams,
    questions: Sequence[Question],
    explored: Mapping[tuple[str, int], str],
) -> None:
    """Show counts and a picture of each cluster among the flow run's artifacts while it waits.

    `explored` has addresses of clusters in the plant explorer, as far as there are any.
    """
    from tasks.report.review_sheets import cluster_sheets

    for one in questions:
        slug = one.method.replace("_", "-")  # Prefect's keys take no underscore
        text = question_text(params.campaign, one, explored)
        key = artifact_key(f"review-{slug}", params.campaign)
        create_markdown_artifact(text, key=key, description="resume this run to answer")
        for cluster, picture in cluster_sheets(artifacts, one.method, one.clusters).items():
            create_image_artifact(
                image_url=f"data:image/png;base64,{base64.b64encode(picture).decode()}",
                key=artifact_key(f"review-{slug}-cluster-{cluster}", params.campaign),
                description=f"prototype of cluster {cluster}, and the validation images most like it",
            )


def question_text(campaign: str, asked: Question, explored: Mapping[tuple[str, int], str]) -> str:
    """Write the counts of one saliency method's clusters and what the rule says as Markdown."""
    lines = [f"## Clusters of {campaign} by {method_name(asked.method)}: what to do about their answers?", ""]
    lines += ["| cluster | n | wrong | error share | interval | the rule says |", "|---:|---:|---:|---:|---|---|"]
    for row, swap in zip(asked.clusters, asked.swaps, strict=True):
        interval = f"{row['error_share_lower']:.0%} to {row['error_share_upper']:.0%}"
        said = f"{rule_choice(swap['is_proposed'])}: {swap['reason']}"
        figures = f"{row['n']} | {row['n_wrong']} | {row['error_share']:.0%} | {interval}"
        address = explored.get((asked.method, row["cluster"]))
        name = f"[{row['cluster']}]({address})" if address else row["cluster"]
        lines.append(f"| {name} | {figures} | {said} |")
    if explored:
        lines += ["", "The number of a cluster leads to all its images in the plant explorer of the last report."]
    return "\n".join(lines)


def show_decisions(stages: Stages, params: CampaignParams, made: Roles) -> None:
    """Show the decisions among the flow run's artifacts, with who decided and why."""
    lines = ["| method | cluster | the rule said | decision | by | why |", "|---|---:|---|---|---|---|"]
    for role, future in made.items():
        for row in rows_of(stages.store.open(future.result()), REVIEWS) if role.startswith("review ") else []:
            who = row["reviewer"] or "the rule"
            words = (row["proposed"], row["decision"], who, row["reason"])
            said = " | ".join(word.replace("|", "/").replace("\n", " ") for word in words)
            lines.append(f"| {method_name(row['method'])} | {row['cluster']} | {said} |")
    key = artifact_key("review", params.campaign)
    create_markdown_artifact("\n".join(lines), key=key, description=f"decisions on clusters of {params.campaign}")
