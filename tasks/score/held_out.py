"""Cross-fit inside validation: judge every image by clusters and scores that were fitted without its plant.

In-sample numbers are too good, because clusters are judged by the same images on which they are scored. Folds hold
whole plants, because images of one plant on several dates are near copies. Pure functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.classify.answers import Answers, Floats
from tasks.cluster.evidence import Signals, joined
from tasks.cluster.folds import CrossFit, cross_fit_maps
from tasks.cluster.params import ClusterParams, Kernel
from tasks.score.combine import answer_sign, fit_combination
from tasks.score.shares import ReadyShares, ready_shares
from tasks.score.signals import answer_evidence, answer_signals


@dataclass(frozen=True)
class Validation:
    """Labelled validation images with their maps, answers and plants.

    Attributes
    ----------
    vectors : (n, f) vectors of their saliency maps.
    answers : logits and features that the classifier computed.
    truth : (n,) true classes.
    plants, dates : (n,) id of each image's plant, and its acquisition date.
    """

    vectors: Floats
    answers: Answers
    truth: NDArray[np.int64]
    plants: Sequence[str]
    dates: Sequence[str]

    @property
    def is_wrong(self) -> NDArray[np.bool_]:
        """Return whether each answer is wrong, (n,)."""
        return self.answers.predicted != self.truth

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Validation":
        kept = np.flatnonzero(chosen).tolist()
        names = ([texts[i] for i in kept] for texts in (self.plants, self.dates))
        return Validation(self.vectors[chosen], self.answers[chosen], self.truth[chosen], *names)

    def shares(self, counts: Floats | None = None) -> ReadyShares:
        """Return the shares of ready plants by date; `counts` (n,) says how often each image counts."""
        return ready_shares(self.truth == 1, self.dates, counts)


def cross_fit(data: Validation, params: ClusterParams, kernel: Kernel | None) -> CrossFit:
    """Compute every signal of every image by evidence from the other folds only.

    Without a `kernel`, it is chosen from the other folds too.
    """
    found = cross_fit_maps(data.vectors, data.is_wrong, data.plants, params, kernel)
    parts: dict[int, tuple[NDArray[np.bool_], Signals]] = {}
    for fold in found.clusters:
        out = found.fold == fold
        rest, held_out = data[~out], data[out]
        signals = answer_signals(answer_evidence(rest.answers, rest.truth), held_out.answers)
        parts[fold] = out, {**signals, **share_signals(held_out, rest.shares())}
    return CrossFit(found.fold, {**found.signals, **joined(parts, len(found.fold))}, found.clusters)


def share_signals(data: Validation, shares: ReadyShares) -> Signals:
    """Return the signals `answer` and `share_shift` of n images of two classes; none with more classes."""
    if data.answers.logits.shape[1] != 2:
        return {}
    shift = np.asarray([shares.shift(day) for day in data.dates], np.float64)
    return {"answer": answer_sign(data.answers.predicted), "share_shift": shift}


def combined_cross_fit(data: Validation, found: CrossFit, params: ClusterParams, kernel: Kernel | None) -> Floats:
    """Return the combined reliability (n,) of every image by a model that was fitted to the other folds.

    Inside those folds, the signals for the model are cross-fitted again.
    """
    reliability = np.empty(len(found.fold))
    for fold in found.clusters:
        out = found.fold == fold
        rest = data[~out]
        model = fit_combination(cross_fit(rest, params, kernel).signals, rest.is_wrong)
        reliability[out] = model.reliability({name: values[out] for name, values in found.signals.items()})
    return reliability
