"""What the parameters of every stage have in common, and what may not change a number."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


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
    batch_size: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="images a forward pass outside training, at most: a CPU takes 4 of 256 pixels or 64 of 64 at once; "
        "by occlusion a GPU takes 32 windows for each, a CPU 2",
    )
    saliency_precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="of the passes that make saliency maps; other than float32 gives other maps, tf32 needs CUDA",
    )
    workers: int = Field(default=2, ge=1, le=64, description="tasks that run at the same time on this machine")
    task_runner: Literal["threads", "dask"] = Field(
        default="threads", description="dask predicts, explains and scores in processes of their own, also elsewhere"
    )
    scheduler: str | None = Field(
        default=None,
        description="of Dask, as tcp://host:8786; null: the run starts runtime.workers processes of its own here",
    )

    @field_validator("scheduler")
    @classmethod
    def _scheduler_of_dask(cls, scheduler: str | None, known: ValidationInfo) -> str | None:
        if scheduler is not None and not re.fullmatch(r"(tcp|tls)://\S+:\d+", scheduler):
            raise ValueError("a scheduler's address is protocol, host and port, as tcp://host:8786")
        if scheduler is not None and known.data.get("task_runner") == "threads":
            raise ValueError('a scheduler is for runtime.task_runner = "dask", and tasks run in threads')
        return scheduler
