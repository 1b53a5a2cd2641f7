"""Labelled validation images: which are answered wrongly, and a choice of some of them."""

import numpy as np

from tasks.classify.answers import Answers
from tasks.score.held_out import Validation

LOGITS = np.asarray([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 5.0], [4.0, 0.0, 0.0]])  # answers 0, 1, 2, 0
FOUND = Validation(
    vectors=np.arange(8.0).reshape(4, 2),
    answers=Answers(LOGITS, np.arange(4.0)[:, None]),
    truth=np.asarray([0, 0, 2, 1]),
    plants=["a", "a", "b", "c"],
    dates=["day 1", "day 2", "day 1", "day 2"],
)


def test_an_answer_is_wrong_where_the_largest_logit_is_of_another_class() -> None:
    assert FOUND.is_wrong.tolist() == [False, True, False, True]


def test_chosen_images_keep_all_that_belongs_to_them() -> None:
    some = FOUND[np.asarray([False, True, False, True])]
    assert some.vectors.tolist() == [[2, 3], [6, 7]]
    assert some.answers.logits.tolist() == LOGITS[[1, 3]].tolist() and some.answers.features.tolist() == [[1], [3]]
    assert some.truth.tolist() == [0, 1] and list(some.plants) == ["a", "c"]
    assert list(some.dates) == ["day 2", "day 2"]
    assert some.is_wrong.all()
