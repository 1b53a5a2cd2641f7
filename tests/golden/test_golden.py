"""Numbers pinned to the revisions of the stages that make them.

An artefact is named by its parameters, inputs and its stage's REVISION. Where a stage gives other numbers under the
same revision, old and new artefacts share a name and a store mixes them: numbers change only together with REVISION.

`python -m tests.golden.test_golden` writes the numbers anew; look at the difference before committing it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import (
    acquisition,
    adjust,
    audit,
    augment,
    cluster,
    crossfit,
    decide,
    drift,
    explain,
    export,
    ingest,
    matching,
    measure,
    predict,
    report,
    reuse,
    review,
    score,
    sensitivity,
    train,
)
from tests.golden import images, judgement

FOLDER = Path(__file__).parent
STAGES: dict[str, tuple[int, Callable[[], dict[str, Any]]]] = {
    "acquisition": (acquisition.REVISION, judgement.golden_acquisition),
    "adjust": (adjust.REVISION, judgement.golden_adjust),
    "audit": (audit.REVISION, judgement.golden_audit),
    "augment": (augment.REVISION, images.golden_augment),
    "cluster": (cluster.REVISION, judgement.golden_cluster),
    "crossfit": (crossfit.REVISION, judgement.golden_crossfit),
    "decide": (decide.REVISION, judgement.golden_decide),
    "drift": (drift.REVISION, judgement.golden_drift),
    "explain": (explain.REVISION, images.golden_explain),
    "export": (export.REVISION, judgement.golden_export),
    "ingest": (ingest.REVISION, images.golden_ingest),
    "matching": (matching.REVISION, judgement.golden_matching),
    "measure": (measure.REVISION, judgement.golden_measure),
    "predict": (predict.REVISION, images.golden_predict),
    "reuse": (reuse.REVISION, judgement.golden_reuse),
    "review": (review.REVISION, judgement.golden_review),
    "score": (score.REVISION, judgement.golden_score),
    "sensitivity": (sensitivity.REVISION, judgement.golden_sensitivity),
    "train": (train.REVISION, images.golden_train),
}


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Single values of a JSON value by where they are."""
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in leaves(part, f"{path}/{name}").items()}
    if isinstance(value, list):
        return {k: v for i, part in enumerate(value) for k, v in leaves(part, f"{path}/{i}").items()}
    return {path: value}


def changes(found: dict[str, Any], pinned: dict[str, Any]) -> list[str]:
    """What differs; floats may by rounding (float32, and the last bits of another processor)."""
    new, old = leaves(found), leaves(pinned)
    return [
        f"{path}: {old.get(path, 'absent')} -> {new.get(path, 'absent')}"
        for path in sorted(old.keys() | new.keys())
        if path not in old or path not in new or not is_same(new[path], old[path])
    ]


def is_same(new: Any, old: Any) -> bool:
    if isinstance(new, float) and isinstance(old, float):
        return abs(new - old) <= 1e-5 * max(abs(new), abs(old)) + 1e-6
    return type(new) is type(old) and new == old


@pytest.mark.parametrize("stage", STAGES)
def test_numbers_change_only_with_their_revision(stage: str) -> None:
    revision, compute = STAGES[stage]
    pinned = json.loads((FOLDER / f"{stage}.json").read_text())
    rewrite = "write the numbers anew with `python -m tests.golden.test_golden`"
    assert revision == pinned["revision"], f"tasks/{stage}.py has a new REVISION: {rewrite}"
    found = changes(json.loads(json.dumps(compute())), pinned["numbers"])
    assert not found, (
        f"{len(found)} numbers of tasks/{stage}.py changed under the same revision: raise its REVISION, "
        f"then {rewrite}\n" + "\n".join(found[:20])
    )


def test_every_stage_that_makes_numbers_is_pinned() -> None:
    tasks = FOLDER.parents[1] / "tasks"
    staged = {path.stem for path in tasks.glob("*.py") if "\nREVISION = " in path.read_text()}
    assert staged == {*STAGES, report.__name__.removeprefix("tasks.")}  # a report shows numbers and makes none
    assert {path.stem for path in FOLDER.glob("*.json")} == set(STAGES)


@pytest.mark.parametrize(
    ("new", "old", "n_changes"),
    [
        ({"a": [1, 2.0]}, {"a": [1, 2.0000001]}, 0),
        ({"a": [1, 2.0]}, {"a": [1, 2.001]}, 1),
        ({"a": 2**31}, {"a": 2**31 + 1}, 1),
        ({"a": None, "b": 1}, {"a": "x"}, 2),
        ({"a": True}, {"a": 1}, 1),
        ({"a": [1]}, {"a": [1, 1]}, 1),
    ],
)
def test_changes_are_seen(new: dict[str, Any], old: dict[str, Any], n_changes: int) -> None:
    assert len(changes(new, old)) == n_changes


def write_golden() -> None:
    """Write the numbers of every stage, one line for each of its results."""
    for stage, (revision, compute) in STAGES.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in compute().items()]
        text = f'{{\n "revision": {revision},\n "numbers": {{\n' + ",\n".join(lines) + "\n }\n}\n"
        (FOLDER / f"{stage}.json").write_text(text)


if __name__ == "__main__":
    write_golden()
