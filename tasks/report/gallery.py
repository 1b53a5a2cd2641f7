"""Render a gallery: the examples nearest to a cluster's prototype, on one self-contained page.

Reads images, maps, predictions, assignments and adjusted answers from the store. Computes only the distance of each map
from the cluster's prototype, which is 1 minus their cosine (Kierdorf & Roscher 2023, Fig. 4, shows the prototypes).
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from storage.arrays.specs import IMAGES, PROTOTYPES, SALIENCY
from storage.arrays.zarr_files import open_array, read_array
from storage.artifacts import Artifact
from storage.errors import InputError
from storage.tables import ADJUSTED, CLUSTER_SCORES, SWAPS
from storage.tables.names import SPLIT_NAMES
from storage.tables.rows import Row, days_of, rows_of
from tasks.report.examples import Member, date_members
from tasks.report.explorer.addresses import ANALYSIS, cluster_address, plant_address
from tasks.report.figures import draw_prototypes, overlay_image, page_layout, png_bytes
from tasks.report.templates import page_templates
from tasks.report.words import method_name, percent, percent_interval

SIDE = 2.6  # side of the prototype's figure, in inches


@dataclass(frozen=True)
class Picture:
    """Image of the gallery.

    Attributes
    ----------
    distance : distance of its map from the prototype, 0..2; 1 for a zero map.
    predicted, adjusted, label : class names; the label is None if it is unknown.
    image, overlay : JPEG of the image, without and with the map over it.
    """

    plant_id: str
    date: str
    split: str
    distance: float
    predicted: str
    adjusted: str
    label: str | None
    image: bytes
    overlay: bytes


def nearest_members(members: Iterable[Member], cluster: int, n: int) -> tuple[list[Member], list[Member]]:
    """Select up to n labelled validation images of a cluster and up to n others, most like the prototype first."""
    inside = sorted(
        (one for one in members if one.cluster == cluster), key=lambda one: (-one.likeness, one.date, one.row)
    )
    validation, others = ([one for one in inside if one.is_validation is wanted][:n] for wanted in (True, False))
    return validation, others


def render_gallery(artifacts: dict[str, Artifact], campaign: str, method: str, cluster: int, n: int) -> tuple[str, int]:
    """Render the page as HTML; returns it with the number of images that it shows.

    Parameters
    ----------
    artifacts : artefacts by role, including those of dates that were scored with the campaign's fit.

    Raises
    ------
    InputError : the campaign has no such cluster.
    """
    clusters = {row["cluster"]: row for row in rows_of(artifacts[f"scores {method}"], CLUSTER_SCORES)}
    if cluster not in clusters:
        raise InputError(
            f"{method} has no cluster {cluster}",
            "A gallery must show a cluster of the campaign",
            f"name one of {', '.join(map(str, clusters))}",
        )
    prototypes = read_array(artifacts[f"clusters {method}"], PROTOTYPES)
    days = days_of(artifacts, f"assignments {method}")
    members = [one for day in days for one in date_members(artifacts, method, day, prototypes)]
    maps = {one: _read_map(artifacts, method, one) for part in nearest_members(members, cluster, n) for one in part}
    prototype = prototypes[cluster - 1]
    is_signed = any(bool((shown < 0).any()) for shown in (prototype, *maps.values()))
    pictures = _pictures(artifacts, method, maps, is_signed)
    environment = page_templates()
    environment.filters.update(jpeg=_jpeg, percent=percent)
    report = artifacts.get("report")
    has_explorer = report is not None and ANALYSIS in report.manifest.files  # those of earlier versions have none
    row = clusters[cluster]
    page = environment.get_template("gallery.html").render(
        campaign=campaign,
        method=method_name(method),
        row=row,
        interval=percent_interval(row["error_share_lower"], row["error_share_upper"]),
        decision=next(one for one in rows_of(artifacts[f"swaps {method}"], SWAPS) if one["cluster"] == cluster),
        prototype=base64.b64encode(_prototype(prototype, is_signed)).decode(),
        groups=[
            ("Validation images, which the cluster was made from", [p for p, one in pictures if one.is_validation]),
            ("Other images, which fell into it", [p for p, one in pictures if not one.is_validation]),
        ],
        splits=SPLIT_NAMES,
        is_signed=is_signed,
        folder=f"../{quote(campaign)}/" if has_explorer else None,  # of the report, which lies beside the gallery
        cluster_address=cluster_address,
        plant_address=plant_address,
        method_word=method,
    )
    return page, len(pictures)


def _prototype(prototype: NDArray[np.floating], is_signed: bool) -> bytes:
    figure = Figure(figsize=(SIDE, SIDE), layout=page_layout())
    draw_prototypes([figure.subplots()], prototype[None], ["prototype"], is_signed)
    return png_bytes(figure)


def _read_map(artifacts: dict[str, Artifact], method: str, one: Member) -> NDArray[np.float32]:
    return np.asarray(open_array(artifacts[f"saliency {method} {one.date}"], SALIENCY)[one.place], np.float32)


def _pictures(
    artifacts: dict[str, Artifact], method: str, maps: dict[Member, NDArray[np.float32]], is_signed: bool
) -> list[tuple[Picture, Member]]:
    classes = artifacts["plants"].summary["classes"]
    adjusted: dict[str, dict[str, Row]] = {}
    found: list[tuple[Picture, Member]] = []
    for one, saliency in maps.items():
        if one.date not in adjusted:
            rows = rows_of(artifacts[f"adjusted {method} {one.date}"], ADJUSTED)
            adjusted[one.date] = {row["plant_id"]: row for row in rows}
        answer = adjusted[one.date][one.plant_id]
        image = np.asarray(open_array(artifacts[f"images {one.date}"], IMAGES)[one.row])
        found.append((_picture(one, answer, classes, image, saliency, is_signed), one))
    return found


def _picture(
    one: Member,
    answer: Row,
    classes: list[str],
    image: NDArray[np.uint8],
    saliency: NDArray[np.float32],
    is_signed: bool,
) -> Picture:
    label = answer["label"]
    return Picture(
        plant_id=one.plant_id,
        date=one.date,
        split=one.split,
        distance=1 - one.likeness,
        predicted=classes[answer["predicted"]],
        adjusted=classes[answer["adjusted"]],
        label=None if label is None else classes[label],
        image=overlay_image(image, np.zeros_like(saliency)),  # a zero map leaves the image as it is
        overlay=overlay_image(image, saliency, is_signed),
    )


def _jpeg(picture: bytes) -> Any:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
