"""Clusters: their parameters, what is refused before they are made, and what a reader must know of them."""

from collections.abc import Sequence

import numpy as np

from storage.errors import InputError
from tasks.cluster.axes import PrincipalAxes
from tasks.cluster.params import ClusterParams
from tasks.cluster.spectral import Clustering
from tasks.explain.methods import APPROXIMATE

SPLINTER = 5  # members; a cluster smaller than this says nothing about its error share


def check_methods(methods: Sequence[str], params: ClusterParams) -> None:
    """Refuse saliency methods whose maps may not be clustered, before any map is made.

    Raises
    ------
    InputError : a method with approximate maps, which `cluster.allow_preview` does not allow.
    """
    for method in methods:
        check_exact(method, method in APPROXIMATE, params)


def check_exact(method: str, is_approximate: bool, params: ClusterParams) -> None:
    """Refuse approximate maps where they are not allowed (see `check_methods`)."""
    if is_approximate and not params.allow_preview:
        raise InputError(
            f"the maps of {method} are approximate: their background ranks are wrong",
            "Clusters rest on exact saliency maps, unless cluster.allow_preview says otherwise",
            "use the method occlusion, or set cluster.allow_preview = true and take no reliability as final",
        )


def diagnose(
    params: ClusterParams, axes: PrincipalAxes, fit: Clustering, n_zero: int, n_constant: int, is_approximate: bool
) -> list[str]:
    """What a reader must know before trusting the clusters, one sentence each; empty when nothing stands out."""
    sizes = np.bincount(fit.labels)[1:]
    n, used = len(fit.labels), len(axes.components)
    said = [
        (
            is_approximate,
            "the clusters rest on approximate maps, whose background ranks are wrong: take no reliability as final",
        ),
        (used < params.n_components, f"PCA has {used} dimensions, not {params.n_components}: the maps have no more"),
        (n_zero > 0, f"{n_zero} of {n} maps are zero everywhere: nothing in the image spoke for the explained class"),
        (
            n_constant > 0,
            f"{n_constant} of {n} maps hold one value everywhere, not zero: they say nothing about where the evidence "
            "lies",
        ),
        (
            fit.n_isolated > 0,
            f"{fit.n_isolated} of {n} maps have no neighbour at this kernel scale: raise cluster.scale, or use "
            "cluster.affinity = gamma",
        ),
        (
            fit.n_components > params.n_clusters,
            f"the affinity graph falls into {fit.n_components} parts, more than {params.n_clusters} clusters: raise "
            "cluster.scale",
        ),
        (
            bool(sizes[0] > n / 2 and (sizes[1:] < SPLINTER).any()),
            f"one cluster holds {sizes[0]} of {n} maps and {int((sizes < SPLINTER).sum())} are splinters of fewer than "
            f"{SPLINTER}: try another kernel scale, cluster.choose_kernel or fewer clusters",
        ),
        (
            not fit.is_exact,
            f"more than {params.max_exact} maps (cluster.max_exact): affinities are kept to each map's nearest, and "
            "the clusters need not be those of all affinities",
        ),
        (
            fit.stability < 0.6,
            f"k-means seeds agree only to a mean Rand index of {fit.stability:.2f}: cluster borders are arbitrary",
        ),
    ]
    return [text for applies, text in said if applies]
