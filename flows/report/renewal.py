"""Renew a campaign's report when dates are scored or plants are checked, so that it shows all that is on record.

Several dates may be scored in parallel, on several machines, and each of their runs renews the report at its end.
There is no lock. A run writes its date's record before it reads all records, and reads them again after publishing. So
the last run to publish has read every record, and no date is missing in the report.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flows.parameters import CampaignParams, recorded_params
from flows.report.found import measure_checks, publish_found
from flows.report.marks import tell_broken
from flows.running.stages import Stages
from storage.artifacts import ArtifactRef, Store
from storage.published.exports import KIND
from storage.records.acquisitions import scored_artifacts
from storage.records.campaigns import read_record
from tasks.publish.publish import publish_renewed_report
from tasks.report.report import write_report


@dataclass(frozen=True)
class Shown:
    """Inputs of a report. The fields are parameters of `tasks.report.report.write_report`."""

    params: dict[str, Any]
    differing: dict[str, Any]
    artifacts: dict[str, ArtifactRef]
    scored: dict[str, ArtifactRef]
    lost: list[str]
    found: dict[str, ArtifactRef]


def shown_now(store: Store, campaign: str) -> Shown:
    """Read what a campaign's report should show at this moment.

    Raises
    ------
    InputError : the store has no complete run of this campaign.
    """
    record = read_record(store, campaign)
    params = recorded_params(record.params)
    made = {role: ref for role, ref in record.artifacts.items() if role.split()[0] not in ("report", KIND)}
    return what_to_show(store, params, made)


def what_to_show(store: Store, params: CampaignParams, artifacts: dict[str, ArtifactRef]) -> Shown:
    """Collect what the report of a run shows: its artefacts, the dates scored by its fit, and what people found."""
    fields = params.of_report()
    scored, lost = scored_artifacts(store, params.campaign, fields, artifacts)
    found = measure_checks(store, params, {**artifacts, **scored})
    return Shown(fields, params.differences_from_paper(), artifacts, scored, lost, found)


def renew_report(
    store: Store,
    campaign: str,
    write: Callable[..., ArtifactRef],
    publish: Callable[[ArtifactRef], Any],
    published: Shown | None = None,
) -> None:
    """Publish a campaign's report again until no date or check was added in the meantime, and the table `found`.

    Promises that are broken by what people found are told (see `flows.report.marks`).

    Parameters
    ----------
    write : function that makes the report's artefact from the fields of `Shown`.
    publish : function that replaces the campaign's report by an artefact.
    published : inputs of the report that the caller has just published, if any.
    """
    while (shown := shown_now(store, campaign)) != published:
        report = write(**vars(shown))
        if shown_now(store, campaign) == shown:
            publish(report)
            published = shown
    tell_broken(store, campaign, publish_found(store, campaign, shown.found))


def submit_renewal(stages: Stages, campaign: str, published: Shown | None = None) -> None:
    """Renew a campaign's report by tasks of a run; see `renew_report`."""

    def write(**shown: Any) -> ArtifactRef:
        stages.expect(1)
        return stages.submit(write_report, **shown).result()

    def publish(report: ArtifactRef) -> None:
        stages.expect(1)
        stages.submit(publish_renewed_report, report=report).result()

    renew_report(stages.store, campaign, write, publish, published)
