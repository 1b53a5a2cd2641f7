"""Test accuracy before and after adjustment, and how well scores tell errors, by hand and against scikit-learn."""

import warnings
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, roc_auc_score

from storage.arrays.specs import ADJUSTED_WITHOUT_FOLD
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Recipe, Store
from storage.tables import ADJUSTED, CROSSFIT, DECIDED, EVALUATION, METRICS, RELIABILITIES
from storage.tables.names import MADE_BY
from storage.tables.parquet import Rows, read_table
from tasks.measure.accuracy import accuracies, accuracy_gain, changes, measure_accuracy, metric_rows
from tasks.measure.evaluation import PROBABILITIES, SCORES, evaluate_scores, evaluation_rows
from tasks.measure.labelled import resamples
from tests.support.planted_campaign import Judged, judge, plant_season, season

ENDS = (
    "overall_accuracy_lower",
    "overall_accuracy_upper",
    "average_class_accuracy_lower",
    "average_class_accuracy_upper",
)


def plain(labels: list[int], answers: list[int], n_classes: int) -> dict[str, Any]:
    """Return accuracies with one plant per image."""
    return accuracies(labels, answers, n_classes, resamples([str(i) for i in range(len(labels))]))


def counts(plants: list[str]) -> NDArray[np.int64]:
    """Count how often each image is drawn, (1000, n)."""
    drawn = resamples(plants)
    assert drawn is not None
    return np.concatenate(list(drawn.blocks()))


def answers_of(confusion: list[list[int]]) -> tuple[list[int], list[int]]:
    """Make labels and answers with these counts by (true, predicted) class."""
    pairs = [(t, p) for t, row in enumerate(confusion) for p, count in enumerate(row) for _ in range(count)]
    return [t for t, _ in pairs], [p for _, p in pairs]


# Accuracies


@pytest.mark.parametrize(
    ("confusion", "n_correct", "n", "percent"),
    [
        ([[95, 9], [10, 82]], 177, 196, 90.31),  # the paper's validation set after adjustment
        ([[90, 12], [11, 81]], 171, 194, 88.14),  # and its test set
    ],
)
def test_the_papers_accuracies(confusion: list[list[int]], n_correct: int, n: int, percent: float) -> None:
    found = plain(*answers_of(confusion), 2)
    assert (found["n_correct"], found["n"]) == (n_correct, n)
    assert round(100 * found["overall_accuracy"], 2) == percent
    assert found["confusion"] == [count for row in confusion for count in row]
    half = 1.96 * (n_correct * (n - n_correct) / n**3) ** 0.5  # the normal interval, for images of plants of their own
    assert found["overall_accuracy_lower"] == pytest.approx(n_correct / n - half, abs=0.01)
    assert found["overall_accuracy_upper"] == pytest.approx(n_correct / n + half, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_accuracies_are_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    labels, answers = [t for t, _ in pairs], [p for _, p in pairs]
    found = accuracies(labels, answers, 3, None)
    assert found["overall_accuracy"] == pytest.approx(accuracy_score(labels, answers))
    with warnings.catch_warnings():
        # scikit-learn's remark that some answers are of a class without labels: it leaves that class out too.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true", UserWarning)
        warnings.filterwarnings("ignore", "A single label was found", UserWarning)
        expected = balanced_accuracy_score(labels, answers)
    assert found["average_class_accuracy"] == pytest.approx(expected)
    assert [found[end] for end in ENDS] == [None] * 4


def test_average_class_accuracy_by_hand() -> None:
    found = plain([0, 0, 0, 0, 1], [0, 0, 0, 1, 0], 2)
    assert found["average_class_accuracy"] == pytest.approx((3 / 4 + 0) / 2)
    assert found["overall_accuracy"] == pytest.approx(3 / 5)


@pytest.mark.parametrize("seed", range(5))
def test_intervals_contain_the_estimate(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, wrong = generator.integers(0, 2, 60), generator.uniform(size=60) < 0.3
    plants = [f"p{i // 3}" for i in range(60)]
    found = accuracies(labels.tolist(), (labels ^ wrong).tolist(), 2, resamples(plants))
    for name in ("overall_accuracy", "average_class_accuracy"):
        assert 0 <= found[f"{name}_lower"] < found[name] < found[f"{name}_upper"] <= 1


def test_one_plant_has_no_interval() -> None:
    assert resamples(["a", "a", "a"]) is None and resamples([]) is None
    weights = counts(["a", "b", "a"])
    assert weights.shape == (1000, 3) and np.array_equal(weights[:, 0], weights[:, 2])


def mcnemar_by_counting(corrected: int, spoiled: int) -> float:
    """Return the exact McNemar p-value: twice the smaller tail of so many tosses of a coin."""
    n = corrected + spoiled
    tail = Fraction(sum(comb(n, k) for k in range(min(corrected, spoiled) + 1)), 2**n)
    return float(min(Fraction(1), 2 * tail))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_changes_are_counted_and_tested(triples: list[tuple[int, int, int]]) -> None:
    labels, before, after = ([t[k] for t in triples] for k in range(3))
    found = changes(labels, before, after, [f"p{i}" for i in range(len(labels))])
    corrected, spoiled = (
        triples.count((0, 1, 0)) + triples.count((1, 0, 1)),
        triples.count((0, 0, 1)) + triples.count((1, 1, 0)),
    )
    assert (found["n_corrected"], found["n_spoiled"]) == (corrected, spoiled)
    assert found["mcnemar_p"] == pytest.approx(mcnemar_by_counting(corrected, spoiled))


def test_changes_of_a_plant_are_one_piece_of_evidence() -> None:
    """Five plants of two images: four plants corrected twice, and one spoiled once."""
    labels, plants = [1] * 10, [f"p{i // 2}" for i in range(10)]
    before, after = [0] * 8 + [1, 1], [1] * 9 + [0]
    found = changes(labels, before, after, plants)
    assert (found["n_corrected"], found["n_spoiled"]) == (8, 1)
    assert found["mcnemar_p"] == pytest.approx(4 / 2**5)  # sums of at least 7 are 9 and 7, and as often -9 and -7
    assert found["mcnemar_p"] > mcnemar_by_counting(8, 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_gain_is_that_of_literally_repeated_plants(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, before, after = random.integers(0, 2, (3, 40))
    plants = [f"p{i}" for i in random.integers(0, 12, 40)]
    gains: list[float] = []
    for row in counts(plants):
        drawn = np.repeat(np.arange(40), row)
        gains.append(float(np.mean(labels[drawn] == after[drawn]) - np.mean(labels[drawn] == before[drawn])))
    found = accuracy_gain(labels.tolist(), before.tolist(), after.tolist(), resamples(plants))
    assert found == {
        f"gain_{end}": pytest.approx(np.quantile(gains, q)) for end, q in (("lower", 0.025), ("upper", 0.975))
    }
    assert accuracy_gain([1], [0], [1], None) == {"gain_lower": None, "gain_upper": None}


def test_an_answer_that_is_wrong_before_and_after_is_no_change() -> None:
    found = changes([2, 2], [0, 1], [1, 1], ["a", "b"])
    assert (found["n_corrected"], found["n_spoiled"], found["mcnemar_p"]) == (0, 0, 1)


# Rows of the table `metrics`

MARKS = {"method": "gradcam", "explained_class": "predicted", "classifier": "c0", "clusters": "k0"}


def adjusted_table(rows: list[tuple[str, str, int | None, int, int]]) -> Rows:
    """Make columns of the table `adjusted` from plant, split, label, predicted and adjusted class."""
    columns: Rows = {name: [mark] * len(rows) for name, mark in MARKS.items()}
    for k, name in enumerate(("plant_id", "split", "label", "predicted", "adjusted")):
        columns[name] = [row[k] for row in rows]
    return columns


def decided_table(table: Rows, answers: list[int]) -> Rows:
    """Make columns of the table `decided` for the images of another, with other answers."""
    return {**{name: values for name, values in table.items() if name != "adjusted"}, "answer": answers}


WHOLE = adjusted_table(
    [
        ("a", "test", 1, 0, 1),
        ("b", "val", 0, 0, 0),
        ("c", "val", 1, 0, 1),
        ("d", "new", None, 0, 1),
        ("e", "test", None, 1, 1),
        ("b", "val", 1, 1, 1),
        ("a", "test", 0, 0, 1),
        ("e", "train", 0, 0, 0),
    ]
)
VALIDATION = adjusted_table([("b", "val", 0, 0, 0), ("c", "val", 1, 0, 1), ("b", "val", 1, 1, 1)])
DECISIONS = decided_table(WHOLE, [1, 0, 1, 1, 0, 0, 0, 1])


def test_every_split_with_labels_is_measured() -> None:
    rows = metric_rows(WHOLE, VALIDATION, [1, 0, 1], DECISIONS, 2)
    shown = [(r["split"], r["state"], r["n_correct"], r["n"], r["confusion"], r["is_in_sample"]) for r in rows]
    assert shown == [
        ("val", "before", 2, 3, [1, 0, 1, 1], False),
        ("val", "after", 3, 3, [1, 0, 0, 2], True),
        ("val", "cross-fitted", 1, 3, [0, 1, 1, 1], False),
        ("val", "decided", 2, 3, [1, 0, 1, 1], False),
        ("test", "before", 1, 2, [1, 0, 1, 0], False),
        ("test", "after", 1, 2, [0, 1, 0, 1], False),
        ("test", "decided", 2, 2, [1, 0, 0, 1], False),
    ]
    changed = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 0), (1, 1), (1, 0)]
    assert [(r["n_corrected"], r["n_spoiled"]) for r in rows] == changed
    assert [r["mcnemar_p"] for r in rows] == [1] * 7
    assert all({name: r[name] for name in MADE_BY} == MARKS for r in rows)
    has_gain = [r["gain_lower"] is not None and r["gain_upper"] is not None for r in rows]
    assert has_gain == [r["split"] == "val" and r["state"] != "before" for r in rows]
    # The test images are of one plant, the validation images of two.
    assert [[r[end] is None for end in ENDS] for r in rows] == [[r["split"] == "test"] * 4 for r in rows]


def test_what_a_person_decided_is_not_called_cross_fitted() -> None:
    """The rule's cross-fitted answers stay, under a state whose name says that the rule gave them."""
    by_rule, reviewed = (
        metric_rows(WHOLE, VALIDATION, [1, 0, 1], DECISIONS, 2, is_reviewed) for is_reviewed in (False, True)
    )
    states = ["before", "after", "cross-fitted rule", "decided", "before", "after", "decided"]
    assert [r["state"] for r in reviewed] == states
    assert [{**r, "state": ""} for r in reviewed] == [{**r, "state": ""} for r in by_rule]


@pytest.mark.parametrize("rows", [[], [("a", "new", None, 0, 1), ("b", "test", None, 1, 1)]])
def test_without_labels_there_is_nothing_to_measure(rows: list[tuple[str, str, int | None, int, int]]) -> None:
    whole = adjusted_table(rows)
    decided = decided_table(whole, [1] * len(rows))
    assert metric_rows(whole, adjusted_table([]), [], decided, 2) == []


# Rows of the table `evaluation`


def scored_table(n: int, splits: tuple[str, ...], is_wrong: list[bool], plants: int) -> Rows:
    generator = np.random.default_rng(0)
    labels = [i % 2 for i in range(n)]
    columns = adjusted_table(
        [(f"p{i % plants}", splits[i % len(splits)], labels[i], labels[i] ^ is_wrong[i], 0) for i in range(n)]
    )
    clusters = generator.integers(1, 8, n)
    return {
        **columns,
        "cluster": clusters.tolist(),
        "error_share": (clusters / 10).tolist(),
        **{name: generator.uniform(size=n).round(1).tolist() for name in SCORES if name != "trust_score"},
        "trust_score": generator.uniform(0, 5, n).tolist(),
    }


def test_every_score_is_evaluated_on_every_split() -> None:
    is_wrong = [i % 3 == 0 for i in range(60)]
    table = scored_table(60, ("val", "test"), is_wrong, 12)
    crossfit = {name: values[::2] for name, values in scored_table(60, ("val",), is_wrong, 12).items()}
    rows = evaluation_rows(table, crossfit)
    assert [(r["split"], r["score"]) for r in rows] == [(split, s) for split in ("val", "test") for s in SCORES]
    for row in rows:
        source = crossfit if row["split"] == "val" else {name: values[1::2] for name, values in table.items()}
        values = np.asarray(source[row["score"]])
        if (row["split"], row["score"]) == ("val", "reliability"):
            values = 1 - np.asarray(crossfit["error_share"])
        right = np.asarray(source["label"]) == np.asarray(source["predicted"])
        assert (row["n"], row["n_wrong"]) == (30, int((~right).sum()))
        assert row["auroc"] == pytest.approx(roc_auc_score(right, values))
        for name in ("auroc", "aurc", "augrc"):
            assert row[f"{name}_lower"] <= row[name] <= row[f"{name}_upper"]
        if row["score"] == "trust_score":
            assert row["brier"] is None and row["calibration_error"] is None
        else:
            assert row["score"] in PROBABILITIES
            assert row["brier"] == pytest.approx(brier_score_loss(right, values)) and 0 <= row["calibration_error"] <= 1
        if (row["split"], row["score"]) == ("test", "reliability"):
            assert row["calibration_error"] == pytest.approx(cluster_gap(source))


def cluster_gap(table: Rows) -> float:
    """Sum n_q / n |error share in validation - error rate here| over the clusters, image by image."""
    wrong = [label != answer for label, answer in zip(table["label"], table["predicted"], strict=True)]
    of_cluster = {c: [w for w, d in zip(wrong, table["cluster"], strict=True) if d == c] for c in set(table["cluster"])}
    rates = [sum(of_cluster[c]) / len(of_cluster[c]) for c in table["cluster"]]
    return sum(abs(r - e) for r, e in zip(table["error_share"], rates, strict=True)) / len(wrong)


def share_in_order(score: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the share of pairs of a right and a wrong answer in which the right one scores higher; ties count half."""
    apart = score[right][:, None] - score[~right]
    return float((apart > 0).mean() + (apart == 0).mean() / 2)


def test_a_score_is_compared_with_the_cluster_score_on_the_same_plants() -> None:
    is_wrong = [i % 3 == 0 for i in range(60)]
    table, none = scored_table(60, ("test",), is_wrong, 12), scored_table(0, ("val",), [], 12)
    base = np.asarray(table["reliability"])
    table["softmax"] = (base / 2).tolist()
    table["nearest_map_reliability"] = ((base + 0.15 * ~np.asarray(is_wrong)) / 2).tolist()  # a little better
    rows = {row["score"]: row for row in evaluation_rows(table, none)}
    ends = {score: (row["auroc_gain_lower"], row["auroc_gain_upper"]) for score, row in rows.items()}
    assert ends["reliability"] == (None, None) and ends["softmax"] == (0, 0)  # the same order of images
    low, high = ends["nearest_map_reliability"]
    assert 0 < low < rows["nearest_map_reliability"]["auroc"] - rows["reliability"]["auroc"] < high
    gains = list[float]()
    for row in counts(table["plant_id"]):
        drawn = np.repeat(np.arange(60), row)
        right = ~np.asarray(is_wrong)[drawn]
        if 0 < right.sum() < len(right):
            other = np.asarray(table["trust_score"])[drawn]
            gains.append(share_in_order(other, right) - share_in_order(base[drawn], right))
    assert ends["trust_score"] == pytest.approx(tuple(np.quantile(gains, [0.025, 0.975])))
    own = rows["nearest_map_reliability"]["auroc_lower"], rows["reliability"]["auroc_upper"]
    assert own[0] < own[1]  # marginal intervals overlap where the paired one leaves no doubt


@pytest.mark.parametrize("all_wrong", [False, True])
def test_without_an_error_or_a_right_answer_there_is_no_auroc(all_wrong: bool) -> None:
    table = scored_table(20, ("test",), [all_wrong] * 20, 5)
    rows = evaluation_rows(table, scored_table(0, ("val",), [], 5))
    assert len(rows) == len(SCORES)
    for row in rows:
        assert [row[f"auroc{end}"] for end in ("", "_lower", "_upper", "_gain_lower", "_gain_upper")] == [None] * 5
        assert row["n_wrong"] == 20 * all_wrong and row["aurc"] == pytest.approx(float(all_wrong))
        assert row["aurc_lower"] == row["aurc_upper"] == pytest.approx(float(all_wrong))


def test_one_plant_has_estimates_without_intervals() -> None:
    (row, *_) = evaluation_rows(
        scored_table(10, ("test",), [i < 3 for i in range(10)], 1), scored_table(0, ("val",), [], 1)
    )
    assert row["auroc"] is not None and row["augrc"] is not None
    assert {
        row[f"{name}_{end}"] for name in ("auroc", "auroc_gain", "aurc", "augrc") for end in ("lower", "upper")
    } == {None}


def test_errors_in_one_plant_leave_resamples_without_an_auroc() -> None:
    """With two plants, a quarter of the resamples have no error. The interval comes from the others."""
    table = scored_table(8, ("test",), [i % 2 == 0 for i in range(8)], 2)
    rows = evaluation_rows(table, scored_table(0, ("val",), [], 2))
    assert all(0 <= row["auroc_lower"] <= row["auroc_upper"] <= 1 for row in rows)


# Through the store


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    store = Store(tmp_path_factory.mktemp("store"))
    return judge(store, plant_season(store, season()))


def plants_of(store: Store, classes: list[str]) -> ArtifactRef:
    recipe = Recipe("plants", 1, {"classes": classes})
    with store.create(recipe) as draft:
        draft.summary = {"classes": classes}
    return recipe.ref


def test_accuracy_of_a_planted_season(planted: Judged) -> None:
    store = planted.store
    inputs = plants_of(store, ["not ready", "ready"]), planted.crossfit, planted.swaps
    made = measure_accuracy.fn(str(store.root), "gradcam", *inputs, planted.adjusted, planted.decided)
    table = read_table(store.open(made), METRICS)
    found = {key: i for i, key in enumerate(zip(table["split"], table["state"], strict=True))}
    assert list(found) == [("val", s) for s in ("before", "after", "cross-fitted", "decided")] + [
        ("test", s) for s in ("before", "after", "decided")
    ]
    for split in ("val", "test"):
        of_state = (("before", ADJUSTED, "predicted"), ("after", ADJUSTED, "adjusted"), ("decided", DECIDED, "answer"))
        for state, spec, name in of_state:
            right = [
                label == answer
                for table_ in (planted.read(spec, day) for day in range(2))
                for s, label, answer in zip(table_["split"], table_["label"], table_[name], strict=True)
                if s == split
            ]
            i = found[split, state]
            assert (table["n"][i], table["n_correct"][i]) == (len(right), sum(right))
    crossed = read_array(store.open(planted.swaps), ADJUSTED_WITHOUT_FOLD)
    assert table["n_correct"][found["val", "cross-fitted"]] == (crossed == planted.read(CROSSFIT)["label"]).sum()
    assert table["is_in_sample"] == [False, True, False, False, False, False, False]
    before, after, decided = (table["overall_accuracy"][found["test", s]] for s in ("before", "after", "decided"))
    assert after > before + 0.1 and decided > before + 0.1  # the planted failure is the same in test plants


def test_evaluation_of_a_planted_season(planted: Judged) -> None:
    store = planted.store
    ref = evaluate_scores.fn(str(store.root), "gradcam", planted.crossfit, planted.reliability)
    table = read_table(store.open(ref), EVALUATION)
    auroc = dict(zip(zip(table["split"], table["score"], strict=True), table["auroc"], strict=True))
    assert set(auroc) == {(split, score) for split in ("val", "test") for score in SCORES}
    rated = [planted.read(RELIABILITIES, day) for day in range(2)]
    rows = [(r, i) for r in rated for i, split in enumerate(r["split"]) if split == "test"]
    right = [r["label"][i] == r["predicted"][i] for r, i in rows]
    for score in SCORES:
        assert auroc["test", score] == pytest.approx(roc_auc_score(right, [r[score][i] for r, i in rows]))
    assert auroc["val", "reliability"] > 0.8 > auroc["val", "softmax"]
