"""Test the rows of the audit against slow formulas, and its page."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.arrays.specs import PEAK, ROWS
from storage.arrays.zarr_files import write_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import AUDIT, EVALUATION, METRICS, PREDICTIONS, RELIABILITIES
from storage.tables.parquet import TableSpec, load_table, read_table, rows_to_columns, write_table
from storage.tables.rows import Row
from storage.verify import verify_store
from tasks.audit.audit import (
    AuditParams,
    Judged,
    audit_recipe,
    audit_rows,
    choices,
    count_left_out,
    judged_images,
    publish_audit,
    write_audit,
)

PARAMS = AuditParams(n_permutations=4_999)
HOSTILE = "<script>alert('x')</script>&$\\frac{1}{0}$"
MARKS = {"method": "gradcam", "explained_class": "predicted", "classifier": "c0", "clusters": "k0"}
EMPTY: dict[pa.DataType, Any] = {
    pa.string(): "",
    pa.int16(): 0,
    pa.int32(): 0,
    pa.float64(): 0.5,
    pa.bool_(): False,
    pa.list_(pa.int64()): [],
}


def filled(spec: TableSpec, row: dict[str, Any]) -> dict[str, Any]:
    """Make a row of a table whose other columns have arbitrary values of their type."""
    return {column.name: row.get(column.name, EMPTY.get(column.type)) for column in spec.columns}


def metric(split: str, state: str, share: float, n: int = 4, **more: Any) -> dict[str, Any]:
    return filled(METRICS, {**MARKS, "split": split, "state": state, "overall_accuracy": share, "n": n, **more})


def image(split: str, row: int, cluster: int, label: int | None, predicted: int, **more: Any) -> dict[str, Any]:
    given = {
        "split": split,
        "row": row,
        "cluster": cluster,
        "label": label,
        "predicted": predicted,
        "plant_id": f"p{row}",
    }
    return filled(RELIABILITIES, {**MARKS, **given, **more})


def slow_probe(peak: list[float], is_wrong: list[bool]) -> float | None:
    """Return the share of pairs of a wrong and a right image in which the wrong one has the weaker map; ties half."""
    lots = {bad: [p for p, own in zip(peak, is_wrong, strict=True) if own == bad] for bad in (True, False)}
    pairs = [(w < r) + (w == r) / 2 for w in lots[True] for r in lots[False]]
    return sum(pairs) / len(pairs) if pairs else None


def exact_chance(cluster: list[int], is_wrong: list[bool], least: int = 5) -> float:
    """Return the share of all ways to place the errors whose largest error share is at least the observed one."""

    def largest(wrong: set[int]) -> float:
        sizes = {c: [i for i, own in enumerate(cluster) if own == c] for c in set(cluster)}
        return max(sum(i in wrong for i in own) / len(own) for own in sizes.values() if len(own) >= least)

    observed = {i for i, bad in enumerate(is_wrong) if bad}
    ways = [set(way) for way in combinations(range(len(cluster)), len(observed))]
    return sum(largest(way) >= largest(observed) - 1e-12 for way in ways) / len(ways)


def test_the_positive_class_is_compared_where_there_is_one() -> None:
    assert choices(["not_ready", "ready"]) == ["predicted", "ready", "label"]
    assert choices(["a", "b", "c"]) == ["predicted", "label"]


def test_images_are_judged_by_split_where_they_have_a_label() -> None:
    rows = [image("test", 3, 2, 1, 0), image("val", 0, 1, 1, 1), image("new", 1, 1, None, 0), image("val", 2, 3, 0, 1)]
    found = judged_images(rows, [0.5, 1.0, 9.0, 2.0])
    assert list(found) == ["test", "val"]
    assert found["val"].peak.tolist() == [1, 2] and found["val"].cluster.tolist() == [1, 3]
    assert found["val"].is_wrong.tolist() == [False, True] and found["test"].is_wrong.tolist() == [True]
    assert found["val"].plants == ["p0", "p2"]


def judged(
    peak: Sequence[float], cluster: Sequence[int], is_wrong: Sequence[bool], plants: Sequence[str] | None = None
) -> Judged:
    """Return images; without plants, each of a plant of its own."""
    own = [f"p{i}" for i in range(len(peak))] if plants is None else list(plants)
    return Judged(np.asarray(peak, np.float64), np.asarray(cluster, np.int64), np.asarray(is_wrong, np.bool_), own)


def test_rows_by_hand() -> None:
    """Validation has a cluster of empty maps that are all wrong, as `label` makes it; test has no error."""
    metrics = [
        metric("val", "before", 0.5, 10),
        metric("val", "after", 0.9, 10),
        metric("val", "cross-fitted", 0.8, 10),
        metric("test", "before", 0.75),
        metric("test", "after", 1.0),
    ]
    cluster, is_wrong = [1] * 5 + [2] * 5, [False] * 5 + [True] * 5
    images = {
        "val": judged([1.0] * 5 + [0.0] * 5, cluster, is_wrong),
        "test": judged([1, 2, 3, 4], [1, 1, 2, 2], [False] * 4),
    }
    evaluation = [
        filled(EVALUATION, {"split": "val", "score": "reliability", "auroc": 0.9}),
        filled(EVALUATION, {"split": "val", "score": "softmax", "auroc": 0.1}),
        filled(EVALUATION, {"split": "test", "score": "reliability", "auroc": None}),
    ]
    val, test = audit_rows(metrics, evaluation, images, PARAMS)
    accuracy = ("n", "accuracy_before", "accuracy_after", "accuracy_crossfitted", "auroc", "label_probe")
    assert [val[name] for name in accuracy] == [10, 0.5, 0.9, 0.8, 0.9, 1.0]
    assert [test[name] for name in accuracy] == [4, 0.75, 1.0, None, None, None]
    # One of the two clusters takes all 5 errors in 2 of the 252 ways to place them.
    assert val["largest_error_share"] == 1 and exact_chance(cluster, is_wrong) == 2 / 252
    assert val["largest_error_share_p"] == pytest.approx(2 / 252, abs=0.006)
    assert val["heterogeneity_p"] == pytest.approx(2 / 252, abs=0.006)
    assert [test[name] for name in ("largest_error_share", "largest_error_share_p", "heterogeneity_p")] == [None] * 3
    assert {name: val[name] for name in MARKS} == MARKS and val["split"] == "val"
    assert sorted(val) == sorted(column.name for column in AUDIT.columns)


Images = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.booleans()), min_size=5, max_size=12)


@given(Images, st.randoms(use_true_random=False))
def test_probe_and_chance_are_those_of_slow_formulas(images: list[tuple[int, int, bool]], random: Any) -> None:
    states = [metric("val", state, 0.5, len(images)) for state in ("before", "after", "cross-fitted")]

    def row_of(chosen: list[tuple[int, tuple[int, int, bool]]]) -> Row:
        peak, cluster, is_wrong = zip(*(image for _, image in chosen), strict=True)
        (row,) = audit_rows(states, [], {"val": judged(peak, cluster, is_wrong, [f"p{i}" for i, _ in chosen])}, PARAMS)
        return row

    numbered = list(enumerate(images))
    row = row_of(numbered)
    peak, cluster, is_wrong = [float(p) for p, _, _ in images], [c for _, c, _ in images], [bad for _, _, bad in images]
    probe = slow_probe(peak, is_wrong)
    assert row["label_probe"] == (None if probe is None else pytest.approx(probe, abs=1e-12))
    if max(cluster.count(c) for c in set(cluster)) >= 5:
        assert row["largest_error_share_p"] == pytest.approx(exact_chance(cluster, is_wrong), abs=0.036)  # 5 errors
    else:
        assert row["largest_error_share"] is None and row["largest_error_share_p"] is None
    random.shuffle(numbered)
    assert row_of(numbered) == row


def test_errors_of_a_plant_are_moved_together() -> None:
    """Five plants of two images: all errors in one cluster of five plants' worth are those of one plant in five."""
    cluster, is_wrong, plants = [1] * 2 + [2] * 8, [True] * 2 + [False] * 8, [f"p{i // 2}" for i in range(10)]
    states = [metric("val", state, 0.5, 10) for state in ("before", "after", "cross-fitted")]
    (row,) = audit_rows(states, [], {"val": judged([1.0] * 10, cluster, is_wrong, plants)}, PARAMS)
    assert row["heterogeneity_p"] == pytest.approx(1 / 5, abs=0.03)  # by images 1 / 45


def test_what_label_leaves_out_is_what_is_explained_without_a_label() -> None:
    day = {"split": ["train", "val", "new", "new", "test"], "label": [None, 1, None, None, None]}
    assert count_left_out([day, {"split": ["new"], "label": [None]}]) == {"new": 3, "test": 1}
    assert count_left_out([{"split": ["train", "val"], "label": [None, 0]}]) == {}


@pytest.mark.parametrize("field", [{"n_permutations": 10}, {"seed": -1}, {"permutations": 100}])
def test_parameters_without_meaning_are_refused(field: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        AuditParams.model_validate(field)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def stored(store: Store, kind: str, name: str, spec: TableSpec, rows: list[dict[str, Any]]) -> ArtifactRef:
    recipe = Recipe(kind, 1, {"name": name})
    with store.create(recipe) as draft:
        write_table(draft, spec, rows_to_columns(spec, rows))
    return recipe.ref


def saliency(store: Store, name: str, rows: list[int], peaks: list[float]) -> ArtifactRef:
    recipe = Recipe("saliency", 1, {"name": name})
    with store.create(recipe) as draft:
        write_array(draft, ROWS, np.asarray(rows))
        write_array(draft, PEAK, np.asarray(peaks))
    return recipe.ref


def variant(store: Store, choice: str) -> dict[str, ArtifactRef]:
    """Store artefacts of an explained class: five validation images of two dates, with peaks in the maps' order."""
    days = {
        "2021-08-23": ([image("val", r, 1, 1, r % 2) for r in (4, 1, 2)], [1, 2, 4], [0.9, 0.8, 0.1]),
        "2021-09-03": (
            [image("val", r, 1, 1, r % 2) for r in (0, 1)] + [image("new", 5, 2, None, 0)],
            [0, 1, 5],
            [0.2, 0.7, 0.0],
        ),
    }
    roles: dict[str, ArtifactRef] = {}
    for day, (rows, order, peaks) in days.items():
        marked = [{**row, "explained_class": choice} for row in rows]
        roles[f"reliability gradcam {day}"] = stored(store, "reliability", f"{choice} {day}", RELIABILITIES, marked)
        roles[f"saliency gradcam {day}"] = saliency(store, f"{choice} {day}", order, peaks)
    states = [metric("val", s, 0.4, 5, explained_class=choice) for s in ("before", "after", "cross-fitted")]
    roles["metrics gradcam"] = stored(store, "metrics", choice, METRICS, states)
    roles["evaluation gradcam"] = stored(store, "evaluation", choice, EVALUATION, [])
    return roles


def answer(split: str, label: int | None) -> dict[str, Any]:
    same = {"plant_id": "p", "row": 0, "predicted": 0, "probabilities": [0.75, 0.25], "classifier": "c0"}
    return {**same, "split": split, "label": label}


class TestTasks:
    def given(self, store: Store) -> dict[str, Any]:
        return {
            "params": PARAMS,
            "methods": ["gradcam", "lime"],
            "predictions": [stored(store, "predictions", "day", PREDICTIONS, [answer("new", None), answer("val", 1)])],
            "variants": {choice: variant(store, choice) for choice in ("predicted", "label")},
            "problems": ["label, lime: no kernel groups these maps."],
        }

    def test_an_audit_is_written(self, store: Store) -> None:
        given = self.given(store)
        made = write_audit.fn(str(store.root), "x", **given)
        assert made == audit_recipe("x", **given).ref
        found = store.open(made)
        assert sorted(found.manifest.files) == ["audit.parquet", "audit.png", "index.html"]
        table = read_table(found, AUDIT)
        assert table["explained_class"] == ["predicted", "label"] and table["split"] == ["val"] * 2
        # Right are rows 1 and 1 of odd number, with peaks .9 and .7; wrong 4, 2 and 0, with peaks .1, .8 and .2.
        assert table["label_probe"] == [5 / 6] * 2
        assert table["largest_error_share"] == [0.6] * 2 and table["largest_error_share_p"] == [1] * 2
        assert found.summary == {"left_out": {"new": 1}, "problems": given["problems"]}
        assert "no kernel groups these maps" in found.read_bytes("index.html").decode()

    def test_what_is_published_holds_together(self, store: Store) -> None:
        made = write_audit.fn(str(store.root), "x", **self.given(store))
        page = publish_audit.fn(str(store.root), "x", made)
        assert page == "reports/x+audit/index.html" and (store.root / page).is_file()
        assert load_table(store.root / "tables/audit/campaign=x/part-0.parquet", AUDIT).num_rows == 2
        assert verify_store(store).problems == []
