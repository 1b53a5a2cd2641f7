"""Audit a finished campaign: explain its answers for different classes, and compare what each choice would claim.

Images, classifier and predictions are those of the campaign's record. What the store has is not computed again: if the
campaign explained `predicted`, only the maps of the positive class and of `label` are new. `label` uses ground truth,
so a deployment never runs this flow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.campaign import check_run
from flows.judgement import analyse_maps, explain
from flows.parameters import CampaignParams, recorded_params
from flows.running.labels import run_name, tag_run
from flows.running.names import artifact_key
from flows.running.stages import Roles, Stages, n_tasks, wait_for
from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from storage.records.campaigns import CampaignRecord, read_record
from storage.tables import AUDIT
from storage.tables.rows import rows_of
from tasks.audit.audit import AuditParams, choices, publish_audit, write_audit
from tasks.explain.params import Method
from tasks.parameters import Runtime
from tasks.publish.reuse import reuse_artifact, take_labelled
from tasks.report.words import GROUND_TRUTH

READ = ("saliency", "reliability", "metrics", "evaluation")  # kinds of artefacts that the audit reads of an analysis
DEFAULT_RUNTIME = Runtime()
DEFAULT_AUDIT = AuditParams()


@dataclass(frozen=True)
class Audit:
    """A finished audit, and the path of its page relative to the store."""

    artifact: ArtifactRef
    page: str


@flow(name="audit-campaign", flow_run_name=run_name, on_running=[tag_run])
def audit_campaign(
    campaign: str,
    store: str,
    methods: Sequence[str] = (),
    params: AuditParams = DEFAULT_AUDIT,
    runtime: Runtime = DEFAULT_RUNTIME,
) -> Audit:
    """Compare what the explained classes `predicted`, the positive class and `label` would claim for a campaign.

    Parameters
    ----------
    methods : saliency methods of the campaign to audit; empty for all.

    Raises
    ------
    InputError : the campaign or a method is unknown, or the flow is run by a deployment.
    ArtifactError : an artefact of the campaign is missing or damaged.
    """
    opened = Store(store)
    record = read_record(opened, campaign)
    of_campaign = chosen_methods(recorded_params(record.params), methods)
    runtime = runtime.model_copy(update={"saliency_precision": precision(opened, record)})
    check_run(explaining(of_campaign, "label"), runtime, is_here=True)
    with Stages(campaign, store, n_tasks(of_campaign), runtime) as stages:
        roles = reuse(stages, of_campaign, record)
        variants = choices(opened.open(record.artifacts["plants"]).summary["classes"])
        stages.expect(n_more_tasks(of_campaign, len(variants)))
        found, problems = analyse_variants(stages, of_campaign, runtime, variants, roles)
        audit = stages.submit(
            write_audit,
            params=params,
            methods=list(of_campaign.explain.methods),
            predictions=[record.artifacts[f"predictions {day}"] for day in of_campaign.dates],
            variants=found,
            problems=problems,
        )
        page: str = stages.submit(publish_audit, audit=audit).result()
    key = artifact_key("audit", campaign)
    create_table_artifact(rows_of(opened.open(audit.result()), AUDIT), key=key, description=f"label {GROUND_TRUTH}")
    return Audit(audit.result(), page)


def chosen_methods(params: CampaignParams, methods: Sequence[str]) -> CampaignParams:
    """Return the campaign's parameters with the given saliency methods alone; none means all.

    Raises
    ------
    InputError : the campaign did not use one of the methods.
    """
    known = params.explain.methods
    unknown = [method for method in methods if method not in known]
    if unknown:
        raise InputError(
            f"The audit is asked for {', '.join(unknown)}; the campaign has {', '.join(known)}",
            "An audit takes only saliency methods of the campaign",
            "name one of these, or run the campaign with the other method too",
        )
    kept = tuple(method for method in known if method in methods or not methods)
    return params.model_copy(update={"explain": params.explain.model_copy(update={"methods": kept})})


def explaining(params: CampaignParams, choice: str) -> CampaignParams:
    """Return the campaign's parameters with another explained class."""
    return params.model_copy(update={"explain": params.explain.model_copy(update={"explained_class": choice})})


def precision(store: Store, record: CampaignRecord) -> str:
    """Read the precision of the campaign's saliency maps.

    The audit uses it too: with another one, even the campaign's own maps would be computed again.
    """
    maps = next(ref for role, ref in record.artifacts.items() if role.startswith("saliency "))
    return store.open(maps).manifest.params.get("precision", "float32")


def n_more_tasks(params: CampaignParams, n_variants: int) -> int:
    """Count the task runs of an audit beyond those that `n_tasks` counts for the campaign."""
    no_method = params.explain.model_copy(update={"methods": ()})
    n_analyses = n_tasks(params) - n_tasks(params.model_copy(update={"explain": no_method}))
    # An audit measures no sensitivity to the clusters' parameters, and exports no decisions.
    n_analyses -= len(params.explain.methods) * (1 + len(params.dates))
    reused = 2 + 2 * len(params.dates)
    return reused + len(params.dates) + n_variants * n_analyses + 2 - n_tasks(params)


def reuse(stages: Stages, params: CampaignParams, record: CampaignRecord) -> Roles:
    """Return the images, plants, classifier and predictions of the campaign's record as futures, by role."""
    names = ["plants", "classifier", *(f"{kind} {day}" for kind in ("images", "predictions") for day in params.dates)]
    made: Roles = {name: stages.submit(reuse_artifact, role=name, ref=record.artifacts[name]) for name in names}
    wait_for(made.values())
    return made


def analyse_variants(
    stages: Stages, params: CampaignParams, runtime: Runtime, variants: Sequence[str], roles: Roles
) -> tuple[dict[str, Roles], list[str]]:
    """Analyse the campaign for every explained class.

    `label` is explained for labelled images only. A method that cannot be analysed for `predicted` is an error; for
    another explained class it is a problem of the audit.

    Returns
    -------
    What the audit reads, by explained class and role, and one sentence for each method without results.
    """
    labelled: Roles = {
        f"predictions {day}": stages.submit(take_labelled, date=day, predictions=roles[f"predictions {day}"])
        for day in params.dates
    }
    found: dict[str, Roles] = {choice: {} for choice in variants}
    problems: list[str] = []
    for choice in variants:
        given = {**roles, **labelled} if choice == "label" else roles
        for method in params.explain.methods:
            try:
                found[choice] |= analyse(stages, explaining(params, choice), runtime, method, given)
            except InputError as error:
                if choice == "predicted":
                    raise
                problems.append(f"{choice}, {method}: {error.found}; {error.rule}.")
    return found, problems


def analyse(stages: Stages, params: CampaignParams, runtime: Runtime, method: Method, roles: Roles) -> Roles:
    """Run one analysis and return what the audit reads of it; wait for all of it, so that no error is lost."""
    made = explain(stages, params, runtime, method, roles)
    made |= analyse_maps(stages, params, method, {**roles, **made})
    wait_for(made.values())
    return {role: future for role, future in made.items() if role.split()[0] in READ}
