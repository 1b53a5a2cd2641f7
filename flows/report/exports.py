"""Decisions for other tools: the tasks that write them, and what the command line says of them."""

from collections.abc import Mapping
from typing import TypedDict

from flows.parameters import CampaignParams
from flows.running.stages import Future, Roles, Stages
from storage.artifacts import ArtifactRef, Store
from storage.published.exports import KIND, export_folder
from tasks.export.export import export_decisions


class Exports(TypedDict):
    """Where a campaign's files for other tools lie, and how many of their rows have no position."""

    folder: str
    n_rows: int
    n_without_position: int


def write_exports(stages: Stages, params: CampaignParams, roles: Mapping[str, ArtifactRef | Future]) -> Roles:
    """Decisions of every date by every saliency method."""
    return {
        f"{KIND} {method} {day}": stages.submit(
            export_decisions,
            date=day,
            method=method,
            params=params.export,
            images=roles[f"images {day}"],
            reliability=roles[f"reliability {method} {day}"],
            adjusted=roles[f"adjusted {method} {day}"],
        )
        for method in params.explain.methods
        for day in params.dates
    }


def exports_of(store: Store, campaign: str, artifacts: Mapping[str, ArtifactRef]) -> Exports | None:
    """The files that a record's artefacts were published as; None of a run by an earlier version, which wrote none."""
    written = [store.open(ref).summary for role, ref in artifacts.items() if role.split()[0] == KIND]
    if not written:
        return None
    n_rows, n_without = (sum(each[name] for each in written) for name in ("n_plants", "n_without_position"))
    return Exports(folder=str(export_folder(store, campaign)), n_rows=n_rows, n_without_position=n_without)


def export_lines(found: Exports) -> list[str]:
    """The same for a person."""
    n_rows, n_without = found["n_rows"], found["n_without_position"]
    lines = [f"{'exports:':8} {found['folder']}"]
    if n_without == n_rows:
        lines.append("note: no plant has a position: the exports are CSV alone, without GeoParquet and GeoJSON")
    elif n_without:
        lines.append(
            f"note: {n_without} of {n_rows} rows of the exports have no position: in GeoParquet and GeoJSON they have "
            "no geometry"
        )
    return lines
