"""Cross-fit the clusters over folds of plants, and choose the kernel with the least cross-fitted loss."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from storage.errors import InputError
from tasks.classify.answers import Floats
from tasks.cluster.axes import fit_axes
from tasks.cluster.evidence import MapEvidence, Signals, cluster_evidence, joined, map_signals, place
from tasks.cluster.nearest import TIE
from tasks.cluster.params import ClusterParams, Kernel
from tasks.statistics.by_plant import failing_p_values

N_FOLDS = 5  # folds of plants in cross-fitting
# Narrow and wide kernels of every reading for maps of unit length, whose median distance is about 0.5 to 0.8.
KERNELS = (
    Kernel("sigma", 0.1),
    Kernel("sigma", 0.2),
    Kernel("sigma", 0.4),
    Kernel("gamma", 0.2),
    Kernel("median", 0.25),
    Kernel("median", 0.5),
    Kernel("median", 1.0),
    Kernel("local", 0.5),
    Kernel("local", 1.0),
)


@dataclass(frozen=True)
class FoldClusters:
    """Clusters of the images outside a fold.

    Attributes
    ----------
    n, n_wrong : (q,) images and wrong answers of each cluster.
    p_value : (q,) p-values of an error share of 1/2 or less, by plants.
    problem : why all images are in one cluster; empty where they could be clustered.
    """

    n: list[int]
    n_wrong: list[int]
    p_value: list[float]
    problem: str = ""


@dataclass(frozen=True)
class CrossFit:
    """Signals of n validation images, each judged by clusters that were fitted without its fold.

    Attributes
    ----------
    fold : (n,) fold of each image, from 1.
    signals : values (n,) by name: those of `map_signals`, and `novelty`.
    clusters : clusters of the images outside each fold, by fold.
    """

    fold: NDArray[np.int64]
    signals: Signals
    clusters: dict[int, FoldClusters] = field(default_factory=dict[int, FoldClusters])


def plant_folds(plants: Sequence[str], seed: int, n_folds: int = N_FOLDS) -> NDArray[np.int64]:
    """Return the fold of each image, (n,) from 1; plants are dealt out in a seeded order.

    The order of the images does not matter.

    Raises
    ------
    InputError : fewer than two plants.
    """
    names, which = np.unique(np.asarray(plants), return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"{len(names)} plant{'s' * (len(names) != 1)} with labelled validation images",
            "Cross-fitting leaves plants out, so validation must have at least two",
            "put more plants into the validation split",
        )
    order = np.random.default_rng([seed, len(names)]).permutation(len(names))
    return order[which] % min(n_folds, len(names)) + 1


def cross_fit_maps(
    vectors: Floats, is_wrong: NDArray[np.bool_], plants: Sequence[str], params: ClusterParams, kernel: Kernel | None
) -> CrossFit:
    """Judge every image, given by map vectors (n, f), by clusters of the other folds.

    Without a `kernel`, each fold chooses one from the other folds.
    """
    folds = plant_folds(plants, params.seed)
    parts: dict[int, tuple[NDArray[np.bool_], Signals]] = {}
    clusters: dict[int, FoldClusters] = {}
    for fold in np.unique(folds).tolist():
        out = folds == fold
        rest, others = [plant for plant, is_out in zip(plants, out, strict=True) if not is_out], is_wrong[~out]
        chosen = kernel or choose_kernel(vectors[~out], others, rest, params)
        clusters[fold], evidence = fold_clusters(vectors[~out], others, rest, params, chosen)
        parts[fold] = out, map_signals(evidence, *place(evidence.axes, vectors[out]), params.neighbours)
    signals = joined(parts, len(folds))
    signals["novelty"] = own_novelty(signals["map_distance"])
    return CrossFit(folds, signals, clusters)


def fold_clusters(
    vectors: Floats, is_wrong: NDArray[np.bool_], plants: Sequence[str], params: ClusterParams, kernel: Kernel
) -> tuple[FoldClusters, MapEvidence]:
    """Cluster the images outside a fold; if that fails, put all in one cluster and note the reason in `problem`."""
    try:
        evidence, problem = cluster_evidence(vectors, is_wrong, params, kernel)[0], ""
    except InputError as error:
        axes = fit_axes(vectors, params.n_components)
        evidence = MapEvidence(axes, *place(axes, vectors), np.ones(len(is_wrong), np.int64), is_wrong)
        problem = error.found
    n_wrong = np.bincount(evidence.labels, evidence.is_wrong)[1:].astype(np.int64)
    n = np.bincount(evidence.labels)[1:]
    p_value = failing_p_values(is_wrong, plants, evidence.labels, len(n))
    return FoldClusters(n.tolist(), n_wrong.tolist(), p_value.tolist(), problem), evidence


def own_novelty(distances: Floats) -> Floats:
    """Return the conformal p-value of each of n exchangeable distances against the others, (n,) in 1/n..1.

    Distances that are equal up to rounding count as not smaller.
    """
    n, margin = len(distances), TIE * distances.max(initial=0)
    return (n - np.searchsorted(np.sort(distances), distances - margin, side="left")) / n


def choose_kernel(vectors: Floats, is_wrong: NDArray[np.bool_], plants: Sequence[str], params: ClusterParams) -> Kernel:
    """Return the kernel whose cross-fitted error shares have the least Brier score; ties go to the campaign's own."""
    candidates = [Kernel(params.affinity, params.scale), *KERNELS]
    shares = [cross_fit_maps(vectors, is_wrong, plants, params, kernel).signals["error_share"] for kernel in candidates]
    loss = [float(((share - is_wrong) ** 2).mean()) for share in shares]
    return candidates[int(np.argmin(loss))]
