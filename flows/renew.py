"""Renew everything that follows from the decisions on a campaign's clusters.

These are the answers, tables and report of the campaign, and the tables of dates that were scored with its fit.
Nothing is trained or explained again.
"""

from prefect import flow

from flows.acquisition import judge, plants_of_fit
from flows.acquisition import publish as publish_date
from flows.campaign import create_artifacts, publish
from flows.judgement import judge_maps, propose
from flows.parameters import CampaignParams, recorded_params
from flows.review.clusters import honour
from flows.running.labels import run_name, tag_run
from flows.running.stages import Roles, Stages, wait_for
from storage.artifacts import ArtifactRef, Store
from storage.published.exports import KIND
from storage.records.acquisitions import (
    AcquisitionRecord,
    fit_digest,
    learned_artifacts,
    list_acquisitions,
    read_acquisition,
)
from storage.records.campaigns import CampaignRecord, read_record
from tasks.decide.params import DecideParams
from tasks.ingest.completeness import scored_completeness
from tasks.parameters import Runtime
from tasks.publish.reuse import reuse_artifact

DEFAULT_RUNTIME = Runtime()
# Kinds of artefacts that follow from decisions on clusters, and so are made again.
RENEWED = (
    "swaps",
    "review",
    "promises",
    "reliability",
    "adjusted",
    "drift",
    "decided",
    "metrics",
    "evaluation",
    "calibration",
    "acquisition",
    "report",
    KIND,
)


@flow(name="renew-campaign", flow_run_name=run_name, on_running=[tag_run])
def renew_campaign(
    campaign: str, store: str, runtime: Runtime = DEFAULT_RUNTIME, decide: DecideParams | None = None
) -> CampaignRecord:
    """Adjust, decide, measure, report and publish a campaign again with the decisions that are valid now.

    Parameters
    ----------
    decide : parameters of decisions that replace the campaign's; by default those of its last run.

    Raises
    ------
    InputError : the campaign is unknown.
    ArtifactError : an artefact of the campaign is missing or damaged.
    """
    opened = Store(store)
    earlier = read_record(opened, campaign)
    params = with_decisions(recorded_params(earlier.params), decide)
    scored = scored_dates(opened, earlier)
    kept = unaffected(earlier.artifacts)
    with Stages(campaign, store, n_tasks(params, kept), runtime) as stages:
        roles = reuse(stages, kept)
        for method in params.explain.methods:
            roles |= propose(stages, params, method, roles)
        wait_for(roles.values())
        roles |= honour(stages, params, roles)
        for method in params.explain.methods:
            roles |= judge_maps(stages, params, method, roles)
        record = publish(stages, params, {**roles})
    create_artifacts(opened, record)
    for date in scored:
        renew_date(record, date, store, runtime, decide)
    return record


def with_decisions(params: CampaignParams, decide: DecideParams | None) -> CampaignParams:
    """Return a campaign's parameters with other parameters of decisions, if there are any."""
    return params if decide is None else params.model_copy(update={"decide": decide})


def unaffected(artifacts: dict[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """Return the artefacts that do not follow from decisions, by role."""
    return {role: ref for role, ref in artifacts.items() if role.split()[0] not in RENEWED}


def n_tasks(params: CampaignParams, kept: dict[str, ArtifactRef]) -> int:
    """Count the task runs of a campaign's renewal, without those of reviews."""
    return len(kept) + len(params.explain.methods) * (5 + 5 * len(params.dates)) + 2


def reuse(stages: Stages, artifacts: dict[str, ArtifactRef]) -> Roles:
    """Return artefacts of the store as futures, by role."""
    roles: Roles = {role: stages.submit(reuse_artifact, role=role, ref=ref) for role, ref in artifacts.items()}
    wait_for(roles.values())
    return roles


def scored_dates(store: Store, fitted: CampaignRecord) -> list[AcquisitionRecord]:
    """Read the records of all dates, of this campaign and of others, that were scored with the campaign's fit."""
    records = (read_acquisition(path) for path in list_acquisitions(store))
    fit = fit_digest(fitted.artifacts)
    return [one for one in records if one.fitted_by == fitted.campaign and one.fit == fit]


def renew_date(
    fitted: CampaignRecord, scored: AcquisitionRecord, store: str, runtime: Runtime, decide: DecideParams | None
) -> None:
    """Rate, adjust and publish a scored date again with the decisions that are valid now."""
    params = with_decisions(recorded_params(scored.params), decide)
    kept = {**unaffected(scored.artifacts), **learned_artifacts(fitted.artifacts)}
    completeness = scored_completeness(Store(store), scored.artifacts, scored.date)
    n_expected = len(kept) + 6 * len(params.explain.methods) + 2
    with Stages(scored.campaign, store, n_expected, runtime) as stages:
        roles = reuse(stages, kept)
        roles |= judge(stages, params, roles, plants_of_fit(params, fitted), completeness)
        publish_date(stages, params, fitted, roles, completeness, scored.files)
