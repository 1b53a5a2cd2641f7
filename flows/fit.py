"""Train, classify and explain: on the work pool `gpu` if the server has its deployment, else in place.

The run on the GPU makes artefacts. The run that submitted it then runs the same tasks and finds their results cached.
So the tables are the same wherever the work was done, and anything still missing is made in place.
"""

from collections.abc import Mapping

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.concurrency.sync import concurrency

from flows.judgement import explain
from flows.parameters import CampaignParams
from flows.running.faults import put_off_by_faults
from flows.running.labels import run_name, tag_run
from flows.running.names import artifact_key
from flows.running.restarts import refuse_endless_restarts
from flows.running.sending import is_deployed, run_elsewhere
from flows.running.stages import Roles, Stages, wait_for
from storage.artifacts import ArtifactRef, Store, content_digest
from storage.tables import EPOCHS
from storage.tables.rows import rows_of
from tasks.classify.predict import date_parts, predict_images, predict_part, predictions_recipe
from tasks.classify.train import classifier_recipe, train_classifier
from tasks.explain.explain import saliency_recipe
from tasks.parameters import Runtime
from tasks.publish.reuse import reuse_artifact

DEFAULT_RUNTIME = Runtime()
DEPLOYED = "fit-and-explain/fit-and-explain"
GPU_LIMIT = "gpu"  # name of the server's concurrency limit for runs that use a GPU
SLOT_LEASE = 60  # seconds before the server frees the slot of a killed run; a run that is alive renews its slot in time


@flow(name="fit-and-explain", flow_run_name=run_name, on_running=[tag_run])
@put_off_by_faults
def fit_and_explain(
    params: CampaignParams, store: str, artifacts: dict[str, ArtifactRef], runtime: Runtime = DEFAULT_RUNTIME
) -> None:
    """Train, classify and explain while holding one of the server's GPU slots.

    Parameters
    ----------
    artifacts : `images <date>` of every date, and `augmentation`, or `classifier` if none is to be trained.

    Raises
    ------
    InputError : the device is missing, or cannot compute in this precision.
    """
    refuse_endless_restarts()
    opened = Store(store)
    check_device(runtime)
    # Strict, because Prefect lets every run through if the server lacks the limit.
    with concurrency(GPU_LIMIT, strict=True, lease_duration=SLOT_LEASE):
        made = fit_artifacts(params, store, artifacts, runtime)
    show(opened, params, made)


def check_device(runtime: Runtime) -> None:
    """Refuse a device or a precision that this machine does not have, without loading torch where any machine has it.

    Raises
    ------
    InputError : the device is missing, or cannot compute in this precision.
    """
    if runtime.device == "cuda" or runtime.saliency_precision == "tf32":
        from tasks.classify.model import choose_device

        choose_device(runtime, runtime.saliency_precision)


def fit_artifacts(
    params: CampaignParams, store: str, artifacts: dict[str, ArtifactRef], runtime: Runtime
) -> dict[str, ArtifactRef]:
    """Train, classify and explain with the given artefacts, and return these and all new ones, by role."""
    n_made = 1 + len(params.dates) * (1 + 2 * len(params.explain.methods))
    with Stages(params.campaign, store, len(artifacts) + n_made, runtime) as stages:
        roles: Roles = {role: stages.submit(reuse_artifact, role=role, ref=ref) for role, ref in artifacts.items()}
        wait_for(roles.values())
        made = fit_in_place(stages, params, runtime, roles)
        return {role: future.result() for role, future in {**roles, **made}.items()}


def fit(stages: Stages, params: CampaignParams, runtime: Runtime, roles: Roles) -> Roles:
    """Compute classifier, predictions and saliency maps of every date, on a GPU worker or in this process.

    Parameters
    ----------
    roles : `images <date>` of every date, and `augmentation` or `classifier`; others are ignored.
    """
    refs = {role: roles[role].result() for role in needed(params, roles)}
    if is_deployed(DEPLOYED) and not all(stages.store.holds(ref) for ref in expected(params, runtime, refs)):
        stages.expect(1)
        given = {
            "params": params.model_dump(mode="json"),
            "store": stages.store.address,
            "artifacts": {role: ref.model_dump() for role, ref in refs.items()},
            "runtime": runtime.model_dump(),
        }
        # Where the work runs is not part of the key: runs that differ in nothing else wait for one fit.
        named_by = {**given, "runtime": runtime.model_dump(exclude={"task_runner", "scheduler"})}
        key = f"fit {params.campaign} {content_digest(named_by)}"
        # Automations do not restart a crashed fit: this run does, as it knows whether the fit is still needed.
        wait_for([stages.submit(run_elsewhere, deployment=DEPLOYED, parameters=given, key=key, begins_again=False)])
    return fit_in_place(stages, params, runtime, roles)


def needed(params: CampaignParams, roles: Mapping[str, object]) -> list[str]:
    """List the roles of the artefacts that `fit_and_explain` takes."""
    return ["classifier" if "classifier" in roles else "augmentation", *(f"images {day}" for day in params.dates)]


def expected(params: CampaignParams, runtime: Runtime, refs: Mapping[str, ArtifactRef]) -> list[ArtifactRef]:
    """Return references to the artefacts that `fit_and_explain` will make; they are known before the work is done."""
    images = {day: refs[f"images {day}"] for day in params.dates}
    given = refs.get("classifier")
    classifier = given or classifier_recipe(params.train, refs["augmentation"], list(images.values())).ref
    made = [classifier]
    for image in images.values():
        answers = predictions_recipe(image, classifier).ref
        made.append(answers)
        made += [
            saliency_recipe(params.explain, method, image, classifier, answers, runtime).ref
            for method in params.explain.methods
        ]
    return made


def fit_in_place(stages: Stages, params: CampaignParams, runtime: Runtime, roles: Roles) -> Roles:
    """Compute classifier, predictions and saliency maps of every date in this process."""
    images = [roles[f"images {day}"] for day in params.dates]
    made: Roles = {}
    if "classifier" not in roles:
        made["classifier"] = stages.submit(
            train_classifier, params=params.train, augmentation=roles["augmentation"], images=images, runtime=runtime
        )
        wait_for(made.values())
    made |= predict(stages, params, runtime, {**roles, **made})
    for method in params.explain.methods:
        made |= explain(stages, params, runtime, method, {**roles, **made})
    return made


def predict(stages: Stages, params: CampaignParams, runtime: Runtime, roles: Roles) -> Roles:
    """Predict the images of every date: the parts of large dates in parallel, then one artefact for each date."""
    classifier = roles["classifier"]
    made_from = {
        day: {"date": day, "images": roles[f"images {day}"], "classifier": classifier, "runtime": runtime}
        for day in params.dates
    }
    parts = {
        day: [
            stages.spread(predict_part, first=first, last=last, **parameters)
            for first, last in date_parts(stages.store, roles[f"images {day}"].result(), classifier.result())
        ]
        for day, parameters in made_from.items()
    }
    stages.expect(sum(map(len, parts.values())))
    made: Roles = {
        f"predictions {day}": stages.spread(predict_images, parts=parts[day], **parameters)
        for day, parameters in made_from.items()
    }
    wait_for([*(part for of_date in parts.values() for part in of_date), *made.values()])
    return made


def show(store: Store, params: CampaignParams, made: Mapping[str, ArtifactRef]) -> None:
    """Show the classifier, its epochs and the number of maps among the flow run's artifacts in the Prefect UI."""
    classifier = store.open(made["classifier"])
    maps = [
        f"- {role.removeprefix('saliency ')}: {store.open(ref).summary['n_maps']} maps"
        for role, ref in made.items()
        if role.startswith("saliency ")
    ]
    said = [f"classifier `{classifier.ref.digest}`, {classifier.summary['architecture']}", "", *maps]
    day = params.dates[0] if len(params.dates) == 1 else ""
    fit_key, epochs_key = (artifact_key(kind, params.campaign, day) for kind in ("fit", "epochs"))
    create_markdown_artifact("\n".join(said), key=fit_key, description=f"campaign {params.campaign}")
    if classifier.summary["origin"] == "trained":
        create_table_artifact(rows_of(classifier, EPOCHS), key=epochs_key, description="training, epoch by epoch")
