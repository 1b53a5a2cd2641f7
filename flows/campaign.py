"""The whole DAG of a field campaign: from a source's images to published tables and a report.

Tasks hand each other references; futures are passed on, so that the graph in the UI keeps its edges. The flow waits
where a stage needs the results of every date, and so that the first error is the one that is raised.
"""

import base64

from prefect import flow
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.runtime import deployment, flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from flows.judgement import analyse_maps, try_others
from flows.parameters import CampaignParams
from flows.stages import Future, Roles, Stages, wait_for
from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from storage.parquet import read_table
from storage.publish import CampaignRecord, find_record
from storage.tables import DRIFT, EVALUATION, METRICS
from tasks.augment import plan_augmentation
from tasks.classifier import choose_device
from tasks.cluster_checks import check_methods
from tasks.ingest import check_campaign, ingest_images, survey_source
from tasks.parameters import Runtime
from tasks.predict import predict_images
from tasks.publish import publish_results
from tasks.rehearse import rehearse_classifier
from tasks.report import report_summary, write_report
from tasks.train import take_classifier, train_classifier

DEFAULT_RUNTIME = Runtime()
SHOWN_TABLES = (
    (METRICS, "metrics", "accuracy before and after adjustment"),
    (EVALUATION, "evaluation", "how well each score tells right answers from wrong ones"),
    (DRIFT, "drift", "how far each date's plants lie from what was validated"),
)


def run_name() -> str:
    """Campaign and dates, e.g. `field2-2021 2021-08-23..2021-09-03`."""
    params = flow_run.parameters["params"]
    fields = params if isinstance(params, dict) else params.model_dump(mode="json")
    dates = sorted(str(day) for day in fields["dates"])
    return f"{fields['campaign']} {dates[0]}" + (f"..{dates[-1]}" if len(dates) > 1 else "")


@flow(name="analyse-campaign", flow_run_name=run_name, task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]
def analyse_campaign(params: CampaignParams, store: str, runtime: Runtime = DEFAULT_RUNTIME) -> CampaignRecord:
    """Take a field campaign from images to tables of reliability and adjusted predictions.

    Raises
    ------
    InputError : bad input, before expensive work where it can be known before.
    """
    check_run(params, runtime)
    earlier = find_record(Store(store), params.campaign)
    with Stages(params, store) as stages:
        survey, roles = ingest(stages, params)
        roles |= classify(stages, params, runtime, roles)
        for method in params.explain.methods:
            roles |= analyse_maps(stages, params, runtime, method, roles, earlier)
            roles |= try_others(stages, params, method, roles)
        wait_for(roles.values())
        shown = params.model_dump(mode="json")
        differing = params.differences_from_paper()
        made: dict[str, ArtifactRef | Future] = {"survey": survey, **roles}
        report = stages.submit(write_report, params=shown, differing=differing, artifacts=made)
        wait_for([report])
        record: CampaignRecord = stages.submit(
            publish_results, params=shown, artifacts={**made, "report": report}
        ).result()
    create_artifacts(Store(store), record)
    return record


def check_run(params: CampaignParams, runtime: Runtime) -> None:
    """Refuse what can be refused before anything is read.

    Raises
    ------
    InputError : a device that is not there, or cannot compute in this precision; approximate maps that may not be
        clustered; maps that use ground truth in a deployment.
    """
    choose_device(runtime, runtime.saliency_precision)
    check_methods(params.explain.methods, params.cluster)
    if params.explain.explained_class == "label" and deployment.id:
        raise InputError(
            "A deployment never explains the true class",
            "explain.explained_class = label",
            "use predicted; `label` reproduces the paper's numbers with `harvest run` only",
        )


def ingest(stages: Stages, params: CampaignParams) -> tuple[ArtifactRef, Roles]:
    """What the source has; images of every date and the campaign's plants."""
    needed = max(params.cluster.n_clusters, params.cluster.neighbours + 1)
    checks = {"n_needed": needed, "is_trained": params.classifier is None}
    fixed = {"source": params.source, "params": params.ingest}
    found: dict[str, ArtifactRef] = stages.submit(survey_source, dates=params.dates, **fixed, **checks).result()
    images: Roles = {
        f"images {day}": stages.submit(ingest_images, date=day, listing=found[f"listing {day}"], **fixed)
        for day in params.dates
    }
    wait_for(images.values())
    plants = stages.submit(check_campaign, params=params.ingest, images=list(images.values()), **checks)
    wait_for([plants])
    return found["survey"], {**images, "plants": plants}


def classify(stages: Stages, params: CampaignParams, runtime: Runtime, roles: Roles) -> Roles:
    """Classifier and predictions of every date."""
    images, plants = [roles[f"images {day}"] for day in params.dates], roles["plants"]
    wait_for(
        [
            stages.submit(
                rehearse_classifier,
                plants=plants,
                params=params.train,
                given=params.classifier,
                explain=params.explain,
                image_size=params.ingest.image_size,
            )
        ]
    )
    made: Roles = {}
    if params.classifier is not None:
        classes = tuple(stages.store.open(plants.result()).summary["classes"])
        made["classifier"] = stages.submit(take_classifier, given=params.classifier, classes=classes)
    else:
        made["augmentation"] = stages.submit(plan_augmentation, params=params.augment, images=images)
        made["classifier"] = stages.submit(
            train_classifier,
            params=params.train,
            augmentation=made["augmentation"],
            images=images,
            runtime=runtime,
        )
    wait_for(made.values())
    for day, image in zip(params.dates, images, strict=True):
        made[f"predictions {day}"] = stages.submit(
            predict_images, date=day, images=image, classifier=made["classifier"], runtime=runtime
        )
    wait_for(made.values())
    return made


def create_artifacts(store: Store, record: CampaignRecord) -> None:
    """What the flow run shows in the Prefect UI: summary, metrics and prototypes."""
    report = store.open(record.artifacts["report"])
    create_markdown_artifact(report_summary(store, record), key="summary", description=f"campaign {record.campaign}")
    for spec, kind, description in SHOWN_TABLES:
        tables = [
            read_table(store.open(ref), spec) for role, ref in record.artifacts.items() if role.split()[0] == kind
        ]
        create_table_artifact(
            [{name: t[name][i] for name in t} for t in tables for i in range(len(t["split"]))],
            key=kind,
            description=description,
        )
    for name in sorted(report.manifest.files):
        if name.startswith("prototypes"):
            picture = base64.b64encode(report.read_bytes(name)).decode()
            create_image_artifact(
                image_url=f"data:image/png;base64,{picture}", key=name.removesuffix(".png"), description="prototypes"
            )
