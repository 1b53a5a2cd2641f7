"""Rehearse a campaign: refuse a classifier that cannot classify or explain its images, before real ones are read."""

from prefect import task

from storage.artifacts import ArtifactRef, Store
from tasks.classify.params import GivenClassifier, TrainParams
from tasks.explain.checks import check_explained_class
from tasks.explain.params import ExplainParams
from tasks.ingest.checks import Counts
from tasks.ingest.listing import read_listing
from tasks.parameters import Runtime
from tasks.stage import always_run


@task(task_run_name="rehearse {campaign}", **always_run())
def rehearse_classifier(
    store: str,
    listings: list[ArtifactRef],
    fitted: list[ArtifactRef],
    params: TrainParams,
    given: GivenClassifier | None,
    explain: ExplainParams,
    image_size: int,
    runtime: Runtime,
    is_here: bool,
) -> None:
    """Refuse a classifier that cannot classify or explain the campaign's images, before these are read.

    Parameters
    ----------
    listings : listing of every date.
    fitted : what the classifier will answer and explain. If the store holds all of it, nothing is rehearsed.
    """
    kept = Store(store)
    if all(kept.holds(ref) for ref in fitted):
        return
    from tasks.plan.rehearsal import refuse_unlabelled, rehearse

    opened = [kept.open(ref) for ref in listings]
    classes, choice = read_listing(opened[0])["classes"], explain.explained_class
    check_explained_class(choice, classes)
    if choice == "label":
        refuse_unlabelled(Counts.of(map(read_listing, opened)))
    rehearse(classes, params, given, explain, image_size, runtime, is_here)
