"""Render the page of a look: HTML with styles and pictures in one file, which asks the network for nothing."""

import base64
from typing import Any

from storage.tables.names import SPLIT_NAMES
from tasks.ingest.checks import Counts
from tasks.look.findings import Finding
from tasks.look.images import SEED, Measured
from tasks.look.look import CampaignLook, DayLook
from tasks.look.registration import LEAST_PLACES, Step
from tasks.look.words import MEANINGS
from tasks.report.templates import page_templates
from tasks.report.words import REASONS

N_LISTED = 200  # things of one kind that the page names at most; the others are counted


def render_look(campaign: str, look: CampaignLook) -> str:
    """Render a look as HTML; everything that comes from files is escaped."""
    environment = page_templates()
    return environment.get_template("look.html").render(
        campaign=campaign,
        n_images=look.counts.n_images,
        n_read=look.n_read,
        seed=SEED,
        n_listed=N_LISTED,
        findings=[_finding(one) for one in look.findings],
        total=count_rows(look.counts),
        classes=[*look.counts.classes, "unlabelled"],
        days=[_day(one) for one in look.days],
        notes=look.notes,
        steps=[step_row(one) for one in look.steps],
        least_places=LEAST_PLACES,
    )


def count_rows(counts: Counts) -> list[dict[str, Any]]:
    """Return the number of images by split, in reading order: split, its name, by class and in all."""
    return [
        {"split": split, "name": name, "by_class": counts.by_split[split], "n": sum(counts.by_split[split].values())}
        for split, name in SPLIT_NAMES.items()
        if split in counts.by_split
    ]


def step_row(one: Step) -> dict[str, Any]:
    """Return a comparison of two dates as JSON values, without an offset if too few places agree on one."""
    return {
        "before": one.before.isoformat(),
        "after": one.after.isoformat(),
        "east_metres": round(one.east, 3) if one.is_sure else None,
        "north_metres": round(one.north, 3) if one.is_sure else None,
        "n_agree": one.n_agree,
        "n_places": one.n_places,
    }


def _finding(one: Finding) -> dict[str, Any]:
    meaning = MEANINGS.get(one.kind) or REASONS[one.kind]
    return {"kind": one.kind, "said": one.said, "n": len(one.named), "meaning": meaning, "named": one.named}


def _day(one: DayLook) -> dict[str, Any]:
    return {
        "date": one.day.isoformat(),
        "n": one.counts.n_images,
        "counts": count_rows(one.counts),
        "left_out": [(reason, REASONS.get(reason, ""), named) for reason, named in one.reasons().items()],
        "n_left_out": len(one.left_out),
        "n_placed": one.n_placed,
        "map": _data_uri(one.map, "webp" if one.detail else "png") if one.map else "",
        "detail": _data_uri(one.detail, "webp") if one.detail else "",
        "fault": one.fault,
        "shown": [_shown(image, one.counts.classes) for image in one.shown],
    }


def _shown(one: Measured, classes: tuple[str, ...]) -> dict[str, str]:
    label = one.image.label
    return {
        "plant": one.image.plant_id,
        "split": SPLIT_NAMES[one.image.split],
        "label": "no label" if label is None else classes[label],
        "picture": _data_uri(one.thumbnail, "jpeg") if one.thumbnail else "",
        "fault": one.fault,
    }


def _data_uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
