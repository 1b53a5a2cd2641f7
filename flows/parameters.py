"""Define the parameters of a campaign and those of a backfill of many seasons.

The defaults of a campaign are the paper's, except the rule by which answers are swapped.
"""

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from flows.running.names import CAMPAIGN_NAME, NAME_RULE, is_name
from storage.errors import InputError
from tasks.adjust.params import AdjustParams, ReviewParams
from tasks.classify.params import AugmentParams, GivenClassifier, TrainParams
from tasks.cluster.params import ClusterParams
from tasks.decide.params import DecideParams
from tasks.explain.params import ExplainParams
from tasks.export.params import ExportParams, FieldParams
from tasks.ingest.params import AT_ONCE, ArrivalParams, IngestParams
from tasks.measure.params import DriftParams
from tasks.parameters import Params
from tasks.score.params import ScoreParams
from tasks.sources import AnySource
from tasks.sources.field.source import FieldSource
from tasks.sources.folder.source import FolderSource

if TYPE_CHECKING:  # importing stores takes longer than reading a campaign's file
    from storage.artifacts import Store

NAME_MEANING = f"Name of the campaign in tables and paths: {NAME_RULE}"
# Type of a flow's parameter. Names become parts of paths, and the run form in the Prefect UI checks the pattern.
CampaignName = Annotated[str, Field(pattern=CAMPAIGN_NAME, description=NAME_MEANING)]


def check_campaign_name(name: str) -> None:
    """Refuse a text that cannot be a campaign's name.

    Raises
    ------
    InputError : the name does not match `CAMPAIGN_NAME`.
    """
    if not is_name(name):
        raise InputError(
            f"The campaign's name is {name!r}",
            f"A campaign's name has {NAME_RULE}",
            "give the name that the campaign was run under",
        )


def once_each(dates: tuple[date, ...]) -> tuple[date, ...]:
    """Sort acquisition dates, and refuse a date that is given twice."""
    if len(set(dates)) < len(dates):
        twice = sorted({day.isoformat() for day in dates if dates.count(day) > 1})
        raise ValueError(f"{', '.join(twice)} is given more than once; give every acquisition date once")
    return tuple(sorted(dates))


def of_source(export: ExportParams, source: AnySource | None) -> ExportParams:
    """Return export parameters with the coordinate reference system of a source that names its own."""
    crs = source.crs if isinstance(source, FieldSource | FolderSource) else None
    return export if crs in {None, export.crs} else export.model_copy(update={"crs": crs})


def with_crop(source: AnySource, fitted: AnySource | None = None) -> AnySource:
    """Return a source that states how wide its crops are; only a source `field` may leave that open.

    Parameters
    ----------
    fitted : source of the campaign whose fit scores the images. Its crops are as wide, because the classifier knows no
        others. None measures the distance between the source's plants.

    Raises
    ------
    InputError : the plants cannot be read or have no spacing.
    """
    if not isinstance(source, FieldSource) or source.crop_metres is not None:
        return source
    side = fitted.crop_metres if isinstance(fitted, FieldSource) else None
    return source.model_copy(update={"crop_metres": side or source.crop_side()})


class CampaignParams(Params):
    """Parameters of one field campaign: a field and season, its source and dates, and every stage's parameters.

    With source, dates and `adjust.rule = "paper"` alone they are the experiment of Kierdorf & Roscher 2023. The default
    of `adjust.rule` swaps answers by a significance test instead of the paper's threshold.
    """

    campaign: str = Field(pattern=CAMPAIGN_NAME, description=NAME_MEANING)
    source: AnySource
    dates: tuple[date, ...] = Field(
        min_length=1, description="Acquisition dates to analyse, each once, as YYYY-MM-DD; their order does not matter"
    )
    ingest: IngestParams = IngestParams()
    augment: AugmentParams = AugmentParams()
    train: TrainParams = TrainParams()
    classifier: GivenClassifier | None = Field(
        default=None, description="File and preparation of a trained classifier that is used instead of training one"
    )
    explain: ExplainParams = ExplainParams()
    cluster: ClusterParams = ClusterParams()
    score: ScoreParams = ScoreParams()
    review: ReviewParams = ReviewParams()
    adjust: AdjustParams = AdjustParams()
    drift: DriftParams = DriftParams()
    decide: DecideParams = DecideParams()
    export: ExportParams = Field(default=ExportParams(), validate_default=True)
    field: FieldParams = FieldParams()

    @field_validator("dates")
    @classmethod
    def _once_each(cls, dates: tuple[date, ...]) -> tuple[date, ...]:
        return once_each(dates)

    @field_validator("export")
    @classmethod
    def _crs_of_source(cls, export: ExportParams, info: ValidationInfo) -> ExportParams:
        """Give the exports the system of the source's positions, and refuse another one."""
        placed = of_source(export, info.data.get("source"))
        if placed != export and "crs" in export.model_fields_set:
            raise ValueError(
                f"export.crs is {export.crs} and source.crs is {placed.crs}; exports have the positions of the source; "
                "remove export.crs"
            )
        return placed

    def of_numbers(self) -> dict[str, Any]:
        """Return every parameter as JSON values, except `export`, which changes nothing that a report shows."""
        return self.model_dump(mode="json", exclude={"export"})

    def of_report(self) -> dict[str, Any]:
        """Return what a report shows as JSON values: the parameters of numbers, and the system of positions."""
        return {**self.of_numbers(), "export": {"crs": self.export.crs}}

    def differences_from_paper(self) -> dict[str, Any]:
        """Return every parameter that differs from the paper's, by dotted name, without campaign, source and dates.

        The paper's are the defaults, except for `adjust.rule`.
        """
        stages = ("ingest", "augment", "train", "explain", "cluster", "score", "review", "adjust", "drift", "decide")
        changed: dict[str, Any] = {
            f"{stage}.{name}": value
            for stage in stages
            for name, value in getattr(self, stage).model_dump(mode="json", exclude_defaults=True).items()
        }
        changed.pop("adjust.rule", None)
        changed |= {} if self.adjust.rule == "paper" else {"adjust.rule": self.adjust.rule}
        return changed | ({} if self.classifier is None else {"classifier": self.classifier.model_dump(mode="json")})


def recorded_params(recorded: dict[str, Any]) -> CampaignParams:
    """Read the parameters of a finished run.

    Raises
    ------
    InputError : an earlier version of the program made the run, with other parameters.
    """
    try:
        return CampaignParams.model_validate(recorded)
    except ValidationError as error:
        raise InputError(
            f"The run of {recorded.get('campaign', 'this campaign')} was made by an earlier version of the program, "
            f"with other parameters ({error.error_count()} differ)",
            "A run can only be renewed or used for scoring by the version that made it",
            "run the campaign again: harvest run; images, classifier and maps are cached",
        ) from None


def season_params(recorded: dict[str, Any], campaign: str, source: AnySource | None) -> CampaignParams:
    """Return a finished run's parameters with the name and source of a season that its fit scores.

    Without a source, the run's own stays. One that does not state how wide its crops are takes the run's width.

    Raises
    ------
    InputError : an earlier version of the program made the run, with other parameters.
    """
    params = recorded_params(recorded)
    chosen = with_crop(source or params.source, params.source)
    return params.model_copy(update={"campaign": campaign, "source": chosen})


def refuse_own_date(store: "Store", campaign: str, day: date) -> None:
    """Refuse a date that the campaign was fitted on, because the campaign's own tables have it.

    Raises
    ------
    InputError : the date is one of the campaign's own.
    """
    from storage.records.campaigns import find_record

    own = find_record(store, campaign)
    if own and day.isoformat() in own.dates:
        raise InputError(
            f"{day} is one of the dates of {campaign}, and is in its tables already",
            "A campaign scores only dates that it was not fitted on",
            "give another date, or renew the campaign's own dates with `harvest run`",
        )


class Season(Params):
    """Parameters of one season of a backfill: dates of a field that are scored with a campaign's fit."""

    campaign: str = Field(
        pattern=CAMPAIGN_NAME, description=f"Name under which the season's tables are published: {NAME_RULE}"
    )
    fitted_by: str | None = Field(
        default=None,
        pattern=CAMPAIGN_NAME,
        description="Name of the campaign whose classifier and clusters score the season; by default the campaign of "
        "the same name",
    )
    source: AnySource | None = Field(
        default=None, description="Source of the images; by default the source of the campaign that made the fit"
    )
    dates: tuple[date, ...] | None = Field(
        default=None,
        min_length=1,
        description="Acquisition dates to score, as YYYY-MM-DD; by default every date of the source that the campaign "
        "was not fitted on",
    )

    @field_validator("dates")
    @classmethod
    def _once_each(cls, dates: tuple[date, ...] | None) -> tuple[date, ...] | None:
        return None if dates is None else once_each(dates)


class BackfillParams(Params):
    """Parameters of a backfill: many seasons that are scored in one run."""

    name: str = Field(
        pattern=CAMPAIGN_NAME,
        description=f"Name of the backfill, whose table replaces that of an earlier one of this name: {NAME_RULE}",
    )
    at_most: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Largest number of dates that are scored in parallel; on a server, its concurrency limit `scoring` "
        "is an upper bound too",
    )
    # Files of past seasons are no longer being copied, so a backfill does not wait for them unless it is told to.
    arrival: ArrivalParams = AT_ONCE
    seasons: tuple[Season, ...] = Field(
        min_length=1, description="Seasons to score, one table for each; their names must differ"
    )

    @field_validator("seasons")
    @classmethod
    def _one_season_a_name(cls, seasons: tuple[Season, ...]) -> tuple[Season, ...]:
        names = [season.campaign for season in seasons]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"{', '.join(twice)} is there more than once; every season has one table: give all its dates in one"
            )
        return seasons
