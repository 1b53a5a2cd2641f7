"""Parameters of a whole campaign; the defaults are the paper's."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import Field, field_validator

from storage.errors import InputError
from tasks.adjust.review_choices import ReviewParams
from tasks.adjust.rules import AdjustParams
from tasks.classify.augment import AugmentParams
from tasks.classify.model import GivenClassifier
from tasks.classify.training import TrainParams
from tasks.cluster.params import ClusterParams
from tasks.explain.methods import ExplainParams
from tasks.export.rows import ExportParams
from tasks.ingest.arrival import ArrivalParams
from tasks.ingest.survey import IngestParams
from tasks.measure.drift import DriftParams
from tasks.parameters import Params
from tasks.score.rating import ScoreParams
from tasks.sources import AnySource

CAMPAIGN_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
# A flow's parameter: the run form in the Prefect UI shows the pattern, and names become parts of paths.
CampaignName = Annotated[
    str, Field(pattern=CAMPAIGN_NAME, description="name in tables and paths: lower case, digits, . _ -")
]


def check_campaign_name(name: str) -> None:
    """Refuse what is no campaign's name, for people on a terminal.

    Raises
    ------
    InputError : such a name.
    """
    if not re.fullmatch(CAMPAIGN_NAME, name):
        raise InputError(
            repr(name),
            "A campaign's name has up to 64 characters: lower case, digits, . _ - and first a letter or digit",
            "give the name that the campaign was run under",
        )


def once_each(dates: tuple[date, ...]) -> tuple[date, ...]:
    """Acquisition dates in order; a date named twice is refused."""
    if len(set(dates)) < len(dates):
        raise ValueError(f"every acquisition date once, got {[d.isoformat() for d in dates]}")
    return tuple(sorted(dates))


class CampaignParams(Params):
    """One field campaign: a field and season, its source and acquisition dates, and every stage's parameters.

    With source and dates alone it is the experiment of Kierdorf & Roscher 2023.
    """

    campaign: str = Field(pattern=CAMPAIGN_NAME, description="name in tables and paths: lower case, digits, . _ -")
    source: AnySource
    dates: tuple[date, ...] = Field(min_length=1, description="acquisition dates, YYYY-MM-DD")
    ingest: IngestParams = IngestParams()
    augment: AugmentParams = AugmentParams()
    train: TrainParams = TrainParams()
    classifier: GivenClassifier | None = Field(
        default=None, description="an already trained classifier, not trained here"
    )
    explain: ExplainParams = ExplainParams()
    cluster: ClusterParams = ClusterParams()
    score: ScoreParams = ScoreParams()
    review: ReviewParams = ReviewParams()
    adjust: AdjustParams = AdjustParams()
    drift: DriftParams = DriftParams()
    export: ExportParams = ExportParams()

    @field_validator("dates")
    @classmethod
    def _once_each(cls, dates: tuple[date, ...]) -> tuple[date, ...]:
        return once_each(dates)

    def of_numbers(self) -> dict[str, Any]:
        """Every parameter as JSON but `export`, which changes how decisions are written and no number."""
        return self.model_dump(mode="json", exclude={"export"})

    def differences_from_paper(self) -> dict[str, Any]:
        """Every parameter beside campaign, source and dates that differs from its default, by dotted name."""
        stages = ("ingest", "augment", "train", "explain", "cluster", "score", "review", "adjust", "drift")
        changed: dict[str, Any] = {
            f"{stage}.{name}": value
            for stage in stages
            for name, value in getattr(self, stage).model_dump(mode="json", exclude_defaults=True).items()
        }
        return changed | ({} if self.classifier is None else {"classifier": self.classifier.model_dump(mode="json")})


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
