"""The TOML file of `harvest backfill`: seasons whose dates are scored with what campaigns have learned."""

from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from flows.parameters import CAMPAIGN_NAME, once_each
from flows.runfile import anchor, name_of, read_models, read_toml
from tasks.arrival import ArrivalParams
from tasks.parameters import Params, Runtime
from tasks.sources import AnySource


class Season(Params):
    """Dates of one field and season, scored with a campaign's fit."""

    campaign: str = Field(pattern=CAMPAIGN_NAME, description="name that the tables go under: lower case, digits, . _ -")
    fitted_by: str | None = Field(
        default=None,
        pattern=CAMPAIGN_NAME,
        description="campaign whose classifier and clusters score it; default: the season itself",
    )
    source: AnySource | None = Field(
        default=None, description="where the images are; default: the source of that campaign"
    )
    dates: tuple[date, ...] | None = Field(
        default=None,
        min_length=1,
        description="acquisition dates, YYYY-MM-DD; default: every date of the source that the campaign was not "
        "fitted on",
    )

    @field_validator("dates")
    @classmethod
    def _once_each(cls, dates: tuple[date, ...] | None) -> tuple[date, ...] | None:
        return None if dates is None else once_each(dates)


class BackfillParams(Params):
    """Many seasons, scored in one run."""

    name: str = Field(pattern=CAMPAIGN_NAME, description="name of the backfill: lower case, digits, . _ -")
    at_most: int = Field(
        default=2,
        ge=1,
        le=64,
        description="dates scored at the same time; on a server no more than its limit `scoring` has slots",
    )
    # Dates of past seasons are there or not: nothing is waited for unless the file says so.
    arrival: ArrivalParams = ArrivalParams(settle_seconds=0, patience_minutes=0)
    seasons: tuple[Season, ...] = Field(min_length=1, description="each under a name of its own")

    @field_validator("seasons")
    @classmethod
    def _one_season_a_name(cls, seasons: tuple[Season, ...]) -> tuple[Season, ...]:
        names = [season.campaign for season in seasons]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"every season once, but {', '.join(twice)} is there again; give all its dates in one")
        return seasons


def load_seasons_file(path: Path) -> tuple[BackfillParams, Runtime]:
    """Read the TOML file of a backfill.

    The keys are those of `BackfillParams`, with a table `[[seasons]]` for each season, and a table `runtime`. `name`
    defaults to the file's name; a season's `source.root` is relative to the file.

    Raises
    ------
    InputError : no such file, no TOML, unknown keys or values out of bounds, each named.
    """
    content = read_toml(path, "harvest backfill")
    runtime = content.pop("runtime", {})
    content.setdefault("name", name_of(path))
    for season in _tables(content.get("seasons")):
        anchor(season, "source", "root", path.parent)
    return read_models(path, "backfill", BackfillParams, content, runtime)


def _tables(value: Any) -> list[dict[str, Any]]:
    """The tables of a list; what else may stand there is refused later, by name."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
