"""Tell what a store holds: campaigns, their dates and fits, and what a new run of a campaign would do."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from storage.artifacts import Artifact, ArtifactRef, Store
from storage.errors import ArtifactError, InputError
from storage.places.files import read_file
from storage.records.acquisitions import AcquisitionRecord, fit_digest, list_acquisitions, read_acquisition
from storage.records.campaigns import CampaignRecord, read_record
from storage.records.notices import NOTICES
from storage.records.obstacles import waiting_for_person

PROGRAM = "harvest-reliability"
# First kind of artefact that a table of a campaign's parameters changes; all that follow in `STEPS` are then new.
FIRST_CHANGED = {
    **dict.fromkeys(("source", "dates", "ingest"), "images"),
    "augment": "augmentation",
    **dict.fromkeys(("train", "classifier"), "classifier"),
    "explain": "saliency",
    "cluster": "clusters",
    "score": "scores",
    **dict.fromkeys(("review", "adjust"), "swaps"),
    "drift": "drift",
    "decide": "promises",
    "export": "decisions",
    "field": "background",
}
# Kinds of artefacts in the order in which a run makes them.
STEPS = (
    *("survey", "listing", "images", "plants", "rehearsal", "augmentation", "classifier", "predictions", "saliency"),
    *("clusters", "assignments", "crossfit", "sensitivity", "matches", "scores", "swaps", "review", "promises"),
    *("reliability", "adjusted", "drift", "decided", "metrics", "evaluation", "calibration", "background"),
    *("decisions", "report"),
)


def list_store(store: Store) -> dict[str, Any]:
    """Return a store's campaigns with their dates and fits, and what needs a person.

    These are dates that wait for a person, broken promises, damaged records, and notices of failures.

    Raises
    ------
    InputError : a store in a folder has neither campaigns nor scored dates.
    """
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    broken: dict[str, list[str]] = {}
    names = sorted(path.stem for path in (store.root / "campaigns").glob("*.json"))
    for name in names:
        try:
            rows += _fitted_dates(store, read_record(store, name))
            broken |= {name: said} if (said := broken_promises(store, name)) else {}
        except ArtifactError as error:
            problems.append(str(error))
    for path in list_acquisitions(store):
        try:
            found = read_acquisition(path)
            row = _row(store, found.campaign, found.date.isoformat(), "scored", found.fit, found.artifacts)
            rows.append({**row, "incomplete": _mark(store, found)})
        except ArtifactError as error:
            problems.append(str(error))
    failures = list(kept_notices(store))
    if not rows and not problems and not failures:
        raise InputError(
            f"There is no campaign in {store.root}",
            "The store must hold a complete run of a campaign",
            "run a campaign first, or give another --store",
        )
    present = {row["campaign"]: row["fit"] for row in rows if row["made_by"] == "fitted"}
    for row in rows:
        row["is_current"] = present.get(row["campaign"], row["fit"]) == row["fit"]
    rows.sort(key=lambda row: (row["campaign"], row["date"], row["is_current"]))
    return {
        "store": str(store.root),
        "dates": rows,
        "waiting": list(waiting_for_person(store)),
        "broken": broken,
        "problems": problems,
        "failures": failures,
    }


def _fitted_dates(store: Store, record: CampaignRecord) -> list[dict[str, Any]]:
    fit = fit_digest(record.artifacts)
    rows = (_row(store, record.campaign, day, "fitted", fit, record.artifacts) for day in record.dates)
    return [{**row, "incomplete": ""} for row in rows]


def _row(
    store: Store, campaign: str, day: str, made_by: str, fit: str, artifacts: Mapping[str, ArtifactRef]
) -> dict[str, Any]:
    drift = {role: ref for role, ref in artifacts.items() if role.split()[0] == "drift" and role.endswith(day)}
    return {
        "campaign": campaign,
        "date": day,
        "made_by": made_by,
        "fit": fit,
        "outside": sorted({role.split()[1] for role, ref in drift.items() if _is_outside(store.open(ref))}),
    }


def _mark(store: Store, scored: AcquisitionRecord) -> str:
    """Return how many of the expected plants a scored date has, if they are far fewer."""
    from tasks.ingest.completeness import scored_mark

    return scored_mark(store, scored.artifacts, scored.date)


def broken_promises(store: Store, campaign: str) -> list[str]:
    """Return a sentence for each promise of a campaign that people found to be broken.

    Raises
    ------
    ArtifactError : the published table `found` is damaged.
    """
    from storage.published.publish import published_rows
    from storage.tables import FOUND
    from tasks.decide.found_words import broken_sentences

    return list(broken_sentences(published_rows(store, FOUND, campaign)).values())


def _is_outside(drift: Artifact) -> bool:
    from storage.tables import DRIFT
    from storage.tables.rows import rows_of

    return any(row["is_outside"] for row in rows_of(drift, DRIFT, ["is_outside"]))


def kept_notices(store: Store) -> Iterator[dict[str, str]]:
    """Yield the notices of what failed, commands and runs of the service, and of broken promises, the oldest first."""
    file = store.root / f"{NOTICES}.jsonl"
    places = [file] if file.is_file() else sorted((store.root / NOTICES).glob("*.json"))
    for place in places:
        for line in read_file(place).splitlines():
            with suppress(ValueError, RecursionError):  # a line that a full disk cut off
                said = json.loads(line)
                if isinstance(said, dict) and all(isinstance(one, str) for one in said.values()):
                    yield said


def status_of(store: Store, record: CampaignRecord, changed: Iterable[str] | None) -> dict[str, Any]:
    """Return how much of a campaign's last run is in the store, and what a new run of the same version would compute.

    Parameters
    ----------
    changed : dotted keys by which a campaign's file differs from the last run; None if no file is compared.
    """
    kinds: dict[str, list[bool]] = {}
    for role, ref in sorted(record.artifacts.items()):
        kinds.setdefault(role.split()[0], []).append(not store.wrong_sizes(ref))
    keys = sorted(changed or ())
    first = min((STEPS.index(FIRST_CHANGED[key.split(".")[0]]) for key in keys), default=len(STEPS))
    order = sorted(kinds, key=_step)
    kept = [{"kind": kind, "n": len(kinds[kind]), "n_cached": sum(kinds[kind])} for kind in order]
    new = [kind for kind in order if first <= _step(kind) < len(STEPS) or not all(kinds[kind])]
    return {
        "campaign": record.campaign,
        "artifacts": kept,
        "changed": keys,
        "would_compute": new,
        "broken": broken_promises(store, record.campaign),
        "made_by": sorted(made_by(store, record)),
        "version": version(PROGRAM),
    }


def made_by(store: Store, record: CampaignRecord) -> set[str]:
    """Return the versions of this program that made a campaign's artefacts, as their manifests say."""
    found: set[str] = set()
    for ref in record.artifacts.values():
        with suppress(ArtifactError):  # it is gone, which the count of cached ones tells
            found.add(store.open(ref).manifest.versions.get(PROGRAM, "unknown"))
    return found


def _step(kind: str) -> int:
    """Return the place of a kind of artefact in a run; kinds that are not known come last."""
    return STEPS.index(kind) if kind in STEPS else len(STEPS)


def differences(recorded: Mapping[str, Any], given: Mapping[str, Any], above: str = "") -> list[str]:
    """Return the dotted keys whose values differ, or which only one of two parameter sets has."""
    found: list[str] = []
    for key in sorted({*recorded, *given}):
        name, was, now = f"{above}{key}", recorded.get(key), given.get(key)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            found += differences(was, now, f"{name}.")
        elif was != now:
            found.append(name)
    return found
