"""Say which runs make the damaged parts of a store again, and what nobody but a person can bring back.

A campaign's run makes again what its record rests on, and what people found in its dates. The scoring of a date makes
again what the record of the date rests on. Artefacts are made under the same names, and tables, exports and report are
published again.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from storage.artifacts import Store
from storage.errors import ArtifactError
from storage.garbage import closure, read_manifests
from storage.published.manifests import read_published
from storage.published.publish import partition, table_manifest
from storage.records.acquisitions import AcquisitionRecord, fit_digest, list_acquisitions, read_acquisition
from storage.records.campaigns import CampaignRecord, read_record
from storage.tables import FOUND

NOT_RESTED_ON = "no present result rests on it: a run that wants it makes it again, or `harvest gc` removes it when old"
BY_PEOPLE = "what people entered is nowhere else: bring it back from a backup"
UNKNOWN_RUN = (
    "nothing else says how the campaign was run: bring it back from a backup, or run the campaign's file again"
)
EARLIER_FIT = "only an earlier fit made it: delete it, or bring it back from a backup"
NO_RUN = "no run of a campaign or date publishes it: make it again with the command that made it, or delete it"
CACHED = "the next run of its task replaces it: find out who wrote it"
OTHER_TABLES = ("audit", "backfill", "checks")  # tables that campaigns and scored dates do not publish
Day = tuple[str, date]  # campaign and date


@dataclass(frozen=True)
class Repairs:
    """What makes damaged folders and records again.

    Attributes
    ----------
    campaigns : folders and records by the campaign whose run makes them again.
    dates : folders and records by the campaign and date whose scoring makes them again.
    kept : why nothing makes them again, by folder or record.
    """

    campaigns: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    dates: dict[Day, list[str]] = field(default_factory=dict[Day, list[str]])
    kept: dict[str, str] = field(default_factory=dict[str, str])


def plan_repairs(store: Store, places: Iterable[str]) -> Repairs:
    """Find what makes damaged folders and records of a store again.

    Parameters
    ----------
    places : damaged folders and records, relative to the store.
    """
    found, plan = _Results(store), Repairs()
    for place in places:
        campaigns, dates, why = found.makers(place)
        for campaign in campaigns:
            plan.campaigns.setdefault(campaign, []).append(place)
        for day in dates:
            plan.dates.setdefault(day, []).append(place)
        if not campaigns and not dates:
            plan.kept[place] = why
    return plan


def present_record(store: Store, day: Day) -> AcquisitionRecord | None:
    """Return the record of a date by a present fit, of its campaign or of another; None if none can be read."""
    return _Results(store).dates.get(day)


class _Results:
    """Present results of a store, by their readable records: campaigns, and dates that their present fits scored."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.campaigns: dict[str, CampaignRecord] = {}
        for path in sorted((store.root / "campaigns").glob("*.json")):
            try:
                self.campaigns[path.stem] = read_record(store, path.stem)
            except ArtifactError:
                continue
        self.dates: dict[Day, AcquisitionRecord] = {}
        for path in list_acquisitions(store):
            try:
                record = read_acquisition(path)
            except ArtifactError:
                continue
            if self.fit_of(record.fitted_by) == record.fit:
                self.dates[record.campaign, record.date] = record

    def fit_of(self, campaign: str) -> str:
        """Return the digest of a campaign's present fit; empty for one that cannot be read."""
        return fit_digest(self.campaigns[campaign].artifacts) if campaign in self.campaigns else ""

    @cached_property
    def needs(self) -> tuple[Mapping[str, set[str]], Mapping[Day, set[str]]]:
        """Names of the artefacts that each campaign makes, and each date beyond its fit's campaign."""
        manifests, _ = read_manifests(self.store)

        def names(record: CampaignRecord | AcquisitionRecord) -> set[str]:
            # A report shows dates too, which the campaign's run does not score.
            made = closure((ref for ref in record.artifacts.values() if ref.kind != "report"), manifests)
            return {str(ref) for ref in (*made, *record.artifacts.values())}

        of_campaigns = {name: names(one) | self._found(name) for name, one in self.campaigns.items()}
        return of_campaigns, {key: names(one) - of_campaigns[one.fitted_by] for key, one in self.dates.items()}

    def _found(self, campaign: str) -> set[str]:
        """Return the names of the artefacts that a campaign's published table `found` was taken from."""
        try:
            said = read_published(table_manifest(self.store, partition(self.store, FOUND, campaign, None)))
        except ArtifactError:  # nobody looked at its plants, or the table is damaged and made again itself
            return set()
        return {str(ref) for ref in said.sources}

    def makers(self, place: str) -> tuple[list[str], list[Day], str]:
        """Return the campaigns and dates whose runs make a folder or record again, and why where there are none."""
        top, *others = place.split("/")
        match top:
            case "artifacts":
                of_campaigns, of_dates = self.needs
                name = "/".join(others)
                campaigns = [campaign for campaign, names in of_campaigns.items() if name in names]
                return campaigns, [day for day, names in of_dates.items() if name in names], NOT_RESTED_ON
            case "campaigns":
                return self._campaign(others[0].removesuffix(".json")), [], UNKNOWN_RUN
            case "acquisitions":
                return [], self._scored(others[0], others[1], others[2].removesuffix(".json")), EARLIER_FIT
            case "reports":
                return self._campaign(others[0]), [], NO_RUN
            case "exports":
                return *self._published(others[0], others[1]), NO_RUN
            case "tables":
                values = dict(part.split("=", 1) for part in others[1:])
                is_of_run = others[0] not in OTHER_TABLES
                return *self._published(values.get("campaign", "") if is_of_run else "", values.get("date", "")), NO_RUN
            case "prefect-results":
                return [], [], CACHED
            case _:
                return [], [], BY_PEOPLE

    def _campaign(self, name: str) -> list[str]:
        return [name] if name in self.campaigns else []

    def _published(self, campaign: str, day: str) -> tuple[list[str], list[Day]]:
        own = self.campaigns.get(campaign)
        if own and (not day or day in own.dates):
            return [campaign], []
        return [], [key for key in self.dates if key[0] == campaign and key[1].isoformat() == day]

    def _scored(self, campaign: str, day: str, fit: str) -> list[Day]:
        """Return the date of a record, which may be unreadable, if a present fit made it."""
        known = [
            key
            for key, one in self.dates.items()
            if key[0] == campaign and key[1].isoformat() == day and one.fit == fit
        ]
        if known or self.fit_of(campaign) != fit:
            return known
        with suppress(ValueError):  # a folder that is no date
            return [(campaign, date.fromisoformat(day))]
        return []
