"""Define the parameters of the clusters' scores."""

from typing import Any

from pydantic import Field, model_validator

from tasks.parameters import Params, refuse_removed_keys

REMOVED = {  # keys of earlier versions, and what replaces them
    "undecided": "decide.tolerated_error",
    "widest": "decide.tolerated_error",
    "least_novelty": "decide.least_novelty",
}


class ScoreParams(Params):
    """Parameters of the clusters' scores."""

    confidence: float = Field(
        default=0.95, gt=0.5, lt=1, description="Confidence level of the Wilson interval of a cluster's error share"
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_removed(cls, values: Any) -> Any:
        return refuse_removed_keys("score", values, REMOVED)
