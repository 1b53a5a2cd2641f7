"""Submit the tasks that write decisions for other tools, and find the files that they wrote."""

from collections.abc import Mapping
from typing import TypedDict

from flows.parameters import CampaignParams
from flows.running.stages import Future, Roles, Stages
from storage.artifacts import ArtifactRef, Store
from storage.published.exports import KIND, export_folder
from tasks.export.export import export_decisions


class Exports(TypedDict):
    """Folder of a campaign's exports, and how many of their rows have no position, or are in no workbook."""

    folder: str
    n_rows: int
    n_without_position: int
    n_without_workbook: int


def write_exports(
    stages: Stages, params: CampaignParams, roles: Mapping[str, ArtifactRef | Future], mark: str = ""
) -> Roles:
    """Submit one export of decisions for each date and saliency method.

    Parameters
    ----------
    mark : says that the dates have far fewer plants than expected; empty if they have not.
    """
    return {
        f"{KIND} {method} {day}": stages.submit(
            export_decisions,
            date=day,
            method=method,
            params=params.export,
            field=params.field,
            images=roles[f"images {day}"],
            decided=roles[f"decided {method} {day}"],
            promises=roles[f"promises {method}"],
            mark=mark,
        )
        for method in params.explain.methods
        for day in params.dates
    }


def exports_of(store: Store, campaign: str, artifacts: Mapping[str, ArtifactRef]) -> Exports | None:
    """Return where a record's exports lie, or None if the run wrote none, as runs of earlier versions did."""
    written = [store.open(ref).summary for role, ref in artifacts.items() if role.split()[0] == KIND]
    if not written:
        return None
    return Exports(
        folder=str(export_folder(store, campaign)),
        n_rows=sum(each["n_plants"] for each in written),
        n_without_position=sum(each["n_without_position"] for each in written),
        n_without_workbook=sum(each.get("n_without_workbook", 0) for each in written),  # only where there are any
    )
