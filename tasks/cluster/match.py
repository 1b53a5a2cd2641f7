"""Match the clusters of a fit with those of an earlier fit, so that cluster numbers can be compared between fits.

Reads `clusters` of both fits, writes the table `cluster_matches`.
"""

from prefect import task

from storage.arrays.specs import PROTOTYPES
from storage.arrays.zarr_files import read_array
from storage.artifacts import ArtifactRef, Draft, Recipe, Store
from storage.tables import CLUSTER_MATCHES
from storage.tables.parquet import write_table
from tasks.cluster.spectral import match_clusters
from tasks.stage import cached_by, made_once

REVISION = 1


def matches_recipe(clusters: ArtifactRef, earlier: ArtifactRef) -> Recipe:
    """Return the recipe of the matches between two fits of a campaign's clusters."""
    return Recipe("matches", REVISION, {}, {"clusters": clusters, "earlier": earlier})


@task(task_run_name="match {campaign} {method}", **cached_by(matches_recipe))
@made_once(matches_recipe)
def match_earlier(draft: Draft, store: Store, method: str, clusters: ArtifactRef, earlier: ArtifactRef) -> None:
    """Match each cluster with one cluster of an earlier fit by their prototypes, one to one."""
    found, likeness = match_clusters(*(read_array(store.open(ref), PROTOTYPES) for ref in (clusters, earlier)))
    is_matched = found > 0
    columns = {
        "method": [method] * len(found),
        "cluster": list(range(1, len(found) + 1)),
        "earlier_cluster": [int(c) if known else None for c, known in zip(found, is_matched, strict=True)],
        "likeness": [float(x) if known else None for x, known in zip(likeness, is_matched, strict=True)],
        "earlier": [earlier.digest] * len(found),
        "clusters": [clusters.digest] * len(found),
    }
    write_table(draft, CLUSTER_MATCHES, columns)
