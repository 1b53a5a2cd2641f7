"""Renew everything that follows from the decisions on a campaign's clusters.

These are the answers, tables and report of the campaign, and the tables of dates that were scored with its fit.
Nothing is trained or explained again.
"""

from prefect import flow

from flows.acquisition import judge
from flows.acquisition import publish as publish_date
from flows.campaign import create_artifacts, publish
from flows.judgement import judge_maps, propose
from flows.parameters import CampaignParams
from flows.review.clusters import honour
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
from tasks.parameters import Runtime
from tasks.publish.reuse import reuse_artifact

DEFAULT_RUNTIME = Runtime()
# Kinds of artefacts that follow from decisions on clusters, and so are made again.
RENEWED = (
    "swaps",
    "review",
    "reliability",
    "adjusted",
    "drift",
    "metrics",
    "evaluation",
    "acquisition",
    "report",
    KIND,
)


@flow(name="renew-campaign", flow_run_name="renew {campaign}")
def renew_campaign(campaign: str, store: str, runtime: Runtime = DEFAULT_RUNTIME) -> CampaignRecord:
    """Adjust, measure, report and publish a campaign again with the decisions that are valid now.

    Raises
    ------
    InputError : the campaign is unknown.
    ArtifactError : an artefact of the campaign is missing or damaged.
    """
    opened = Store(store)
    earlier = read_record(opened, campaign)
    params = CampaignParams.model_validate(earlier.params)
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
        renew_date(record, date, store, runtime)
    return record


def unaffected(artifacts: dict[str, ArtifactRef]) -> dict[str, ArtifactRef]:
    """Return the artefacts that do not follow from decisions, by role."""
    return {role: ref for role, ref in artifacts.items() if role.split()[0] not in RENEWED}


def n_tasks(params: CampaignParams, kept: dict[str, ArtifactRef]) -> int:
    """Count the task runs of a campaign's renewal, without those of reviews."""
    return len(kept) + len(params.explain.methods) * (3 + 4 * len(params.dates)) + 2


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


def renew_date(fitted: CampaignRecord, scored: AcquisitionRecord, store: str, runtime: Runtime) -> None:
    """Rate, adjust and publish a scored date again with the decisions that are valid now."""
    params = CampaignParams.model_validate(scored.params)
    kept = {**unaffected(scored.artifacts), **learned_artifacts(fitted.artifacts)}
    n_expected = len(kept) + 5 * len(params.explain.methods) + 2
    with Stages(scored.campaign, store, n_expected, runtime) as stages:
        roles = reuse(stages, kept)
        roles |= judge(stages, params, roles)
        publish_date(stages, params, fitted, roles)
