"""The whole DAG of a field campaign: from a source's images to published tables and a report.

Tasks hand each other references; futures are passed on, so that the graph in the UI keeps its edges. The flow waits
where a stage needs the results of every date, and so that the first error is the one that is raised.
"""

import base64
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from prefect import flow
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.futures import PrefectFuture
from prefect.runtime import deployment, flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task
from tqdm import tqdm

from flows.parameters import CampaignParams
from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from storage.publish import CampaignRecord
from storage.tables import METRICS, read_table
from tasks.adjust import adjust_predictions, measure_accuracy
from tasks.augment import plan_augmentation
from tasks.classifier import choose_device
from tasks.cluster import assign_images, fit_clusters
from tasks.cluster_checks import check_methods
from tasks.explain import date_groups, explain_shards, gather_maps
from tasks.ingest import check_campaign, ingest_images, survey_source
from tasks.parameters import Runtime
from tasks.predict import predict_images
from tasks.publish import publish_results
from tasks.rehearse import rehearse_classifier
from tasks.report import report_summary, write_report
from tasks.saliency.maps import Method
from tasks.score import rate_images, score_clusters
from tasks.train import take_classifier, train_classifier

Future = PrefectFuture[ArtifactRef]
Roles = dict[str, Future]
DEFAULT_RUNTIME = Runtime()


class Stages:
    """Submits the tasks of one run with their results kept in the store, and counts the finished ones."""

    def __init__(self, params: CampaignParams, store: str) -> None:
        self.fixed = {"campaign": params.campaign, "store": store}
        self.store = Store(store)
        self.bar = tqdm(desc=f"campaign {params.campaign}", unit="task", total=n_tasks(params), disable=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()

    def submit(self, task: Task[..., Any], **parameters: Any) -> PrefectFuture[Any]:
        """Start a task as soon as its inputs are there."""
        stored = task.with_options(result_storage=self.store.results_folder)
        future = stored.submit(**self.fixed, **parameters)  # pyright: ignore[reportCallIssue]
        future.add_done_callback(self._count)
        return future

    def expect(self, n_more: int) -> None:
        """Count on more (or fewer) tasks than `n_tasks` tells before the images are known."""
        self.bar.total += n_more
        self.bar.refresh()

    def _count(self, _future: PrefectFuture[Any]) -> None:
        self.bar.update()


def n_tasks(params: CampaignParams) -> int:
    """Task runs of a campaign whose maps by one method and of one date are explained by one task."""
    dates, methods = len(params.dates), len(params.explain.methods)
    classifier = 2 if params.classifier is None else 1
    return 5 + classifier + 2 * dates + methods * (3 + 5 * dates)


def wait_for(futures: Iterable[PrefectFuture[Any]]) -> None:
    """Wait, and raise the first error in the order of the DAG."""
    for future in futures:
        future.result()


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
    with Stages(params, store) as stages:
        survey, roles = ingest(stages, params)
        roles |= classify(stages, params, runtime, roles)
        for method in params.explain.methods:
            roles |= analyse_maps(stages, params, runtime, method, roles)
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


def analyse_maps(stages: Stages, params: CampaignParams, runtime: Runtime, method: Method, roles: Roles) -> Roles:
    """Maps, clusters, scores and adjusted answers by one saliency method."""
    predictions = [roles[f"predictions {day}"] for day in params.dates]
    made = explain(stages, params, runtime, method, roles)
    clusters = stages.submit(
        fit_clusters,
        method=method,
        params=params.cluster,
        size=params.ingest.image_size,
        saliency=list(made.values()),
        predictions=predictions,
    )
    wait_for([clusters])
    return {**made, f"clusters {method}": clusters, **rate(stages, params, method, {**roles, **made}, clusters)}


def explain(stages: Stages, params: CampaignParams, runtime: Runtime, method: Method, roles: Roles) -> Roles:
    """Maps of every date by one method: groups of shards side by side, then one artefact a date."""
    made_from = {
        day: {
            "date": day,
            "params": params.explain,
            "method": method,
            "images": roles[f"images {day}"],
            "classifier": roles["classifier"],
            "predictions": roles[f"predictions {day}"],
            "runtime": runtime,
        }
        for day in params.dates
    }
    groups = {
        day: [
            stages.submit(explain_shards, first=first, last=last, **parameters)
            for first, last in date_groups(stages.store, method, roles[f"predictions {day}"].result())
        ]
        for day, parameters in made_from.items()
    }
    shards = [group for of_date in groups.values() for group in of_date]
    stages.expect(len(shards) - len(params.dates))
    wait_for(shards)
    saliency: Roles = {
        f"saliency {method} {day}": stages.submit(gather_maps, shards=groups[day], **parameters)
        for day, parameters in made_from.items()
    }
    wait_for(saliency.values())
    return saliency


def rate(stages: Stages, params: CampaignParams, method: Method, roles: Roles, clusters: Future) -> Roles:
    """Scores of fitted clusters, and what they say of every date's images."""
    predictions = {day: roles[f"predictions {day}"] for day in params.dates}
    assignments = {
        day: stages.submit(
            assign_images,
            date=day,
            method=method,
            clusters=clusters,
            saliency=roles[f"saliency {method} {day}"],
            predictions=answers,
        )
        for day, answers in predictions.items()
    }
    scores = stages.submit(
        score_clusters,
        method=method,
        params=params.score,
        clusters=clusters,
        assignments=list(assignments.values()),
        predictions=list(predictions.values()),
    )
    wait_for([*assignments.values(), scores])
    reliability = {
        day: stages.submit(rate_images, date=day, method=method, scores=scores, assignments=assigned)
        for day, assigned in assignments.items()
    }
    adjusted = {
        day: stages.submit(
            adjust_predictions,
            date=day,
            method=method,
            params=params.adjust,
            predictions=predictions[day],
            reliability=rated,
        )
        for day, rated in reliability.items()
    }
    metrics = stages.submit(measure_accuracy, method=method, plants=roles["plants"], adjusted=list(adjusted.values()))
    made: Roles = {f"scores {method}": scores, f"metrics {method}": metrics}
    for kind, futures in (("assignments", assignments), ("reliability", reliability), ("adjusted", adjusted)):
        made |= {f"{kind} {method} {day}": future for day, future in futures.items()}
    wait_for(made.values())
    return made


def create_artifacts(store: Store, record: CampaignRecord) -> None:
    """What the flow run shows in the Prefect UI: summary, metrics and prototypes."""
    report = store.open(record.artifacts["report"])
    create_markdown_artifact(report_summary(store, record), key="summary", description=f"campaign {record.campaign}")
    metrics = [
        read_table(store.open(ref), METRICS) for role, ref in record.artifacts.items() if role.startswith("metrics")
    ]
    create_table_artifact(
        [{name: t[name][i] for name in t} for t in metrics for i in range(len(t["split"]))],
        key="metrics",
        description="accuracy before and after adjustment",
    )
    for name in sorted(report.manifest.files):
        if name.startswith("prototypes"):
            picture = base64.b64encode(report.read_bytes(name)).decode()
            create_image_artifact(
                image_url=f"data:image/png;base64,{picture}", key=name.removesuffix(".png"), description="prototypes"
            )
