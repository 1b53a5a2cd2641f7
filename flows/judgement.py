"""Submit the stages from saliency maps to reliability, adjusted answers and their evaluation, for one method."""

from datetime import date
from typing import Any

from flows.parameters import CampaignParams
from flows.running.stages import Future, Roles, Stages, wait_for
from storage.artifacts import ArtifactRef, Store
from storage.records.campaigns import CampaignRecord
from tasks.adjust.adjust import adjust_predictions
from tasks.adjust.decide import decide_swaps
from tasks.cluster.assign import assign_images
from tasks.cluster.cluster import fit_clusters
from tasks.cluster.match import match_earlier
from tasks.decide.decide import decide_images
from tasks.decide.promise import make_promises
from tasks.explain.explain import date_groups, explain_shards, gather_maps
from tasks.explain.params import Method
from tasks.measure.accuracy import measure_accuracy
from tasks.measure.calibration import measure_calibration
from tasks.measure.drift import measure_drift
from tasks.measure.evaluation import evaluate_scores
from tasks.parameters import Runtime
from tasks.score.crossfit import cross_fit_validation
from tasks.score.rate import rate_images
from tasks.score.score import score_clusters
from tasks.score.sensitivity import measure_sensitivity


def analyse_maps(
    stages: Stages,
    params: CampaignParams,
    method: Method,
    roles: Roles,
    earlier: CampaignRecord | None = None,
) -> Roles:
    """Cluster and score one saliency method's maps, and adjust, rate and measure the answers by the rule."""
    made = fit_maps(stages, params, method, roles, earlier)
    return made | judge_maps(stages, params, method, {**roles, **made})


def fit_maps(
    stages: Stages, params: CampaignParams, method: Method, roles: Roles, earlier: CampaignRecord | None = None
) -> Roles:
    """Cluster one saliency method's maps, score the clusters, and let the rule propose which answers to swap.

    Parameters
    ----------
    earlier : record of the campaign's last run, to whose clusters the new ones are matched.
    """
    parts = of_maps(params, method, roles)
    clusters = stages.submit(fit_clusters, **parts)
    wait_for([clusters])
    crossfit = stages.submit(cross_fit_validation, clusters=clusters, **parts)
    wait_for([crossfit])
    made = {f"clusters {method}": clusters, f"crossfit {method}": crossfit}
    made |= match(stages, method, clusters, earlier)
    return {**made, **score(stages, params, method, {**roles, **made})}


def try_others(stages: Stages, params: CampaignParams, method: Method, roles: Roles) -> Roles:
    """Measure how the results would change with other parameters of the clusters."""
    parts, clusters = of_maps(params, method, roles), roles[f"clusters {method}"]
    sheet = stages.submit(measure_sensitivity, adjust=params.adjust, clusters=clusters, **parts)
    return {f"sensitivity {method}": sheet}


def of_maps(params: CampaignParams, method: Method, roles: Roles) -> dict[str, Any]:
    """Return the parameters that every task on the validation maps of all dates takes."""
    return {
        "method": method,
        "params": params.cluster,
        "size": params.ingest.image_size,
        "saliency": [roles[f"saliency {method} {day}"] for day in params.dates],
        "predictions": [roles[f"predictions {day}"] for day in params.dates],
    }


def match(stages: Stages, method: Method, clusters: Future, earlier: CampaignRecord | None) -> Roles:
    """Match the clusters to those of the campaign's previous fit, if the store still has that fit."""
    before = None if earlier is None else fit_before(stages.store, earlier, method, clusters.result())
    if before is None or not stages.store.holds(before):
        return {}
    stages.expect(1)
    return {f"matches {method}": stages.submit(match_earlier, method=method, clusters=clusters, earlier=before)}


def fit_before(store: Store, earlier: CampaignRecord, method: Method, clusters: ArtifactRef) -> ArtifactRef | None:
    """Find the clusters of the fit before this one.

    These are the last run's clusters. If they equal the new ones, they are those that the last run was matched to.
    """
    last, mapping = (earlier.artifacts.get(f"{kind} {method}") for kind in ("clusters", "matches"))
    if last != clusters:
        return last
    if mapping is None or not store.holds(mapping):
        return None
    return ArtifactRef.of(store.open(mapping).manifest.inputs["earlier"])


def explain(stages: Stages, params: CampaignParams, runtime: Runtime, method: Method, roles: Roles) -> Roles:
    """Explain the images of every date by one method: groups of shards in parallel, then one artefact for each date."""
    made_from = {
        day: {
            "date": day,
            "params": params.explain,
            "method": method,
            "images": roles[f"images {day}"],
            "classifier": roles["classifier"],
            "predictions": roles[f"predictions {day}"],
            "runtime": runtime,
        }
        for day in params.dates
    }
    groups = {
        day: [
            stages.spread(explain_shards, first=first, last=last, **parameters)
            for first, last in date_groups(stages.store, method, roles[f"predictions {day}"].result())
        ]
        for day, parameters in made_from.items()
    }
    shards = [group for of_date in groups.values() for group in of_date]
    stages.expect(len(shards) - len(params.dates))
    wait_for(shards)
    saliency: Roles = {
        f"saliency {method} {day}": stages.submit(gather_maps, shards=groups[day], **parameters)
        for day, parameters in made_from.items()
    }
    wait_for(saliency.values())
    return saliency


def score(stages: Stages, params: CampaignParams, method: Method, roles: Roles) -> Roles:
    """Score fitted clusters, and let the rule propose which answers to swap."""
    plants = roles["plants"]
    made: Roles = {f"assignments {method} {day}": assign(stages, method, day, roles, plants) for day in params.dates}
    scores = stages.submit(
        score_clusters,
        method=method,
        params=params.score,
        clusters=roles[f"clusters {method}"],
        assignments=list(made.values()),
        predictions=[roles[f"predictions {day}"] for day in params.dates],
    )
    wait_for([*made.values(), scores])
    made |= {f"scores {method}": scores}
    made |= propose(stages, params, method, {**roles, **made})
    wait_for(made.values())
    return made


def propose(stages: Stages, params: CampaignParams, method: Method, roles: Roles) -> Roles:
    """Let the rule propose which clusters' answers to swap."""
    scores, crossfit = roles[f"scores {method}"], roles[f"crossfit {method}"]
    swaps = stages.submit(decide_swaps, method=method, params=params.adjust, scores=scores, crossfit=crossfit)
    return {f"swaps {method}": swaps}


def judge_maps(stages: Stages, params: CampaignParams, method: Method, roles: Roles) -> Roles:
    """Rate, adjust and decide on the answers of every date, and measure the result."""
    made = promise(stages, params, method, roles)
    made |= judge_dates(stages, params, method, {**roles, **made})
    made |= measure(stages, params, method, {**roles, **made})
    wait_for(made.values())
    return made


def promise(stages: Stages, params: CampaignParams, method: Method, roles: Roles) -> Roles:
    """Certify on validation plants which answers may be acted on."""
    promises = stages.submit(
        make_promises,
        method=method,
        params=params.decide,
        classes=classes_of(stages, roles),
        clusters=roles[f"clusters {method}"],
        crossfit=roles[f"crossfit {method}"],
        review=roles.get(f"review {method}"),
    )
    wait_for([promises])
    return {f"promises {method}": promises}


def classes_of(stages: Stages, roles: Roles) -> tuple[str, ...]:
    """Return the names of the classifier's classes, by index."""
    return tuple(stages.store.open(roles["classifier"].result()).summary["classes"])


def assign(stages: Stages, method: Method, day: date, roles: Roles, plants: Future | ArtifactRef | None) -> Future:
    """Assign a cluster to every image of a date.

    Parameters
    ----------
    plants : plants of the campaign that was fitted; None on a date of another field.
    """
    return stages.spread(
        assign_images,
        date=day,
        method=method,
        clusters=roles[f"clusters {method}"],
        crossfit=roles[f"crossfit {method}"],
        saliency=roles[f"saliency {method} {day}"],
        predictions=roles[f"predictions {day}"],
        plants=plants,
    )


def judge_dates(stages: Stages, params: CampaignParams, method: Method, roles: Roles) -> Roles:
    """Rate and adjust the answers of every date, measure how far it lies from what was validated, and decide.

    Parameters
    ----------
    roles : what `fit_maps` makes, `promises <method>`, and `review <method>` where there is one.
    """
    made: Roles = {}
    for day in params.dates:
        assigned, answers = roles[f"assignments {method} {day}"], roles[f"predictions {day}"]
        crossfit = roles[f"crossfit {method}"]
        made[f"reliability {method} {day}"] = stages.spread(
            rate_images,
            date=day,
            method=method,
            scores=roles[f"scores {method}"],
            crossfit=crossfit,
            assignments=assigned,
            predictions=answers,
        )
        made[f"drift {method} {day}"] = stages.spread(
            measure_drift,
            date=day,
            method=method,
            params=params.drift,
            crossfit=crossfit,
            assignments=assigned,
            predictions=answers,
        )
    classes = classes_of(stages, roles)
    for day in params.dates:
        rated, swaps = made[f"reliability {method} {day}"], roles[f"swaps {method}"]
        made[f"adjusted {method} {day}"] = stages.spread(
            adjust_predictions, date=day, method=method, swaps=swaps, reliability=rated
        )
        made[f"decided {method} {day}"] = stages.spread(
            decide_images,
            date=day,
            method=method,
            params=params.decide,
            classes=classes,
            promises=roles[f"promises {method}"],
            crossfit=roles[f"crossfit {method}"],
            reliability=rated,
            drift=made[f"drift {method} {day}"],
            review=roles.get(f"review {method}"),
        )
    return made


def measure(stages: Stages, params: CampaignParams, method: Method, roles: Roles) -> Roles:
    """Measure accuracy and error detection over all dates."""
    crossfit, plants, swaps = roles[f"crossfit {method}"], roles["plants"], roles[f"swaps {method}"]
    reliability, adjusted, decided = (
        [roles[f"{kind} {method} {day}"] for day in params.dates] for kind in ("reliability", "adjusted", "decided")
    )
    dated = {"method": method, "dates": params.dates, "decided": decided}
    return {
        f"metrics {method}": stages.submit(
            measure_accuracy,
            method=method,
            plants=plants,
            crossfit=crossfit,
            swaps=swaps,
            adjusted=adjusted,
            decided=decided,
        ),
        f"calibration {method}": stages.submit(measure_calibration, classes=classes_of(stages, roles), **dated),
        f"evaluation {method}": stages.submit(
            evaluate_scores, method=method, crossfit=crossfit, reliability=reliability
        ),
    }
