"""Choices between two ways, with work that is certainly more or less."""

import threading

import torch

from tasks.explain.engine.measured import is_faster, measured_once

LITTLE, MUCH = torch.ones(8, 8), torch.ones(400, 400)


def test_the_way_with_less_work_is_faster() -> None:
    assert is_faster(lambda: LITTLE @ LITTLE, lambda: MUCH @ MUCH, gain=1.25)
    assert not is_faster(lambda: MUCH @ MUCH, lambda: LITTLE @ LITTLE, gain=1.25)


def test_noise_does_not_choose() -> None:
    assert not is_faster(lambda: MUCH @ MUCH, lambda: MUCH @ MUCH, gain=20)


def test_threads_that_ask_at_once_get_the_answer_of_one_measurement_for_each_shape() -> None:
    asked, answers = list[tuple[int, int]](), list[bool]()

    @measured_once
    def measure(rows: int, cols: int) -> bool:
        asked.append((rows, cols))
        return is_faster(lambda: LITTLE @ LITTLE, lambda: MUCH @ MUCH, gain=1) and nested(rows)

    @measured_once
    def nested(rows: int) -> bool:
        return rows > 1

    threads = [threading.Thread(target=lambda: answers.append(measure(2, 3))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert answers == [True] * 8 and asked == [(2, 3)]
    assert not measure(1, 3) and asked == [(2, 3), (1, 3)]
