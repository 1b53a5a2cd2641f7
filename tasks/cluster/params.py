"""Define the parameters of the clusters of saliency maps (paper, section 2.5)."""

from typing import Any, Literal, NamedTuple

from pydantic import Field

from tasks.parameters import Params

Affinity = Literal["sigma", "matlab", "gamma", "median", "local"]


class Kernel(NamedTuple):
    """Kernel of the affinity: the reading of its scale, and the scale in that reading's unit."""

    affinity: Affinity
    scale: float


class ClusterParams(Params):
    """Parameters of the clusters of saliency maps (paper, section 2.5)."""

    n_components: int = Field(
        default=50, ge=1, le=1000, description="Number of principal axes on which saliency maps are compared"
    )
    n_clusters: int = Field(default=8, ge=2, le=100, description="Number of clusters of validation saliency maps")
    affinity: Affinity = Field(
        default="sigma",
        description="Reading of `scale` in the Gaussian affinity, d a distance of maps: `sigma` exp(-d²/(2 scale²)); "
        "`matlab` exp(-(d/scale)²); `gamma` exp(-scale d²); `median`: sigma is `scale` times the median distance; "
        "`local`: each map has its own sigma, `scale` times the distance of its 7th nearest map",
    )
    scale: float = Field(
        default=0.2,
        gt=0,
        description="Kernel scale, in the unit that `affinity` gives it; for `sigma`, a larger one joins more maps",
    )
    scaling: Literal["unit", "rms"] = Field(
        default="unit",
        description="Scaling of maps before distances: `unit` gives each map length 1, `rms` keeps its strength, so "
        "that distances are root-mean-square differences per pixel",
    )
    neighbours: int = Field(
        default=5, ge=1, le=100, description="Number of nearest validation maps that vote on the cluster of a new map"
    )
    n_seeds: int = Field(
        default=10, ge=1, le=200, description="Number of k-means runs; the best is kept, their agreement is `stability`"
    )
    seed: int = Field(default=0, ge=0, description="Random seed of k-means and of the folds of cross-fitting")
    choose_kernel: bool = Field(
        default=False,
        description="Choose the kernel with the least cross-fitted Brier score instead of `affinity` and `scale`",
    )
    max_exact: int = Field(
        default=12_000,
        ge=2,
        description="Most validation maps with affinities of all pairs; above it, each map keeps only its nearest",
    )
    allow_preview: bool = Field(
        default=False,
        description="Allow clusters of approximate maps (occlusion_preview), whose background ranks are wrong",
    )

    @property
    def kernel(self) -> Kernel | None:
        """Return the fixed kernel, or None where it is to be chosen."""
        return None if self.choose_kernel else Kernel(self.affinity, self.scale)

    @property
    def n_needed(self) -> int:
        """Return the number of labelled validation images that clusters and neighbours need."""
        return max(self.n_clusters, self.neighbours + 1)

    def numbers(self, size: int) -> dict[str, Any]:
        """Return, as JSON, the parameters that change numbers of maps compared at `size` pixels."""
        return {**self.model_dump(mode="json", exclude={"allow_preview"}), "size": size}
