"""Score a new acquisition date with a campaign's classifier and clusters; nothing is trained or fitted.

The date needs no labels. Its tables have a partition of their own. Scoring the date again, with a newer fit or because
its files have changed, replaces its rows.
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from datetime import date
from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.concurrency.sync import concurrency

from flows.campaign import check_run
from flows.fit import DEPLOYED as FIT_DEPLOYED
from flows.fit import SLOT_LEASE, fit
from flows.judgement import assign, judge_dates
from flows.parameters import CampaignName, CampaignParams, of_source, recorded_params, refuse_own_date, season_params
from flows.report.backgrounds import submit_backgrounds, tell_faults
from flows.report.exports import write_exports
from flows.report.links import report_link
from flows.report.renewal import submit_renewal
from flows.running.faults import put_off_by_faults
from flows.running.labels import run_name, tag_run
from flows.running.names import artifact_key
from flows.running.restarts import refuse_endless_restarts
from flows.running.sending import is_deployed
from flows.running.stages import Future, Roles, Stages, wait_for
from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from storage.places.allowed import refuse_other_places
from storage.records.acquisitions import FITTED, AcquisitionRecord, DateFiles, fit_digest, learned_artifacts
from storage.records.campaigns import CampaignRecord, read_record
from storage.tables import ACQUISITIONS
from storage.tables.rows import Row, rows_of
from tasks.ingest.arrival import arrival_options, await_arrival
from tasks.ingest.completeness import Completeness
from tasks.ingest.ingest import ingest_images
from tasks.ingest.new_date import Acquired, check_acquisition, survey_acquisition
from tasks.ingest.params import ArrivalParams
from tasks.measure.new_date import sum_up_acquisition
from tasks.parameters import Runtime
from tasks.publish.publish import publish_acquisition
from tasks.publish.reuse import reuse_artifact
from tasks.report.field.days import read_day
from tasks.report.field.summary import decision_sentence, summarise
from tasks.sources import AnySource

DEPLOYED = "score-acquisition/score-acquisition"
SCORING_SLOTS = "scoring"  # name of the server's concurrency limit for dates that are being computed
DEFAULT_ARRIVAL, DEFAULT_RUNTIME = ArrivalParams(), Runtime()


@flow(name="score-acquisition", flow_run_name=run_name, on_running=[tag_run])
@put_off_by_faults
def score_acquisition(
    campaign: CampaignName,
    date: date,
    store: str,
    fitted_by: CampaignName | None = None,
    source: AnySource | None = None,
    arrival: ArrivalParams = DEFAULT_ARRIVAL,
    runtime: Runtime = DEFAULT_RUNTIME,
) -> AcquisitionRecord:
    """Estimate for every plant of a new date how far the classifier's answer can be relied on.

    Parameters
    ----------
    campaign : name under which the tables are published.
    date : acquisition date to score.
    store : address of the store.
    fitted_by : campaign whose classifier and clusters are used; default: the campaign itself.
    source : source of the images; default: the source of the campaign that made the fit.

    Raises
    ------
    InputError : the campaign is unknown or was fitted on this date, the images have other classes, or too many files
        are bad.
    NotSettled : the date's files were still changing when the waiting time was over.
    ArtifactError : an artefact of the fit is missing or damaged.
    """
    refuse_endless_restarts()
    opened = Store(store)
    refuse_other_places(source=source)  # that of the fit was allowed when the campaign ran
    opened.check()
    fitted = read_record(opened, fitted_by or campaign)
    refuse_own_date(opened, campaign, date)
    params = scoring_params(fitted, campaign, date, source)
    check_run(params, runtime, is_here=not is_deployed(FIT_DEPLOYED))
    with Stages(campaign, store, n_tasks(params), runtime) as stages, turn(stages, params, arrival):
        images, acquired = acquire(stages, params, fitted)
        learned: Roles = {
            role: stages.submit(reuse_artifact, role=role, ref=ref)
            for role, ref in learned_artifacts(fitted.artifacts).items()
        }
        stages.expect(len(learned) - 1 - len(params.explain.methods) * len(FITTED))  # one more task for each review
        wait_for(learned.values())
        roles = {**learned, **images}
        roles |= fit(stages, params, runtime, roles)
        made = judge(stages, params, {**roles}, plants_of_fit(params, fitted), acquired.completeness)
        record = publish(stages, params, fitted, {**roles, **made}, acquired.completeness, acquired.files)
    create_artifacts(opened, record, fitted)
    return record


def scoring_params(fitted: CampaignRecord, campaign: str, day: date, source: AnySource | None) -> CampaignParams:
    """Return the fit's parameters with another campaign name, date and source.

    Raises
    ------
    InputError : the fit's maps explain the true class, which is unknown for a new date.
    """
    params = season_params(fitted.params, campaign, source)
    if params.explain.explained_class == "label":
        raise InputError(
            f"{fitted.campaign} explained the true class (explain.explained_class = label)",
            "New dates are scored by maps of the predicted class, because they have no labels",
            "run the campaign with explain.explained_class = predicted",
        )
    return params.model_copy(update={"dates": (day,), "export": of_source(params.export, source)})


def n_tasks(params: CampaignParams) -> int:
    """Count the task runs of a scored date, assuming that one task explains its images by one method."""
    n_methods = len(params.explain.methods)
    return 8 + n_methods * (len(FITTED) + 8)


@contextmanager
def turn(stages: Stages, params: CampaignParams, arrival: ArrivalParams) -> Generator[None]:
    """Wait until all files of the date are there, then hold a slot for computing it.

    A date that waits for its files holds no slot.
    """
    (day,) = params.dates
    waiting = await_arrival.with_options(**arrival_options(arrival))
    wait_for([stages.submit(waiting, params=arrival, date=day, source=params.source)])
    with scoring_slot() if is_deployed(DEPLOYED) else nullcontext():
        yield


def scoring_slot() -> AbstractContextManager[None]:
    """Hold one of the server's slots for dates that are being computed."""
    # Strict, because Prefect lets every run through if the server lacks the limit. The slots only limit the machine's
    # load, so a run that could not renew its slot in time continues.
    return concurrency(SCORING_SLOTS, strict=True, lease_duration=SLOT_LEASE, raise_on_lease_renewal_failure=False)


def acquire(stages: Stages, params: CampaignParams, fitted: CampaignRecord) -> tuple[Roles, Acquired]:
    """Ingest the date's images, and refuse a date whose images cannot be scored; also return what was listed."""
    (day,) = params.dates
    fixed = {"date": day, "source": params.source}
    known = [ref for role, ref in fitted.artifacts.items() if role.startswith("images ")]
    classes = tuple(stages.store.open(fitted.artifacts["classifier"]).summary["classes"])
    plants = fitted.artifacts["plants"] if is_of_fit(params, fitted) else None
    acquired: Acquired = stages.submit(
        survey_acquisition, params=params.ingest, classes=classes, known=known, plants=plants, **fixed
    ).result()
    images = stages.submit(ingest_images, params=params.ingest, listing=acquired.listing, **fixed)
    wait_for([images])
    wait_for([stages.submit(check_acquisition, date=day, params=params.ingest, images=images)])
    backgrounds = submit_backgrounds(stages, params, {f"images {day}": images})
    tell_faults(stages, backgrounds)
    return {f"images {day}": images, **backgrounds}, acquired


def is_of_fit(params: CampaignParams, fitted: CampaignRecord) -> bool:
    """Return whether a date is of the campaign and the source that were fitted.

    Another source may show another year's plants, also under the name of the same campaign.
    """
    return params.campaign == fitted.campaign and params.source == recorded_params(fitted.params).source


def plants_of_fit(params: CampaignParams, fitted: CampaignRecord) -> ArtifactRef | None:
    """Return the plants of the campaign that was fitted; None on a date of another campaign, with other plants."""
    return fitted.artifacts["plants"] if fitted.campaign == params.campaign else None


def judge(
    stages: Stages,
    params: CampaignParams,
    roles: Roles,
    plants: ArtifactRef | None,
    completeness: Completeness | None,
) -> Roles:
    """Assign clusters to the date's images, rate and adjust its answers by every saliency method, and sum them up.

    Parameters
    ----------
    plants : plants that the fit may have seen (see `plants_of_fit`).
    completeness : numbers of the date's plants; None if an earlier version scored it.
    """
    (day,) = params.dates
    made: Roles = {}
    for method in params.explain.methods:
        made[f"assignments {method} {day}"] = assign(stages, method, day, roles, plants)
        made |= judge_dates(stages, params, method, {**roles, **made})
    of_kind: dict[str, list[Future]] = {
        kind: [made[f"{kind} {method} {day}"] for method in params.explain.methods]
        for kind in ("adjusted", "drift", "decided")
    }
    wait_for(made.values())
    counts = {} if completeness is None else asdict(completeness)
    made[f"acquisition {day}"] = stages.submit(
        sum_up_acquisition, date=day, images=roles[f"images {day}"], **of_kind, **counts
    )
    wait_for(made.values())
    return made


def publish(
    stages: Stages,
    params: CampaignParams,
    fitted: CampaignRecord,
    roles: Roles,
    completeness: Completeness | None,
    files: DateFiles | None,
) -> AcquisitionRecord:
    """Publish exports, tables and record of the date, and renew the campaign's report.

    Parameters
    ----------
    completeness, files : numbers of the date's plants, and the files that it was scored with; None if unknown.
    """
    (day,) = params.dates
    exports = write_exports(stages, params, roles, "" if completeness is None else completeness.mark)
    wait_for(exports.values())
    record: AcquisitionRecord = stages.submit(
        publish_acquisition,
        date=day,
        fitted_by=fitted.campaign,
        fit=fit_digest(fitted.artifacts),
        params=params.model_dump(mode="json"),
        artifacts={**roles, **exports},
        files=files,
    ).result()
    if fitted.campaign == params.campaign:  # a season scored with another campaign's fit has no report
        submit_renewal(stages, params.campaign)
    return record


def acquisition_rows(store: Store, record: AcquisitionRecord) -> list[dict[str, Any]]:
    """Read the date's counts and means, one row for each saliency method."""
    return rows_of(store.open(record.artifacts[f"acquisition {record.date}"]), ACQUISITIONS)


def create_artifacts(store: Store, record: AcquisitionRecord, fitted: CampaignRecord) -> None:
    """Show the date's summary, counts and report among the flow run's artifacts in the Prefect UI."""
    rows = acquisition_rows(store, record)
    lines = [f"## {record.campaign} {record.date}", "", f"scored by the fit `{record.fit}` of {record.fitted_by}", ""]
    lines += [decided(store, record, fitted), "", *(sentence(row) for row in rows)]
    summary_key, table_key = (artifact_key(kind, record.campaign, record.date) for kind in ("summary", "acquisition"))
    create_markdown_artifact("\n".join(lines), key=summary_key, description=f"campaign {record.campaign}")
    create_table_artifact(rows, key=table_key, description="the date's plants, by saliency method")
    has_it = "this date is in it" if fitted.campaign == record.campaign else "which made the fit"
    said, report_key = f"report of {fitted.campaign}, {has_it}", artifact_key("report", fitted.campaign)
    create_link_artifact(report_link(store, fitted), link_text=said, key=report_key)


def decided(store: Store, record: AcquisitionRecord, fitted: CampaignRecord) -> str:
    """Say how many plants to harvest, to leave and to check by hand, by the campaign's first saliency method."""
    day, method = record.date.isoformat(), record.params["explain"]["methods"][0]
    artifacts = {role: store.open(ref) for role, ref in record.artifacts.items() if role.split()[-1] == day}
    classes = store.open(fitted.artifacts["classifier"]).summary["classes"]
    found = read_day(artifacts, day, classes, method, is_scored=True)
    return decision_sentence(summarise(found, classes))


def sentence(row: Row) -> str:
    """Write the counts and means of one saliency method as a sentence."""
    outside = f" **Outside what was validated: {row['outside_reason']}.**" if row["is_outside"] else ""
    mark = Completeness(row["n_plants"], row["n_expected"]).mark
    few = f" **Incomplete: {mark}.**" if mark else ""
    return (
        f"- {row['method']}: {row['n_explained']} of {row['n_images']} images explained, {row['n_rejected']} left out; "
        f"mean reliability {row['mean_reliability']:.2f}, {row['n_check']} to check, "
        f"{row['n_corrected']} answers corrected.{few}{outside}"
    )
