"""Write the table `found`: what was promised about answers that are acted on against what people found.

Reads `promises`, the decisions of every date with checks, and the classes that people found there. The artefact is
named by these, so it is made again only when checks come or decisions change.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store, content_digest
from storage.records.checks import FoundClasses
from storage.tables import DECIDED, FOUND, PROMISES
from storage.tables.names import MADE_BY
from storage.tables.parquet import rows_to_columns, write_table
from storage.tables.rows import Row, iter_rows, rows_of
from tasks.decide.audit_plants import audit_plants, audit_seed
from tasks.decide.found import CheckedDay, found_rows
from tasks.decide.promised import used_promises
from tasks.stage import cached_by, made_once

REVISION = 1
KIND = "found"  # kind of the artefacts with the table, and first word of their roles
READ = ("plant_id", "answer", "decision")  # columns of the table `decided`


def checked_day(
    campaign: str, day: date, decided: Sequence[Row], classes: Sequence[str], share: float, found: Mapping[str, str]
) -> CheckedDay:
    """Name the answers of a date, and mark the plants that are drawn at random for a look, as the exports do."""
    drawn = audit_plants(decided, share, audit_seed(campaign, day))
    rows = [{**row, "answer": classes[int(row["answer"])], "is_audit": row["plant_id"] in drawn} for row in decided]
    return CheckedDay(day, rows, found)


def found_recipe(
    campaign: str,
    audit_share: float,
    classes: tuple[str, ...],
    found: FoundClasses,
    promises: ArtifactRef,
    decided: list[ArtifactRef],
) -> Recipe:
    """Return the recipe of what people found; it depends on the campaign, whose name draws plants at random."""
    fields = {
        "campaign": campaign,
        "audit_share": audit_share,
        "classes": list(classes),
        "found": content_digest({day.isoformat(): dict(sorted(plants.items())) for day, plants in found.items()}),
    }
    return Recipe(KIND, REVISION, fields, {"promises": promises, "decided": decided})


@task(task_run_name="found {campaign} {method}", **cached_by(found_recipe))
@made_once(found_recipe)
def measure_found(
    draft: Draft,
    store: Store,
    campaign: str,
    method: str,
    audit_share: float,
    classes: tuple[str, ...],
    found: FoundClasses,
    promises: ArtifactRef,
    decided: list[ArtifactRef],
) -> None:
    """Compare what was promised with what people found, on every date with checks.

    Parameters
    ----------
    audit_share : share of the plants of each decision that the campaign draws at random for a look (`field`).
    found : classes that stand, by date and plant; dates ascending.
    decided : decisions of these dates, in the same order.
    """
    promised = used_promises(rows_of(store.open(promises), PROMISES))
    days = [
        checked_day(campaign, day, list(iter_rows(store.open(ref), DECIDED, READ)), classes, audit_share, found[day])
        for day, ref in zip(found, decided, strict=True)
    ]
    rows = found_rows(days, classes, {row["answers"]: row["tolerated_error"] for row in promised})
    made_by = {name: promised[0][name] for name in MADE_BY}
    write_table(draft, FOUND, rows_to_columns(FOUND, [{**made_by, **row} for row in rows]))
    draft.summary = {"n_broken": sum(row["is_broken"] for row in rows)}
