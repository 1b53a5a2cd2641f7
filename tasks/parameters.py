"""What the parameters of every stage have in common, and what may not change a number."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Params(BaseModel):
    """Frozen parameters of one stage: part of the name of what the stage makes.

    Unknown keys are refused, because a mistyped key would otherwise run the default in silence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class Runtime(BaseModel):
    """Where and how fast to compute. Changes no number beyond float tolerance, so it enters no digest.

    The one exception is `saliency_precision`: anything but float32 changes numbers, and is part of the maps' name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto takes CUDA where there is one")
    batch_size: int = Field(default=32, ge=1, le=4096, description="images a forward pass outside training")
    saliency_precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="of the passes that make saliency maps; other than float32 gives other maps, tf32 needs CUDA",
    )
    workers: int = Field(default=2, ge=1, le=64, description="tasks that run at the same time on this machine")
