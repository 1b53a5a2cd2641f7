"""Define the parameters of adjustment: the rule by which answers are swapped, and a person's review."""

from typing import Literal

from pydantic import Field

from tasks.parameters import Params


class AdjustParams(Params):
    """Parameters of the rule by which answers are swapped."""

    rule: Literal["paper", "confident"] = Field(
        default="confident",
        description="Rule for swapping a cluster's answers: `confident` swaps if more than half of them are wrong "
        "beyond chance (sign-flip test by plants, Holm's correction over the clusters), `paper` if the error share "
        "exceeds `threshold`",
    )
    threshold: float = Field(
        default=0.75,
        ge=0.5,
        le=1,
        description="Rule `paper` only: error share in [0, 1] above which a cluster's answers are swapped",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Rule `confident` only: family-wise significance level for swapping a cluster",
    )
    least: int = Field(
        default=10,
        ge=1,
        description="Rule `confident` only: smallest number of validation images of a cluster that may be swapped",
    )


class ReviewParams(Params):
    """Parameters of a person's review of the clusters before answers are adjusted."""

    ask: bool = Field(
        default=False,
        description="Whether the run pauses until a person decides on the clusters in the Prefect UI; an earlier "
        "decision is used even if this is false, until the clusters change",
    )
    timeout_hours: float = Field(
        default=72,
        gt=0,
        le=24 * 90,
        description="Time for which the run waits for a person's decision, hours; after it the rule decides",
    )
