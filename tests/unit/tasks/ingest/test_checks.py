"""Test the counts of a campaign: which are refused, and when they are compared with the paper's counts."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import InputError
from tasks.ingest.checks import Counts, check_counts, check_matching, paper_comparison
from tasks.sources.matching import Matching

PAPER_DATES = ("2021-08-23", "2021-08-25", "2021-08-30", "2021-09-03")
CLASSES = ("not ready", "ready")

Label = int | None
IMAGES = st.lists(st.tuples(st.sampled_from(["train", "val", "test", "new"]), st.sampled_from([0, 1, None])))


def listing(
    day: str, *images: tuple[str, Label], classes: tuple[str, ...] = CLASSES, plants: str | None = None
) -> dict[str, Any]:
    """Return the listing of a date's images, each of another plant or of the plants that `plants` names by letters."""
    named = [f"{day} {i}" for i in range(len(images))] if plants is None else list(plants)
    entries = [
        {"split": split, "label": label, "plant_id": plant} for (split, label), plant in zip(images, named, strict=True)
    ]
    return {"date": day, "classes": list(classes), "images": entries}


def counts(*images: tuple[str, Label], days: tuple[str, ...] = ("2022-08-23",), **options: Any) -> Counts:
    """Count images that are spread over some dates."""
    return Counts.of([listing(day, *images[i :: len(days)], **options) for i, day in enumerate(days)])


def enough(n_val: int = 3) -> list[tuple[str, Label]]:
    return [("train", 0), ("train", 1), *[("val", 0)] * n_val]


class TestCounts:
    def test_hand_worked_case(self) -> None:
        first = listing("2021-08-23", ("train", 0), ("train", 1), ("val", 1), ("new", None))
        second = listing("2021-08-25", ("train", 0), ("val", None))
        found = Counts.of([first, second])
        assert found.by_split == {
            "train": {"not ready": 2, "ready": 1, "unlabelled": 0},
            "val": {"not ready": 0, "ready": 1, "unlabelled": 1},
            "new": {"not ready": 0, "ready": 0, "unlabelled": 1},
        }
        assert (found.dates, found.n_images, found.validation_plants) == (("2021-08-23", "2021-08-25"), 6, 1)
        assert found.labelled("val") == {"not ready": 0, "ready": 1}
        assert found.labelled("test") == {"not ready": 0, "ready": 0}
        assert found.table().splitlines() == [
            "    new: 0 not ready, 0 ready, 1 unlabelled",
            "    train: 2 not ready, 1 ready, 0 unlabelled",
            "    val: 0 not ready, 1 ready, 1 unlabelled",
        ]

    @given(IMAGES, st.integers(1, 4))
    def test_every_image_counts_once_however_dates_are_cut(self, images: list[tuple[str, Label]], n: int) -> None:
        found = counts(*images, days=PAPER_DATES[:n])
        assert found.n_images == len(images)
        expected = Counter((split, "unlabelled" if label is None else CLASSES[label]) for split, label in images)
        assert {(s, c): k for s, row in found.by_split.items() for c, k in row.items() if k} == dict(expected)

    def test_no_images(self) -> None:
        found = counts()
        assert (found.n_images, found.table()) == (0, "    no images")


class TestCheck:
    def test_enough_passes(self) -> None:
        check_counts(counts(*enough(3)), n_needed=3, is_trained=True)

    @pytest.mark.parametrize("label", [0, 1])
    def test_one_class_among_training_images(self, label: int) -> None:
        images = [("train", label), ("train", label), ("val", 0), ("val", 1), ("train", None)]
        with pytest.raises(InputError) as refused:
            check_counts(counts(*images), n_needed=2, is_trained=True)
        assert "at least two classes, each with training images" in refused.value.rule
        assert f"2 {CLASSES[label]}" in refused.value.found and f"0 {CLASSES[1 - label]}" in refused.value.found

    def test_a_given_classifier_needs_no_training_images(self) -> None:
        check_counts(counts(("val", 0), ("val", 1), ("val", 1)), n_needed=2, is_trained=False)

    @pytest.mark.parametrize("is_trained", [True, False])
    def test_a_source_of_one_class(self, is_trained: bool) -> None:
        images = [("train", 0), ("val", 0), ("val", 0)]
        with pytest.raises(InputError, match=r"classes ready and these images:\n    train: 1 ready"):
            check_counts(counts(*images, classes=("ready",)), n_needed=2, is_trained=is_trained)

    def test_a_third_class_without_training_images(self) -> None:
        with pytest.raises(InputError, match="0 overripe"):
            check_counts(counts(*enough(), classes=(*CLASSES, "overripe")), n_needed=2, is_trained=True)

    @pytest.mark.parametrize("n_val", [3, 7])
    def test_just_enough_validation_images(self, n_val: int) -> None:
        check_counts(counts(*enough(n_val)), n_needed=n_val, is_trained=True)

    @pytest.mark.parametrize("n_val", [0, 1, 3, 7])
    def test_too_few_validation_images(self, n_val: int) -> None:
        with pytest.raises(InputError) as refused:
            check_counts(counts(*enough(n_val)), n_needed=n_val + 1, is_trained=True)
        assert f"At least {n_val + 1} validation images must have a label" in refused.value.rule
        assert refused.value.found.startswith(f"Only {n_val} validation images have a label:\n")
        assert "cluster.n_clusters" in refused.value.remedy

    def test_unlabelled_and_test_images_do_not_count_as_validation(self) -> None:
        with pytest.raises(InputError, match="Only 1 validation images have a label"):
            check_counts(counts(*enough(1), *[("val", None)] * 9, *[("test", 0)] * 9), n_needed=2, is_trained=True)

    @pytest.mark.parametrize(("plants", "n_plants"), [("aaaaaa", 1), ("abaaab", 2), ("abcaaa", 3)])
    def test_validation_images_of_few_plants(self, plants: str, n_plants: int) -> None:
        """Plants are counted over three dates, because all images of a plant are left out together."""
        days = [
            listing(day, *enough(2), plants=f"xy{plants[2 * i : 2 * i + 2]}") for i, day in enumerate(PAPER_DATES[:3])
        ]
        found = Counts.of(days)
        assert found.validation_plants == n_plants
        if n_plants == 3:
            check_counts(found, n_needed=6, is_trained=True)
            return
        with pytest.raises(InputError, match=f"6 labelled validation images show only {n_plants} plants") as refused:
            check_counts(found, n_needed=6, is_trained=True)
        assert "at least 3 plants" in refused.value.rule

    def test_plants_without_a_label_or_outside_validation_do_not_count(self) -> None:
        images = [("train", 0), ("train", 1), ("val", 0), ("val", 1), ("val", None), ("test", 0), ("new", None)]
        found = Counts.of([listing("2021-08-23", *images, plants="abcdefg")])
        assert found.validation_plants == 2
        with pytest.raises(InputError, match="2 labelled validation images show only 2 plants"):
            check_counts(found, n_needed=2, is_trained=True)


class TestPaperComparison:
    def test_the_papers_own_counts(self) -> None:
        splits = {"val": 196, "test": 194}
        images = (
            [("train", 0)] * 304 + [("train", 1)] * 237 + [(split, 0) for split in splits for _ in range(splits[split])]
        )
        found = paper_comparison(counts(*images, ("new", 0), ("val", None), days=PAPER_DATES))
        paper = {"train": 541, "val": 196, "test": 194, "train not_ready": 304, "train ready": 237}
        assert found == {name: {"paper": n, "found": n, "difference": 0} for name, n in paper.items()}

    def test_differences_in_any_order_of_dates(self) -> None:
        found = paper_comparison(counts(*enough(3), ("train", 0), days=PAPER_DATES[::-1]))
        assert found["train"] == {"paper": 541, "found": 3, "difference": -538}
        assert found["train not_ready"] == {"paper": 304, "found": 2, "difference": -302}
        assert found["train ready"]["found"] == 1 and found["val"]["found"] == 3 and found["test"]["found"] == 0

    @pytest.mark.parametrize(
        "days",
        [
            PAPER_DATES[:3],
            (*PAPER_DATES, "2021-09-08"),
            (*PAPER_DATES[:3], "2021-09-08"),
            tuple(day.replace("2021", "2022") for day in PAPER_DATES),
        ],
    )
    def test_other_dates_are_not_compared(self, days: tuple[str, ...]) -> None:
        assert paper_comparison(counts(*enough(), days=days)) == {}

    def test_other_classes_are_not_compared(self) -> None:
        assert paper_comparison(counts(*enough(), days=PAPER_DATES, classes=(*CLASSES, "overripe"))) == {}


PLANTS = st.sets(st.sampled_from("abcdefgh"))


class TestMatching:
    @given(PLANTS, PLANTS, PLANTS, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    def test_either_share_stops(self, in_table: set[str], seen: set[str], split: set[str], most: float) -> None:
        found = Matching("harvest.csv", frozenset(in_table), frozenset(seen), frozenset(seen & split))
        n_rows = sum(plant not in seen for plant in in_table)
        n_plants = sum(plant in split and plant not in in_table for plant in seen)
        shares = [n_rows / len(in_table) if in_table else 0, n_plants / len(seen & split) if seen & split else 0]
        if max(shares) <= most:
            check_matching(found, most)
        else:
            with pytest.raises(InputError, match=rf"^{n_rows} of {len(in_table)} plants in .* and {n_plants} of "):
                check_matching(found, most)

    def test_no_table(self) -> None:
        check_matching(None, 0)

    def test_near_names_are_shown(self) -> None:
        plants = frozenset(f"p{i}" for i in range(1, 13))
        found = Matching("harvest.csv", frozenset(f"P-{i:02}" for i in range(1, 13)), plants, plants)
        with pytest.raises(InputError) as refused:
            check_matching(found, 0.5)
        headline, heading, *rows = refused.value.found.splitlines()
        assert headline == (
            "12 of 12 plants in harvest.csv have no image on the requested dates, and 12 of 12 plants in train, val "
            "and test have no row in harvest.csv; 12 differ only in case, separators, spaces or leading zeros"
        )
        assert "only in harvest.csv" in heading and "only in the images" in heading
        assert [row.split() for row in rows[:2]] == [["P-01", "p1"], ["P-02", "p2"]]
        assert rows[10:] == ["    ... and 2 more"]
        assert "At most 50%" in refused.value.rule and "ingest.max_unmatched" in refused.value.remedy

    def test_names_with_nothing_in_common_are_shown_side_by_side(self) -> None:
        found = Matching("harvest.csv", frozenset("xyz"), frozenset("ab"), frozenset("ab"))
        with pytest.raises(InputError) as refused:
            check_matching(found, 0.5)
        assert [row.split() for row in refused.value.found.splitlines()[2:]] == [["x", "a"], ["y", "b"], ["z"]]

    def test_plants_that_are_only_scored_need_no_row(self) -> None:
        field = frozenset(f"new {i}" for i in range(1000))
        found = Matching("harvest.csv", frozenset("ab"), frozenset("ab") | field, frozenset("ab"))
        check_matching(found, 0.0)
