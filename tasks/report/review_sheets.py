"""Draw the sheet of a cluster for a reviewer: its prototype and the validation images most like it."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from storage.arrays.specs import PROTOTYPES
from storage.arrays.zarr_files import read_array
from storage.artifacts import Artifact
from storage.tables.rows import Row
from tasks.report.examples import N_EXAMPLES, Example, find_examples
from tasks.report.figures import draw_prototypes, overlay_image, page_layout, png_bytes

PANEL = 2.3  # side of a panel, in inches


def cluster_sheets(artifacts: dict[str, Artifact], method: str, clusters: Sequence[Row]) -> dict[int, bytes]:
    """Draw one PNG per cluster, by its number.

    Parameters
    ----------
    artifacts : artefacts by role: images, predictions, saliency and assignments of every date, plants and clusters.
    clusters : rows of the table `clusters`.
    """
    prototypes = read_array(artifacts[f"clusters {method}"], PROTOTYPES)
    examples = find_examples(artifacts, method, prototypes)
    classes = artifacts["plants"].summary["classes"]
    is_signed = bool((prototypes < 0).any()) or any(bool((one.saliency < 0).any()) for one in examples)
    return {
        row["cluster"]: cluster_sheet(
            prototypes[row["cluster"] - 1],
            [one for one in examples if one.cluster == row["cluster"]],
            f"cluster {row['cluster']}\nn = {row['n']}, {row['error_share']:.1%} wrong",
            classes,
            is_signed,
        )
        for row in clusters
    }


def cluster_sheet(
    prototype: NDArray[np.floating], examples: Sequence[Example], title: str, classes: Sequence[str], is_signed: bool
) -> bytes:
    """Draw a prototype (rows, cols) and up to `N_EXAMPLES` images with their maps, side by side, as PNG."""
    figure = Figure(figsize=(PANEL * (1 + N_EXAMPLES), PANEL + 0.7), layout=page_layout())
    first, *others = figure.subplots(1, 1 + N_EXAMPLES)
    draw_prototypes([first], prototype[None], [title], is_signed)
    for panel in others:
        panel.set_axis_off()
    for panel, one in zip(others, examples, strict=False):
        panel.imshow(np.asarray(Image.open(io.BytesIO(overlay_image(one.image, one.saliency, is_signed)))))
        answer, truth = classes[one.predicted], classes[one.label]
        said = f"right: {truth}" if one.predicted == one.label else f"wrong: says {answer},\nis {truth}"
        panel.set_title(f"{said}\n{one.plant_id} {one.date}", fontsize=8, parse_math=False)
    return png_bytes(figure)
