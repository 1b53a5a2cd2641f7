"""Compare what was promised with what was observed, by date and by answer.

Reads `decided` of every date, writes the table `calibration`. Validation images have cross-fitted probabilities. A
probability can be right on average and wrong on every date, so each date and each class of answers has its own row.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import CALIBRATION, DECIDED
from storage.tables.names import ALL_ANSWERS, JUDGED_SPLITS, MADE_BY
from storage.tables.parquet import Rows, rows_to_columns, write_table
from tasks.measure.labelled import CONFIDENCE, labelled_columns
from tasks.stage import cached_by, made_once
from tasks.statistics.by_plant import design_effect, intra_plant_correlation, wilson_interval

REVISION = 1
READ = (*MADE_BY, "plant_id", "split", "label", "answer", "answer_reliability", "check_reason")


def calibration_rows(decided: Rows, acquired: Sequence[date], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of the table `calibration`.

    Parameters
    ----------
    decided : columns `READ` of the n labelled rows of the table `decided`, of all dates.
    acquired : (n,) their acquisition dates.
    classes : class names by index.
    """
    split, answer = np.asarray(decided["split"], np.str_), np.asarray(decided["answer"], np.int64)
    days, plants = np.asarray(acquired, object), np.asarray(decided["plant_id"], np.str_)
    is_right = answer == np.asarray(decided["label"], np.int64)
    promised = np.asarray(decided["answer_reliability"], np.float64)
    is_acted_on = np.asarray([not reason for reason in decided["check_reason"]], np.bool_)
    rows: list[dict[str, Any]] = []
    for one in JUDGED_SPLITS:
        if not (split == one).any():
            continue
        rho = intra_plant_correlation(is_right[split == one], plants[split == one])
        for day, name, chosen in _groups(split == one, days, answer, classes):
            for acted in (False, True):
                counted = chosen & is_acted_on if acted else chosen
                if not counted.any():
                    continue
                n, share = int(counted.sum()), float(is_right[counted].mean())
                low, high = wilson_interval(share, n / design_effect(plants[counted], rho), CONFIDENCE)
                rows.append(
                    {
                        **{mark: decided[mark][0] for mark in MADE_BY},
                        "split": one,
                        "acquired": day,
                        "answers": name,
                        "is_acted_on": acted,
                        "n": n,
                        "promised": float(promised[counted].mean()),
                        "observed": share,
                        "observed_lower": low,
                        "observed_upper": high,
                    }
                )
    return rows


def _groups(
    of_split: NDArray[np.bool_], days: NDArray[Any], answer: NDArray[np.int64], classes: Sequence[str]
) -> Iterator[tuple[date | None, str, NDArray[np.bool_]]]:
    """Yield date, name of the answers and members of every group of a split: all dates first, then date by date."""
    for day in [None, *sorted(set(days[of_split].tolist()))]:
        of_day = of_split if day is None else of_split & (days == day)
        yield day, ALL_ANSWERS, of_day
        for i, name in enumerate(classes):
            yield day, name, of_day & (answer == i)


def calibration_recipe(dates: tuple[date, ...], classes: tuple[str, ...], decided: list[ArtifactRef]) -> Recipe:
    """Return the recipe of a campaign's calibration."""
    fields = {"dates": [day.isoformat() for day in dates], "classes": list(classes)}
    return Recipe("calibration", REVISION, fields, {"decided": decided})


@task(task_run_name="calibration {campaign} {method}", **cached_by(calibration_recipe))
@made_once(calibration_recipe)
def measure_calibration(
    draft: Draft,
    store: Store,
    method: str,
    dates: tuple[date, ...],
    classes: tuple[str, ...],
    decided: list[ArtifactRef],
) -> None:
    """Compare promised and observed shares of right answers on every date with labels."""
    of_dates = [labelled_columns(store, DECIDED, [ref], READ) for ref in decided]
    acquired = [day for day, table in zip(dates, of_dates, strict=True) for _ in table["label"]]
    whole = {name: [value for table in of_dates for value in table[name]] for name in READ}
    write_table(draft, CALIBRATION, rows_to_columns(CALIBRATION, calibration_rows(whole, acquired, classes)))
