"""Read what the report shows from a campaign's artefacts into plain values."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from storage.artifacts import Artifact, ArtifactRef, Store
from storage.errors import InputError
from storage.tables import (
    CALIBRATION,
    CLUSTER_MATCHES,
    CLUSTER_SCORES,
    EVALUATION,
    FOUND,
    METRICS,
    PLANTS,
    PROMISES,
    SENSITIVITY,
    SWAPS,
)
from storage.tables.rows import Row, days_of, rows_of
from tasks.report.field.told import Told, read_told

if TYPE_CHECKING:
    from tasks.report.method.drawn import Drawn, DrawnFit


JUDGED = (
    "clusters",
    "crossfit",
    "sensitivity",
    "scores",
    "swaps",
    "promises",
    "metrics",
    "evaluation",
    "calibration",
)  # artefacts per method


@dataclass(frozen=True)
class MethodResults:
    """Results of one saliency method that the report shows.

    Attributes
    ----------
    clusters, swaps, promises, metrics, evaluation, calibration, sensitivity : rows of the tables of these names.
    matches : rows of the table `cluster_matches`; empty for a first fit.
    found : rows of the table of this name; empty where nobody looked at a plant.
    drawn : what is counted and drawn of the dates that the fit was made from.
    drift : rows of the table of this name with the date, including dates scored since the fit.
    summary : diagnostics of the clusters.
    warnings : warnings about clusters, cross-fitting, swaps and novelty, one sentence each.
    """

    method: str
    clusters: Sequence[Row]
    swaps: Sequence[Row]
    promises: Sequence[Row]
    matches: Sequence[Row]
    metrics: Sequence[Row]
    evaluation: Sequence[Row]
    calibration: Sequence[Row]
    found: Sequence[Row]
    sensitivity: Sequence[Row]
    drawn: "Drawn"
    drift: Sequence[Row]
    summary: dict[str, Any]
    warnings: list[str]


@dataclass(frozen=True)
class CampaignResults:
    """Results of a campaign that the report shows.

    Attributes
    ----------
    notes : remarks on the source as a whole.
    drawn : what is counted and drawn of the dates that the fit was made from.
    told : sums of every date of the campaign, and of the dates scored since the fit, in order.
    artifacts, scored : artefacts by role, of the campaign and of the latest dates scored since the fit.
    """

    campaign: str
    params: dict[str, Any]
    differing: dict[str, Any]
    dates: list[str]
    classes: list[str]
    plants: Sequence[Row]
    plants_summary: dict[str, Any]
    notes: list[str]
    drawn: "DrawnFit"
    told: list[Told]
    card: dict[str, Any]
    methods: list[MethodResults]
    artifacts: dict[str, Artifact] = field(repr=False)
    scored: dict[str, Artifact] = field(repr=False)

    @property
    def uses_ground_truth(self) -> bool:
        """Return whether any map explains the true class."""
        chosen = {row["explained_class"] for method in self.methods for row in (*method.clusters, *method.metrics)}
        return "label" in chosen or self.params.get("explain", {}).get("explained_class") == "label"


def check_made(campaign: str, methods: Sequence[str], made: Container[str]) -> None:
    """Refuse a campaign of which a report cannot be made.

    Parameters
    ----------
    made : roles of its artefacts.

    Raises
    ------
    InputError : artefacts that runs of this version make are missing, because an earlier version made the run.
    """
    missing = [role for method in methods for kind in JUDGED if (role := f"{kind} {method}") not in made]
    if missing:
        raise InputError(
            f"the run of {campaign} has no {', '.join(missing)}",
            "A report can only show a run of this version of the program",
            "run the campaign again; unchanged results are cached",
        )


def read_campaign(
    store: Store,
    campaign: str,
    params: dict[str, Any],
    differing: dict[str, Any],
    refs: dict[str, ArtifactRef],
    scored_refs: dict[str, ArtifactRef],
    drawn_fit: Artifact,
    found_refs: dict[str, ArtifactRef] | None = None,
    sums: Sequence[Artifact] = (),
) -> CampaignResults:
    """Read what the report of a campaign shows; artefacts are given by role.

    Parameters
    ----------
    refs, scored_refs : artefacts of the campaign, and of the latest dates that its fit has scored since.
    drawn_fit : artefact with what is shown of the dates of the fit (see `tasks.report.method.drawn`).
    sums : artefacts with the sums of every date, in order (see `tasks.report.field.told`).
    found_refs : artefacts with what people found at plants, by role `found <method>`; None without any.

    """
    from tasks.report.method.drawn import read_drawn

    asked: list[str] = params["explain"]["methods"]  # the report has this order, whatever the order of the roles
    artifacts, scored, found = (
        {role: store.open(ref) for role, ref in some.items()} for some in (refs, scored_refs, found_refs or {})
    )
    plants, classifier = artifacts["plants"], artifacts["classifier"]
    checks = rows_of(found[role], FOUND) if (role := f"found {asked[0]}") in found else []
    told, drawn = [read_told(one, checks) for one in sums], read_drawn(drawn_fit)
    least = params["decide"]["least_novelty"]
    return CampaignResults(
        campaign=campaign,
        params=params,
        differing=differing,
        dates=days_of(artifacts, "images"),
        classes=list(plants.summary["classes"]),
        plants=rows_of(plants, PLANTS),
        plants_summary=plants.summary,
        notes=artifacts["survey"].read_json("survey.json")["notes"],
        drawn=drawn,
        told=told,
        card=classifier.read_json("card.json"),
        methods=[read_method(artifacts, drawn.methods[one], told, found, one, least) for one in asked],
        artifacts=artifacts,
        scored=scored,
    )


def read_method(
    artifacts: dict[str, Artifact],
    drawn: "Drawn",
    told: Sequence[Told],
    found: dict[str, Artifact],
    method: str,
    least_novelty: float,
) -> MethodResults:
    """Read the results of one saliency method; for dates scored since the fit, only their drift."""
    clusters, crossfit = artifacts[f"clusters {method}"], artifacts[f"crossfit {method}"]
    swaps = artifacts[f"swaps {method}"]
    matches = artifacts.get(f"matches {method}")
    return MethodResults(
        method=method,
        clusters=rows_of(artifacts[f"scores {method}"], CLUSTER_SCORES),
        swaps=rows_of(swaps, SWAPS),
        promises=rows_of(artifacts[f"promises {method}"], PROMISES),
        matches=[] if matches is None else rows_of(matches, CLUSTER_MATCHES),
        metrics=rows_of(artifacts[f"metrics {method}"], METRICS),
        evaluation=rows_of(artifacts[f"evaluation {method}"], EVALUATION),
        calibration=rows_of(artifacts[f"calibration {method}"], CALIBRATION),
        found=rows_of(found[role], FOUND) if (role := f"found {method}") in found else [],
        sensitivity=rows_of(artifacts[f"sensitivity {method}"], SENSITIVITY),
        drawn=drawn,
        drift=[row for one in told for row in one.drift.get(method, [])],
        summary=clusters.summary,
        warnings=[
            *clusters.summary["warnings"],
            *crossfit.summary["warnings"],
            *swaps.summary["warnings"],
            *never_novel(sum(clusters.summary["sizes"]), least_novelty),
        ],
    )


def never_novel(n: int, least: float) -> list[str]:
    """Return a warning if n validation maps are too few for any map to be marked as novel; otherwise none."""
    if 1 / (n + 1) >= least > 0:
        return [
            f"with {n} validation images novelty is never below {1 / (n + 1):.3f}: no map can be marked as novel "
            f"(decide.least_novelty = {least:g})"
        ]
    return []
