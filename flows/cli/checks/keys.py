"""Find the keys of a file's tables, and suggest the key that was meant by an unknown one."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

# Words of other programs for a key, by its name in this one.
SYNONYMS = {
    "campaign": ("name", "title", "season", "id"),
    "dates": ("date", "days", "acquired"),
    "root": ("path", "folder", "dir", "directory", "images"),
    "path": ("file", "weights", "checkpoint", "model"),
    "architecture": ("model", "arch", "network", "backbone"),
    "weights": ("pretrained", "initial_weights"),
    "learning_rate": ("lr", "rate"),
    "batch_size": ("batch", "bs"),
    "epochs": ("n_epochs", "epoch", "iterations"),
    "image_size": ("size", "side", "resolution", "img_size", "imgsz"),
    "methods": ("method", "explainers", "saliency"),
    "n_clusters": ("k", "clusters", "number"),
    "neighbours": ("neighbors", "n_neighbors", "knn"),
    "scale": ("sigma", "gamma", "bandwidth"),
    "workers": ("threads", "processes", "n_jobs", "num_workers", "cores"),
    "device": ("gpu", "cuda"),
    "seed": ("random_seed", "random_state"),
    "kind": ("type", "format", "layout"),
    "tolerated_error": ("tolerance", "max_error"),
}


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield every model in a field's type, such as those of a union or of the items of a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def tables(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield every table of a model by its dotted name, with its keys; the top of the file has the name ''."""
    yield place, list(model.model_fields)
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            yield from tables(inner, f"{place}.{name}" if place else name)


def suggestion(key: str, table: str, known: Sequence[tuple[str, list[str]]]) -> str:
    """Say which key may have been meant by an unknown key of a table; '' if none is near.

    The table's own keys come first (a source has those of all its kinds), then equal keys of other tables, then near
    ones anywhere.
    """
    own = [name for place, names in known if place == table for name in names]
    if key in own:
        return f" here; it is a key of another kind of {table.rpartition('.')[2]}"
    if meant := _nearest(key, own):
        return f"; did you mean {meant}?"
    elsewhere = [_dotted(place, key) for place, names in known if key in names and place != table]
    if elsewhere:
        return f" here; it is a key of another table: {' or '.join(dict.fromkeys(elsewhere))}"
    near = difflib.get_close_matches(key, sorted({name for _, names in known for name in names}), n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""


def _nearest(key: str, own: Sequence[str]) -> str | None:
    if said := [name for name in own if key.lower() in SYNONYMS.get(name, ())]:
        return said[0]
    near = difflib.get_close_matches(key.lower(), own, n=1)
    return near[0] if near else None


def _dotted(place: str, key: str) -> str:
    return f"{place}.{key}" if place else f"{key} (above the first table)"
