"""Measure and publish what people found at plants, beside what a campaign promised about its answers.

Whatever a campaign's report shows is collected again whenever the report is renewed, and checks are among it. Measuring
them takes milliseconds, so this is no task run of its own.
"""

from collections.abc import Mapping
from typing import Any

from flows.parameters import CampaignParams
from storage.artifacts import ArtifactRef, Store
from storage.errors import ArtifactError
from storage.published.publish import publish_table, published_rows, unpublish_table
from storage.records.checks import found_classes
from storage.records.notices import BROKEN, keep_notice, make_notice
from storage.tables import FOUND
from tasks.decide.found_words import broken_sentences
from tasks.decide.measure_found import KIND, measure_found


def measure_checks(
    store: Store, params: CampaignParams, artifacts: Mapping[str, ArtifactRef]
) -> dict[str, ArtifactRef]:
    """Compare what was promised with what people found so far, and return the results by role `found <method>`.

    Parameters
    ----------
    artifacts : artefacts by role, of the campaign and of the dates that its fit has scored. Checks of other dates do
        not count.

    Returns
    -------
    One reference for each saliency method; empty where nobody looked at a plant.
    """
    found = found_classes(store, params.campaign)
    measured: dict[str, ArtifactRef] = {}
    for method in params.explain.methods:
        decided = {day: artifacts[role] for day in found if (role := f"decided {method} {day}") in artifacts}
        if decided:
            measured[f"{KIND} {method}"] = measure_found.fn(
                store.address,
                params.campaign,
                method,
                params.field.audit_share,
                tuple(store.open(artifacts[f"images {next(iter(decided))}"]).summary["classes"]),
                {day: found[day] for day in decided},
                artifacts[f"promises {method}"],
                list(decided.values()),
            )
    return measured


def publish_found(store: Store, campaign: str, found: Mapping[str, ArtifactRef]) -> list[str]:
    """Publish the table `found`, and keep a notice of every promise that it shows to be broken for the first time.

    Returns
    -------
    A sentence about each of these promises.
    """
    try:
        before = broken_promises(store, campaign)
    except ArtifactError:  # what the damaged table showed is not known, so it is told again
        before = {}
    if found:
        publish_table(store, FOUND, list(found.values()), campaign)
    else:
        unpublish_table(store, FOUND, campaign)
    new = [sentence for key, sentence in broken_promises(store, campaign).items() if key not in before]
    for sentence in new:
        keep_notice(store, make_notice(BROKEN, campaign, sentence, campaign))
    return new


def broken_promises(store: Store, campaign: str) -> dict[tuple[Any, ...], str]:
    """Return a sentence for each promise that the published table `found` shows to be broken, by what names it."""
    return broken_sentences(published_rows(store, FOUND, campaign))
