"""Find the answers about a date's plants that people in the field check."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from flows.parameters import recorded_params
from storage.artifacts import ArtifactRef, Store
from storage.errors import InputError
from storage.records.acquisitions import FOLDER, fit_digest, read_acquisition
from storage.records.campaigns import find_record, read_record
from storage.tables import DECIDED
from storage.tables.rows import iter_rows
from tasks.decide.decisions import decisions_of
from tasks.export.checking import Answers
from tasks.export.forms import form_of
from tasks.export.rows import export_rows
from tasks.ingest.listing import read_listing


def answers_of(store: Store, campaign: str, day: date) -> Answers:
    """Return the answers about the plants of a date that stand now, by the campaign's first saliency method.

    The date is one of the campaign's own, or was scored with the present fit of this or another campaign.

    Raises
    ------
    InputError : the campaign or the date is unknown.
    ArtifactError : a record or an artefact of the date is missing or damaged.
    """
    found = _judged(store, campaign, day)
    if found is None:
        raise InputError(
            f"{campaign} has no answers on {day}; its dates are {', '.join(_days(store, campaign))}",
            "People can only check answers that there are",
            "give the acquisition date of the answers with --date, or score the date first: harvest score",
        )
    params, artifacts = recorded_params({**found[0]}), found[1]
    method = params.explain.methods[0]
    images, decided = store.open(artifacts[f"images {day}"]), store.open(artifacts[f"decided {method} {day}"])
    classes, listed = images.summary["classes"], read_listing(images)["images"]
    rows = export_rows(campaign, day, listed, iter_rows(decided, DECIDED), classes, params.field.audit_share)
    return Answers(
        campaign=campaign,
        day=day,
        form=form_of(classes),
        decisions=decisions_of(classes),
        rows={row["plant_id"]: row for row in rows},
        known=frozenset(entry["plant_id"] for entry in listed),
    )


def _judged(store: Store, campaign: str, day: date) -> tuple[Mapping[str, Any], Mapping[str, ArtifactRef]] | None:
    """Return parameters and artefacts by role of the present judgement of a date; None where there is none."""
    own = find_record(store, campaign)
    if own is not None and day.isoformat() in own.dates:
        return own.params, own.artifacts
    for path in sorted((store.root / FOLDER / campaign / day.isoformat()).glob("*.json")):
        scored = read_acquisition(path)
        fitted = find_record(store, scored.fitted_by)
        if fitted is not None and fit_digest(fitted.artifacts) == scored.fit:
            return scored.params, scored.artifacts
    return None


def _days(store: Store, campaign: str) -> list[str]:
    """List the dates of a campaign or season that have answers.

    Raises
    ------
    InputError : the store knows neither.
    """
    scored = {path.parent.name for path in (store.root / FOLDER / campaign).glob("*/*.json")}
    own = find_record(store, campaign) if scored else read_record(store, campaign)
    return sorted({*scored, *(own.dates if own else ())})
