"""Define the parameters of a store's upkeep; the module imports no Prefect."""

from pydantic import Field

from tasks.parameters import Params


class UpkeepParams(Params):
    """Parameters of a store's upkeep: how much is read again in a night, and what is old enough to be removed."""

    verify_gb: float = Field(
        default=50,
        ge=0.001,
        description="Gigabytes (10^9 bytes) that a run reads again; the next run goes on where this one stops",
    )
    gc_days: int = Field(
        default=90,
        ge=0,
        description="Least age in days of what is removed because nothing rests on it; a run must not take longer. 0: "
        "nothing is removed",
    )
    gc_fits: int = Field(
        default=1,
        ge=0,
        description="Earlier fits of each scored date whose results are kept, beside the present one",
    )
