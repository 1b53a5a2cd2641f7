"""Write the addresses that select images in the plant explorer of a report."""

from urllib.parse import quote

ANALYSIS = "analysis.html"  # name of the page with the plant explorer


def plant_address(plant: str, day: str) -> str:
    """Return the address of a plant's image on a date, relative to the report's folder."""
    return f"{ANALYSIS}#plant={quote(plant, safe='')}@{day}"


def cluster_address(cluster: int, method: str) -> str:
    """Return the address of the images of a saliency method's cluster, relative to the report's folder."""
    return f"{ANALYSIS}#cluster={cluster}&method={method}"
