"""Run the whole DAG of a field campaign: from a source's images to published tables and a report.

Tasks pass references to each other as futures, so that Prefect's graph shows the edges. The flow waits after each
stage: later stages need the results of every date, and the first error is then the one that is raised.
"""

import base64
from collections.abc import Mapping
from contextlib import suppress

from prefect import flow
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.runtime import deployment

from flows.fit import DEPLOYED, check_device, expected, fit
from flows.judgement import fit_maps, judge_maps, try_others
from flows.parameters import CampaignParams, recorded_params, with_crop
from flows.report.backgrounds import submit_backgrounds, tell_faults
from flows.report.exports import write_exports
from flows.report.links import report_link
from flows.report.renewal import submit_renewal, what_to_show
from flows.review.clusters import check_somebody_can_answer, review_clusters
from flows.running.faults import put_off_by_faults
from flows.running.labels import run_name, tag_run
from flows.running.names import artifact_key
from flows.running.restarts import refuse_endless_restarts
from flows.running.sending import is_deployed
from flows.running.stages import PROGRESS, Future, Roles, Stages, n_tasks, wait_for
from storage.artifacts import ArtifactRef, Store
from storage.errors import ArtifactError, InputError
from storage.places.allowed import refuse_other_places
from storage.records.campaigns import CampaignRecord, find_record
from storage.records.checks import FoundClasses, found_classes
from storage.tables import DRIFT, EVALUATION, METRICS
from storage.tables.parquet import read_table
from tasks.classify.augment import augmentation_recipe, plan_augmentation
from tasks.classify.train import given_recipe, take_classifier
from tasks.cluster.checks import check_methods
from tasks.ingest.ingest import check_campaign, images_recipe, ingest_images, survey_source
from tasks.ingest.listing import read_listing
from tasks.ingest.survey import begin_survey
from tasks.parameters import Runtime
from tasks.plan.rehearse import rehearse_classifier
from tasks.publish.publish import publish_results
from tasks.report.report import map_file, report_summary, write_report

DEFAULT_RUNTIME = Runtime()
# Tables shown among the flow run's artifacts: schema, kind of artefact, description.
SHOWN_TABLES = (
    (METRICS, "metrics", "accuracy before and after adjustment"),
    (EVALUATION, "evaluation", "how well each score tells right answers from wrong ones"),
    (DRIFT, "drift", "how far each date's plants lie from what was validated"),
)


@flow(name="analyse-campaign", flow_run_name=run_name, on_running=[tag_run])
@put_off_by_faults
def analyse_campaign(params: CampaignParams, store: str, runtime: Runtime = DEFAULT_RUNTIME) -> CampaignRecord:
    """Analyse a field campaign from images to tables of reliability and adjusted predictions.

    Raises
    ------
    InputError : the input breaks a rule; raised before expensive work wherever that can be known.
    """
    refuse_endless_restarts()
    opened = Store(store)
    earlier = find_record(opened, params.campaign)
    if earlier is None or not has_places_of(earlier, params):  # those of a record were allowed to whoever made it
        refuse_other_places(source=params.source, classifier=params.classifier)
    opened.check()
    check_run(params, runtime, is_here=not is_deployed(DEPLOYED))
    check_somebody_can_answer(params.review)
    with Stages(params.campaign, store, n_tasks(params), runtime) as stages:
        survey, roles = ingest(stages, params, runtime)
        # Later dates are cropped as wide as these, also if the file of plants has changed by then.
        recorded = params.model_copy(update={"source": with_crop(params.source)})
        roles |= prepare_training(stages, params, roles)
        roles |= fit(stages, params, runtime, roles)
        for method in params.explain.methods:
            roles |= fit_maps(stages, params, method, roles, earlier)
            roles |= try_others(stages, params, method, roles)
        wait_for(roles.values())
        roles |= review_clusters(stages, params, roles)
        for method in params.explain.methods:
            roles |= judge_maps(stages, params, method, roles)
        record = publish(stages, recorded, {"survey": survey, **roles})
    create_artifacts(opened, record)
    return record


def has_places_of(record: CampaignRecord, params: CampaignParams) -> bool:
    """Return whether parameters name the source and the classifier of a finished run, and nothing else to read from."""
    try:
        known = recorded_params(record.params)
    except InputError:  # an earlier version made the run
        return False
    if params.classifier != known.classifier or type(params.source) is not type(known.source):
        return False
    return with_crop(params.source, known.source) == known.source


def publish(stages: Stages, params: CampaignParams, made: Mapping[str, ArtifactRef | Future]) -> CampaignRecord:
    """Publish report, exports, tables and record, and the report again if dates were scored meanwhile."""
    refs = {role: one if isinstance(one, ArtifactRef) else one.result() for role, one in made.items()}
    shown = what_to_show(stages.store, params, refs)
    exports = write_exports(stages, params, made)
    report = stages.submit(write_report, **{**vars(shown), "artifacts": dict(made)})
    wait_for([*exports.values(), report])
    record: CampaignRecord = stages.submit(
        publish_results, params=params.model_dump(mode="json"), artifacts={**made, **exports, "report": report}
    ).result()
    submit_renewal(stages, params.campaign, shown)
    return record


def check_run(params: CampaignParams, runtime: Runtime, is_here: bool) -> None:
    """Refuse parameters that cannot be run, before any image is read.

    Parameters
    ----------
    is_here : whether this machine trains and explains. The devices of other machines cannot be checked here.

    Raises
    ------
    InputError : the device is missing or cannot compute in this precision, approximate maps would be clustered although
        `cluster.allow_preview` is false, or a deployment would explain the true class.
    """
    if is_here:
        check_device(runtime)
    check_methods(params.explain.methods, params.cluster)
    if params.explain.explained_class == "label" and deployment.id:
        raise InputError(
            "This deployment's run has explain.explained_class = label",
            "A deployment never explains the true class",
            "set explain.explained_class = predicted, or reproduce the paper's numbers with `harvest run`",
        )


def ingest(stages: Stages, params: CampaignParams, runtime: Runtime) -> tuple[ArtifactRef, Roles]:
    """Survey the source, rehearse the classifier, ingest the images of every date, and check the campaign's plants.

    Returns
    -------
    The survey, and `images <date>`, `background <date>` and `plants` as futures.
    """
    checks = {"n_needed": params.cluster.n_needed, "is_trained": params.classifier is None}
    fixed = {"source": params.source, "params": params.ingest}
    found: dict[str, ArtifactRef] = stages.submit(
        survey_source, dates=params.dates, found=checked_classes(stages.store, params), **fixed, **checks
    ).result()
    rehearsal = stages.submit(
        rehearse_classifier,
        listings=[found[f"listing {day}"] for day in params.dates],
        fitted=fitted_from(stages.store, params, runtime, found),
        params=params.train,
        given=params.classifier,
        explain=params.explain,
        image_size=params.ingest.image_size,
        runtime=runtime,
        is_here=not is_deployed(DEPLOYED),
    )
    wait_for([rehearsal])
    for note in stages.store.open(found["survey"]).read_json("survey.json")["notes"]:
        PROGRESS.info("note: %s", note)
    images: Roles = {
        f"images {day}": stages.submit(ingest_images, date=day, listing=found[f"listing {day}"], **fixed)
        for day in params.dates
    }
    wait_for(images.values())
    plants = stages.submit(check_campaign, params=params.ingest, images=list(images.values()), **checks)
    backgrounds = submit_backgrounds(stages, params, images)
    wait_for([plants, *backgrounds.values()])
    tell_faults(stages, backgrounds)
    return found["survey"], {**images, **backgrounds, "plants": plants}


def begin_survey_of(params: CampaignParams, store: Store) -> None:
    """Begin the survey of a campaign's source, which needs no server, for the run that this process will start."""
    with suppress(ArtifactError, OSError):  # of a record of checks: the run meets it too, and says so
        begin_survey(params.source, params.dates, params.ingest, checked_classes(store, params))


def checked_classes(store: Store, params: CampaignParams) -> FoundClasses:
    """Return the classes that people found at plants on a campaign's dates."""
    return {day: of for day, of in found_classes(store, params.campaign).items() if day in params.dates}


def fitted_from(
    store: Store, params: CampaignParams, runtime: Runtime, found: Mapping[str, ArtifactRef]
) -> list[ArtifactRef]:
    """Return references to the classifier and to all that it answers and explains, known from the survey alone.

    Parameters
    ----------
    found : `listing <date>` of every date.
    """
    listings = {day: found[f"listing {day}"] for day in params.dates}
    refs = {f"images {day}": images_recipe(params.ingest, listing).ref for day, listing in listings.items()}
    if params.classifier is None:
        refs["augmentation"] = augmentation_recipe(params.augment, list(refs.values())).ref
    else:
        classes = read_listing(store.open(listings[params.dates[0]]))["classes"]
        refs["classifier"] = given_recipe(params.classifier, tuple(classes)).ref
    return expected(params, runtime, refs)


def prepare_training(stages: Stages, params: CampaignParams, roles: Roles) -> Roles:
    """Plan the training samples, or copy the given classifier into the store."""
    images, plants = [roles[f"images {day}"] for day in params.dates], roles["plants"]
    if params.classifier is None:
        made = {"augmentation": stages.submit(plan_augmentation, params=params.augment, images=images)}
    else:
        classes = tuple(stages.store.open(plants.result()).summary["classes"])
        made = {"classifier": stages.submit(take_classifier, given=params.classifier, classes=classes)}
    wait_for(made.values())
    return made


def create_artifacts(store: Store, record: CampaignRecord) -> None:
    """Show summary, report, tables, prototypes and the last harvest map among the flow run's artifacts."""
    campaign = record.campaign
    report_key, summary_key = (artifact_key(kind, campaign) for kind in ("report", "summary"))
    create_link_artifact(report_link(store, record), link_text=f"report of {campaign}", key=report_key)
    report = store.open(record.artifacts["report"])
    create_markdown_artifact(report_summary(store, record), key=summary_key, description=f"campaign {campaign}")
    for spec, kind, description in SHOWN_TABLES:
        tables = [
            read_table(store.open(ref), spec) for role, ref in record.artifacts.items() if role.split()[0] == kind
        ]
        create_table_artifact(
            [{name: t[name][i] for name in t} for t in tables for i in range(len(t["split"]))],
            key=artifact_key(kind, campaign),
            description=description,
        )
    days = report.summary["days"]
    pictures = {name.removesuffix(".png"): name for name in report.manifest.files if name.startswith("prototypes")}
    pictures |= {"harvest-map": map_file(days[-1]["date"])}
    for kind, name in sorted(pictures.items()):
        if name in report.manifest.files:  # there is no map if plants have no positions
            picture = base64.b64encode(report.read_bytes(name)).decode()
            create_image_artifact(
                image_url=f"data:image/png;base64,{picture}",
                key=artifact_key(kind, campaign),
                description=name.removesuffix(".png"),
            )
