"""Predict: the classifier's answer for every image of a date.

Reads `images` and `classifier`, writes the table `predictions` and, for the stages that judge the answers, the logits
and the features that the last layer decides from.
"""

from datetime import date

import numpy as np
from prefect import task

from storage.arrays import FEATURES, IMAGES, LOGITS, read_array, write_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.parquet import read_table, write_table
from storage.tables import OBSERVATIONS, PREDICTIONS
from tasks.classifier import softmax
from tasks.features import logits_and_features
from tasks.loading import load_classifier
from tasks.parameters import Runtime
from tasks.stage import cached_by, versions

REVISION = 2


def predictions_recipe(images: ArtifactRef, classifier: ArtifactRef) -> Recipe:
    """What makes a date's predictions."""
    return Recipe("predictions", REVISION, {}, {"images": images, "classifier": classifier})


@task(task_run_name="predict {campaign} {date}", **cached_by(predictions_recipe))
def predict_images(
    campaign: str, date: date, store: str, images: ArtifactRef, classifier: ArtifactRef, runtime: Runtime
) -> ArtifactRef:
    """Classify every image of a date."""
    recipe, files = predictions_recipe(images, classifier), Store(store)
    if files.holds(recipe.ref):
        return recipe.ref
    artifact = files.open(images)
    observations = read_table(artifact, OBSERVATIONS)
    logits, features = logits_and_features(
        load_classifier(files.open(classifier), runtime), read_array(artifact, IMAGES), runtime.batch_size
    )
    probabilities = softmax(logits)
    columns = {
        **{name: observations[name] for name in ("plant_id", "split", "label", "row")},
        "predicted": np.argmax(probabilities, axis=1).tolist(),
        "probabilities": probabilities.tolist(),
        "classifier": [classifier.digest] * len(logits),
    }
    with files.create(recipe, versions()) as draft:
        write_table(draft, PREDICTIONS, columns)
        write_array(draft, LOGITS, logits)
        write_array(draft, FEATURES, features)
        draft.summary = {"date": artifact.summary["date"], "n_images": len(logits)}
    return recipe.ref
