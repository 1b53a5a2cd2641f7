"""Refuse saliency methods that may not be clustered, and write warnings about fitted clusters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from storage.errors import InputError
from tasks.cluster.params import ClusterParams
from tasks.explain.params import APPROXIMATE

if TYPE_CHECKING:  # importing them takes longer than a mistake in a campaign's file takes to find
    from tasks.cluster.axes import PrincipalAxes
    from tasks.cluster.spectral import Clustering

SPLINTER = 5  # members; the error share of a cluster with fewer says nothing


def check_methods(methods: Sequence[str], params: ClusterParams) -> None:
    """Refuse saliency methods whose maps may not be clustered, before any map is made.

    Raises
    ------
    InputError : a method makes approximate maps, and `cluster.allow_preview` is false.
    """
    for method in methods:
        check_exact(method, method in APPROXIMATE, params)


def check_exact(method: str, is_approximate: bool, params: ClusterParams) -> None:
    """Refuse approximate maps of a method unless `cluster.allow_preview` is true.

    Raises
    ------
    InputError : the maps are approximate, and `cluster.allow_preview` is false.
    """
    if is_approximate and not params.allow_preview:
        raise InputError(
            f"the maps of {method} are approximate: their background ranks are wrong",
            "Clusters must rest on exact saliency maps, unless cluster.allow_preview is true",
            "use the method occlusion, or set cluster.allow_preview = true and take no reliability as final",
        )


def diagnose(
    params: ClusterParams, axes: "PrincipalAxes", fit: "Clustering", n_zero: int, n_constant: int, is_approximate: bool
) -> list[str]:
    """Return warnings about the clusters, one sentence each; empty when nothing stands out."""
    import numpy as np

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
            f"{n_constant} of {n} maps have the same value everywhere, not zero: they do not show where the evidence "
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
            f"there are more than {params.max_exact} maps (cluster.max_exact): only the affinities of each map's "
            "nearest maps are used, and the clusters may differ from those of all affinities",
        ),
        (
            fit.stability < 0.6,
            f"k-means seeds agree only to a mean Rand index of {fit.stability:.2f}: cluster borders are arbitrary",
        ),
    ]
    return [text for applies, text in said if applies]
