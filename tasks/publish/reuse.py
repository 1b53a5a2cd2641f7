"""Reuse artefacts of a complete campaign in another analysis of it."""

from datetime import date

from prefect import task

from storage.arrays.specs import FEATURES, LOGITS
from storage.arrays.zarr_files import read_array, write_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import ArtifactError
from storage.tables import PREDICTIONS
from storage.tables.parquet import read_table, write_table
from storage.tables.rows import unlabelled
from tasks.stage import always_run, versions

REVISION = 1


@task(task_run_name="reuse {campaign} {role}", **always_run())
def reuse_artifact(store: str, campaign: str, role: str, ref: ArtifactRef) -> ArtifactRef:
    """Return an artefact of the campaign's record, after checking that it is sound.

    Raises
    ------
    ArtifactError : the artefact is missing or damaged.
    """
    damage = Store(store).damage(ref)
    if damage:
        raise ArtifactError(f"{role} of {campaign}: {damage[0]}; `harvest run` makes it again")
    return ref


def labelled_recipe(predictions: ArtifactRef) -> Recipe:
    """Return the recipe of the predictions of only a date's labelled images."""
    return Recipe("predictions", REVISION, {"labelled": True}, {"predictions": predictions})


@task(task_run_name="labelled {campaign} {date}", **always_run())
def take_labelled(store: str, date: date, predictions: ArtifactRef) -> ArtifactRef:
    """Select the predictions of a date's labelled images.

    The given artefact is returned unchanged if every explained image has a label.
    """
    recipe, opened = labelled_recipe(predictions), Store(store)
    whole = opened.open(predictions)
    table = read_table(whole, PREDICTIONS)
    if not unlabelled(table):
        return predictions
    if not opened.holds(recipe.ref):
        chosen = [i for i, label in enumerate(table["label"]) if label is not None]
        with opened.create(recipe, versions()) as draft:
            write_table(draft, PREDICTIONS, {name: [values[i] for i in chosen] for name, values in table.items()})
            for spec in (LOGITS, FEATURES):
                write_array(draft, spec, read_array(whole, spec)[chosen])
            draft.summary = {**whole.summary, "n_images": len(chosen)}
    return recipe.ref
