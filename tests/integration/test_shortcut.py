"""A season whose classifier learns a shortcut, and one without: what adjustment gives back, and what the scores know.

`harvest demo` is a larger season of this kind; test_demo.py runs it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.campaign import analyse_campaign
from flows.cli.demo import DATES
from storage.artifacts import Store
from storage.tables import CLUSTER_SCORES, EVALUATION, METRICS
from storage.tables.rows import rows_of
from tasks.classify.augment import AugmentParams
from tasks.classify.training import TrainParams
from tasks.cluster.params import ClusterParams
from tasks.ingest.survey import IngestParams
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support.campaigns import small_campaign

# Nightly, as it takes a minute; `make study` shows this on ten seasons.
pytestmark = [pytest.mark.nightly, pytest.mark.usefixtures("one_thread")]


@dataclass(frozen=True)
class Outcome:
    """What tables of a campaign say."""

    metrics: list[dict[str, Any]]
    evaluation: list[dict[str, Any]]
    clusters: list[dict[str, Any]]

    def accuracy(self, split: str, state: str) -> float:
        """Overall accuracy of a split."""
        (row,) = [row for row in self.metrics if (row["split"], row["state"]) == (split, state)]
        return row["overall_accuracy"]


def analyse(store: Path, shortcut: bool) -> Outcome:
    """Analyse 300 plants on four dates; training is long enough to learn the marker where there is one."""
    params = small_campaign(
        source=SyntheticSource(season=SeasonParams(dates=DATES, n_plots=3, image_size=64, shortcut=shortcut)),
        dates=DATES,
        ingest=IngestParams(image_size=64),
        augment=AugmentParams(copies=(1,)),
        train=TrainParams(epochs=4, learning_rate=1e-3, step_epochs=2),
        cluster=ClusterParams(),
    )
    opened = Store(store)
    artifacts = analyse_campaign(params, str(store)).artifacts
    return Outcome(
        rows_of(opened.open(artifacts["metrics gradcam"]), METRICS),
        rows_of(opened.open(artifacts["evaluation gradcam"]), EVALUATION),
        rows_of(opened.open(artifacts["scores gradcam"]), CLUSTER_SCORES),
    )


@pytest.fixture(scope="module")
def shortcut(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return analyse(tmp_path_factory.mktemp("shortcut"), shortcut=True)


def test_adjustment_repairs_the_shortcut_on_unseen_plants(shortcut: Outcome) -> None:
    assert shortcut.accuracy("test", "after") - shortcut.accuracy("test", "before") >= 0.10


def test_adjustment_helps_validation_plants_that_are_left_out(shortcut: Outcome) -> None:
    assert shortcut.accuracy("val", "cross-fitted") - shortcut.accuracy("val", "before") >= 0.10


def test_maps_know_the_errors_better_than_the_classifier(shortcut: Outcome) -> None:
    auroc = {row["score"]: row["auroc"] for row in shortcut.evaluation if row["split"] == "test"}
    assert auroc["softmax"] < 0.5 < 0.8 < min(auroc["reliability"], auroc["combined_reliability"])


def test_clusters_hold_every_validation_image_once(shortcut: Outcome) -> None:
    n_validation = next(row["n"] for row in shortcut.metrics if row["split"] == "val")
    assert sum(row["n"] for row in shortcut.clusters) == n_validation
    for row in shortcut.clusters:
        assert row["error_share_lower"] <= row["error_share"] <= row["error_share_upper"]
        assert row["fp"] + row["fn"] == row["n_wrong"]


def test_no_split_loses_without_the_shortcut(tmp_path: Path) -> None:
    """Where nothing is systematic, adjustment must do no harm."""
    plain = analyse(tmp_path, shortcut=False)
    for split in ("val", "test"):
        assert plain.accuracy(split, "after") - plain.accuracy(split, "before") >= -0.02
