"""Audit the explained class: compare the claims of each choice, and show how maps of `label` leak the true class.

Reads, for every explained class, the peaks of the maps and the tables `reliability`, `metrics` and `evaluation`. Writes
the table `audit`, its figure and a page.

`label` explains the true class, so its rows show what a leak claims. After Grad-CAM's ReLU, a wrongly classified image
has an almost empty map. Its peak alone tells that it is wrong, and errors gather in one cluster by construction. Three
numbers tell such an artefact from a finding:

- the label probe: how well the peak of a map alone detects errors;
- the largest error share among validation clusters, compared with errors permuted between plants;
- the heterogeneity of all error shares, compared with the same permutations.

With some explained classes the maps cannot be clustered, for example if most are empty. Such a class has no rows, and
the page says why.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from prefect import task
from pydantic import Field

from storage.arrays.specs import PEAK, ROWS
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact, ArtifactRef, Draft, Recipe, Store
from storage.published.publish import publish_report, publish_table
from storage.tables import AUDIT, EVALUATION, METRICS, PREDICTIONS, RELIABILITIES
from storage.tables.names import CLUSTER_SCORE, MADE_BY
from storage.tables.parquet import Rows, read_table, rows_to_columns, write_table
from storage.tables.rows import Row, rows_of, unlabelled
from tasks.audit.page import audit_figure, render_audit, template_digest
from tasks.parameters import Params
from tasks.stage import always_run, cached_by, made_once
from tasks.statistics.significance import error_share_permutation, label_probe

REVISION = 2
LEAST = 5  # fewest members of a cluster that counts for the largest error share
FIGURE = "audit.png"  # file name of the figure in the artefact


class AuditParams(Params):
    """Parameters of the permutation test that tells a finding from chance."""

    n_permutations: int = Field(
        default=9_999,
        ge=99,
        le=1_000_000,
        description="Number of permutations of errors between plants; p-values are multiples of 1 / (this + 1)",
    )
    seed: int = Field(default=0, ge=0, description="Random seed of the permutations")


@dataclass(frozen=True)
class Judged:
    """Labelled images of a split, with their maps of one explained class.

    Attributes
    ----------
    peak : (n,) largest magnitude of each saliency map.
    cluster : (n,) cluster of each image, from 1.
    is_wrong : (n,) whether the answer is wrong.
    plants : (n,) id of each image's plant, date after date.
    """

    peak: NDArray[np.float64]
    cluster: NDArray[np.int64]
    is_wrong: NDArray[np.bool_]
    plants: list[str]


def choices(classes: Sequence[str]) -> list[str]:
    """Return the explained classes to compare: `predicted`, the positive class of two classes, and `label`."""
    return ["predicted", *classes[1:2], "label"] if len(classes) == 2 else ["predicted", "label"]


def judged_images(reliability: Sequence[Row], peaks: Sequence[float]) -> dict[str, Judged]:
    """Group labelled images by split, from rows of the table `reliability` and the peaks of the same images' maps."""
    pairs = [(row, peak) for row, peak in zip(reliability, peaks, strict=True) if row["label"] is not None]
    return {
        split: Judged(
            np.asarray([peak for row, peak in pairs if row["split"] == split], np.float64),
            np.asarray([row["cluster"] for row, _ in pairs if row["split"] == split], np.int64),
            np.asarray([row["predicted"] != row["label"] for row, _ in pairs if row["split"] == split], np.bool_),
            [row["plant_id"] for row, _ in pairs if row["split"] == split],
        )
        for split in dict.fromkeys(row["split"] for row, _ in pairs)
    }


def audit_rows(
    metrics: Sequence[Row], evaluation: Sequence[Row], judged: Mapping[str, Judged], params: AuditParams
) -> list[Row]:
    """Return the rows of the table `audit` for one method and explained class, one per split with labelled images.

    Parameters
    ----------
    metrics, evaluation : rows of the tables of these names.
    judged : labelled images by split (see `judged_images`).
    """
    auroc = {row["split"]: row["auroc"] for row in evaluation if row["score"] == CLUSTER_SCORE}
    rows: list[Row] = []
    for split in dict.fromkeys(row["split"] for row in metrics):
        states = {row["state"]: row for row in metrics if row["split"] == split}
        accuracy = {state: row["overall_accuracy"] for state, row in states.items()}
        images = judged[split]
        rows.append(
            {
                **{name: states["before"][name] for name in (*MADE_BY, "split")},
                "n": states["before"]["n"],
                "accuracy_before": accuracy["before"],
                "accuracy_after": accuracy["after"],
                "accuracy_crossfitted": accuracy.get("cross-fitted"),
                "auroc": auroc.get(split),
                "label_probe": label_probe(images.peak, images.is_wrong),
                **chance_columns(images, params, is_validation=split == "val"),
            }
        )
    return rows


def chance_columns(images: Judged, params: AuditParams, is_validation: bool) -> dict[str, float | None]:
    """Test whether errors gather in clusters more than by chance; None except for validation images.

    Only validation maps made the clusters.
    """
    names = ("largest_error_share", "largest_error_share_p", "heterogeneity_p")
    if not is_validation:
        return dict.fromkeys(names)
    test = error_share_permutation(
        images.cluster, images.is_wrong, images.plants, params.n_permutations, params.seed, LEAST
    )
    return dict(zip(names, (test.largest_share, test.p_largest, test.p_heterogeneity), strict=True))


def count_left_out(predictions: Sequence[Rows]) -> dict[str, int]:
    """Count explained images without a label by split, from one table of predictions per date."""
    return dict(Counter(table["split"][i] for table in predictions for i in unlabelled(table)))


def read_variant(store: Store, roles: Mapping[str, ArtifactRef], method: str, params: AuditParams) -> list[Row]:
    """Read the rows of one method and explained class from the artefacts of its analysis, given by role."""
    found = {role: store.open(ref) for role, ref in roles.items()}
    reliability, peaks = read_images(found, method)
    metrics, evaluation = found[f"metrics {method}"], found[f"evaluation {method}"]
    return audit_rows(
        rows_of(metrics, METRICS), rows_of(evaluation, EVALUATION), judged_images(reliability, peaks), params
    )


def read_images(found: Mapping[str, Artifact], method: str) -> tuple[list[Row], list[float]]:
    """Read the rows of the table `reliability` of all dates, and the peak of each row's map."""
    rows: list[Row] = []
    peaks: list[float] = []
    prefix = f"reliability {method} "
    for day in [role.removeprefix(prefix) for role in found if role.startswith(prefix)]:
        maps = found[f"saliency {method} {day}"]
        peak_of = dict(zip(read_array(maps, ROWS).tolist(), read_array(maps, PEAK).tolist(), strict=True))
        of_date = rows_of(found[prefix + day], RELIABILITIES)
        rows += of_date
        peaks += [peak_of[row["row"]] for row in of_date]
    return rows, peaks


def audit_recipe(
    campaign: str,
    params: AuditParams,
    methods: list[str],
    predictions: list[ArtifactRef],
    variants: dict[str, dict[str, ArtifactRef]],
    problems: list[str],
) -> Recipe:
    """Return the recipe of a campaign's audit: artefacts of every explained class by role, and the page's template."""
    fields = {"campaign": campaign, "methods": methods, "problems": problems, "template": template_digest()}
    inputs = {f"{choice}/{role}": ref for choice, roles in variants.items() for role, ref in roles.items()}
    return Recipe(
        "audit", REVISION, {**fields, **params.model_dump(mode="json")}, {"predictions": predictions, **inputs}
    )


@task(task_run_name="audit {campaign}", **cached_by(audit_recipe))
@made_once(audit_recipe)
def write_audit(
    draft: Draft,
    store: Store,
    campaign: str,
    params: AuditParams,
    methods: list[str],
    predictions: list[ArtifactRef],
    variants: dict[str, dict[str, ArtifactRef]],
    problems: list[str],
) -> None:
    """Write the table, figure and page of an audit.

    Parameters
    ----------
    predictions : predictions of every date, including images without a label.
    variants : artefacts by explained class and role; a method without clusters has none.
    problems : why a method and explained class have no clusters, one sentence each.
    """
    rows = [
        row
        for method in methods
        for roles in variants.values()
        if f"metrics {method}" in roles
        for row in read_variant(store, roles, method, params)
    ]
    left_out = count_left_out([read_table(store.open(ref), PREDICTIONS) for ref in predictions])
    picture = audit_figure(rows)
    write_table(draft, AUDIT, rows_to_columns(AUDIT, rows))
    draft.write_bytes(FIGURE, picture)
    draft.write_bytes("index.html", render_audit(campaign, rows, picture, left_out, problems).encode())
    draft.summary = {"left_out": left_out, "problems": problems}


@task(task_run_name="publish audit {campaign}", **always_run())
def publish_audit(store: str, campaign: str, audit: ArtifactRef) -> str:
    """Publish the table and the page of an audit; returns the page's path in the store."""
    opened = Store(store)
    publish_table(opened, AUDIT, [audit], campaign)
    # A folder holds the files of one report only. No campaign has a plus in its name, so this folder is free.
    return opened.name_of(publish_report(opened, audit, f"{campaign}+audit"))
