"""Graphs are traced while other threads run models, and show which normalisations can be folded."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from tasks.explain.engine.tracing import folding_pairs, traced
from tests.unit.tasks.explain.engine.test_forward import classifier_of, noise

pytestmark = pytest.mark.usefixtures("one_thread")


class Crossed(nn.Module):
    """Convolutions whose output is used twice, or that run twice, cannot take a normalisation in."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.twice, self.after = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.free, self.last = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        out = self.shared(inputs)
        out = self.norm(out) + out
        out = self.after(self.twice(self.twice(out)))
        return self.last(self.free(out)).mean(dim=(2, 3))


def test_only_convolutions_that_feed_one_normalisation_once_are_folded() -> None:
    assert folding_pairs(Crossed().eval()) == [("free", "last")]


def test_models_are_traced_while_others_run() -> None:
    """Tracing patches every module of the process; tasks run side by side in threads."""
    classifier, inputs = classifier_of("resnet18"), noise(1)
    expected = folding_pairs(classifier.model)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(lambda: classifier.model(inputs)) for _ in range(20)]
        traces = [pool.submit(folding_pairs, classifier_of("resnet18").model) for _ in range(6)]
        answers += [pool.submit(lambda: classifier.model(inputs)) for _ in range(20)]
        assert all(trace.result() == expected for trace in traces)
        assert all(torch.equal(answer.result(), answers[0].result()) for answer in answers)


class Waiting(nn.Module):
    """Model whose trace stops in the middle until `go_on` is set."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.is_traced, self.go_on = inner, threading.Event(), threading.Event()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.is_traced.set()
        assert self.go_on.wait(60)
        return self.inner(inputs)


def test_a_trace_hides_no_weights_from_a_model_that_shares_them() -> None:
    """Copies of a classifier for tasks side by side have the same weights."""
    classifier, inputs = classifier_of("resnet18"), noise(1)
    expected, waiting = classifier.model(inputs), Waiting(classifier.model)
    with ThreadPoolExecutor(1) as pool:
        trace = pool.submit(traced, waiting)
        try:
            assert waiting.is_traced.wait(60)
            assert torch.equal(classifier.model(inputs), expected)
        finally:
            waiting.go_on.set()
        assert trace.result() is not None
