"""Parameters of the clusters of saliency maps (paper, section 2.5)."""

from typing import Any, Literal, NamedTuple

from pydantic import Field

from tasks.cluster.affinity import Affinity
from tasks.parameters import Params


class Kernel(NamedTuple):
    """How alike maps count as: the reading of the scale and its value, in the reading's own unit."""

    affinity: Affinity
    scale: float


class ClusterParams(Params):
    """Clusters of saliency maps."""

    n_components: int = Field(default=50, ge=1, le=1000, description="PCA dimensions")
    n_clusters: int = Field(default=8, ge=2, le=100)
    affinity: Affinity = Field(default="sigma", description="reading of the kernel scale")
    scale: float = Field(default=0.2, gt=0, description="kernel scale; its unit depends on `affinity`")
    scaling: Literal["unit", "rms"] = Field(default="unit", description="length of the maps before distances are taken")
    neighbours: int = Field(default=5, ge=1, le=100, description="nearest validation maps that decide for a new map")
    n_seeds: int = Field(default=10, ge=1, le=200, description="k-means runs")
    seed: int = Field(default=0, ge=0)
    choose_kernel: bool = Field(
        default=False, description="take the kernel that tells errors best by cross-fitting, not `affinity` and `scale`"
    )
    max_exact: int = Field(
        default=12_000, ge=2, description="validation maps; with more, affinity is kept to each map's nearest alone"
    )
    allow_preview: bool = Field(
        default=False, description="cluster approximate maps (occlusion_preview), whose background ranks are wrong"
    )

    @property
    def kernel(self) -> Kernel | None:
        """The fixed kernel; None where it is to be chosen."""
        return None if self.choose_kernel else Kernel(self.affinity, self.scale)

    def numbers(self, size: int) -> dict[str, Any]:
        """What changes numbers of maps compared at `size` pixels, as JSON; a permission does not."""
        return {**self.model_dump(mode="json", exclude={"allow_preview"}), "size": size}
