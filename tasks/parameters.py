"""Base class of the stages' parameters, and the runtime settings, which change no result."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class Params(BaseModel):
    """Frozen parameters of one stage, which are part of the digest of the stage's artefacts.

    Unknown keys are refused. Otherwise a run would silently use the default of a mistyped key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


def refuse_removed_keys(stage: str, values: Any, removed: Mapping[str, str]) -> Any:
    """Return a stage's parameters, and refuse keys of earlier versions with the name of what replaces them.

    Parameters
    ----------
    removed : by removed key, the full name of the key that replaces it.

    Raises
    ------
    ValueError : a removed key is given.
    """
    found = sorted(set(values) & set(removed)) if isinstance(values, Mapping) else []
    if found:
        raise ValueError(
            f"{stage} has the key{'s' * (len(found) > 1)} {', '.join(found)}, which no longer exist"
            f"{'s' * (len(found) == 1)}; decisions follow a tolerated share of wrong answers; "
            f"remove {'it' if len(found) == 1 else 'them'} and set "
            f"{', '.join(dict.fromkeys(removed[name] for name in found))}"
        )
    return values


class Runtime(BaseModel):
    """Where and how fast a run computes.

    These settings change no number beyond floating-point tolerance, so they enter no digest. The one exception is
    `saliency_precision`: values other than float32 change the saliency maps and are part of their digest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Device that the classifier runs on; auto uses CUDA if a CUDA device is available"
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="Largest number of images in a forward pass outside training. A CPU takes fewer: 4 images of 256 "
        "pixels or 64 images of 64 pixels. Occlusion takes more windows at once: 32 times this number on a GPU, twice "
        "on a CPU",
    )
    saliency_precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="Floating-point precision of the passes that compute saliency maps; tf32 and bfloat16 change the "
        "maps, tf32 needs CUDA",
    )
    workers: int = Field(default=2, ge=1, le=64, description="Number of tasks that run in parallel on this machine")
    task_runner: Literal["threads", "dask"] = Field(
        default="threads",
        description="Where tasks run: threads are threads of the flow's process; dask predicts, explains and scores in "
        "separate worker processes, which may be on other machines",
    )
    scheduler: str | None = Field(
        default=None,
        description="Address of a running Dask scheduler, for example tcp://host:8786; null starts runtime.workers "
        "worker processes on this machine. Used only with runtime.task_runner dask",
    )

    @field_validator("scheduler")
    @classmethod
    def _scheduler_of_dask(cls, scheduler: str | None, known: ValidationInfo) -> str | None:
        if scheduler is not None and not re.fullmatch(r"(tcp|tls)://\S+:\d+", scheduler):
            raise ValueError(
                f"{scheduler!r} is no address of a Dask scheduler; an address is protocol, host and port; "
                "write for example tcp://host:8786"
            )
        if scheduler is not None and known.data.get("task_runner") == "threads":
            raise ValueError(
                'a scheduler is given, but runtime.task_runner is "threads"; only Dask has a scheduler; '
                'set runtime.task_runner = "dask" or remove runtime.scheduler'
            )
        return scheduler
