"""Make a workload to plan, with the paper's numbers unless a test changes some."""

from typing import Any

from tasks.classify.training import TrainParams
from tasks.cluster.params import ClusterParams
from tasks.explain.methods import ExplainParams
from tasks.ingest.survey import IngestParams
from tasks.parameters import Runtime
from tasks.plan.workload import DateCounts, Network, Workload

# A ResNet18 of two classes at 256 pixels.
RESNET18 = Network(
    weight_bytes=44_749_000,
    kernel_bytes=44_667_648,
    tiled_bytes=43_941_888,
    largest_bytes=4_194_304,
    total_bytes=39_061_512,
    n_features=512,
    cam_shape=(8, 8),
    is_incremental=True,
    is_packed=True,
    shares_layers=True,
    device="cpu",
)
# 541 training, 196 validation and 194 test images, as in Kierdorf & Roscher. Their split over dates is invented.
DATES = (
    DateCounts("2021-08-23", 300, 120, 60),
    DateCounts("2021-08-25", 300, 120, 60),
    DateCounts("2021-08-30", 200, 90, 46),
    DateCounts("2021-09-03", 131, 60, 30),
)


def workload(**changes: Any) -> Workload:
    """Return the paper's campaign with some fields changed."""
    fields: dict[str, Any] = {
        "dates": DATES,
        "n_classes": 2,
        "n_training": 541,
        "n_samples": 304 * 8 + 237 * 16,
        "network": RESNET18,
        "ingest": IngestParams(),
        "train": TrainParams(),
        "explain": ExplainParams(),
        "cluster": ClusterParams(),
        "runtime": Runtime(),
    }
    return Workload(**{**fields, **changes})
