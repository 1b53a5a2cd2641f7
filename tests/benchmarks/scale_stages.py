"""Run one stage of a campaign in its own process, so that the peak memory is that of the stage alone.

The stage's task functions run as in a flow, but without a Prefect server. Stages find the artefacts of earlier ones by
the references in `roles.json`. The module prints JSON.
"""

import json
import shutil
import sys
import time
import uuid
import warnings
from collections.abc import Callable
from typing import Any

from storage.artifacts import ArtifactRef, Store
from tasks import stage
from tasks.adjust.adjust import adjust_predictions
from tasks.adjust.decide import decide_swaps
from tasks.classify.augment import plan_augmentation
from tasks.classify.predict import predict_images
from tasks.classify.train import take_classifier, train_classifier
from tasks.cluster.assign import assign_images
from tasks.cluster.cluster import fit_clusters
from tasks.decide.decide import decide_images
from tasks.decide.promise import make_promises
from tasks.explain.explain import date_groups, explain_shards, gather_maps
from tasks.export.export import export_decisions
from tasks.ingest.ingest import check_campaign, ingest_images, survey_source
from tasks.measure.accuracy import measure_accuracy
from tasks.measure.calibration import measure_calibration
from tasks.measure.drift import measure_drift
from tasks.measure.evaluation import evaluate_scores
from tasks.parameters import Runtime
from tasks.report.report import write_report
from tasks.score.crossfit import cross_fit_validation
from tasks.score.rate import rate_images
from tasks.score.score import score_clusters
from tasks.score.sensitivity import measure_sensitivity
from tests.benchmarks.scale_field import CLASSES, Field, named_field
from tests.benchmarks.store import peak_megabytes

METHOD, RUNTIME = "gradcam", Runtime(device="cpu")
ON_MAPS = f" {METHOD}"
Roles = dict[str, ArtifactRef]


class Run:
    """Campaign in progress: its artefacts so far, and its stages as methods."""

    def __init__(self, field: Field, weights: str | None) -> None:
        self.field, self.params = field, field.params(weights)
        self.address = field.store
        self.known = field.folder / "roles.json"
        written = json.loads(self.known.read_text()) if self.known.exists() else {}
        self.roles: Roles = {role: ArtifactRef.model_validate(ref) for role, ref in written.items()}

    def save(self) -> None:
        """Save the references for the next stage."""
        self.known.write_text(json.dumps({role: ref.model_dump() for role, ref in self.roles.items()}))

    def of_dates(self, kind: str) -> list[ArtifactRef]:
        """Return the artefacts of a kind on every date."""
        return [self.roles[f"{kind} {day}"] for day in self.params.dates]

    def ingest(self) -> None:
        """Make the listing, images and plants of every date."""
        given: dict[str, Any] = {"params": self.params.ingest}
        checks: dict[str, Any] = {"n_needed": 8, "is_trained": self.params.classifier is None}
        found = survey_source.fn(self.address, source=self.field.source, dates=self.params.dates, **given, **checks)
        self.roles["survey"] = found["survey"]
        for day in self.params.dates:
            self.roles[f"images {day}"] = ingest_images.fn(
                self.address, date=day, source=self.field.source, listing=found[f"listing {day}"], **given
            )
        self.roles["plants"] = check_campaign.fn(self.address, images=self.of_dates("images"), **given, **checks)

    def classify(self) -> None:
        """Train a classifier, or take the given one."""
        images = self.of_dates("images")
        if self.params.classifier is not None:
            self.roles["classifier"] = take_classifier.fn(self.address, given=self.params.classifier, classes=CLASSES)
            return
        plan = plan_augmentation.fn(self.address, params=self.params.augment, images=images)
        self.roles["classifier"] = train_classifier.fn(
            self.address, params=self.params.train, augmentation=plan, images=images, runtime=RUNTIME
        )

    def predict(self) -> None:
        """Predict the images of every date."""
        for day in self.params.dates:
            self.roles[f"predictions {day}"] = predict_images.fn(
                self.address,
                date=day,
                images=self.roles[f"images {day}"],
                classifier=self.roles["classifier"],
                runtime=RUNTIME,
            )

    def explain(self) -> None:
        """Explain the images of every date."""
        store = Store(self.field.store)
        for day in self.params.dates:
            given: dict[str, Any] = {
                "date": day,
                "params": self.params.explain,
                "method": METHOD,
                "images": self.roles[f"images {day}"],
                "classifier": self.roles["classifier"],
                "predictions": self.roles[f"predictions {day}"],
                "runtime": RUNTIME,
            }
            groups = date_groups(store, METHOD, given["predictions"])
            shards = [explain_shards.fn(self.address, first=first, last=last, **given) for first, last in groups]
            self.roles[f"saliency {METHOD} {day}"] = gather_maps.fn(self.address, shards=shards, **given)

    def on_maps(self) -> dict[str, Any]:
        """Return the arguments shared by all tasks on the validation maps."""
        return {
            "method": METHOD,
            "params": self.params.cluster,
            "size": self.params.ingest.image_size,
            "saliency": self.of_dates(f"saliency {METHOD}"),
            "predictions": self.of_dates("predictions"),
        }

    def cluster(self) -> None:
        """Cluster the validation maps, cross-fit them, and measure the sensitivity to other parameters."""
        given = self.on_maps()
        clusters = self.roles["clusters" + ON_MAPS] = fit_clusters.fn(self.address, **given)
        self.roles["crossfit" + ON_MAPS] = cross_fit_validation.fn(self.address, clusters=clusters, **given)
        self.roles["sensitivity" + ON_MAPS] = measure_sensitivity.fn(
            self.address, adjust=self.params.adjust, clusters=clusters, **given
        )

    def assign(self) -> None:
        """Assign the images of every date to clusters."""
        for day in self.params.dates:
            self.roles[f"assignments {METHOD} {day}"] = assign_images.fn(
                self.address,
                date=day,
                method=METHOD,
                clusters=self.roles["clusters" + ON_MAPS],
                crossfit=self.roles["crossfit" + ON_MAPS],
                saliency=self.roles[f"saliency {METHOD} {day}"],
                predictions=self.roles[f"predictions {day}"],
                plants=self.roles["plants"],
            )

    def score(self) -> None:
        """Make scores, swaps and promises, and the reliability, adjusted answers, drift and decisions of every date."""
        given: dict[str, Any] = {"method": METHOD}
        crossfit, clusters = self.roles["crossfit" + ON_MAPS], self.roles["clusters" + ON_MAPS]
        scores = self.roles["scores" + ON_MAPS] = score_clusters.fn(
            self.address,
            **given,
            params=self.params.score,
            clusters=clusters,
            assignments=self.of_dates(f"assignments {METHOD}"),
            predictions=self.of_dates("predictions"),
        )
        swaps = self.roles["swaps" + ON_MAPS] = decide_swaps.fn(
            self.address, **given, params=self.params.adjust, scores=scores, crossfit=crossfit
        )
        deciding: dict[str, Any] = {**given, "params": self.params.decide, "classes": CLASSES, "crossfit": crossfit}
        promises = self.roles["promises" + ON_MAPS] = make_promises.fn(self.address, **deciding, clusters=clusters)
        for day in self.params.dates:
            of_day: dict[str, Any] = {**given, "date": day}
            assigned = self.roles[f"assignments {METHOD} {day}"]
            rated = self.roles[f"reliability {METHOD} {day}"] = rate_images.fn(
                self.address,
                **of_day,
                scores=scores,
                crossfit=crossfit,
                assignments=assigned,
                predictions=self.roles[f"predictions {day}"],
            )
            self.roles[f"adjusted {METHOD} {day}"] = adjust_predictions.fn(
                self.address, **of_day, swaps=swaps, reliability=rated
            )
            drift = self.roles[f"drift {METHOD} {day}"] = measure_drift.fn(
                self.address,
                **of_day,
                params=self.params.drift,
                crossfit=crossfit,
                assignments=assigned,
                predictions=self.roles[f"predictions {day}"],
            )
            self.roles[f"decided {METHOD} {day}"] = decide_images.fn(
                self.address, **deciding, date=day, promises=promises, reliability=rated, drift=drift
            )

    def measure(self) -> None:
        """Measure accuracy, error detection and calibration over all dates."""
        given: dict[str, Any] = {"method": METHOD, "crossfit": self.roles["crossfit" + ON_MAPS]}
        decided = self.of_dates(f"decided {METHOD}")
        self.roles["metrics" + ON_MAPS] = measure_accuracy.fn(
            self.address,
            **given,
            plants=self.roles["plants"],
            swaps=self.roles["swaps" + ON_MAPS],
            adjusted=self.of_dates(f"adjusted {METHOD}"),
            decided=decided,
        )
        self.roles["calibration" + ON_MAPS] = measure_calibration.fn(
            self.address, method=METHOD, dates=self.params.dates, classes=CLASSES, decided=decided
        )
        self.roles["evaluation" + ON_MAPS] = evaluate_scores.fn(
            self.address, **given, reliability=self.of_dates(f"reliability {METHOD}")
        )

    def report(self) -> None:
        """Write the report."""
        shown = {role: ref for role, ref in self.roles.items() if role.split()[0] not in ("report", "decisions")}
        self.roles["report"] = write_report.fn(
            self.address,
            campaign=self.params.campaign,
            params=self.params.of_numbers(),
            differing=self.params.differences_from_paper(),
            artifacts=shown,
            scored={},
            lost=[],
        )

    def export(self) -> None:
        """Export the decisions of every date."""
        for day in self.params.dates:
            self.roles[f"decisions {METHOD} {day}"] = export_decisions.fn(
                self.address,
                campaign=self.params.campaign,
                date=day,
                method=METHOD,
                params=self.params.export,
                field=self.params.field,
                images=self.roles[f"images {day}"],
                decided=self.roles[f"decided {METHOD} {day}"],
                promises=self.roles[f"promises {METHOD}"],
            )


# Stages in the order in which they run; `classify` only prepares and is not measured.
STAGES: dict[str, Callable[[Run], None]] = {
    "ingest": Run.ingest,
    "classify": Run.classify,
    "predict": Run.predict,
    "explain": Run.explain,
    "cluster": Run.cluster,
    "assign": Run.assign,
    "score": Run.score,
    "measure": Run.measure,
    "report": Run.report,
    "export": Run.export,
}


def main(name: str, weights: str, *field: str) -> None:
    """Run a stage and print its seconds and megabytes; imports and references are loaded before timing begins."""
    warnings.simplefilter("ignore")
    # Without a server, progress artefacts cannot be made.
    stage.create_progress_artifact = lambda **_: uuid.uuid4()  # pyright: ignore
    stage.update_progress_artifact = lambda **_: uuid.uuid4()  # pyright: ignore
    run = Run(named_field(*field), weights or None)
    if name == "ingest":
        shutil.rmtree(run.field.store, ignore_errors=True)
        run.roles.clear()
    start, begun = peak_megabytes(), time.perf_counter()
    STAGES[name](run)
    seconds = time.perf_counter() - begun
    run.save()
    print(json.dumps({"n": run.field.n, "seconds": seconds, "start_mb": start, "peak_mb": peak_megabytes()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
