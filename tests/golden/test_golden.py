"""Check that the numbers of every stage change only together with its REVISION.

An artefact is named by its parameters, inputs and its stage's REVISION. If a stage gave other numbers under the same
revision, old and new artefacts would share a name, and a store would mix them.

`python -m tests.golden.test_golden` writes the numbers again; check the difference before you commit it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tasks.adjust import adjust, decide, review
from tasks.audit import audit
from tasks.classify import augment, predict, train
from tasks.cluster import assign, cluster, match
from tasks.decide import decide as decide_dates
from tasks.decide import measure_found, promise
from tasks.explain import explain
from tasks.export import export
from tasks.ingest import background, ingest
from tasks.measure import accuracy, calibration, drift, evaluation, new_date
from tasks.publish import reuse
from tasks.report import report
from tasks.score import crossfit, rate, score, sensitivity
from tests.golden import decisions, images, judgement
from tests.support.repository import ROOT

FOLDER = Path(__file__).parent
STAGES: dict[str, tuple[tuple[ModuleType, ...], Callable[[], dict[str, Any]]]] = {
    "acquisition": ((new_date,), decisions.golden_acquisition),
    "adjust": ((adjust,), judgement.golden_adjust),
    "audit": ((audit,), judgement.golden_audit),
    "augment": ((augment,), images.golden_augment),
    "calibration": ((calibration,), decisions.golden_calibration),
    "cluster": ((cluster, assign), judgement.golden_cluster),
    "counts": ((decide_dates,), decisions.golden_counts),
    "crossfit": ((crossfit,), judgement.golden_crossfit),
    "decide": ((decide,), judgement.golden_decide),
    "drift": ((drift,), judgement.golden_drift),
    "explain": ((explain,), images.golden_explain),
    "export": ((export,), decisions.golden_export),
    "found": ((measure_found,), decisions.golden_found),
    "ingest": ((ingest,), images.golden_ingest),
    "matching": ((match,), judgement.golden_matching),
    "measure": ((accuracy, evaluation), judgement.golden_measure),
    "predict": ((predict,), images.golden_predict),
    "promises": ((promise, decide_dates), decisions.golden_promises),
    "reuse": ((reuse,), judgement.golden_reuse),
    "review": ((review,), judgement.golden_review),
    "score": ((score, rate), decisions.golden_score),
    "sensitivity": ((sensitivity,), judgement.golden_sensitivity),
    "train": ((train,), images.golden_train),
}


def revisions(modules: tuple[ModuleType, ...]) -> dict[str, int]:
    """Return the revision of every module of a stage, by the module's name."""
    return {module.__name__: module.REVISION for module in modules}


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return the single values inside a JSON value by their path."""
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in leaves(part, f"{path}/{name}").items()}
    if isinstance(value, list):
        return {k: v for i, part in enumerate(value) for k, v in leaves(part, f"{path}/{i}").items()}
    return {path: value}


def changes(found: dict[str, Any], pinned: dict[str, Any]) -> list[str]:
    """List what differs; floats may differ by rounding (float32, and the last bits on another processor)."""
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
    modules, compute = STAGES[stage]
    pinned = json.loads((FOLDER / f"{stage}.json").read_text())
    rewrite = "write the numbers anew with `python -m tests.golden.test_golden`"
    assert revisions(modules) == pinned["revisions"], f"the stage {stage} has a new REVISION: {rewrite}"
    found = changes(json.loads(json.dumps(compute())), pinned["numbers"])
    assert not found, (
        f"{len(found)} numbers of the stage {stage} changed under the same revision: raise its REVISION, "
        f"then {rewrite}\n" + "\n".join(found[:20])
    )


def test_every_stage_that_makes_numbers_is_pinned() -> None:
    staged = {
        str(path.relative_to(ROOT)) for path in (ROOT / "tasks").rglob("*.py") if "\nREVISION = " in path.read_text()
    }
    pages = (background, report)  # they make no numbers
    modules = [*pages, *(module for several, _ in STAGES.values() for module in several)]
    assert staged == {module.__name__.replace(".", "/") + ".py" for module in modules}
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
    """Write the numbers of every stage, one line per result."""
    for stage, (modules, compute) in STAGES.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in compute().items()]
        text = (
            f'{{\n "revisions": {json.dumps(revisions(modules))},\n "numbers": {{\n' + ",\n".join(lines) + "\n }\n}\n"
        )
        (FOLDER / f"{stage}.json").write_text(text)


if __name__ == "__main__":
    write_golden()
