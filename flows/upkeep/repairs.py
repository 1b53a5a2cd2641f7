"""Have damaged parts of a store made again by the runs that made them."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version

import httpx
from prefect import get_run_logger

from flows.backfill import completed_run, have_scored
from flows.campaign import analyse_campaign
from flows.discover import scoring_key, scoring_parameters
from flows.parameters import recorded_params
from flows.running.sending import is_deployed, run_elsewhere
from storage.artifacts import Store, content_digest
from storage.errors import ArtifactError, InputError
from storage.records.acquisitions import fit_digest
from storage.records.campaigns import CampaignRecord, read_record
from storage.repair import Day, plan_repairs, present_record
from tasks.ingest.params import AT_ONCE
from tasks.parameters import Runtime

ANALYSE = "analyse-campaign/analyse-campaign"  # deployment that runs a campaign
PROGRAM = "harvest-reliability"  # name of this program among the versions in manifests


def repair(store: Store, places: list[str], runtime: Runtime) -> dict[str, str]:
    """Have damaged folders and records made again, and return what was done about each.

    A campaign is run before dates are scored, because these rest on its fit. A run that fails stops no other.

    Raises
    ------
    httpx.TransportError : the server does not answer, so that no run can be sent for.
    """
    plan = plan_repairs(store, places)
    runs: list[tuple[list[str], Callable[[], str]]] = [
        *((of, partial(remake_campaign, store, campaign, runtime)) for campaign, of in plan.campaigns.items()),
        *((of, partial(score_again, store, day, runtime)) for day, of in plan.dates.items()),
    ]
    done = {place: [f"not made again: {why}"] for place, why in plan.kept.items()}
    for of_run, run in runs:
        try:
            said = run()
        except httpx.TransportError:
            raise
        except Exception as error:
            get_run_logger().exception("repair")
            said = f"not made again: {error}"
        for place in of_run:
            done.setdefault(place, []).append(said)
    return {place: "; ".join(said) for place, said in done.items()}


def remake_campaign(store: Store, campaign: str, runtime: Runtime) -> str:
    """Run a campaign with the parameters of its record, and say what was done; finished work is cached.

    Raises
    ------
    InputError : another version of the program ran the campaign last, so that other numbers may come of it.
    RunFailedError : the flow run did not end as Completed.
    """
    before = read_record(store, campaign)
    last, present = last_version(store, before), version(PROGRAM)
    if last not in (present, ""):
        raise InputError(
            f"{campaign} was run by version {last} of the program, and this is version {present}",
            "A repair makes the same numbers again, and another version may make others",
            f"run the campaign again yourself: harvest run, with the file of {campaign}",
        )
    params = recorded_params(before.params)
    parameters = {"params": params.model_dump(mode="json"), "runtime": runtime.model_dump(mode="json")}
    if is_deployed(ANALYSE):
        key = f"repair {campaign} {content_digest([store.address, before.params])}"
        run = run_elsewhere(deployment=ANALYSE, parameters={**parameters, "store": store.address}, key=key)
    else:
        run = completed_run(analyse_campaign(params, store.address, runtime, return_state=True))
    is_same = fit_digest(read_record(store, campaign).artifacts) == fit_digest(before.artifacts)
    changed = "" if is_same else ", which made another fit: the images of the campaign's dates have changed"
    return f"{campaign} was run again (flow run {run}){changed}"


def last_version(store: Store, record: CampaignRecord) -> str:
    """Return the version of the program that made a campaign's latest artefact; empty if none can be read."""
    made: list[tuple[str, str]] = []
    for ref in record.artifacts.values():
        with suppress(ArtifactError):
            manifest = store.open(ref).manifest
            made.append((manifest.created, manifest.versions.get(PROGRAM, "")))
    return max(made, default=("", ""))[1]


def score_again(store: Store, wanted: Day, runtime: Runtime) -> str:
    """Score a date again as its record says, or as its campaign says where that cannot be read; say what was done.

    Raises
    ------
    InputError : an earlier version of the program made the fit, with other parameters.
    RunFailedError : the flow run did not end as Completed.
    """
    campaign, day = wanted
    record = present_record(store, wanted)
    fitted = read_record(store, record.fitted_by if record else campaign)
    params = recorded_params(record.params if record else fitted.params)
    key = scoring_key(store, campaign, day, fit_digest(fitted.artifacts), params.source)
    run = have_scored(scoring_parameters(store, fitted, params, day, AT_ONCE, runtime), key, after_failure=True)
    return f"{campaign} {day} was scored again (flow run {run})"
