"""Parameters of a whole campaign; the defaults are the paper's."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import Field, field_validator

from storage.errors import InputError
from tasks.augment import AugmentParams
from tasks.classifier import GivenClassifier
from tasks.cluster_checks import ClusterParams
from tasks.drift import DriftParams
from tasks.export_rows import ExportParams
from tasks.parameters import Params
from tasks.rating import ScoreParams
from tasks.review_rules import ReviewParams
from tasks.rules import AdjustParams
from tasks.saliency.maps import ExplainParams
from tasks.sources import AnySource
from tasks.survey import IngestParams
from tasks.training import TrainParams

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
            "A campaign's name has up to 64 characters: lower case, digits, . _ - and first a letter or digit",
            repr(name),
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
