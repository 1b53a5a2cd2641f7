"""Write the page of a look at a campaign, and print its counts and findings."""

from pathlib import Path
from typing import Any

from rich.table import Table

from flows.cli.options import check_folder, tables_console
from flows.parameters import CampaignParams
from tasks.look.look import CampaignLook, look_at_campaign
from tasks.look.page import render_look, step_row

N_PRINTED = 3  # things of one kind that the terminal names


def write_look(params: CampaignParams, folder: Path) -> dict[str, Any]:
    """Look at a campaign, write the page `<campaign>.html` to a folder, and return what was found as JSON values.

    Raises
    ------
    InputError : the folder cannot be one, the source refuses its files, or the harvest table does not fit the images.
    """
    found = f"The page cannot be written to {folder}"
    check_folder(folder, found, "The page of a look is written to a folder", "give another --out")
    look = look_at_campaign(
        params.source,
        params.dates,
        params.ingest,
        params.cluster.n_needed,
        params.classifier is None,
        params.export.crs,
    )
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{params.campaign}.html"
    page.write_text(render_look(params.campaign, look), encoding="utf-8")
    return look_rows(params.campaign, look, page)


def look_rows(campaign: str, look: CampaignLook, page: Path) -> dict[str, Any]:
    """Return what was found as JSON values."""
    return {
        "campaign": campaign,
        "page": str(page),
        "classes": list(look.counts.classes),
        "n_images": look.counts.n_images,
        "n_read": look.n_read,
        "counts": look.counts.by_split,
        "dates": [
            {
                "date": one.day.isoformat(),
                "n_images": one.counts.n_images,
                "counts": one.counts.by_split,
                "left_out": {reason: len(named) for reason, named in one.reasons().items()},
                "n_shown": len(one.shown),
                "n_placed": one.n_placed,
            }
            for one in look.days
        ],
        "findings": [
            {"kind": one.kind, "said": one.said, "n": len(one.named), "named": list(one.named)} for one in look.findings
        ],
        "registration": [step_row(one) for one in look.steps],
        "notes": list(look.notes),
    }


def print_look(found: dict[str, Any]) -> None:
    """Print counts, findings and the path of the page."""
    console = tables_console(markup=False)
    console.print(_counts_table(found))
    for one in found["findings"]:
        console.print(f"{one['said']}: {one['n']}" if one["n"] else one["said"], soft_wrap=True)
        for name in one["named"][:N_PRINTED]:
            console.print("    " + name.replace("\n", "\n    "), soft_wrap=True)
        if one["n"] > N_PRINTED:
            console.print(f"    and {one['n'] - N_PRINTED} more")
    for one in found["registration"]:
        if one["east_metres"] is None:
            console.print(
                f"nobody knows whether {one['after']} lies where {one['before']} does: "
                f"{one['n_agree']} of {one['n_places']} places agree",
                soft_wrap=True,
            )
    if not found["findings"]:
        console.print(f"nothing suspicious in {found['n_images']:,} images, of which {found['n_read']:,} were read")
    print(f"page: {found['page']}")


def _counts_table(found: dict[str, Any]) -> Table:
    n_dates = len(found["dates"])
    title = f"{found['campaign']}: {found['n_images']:,} images of {n_dates} date{'' if n_dates == 1 else 's'}"
    table = Table(title=title, title_justify="left")
    names = [*found["classes"], "unlabelled"]
    for name in ("date", "split", *names, "left out"):
        table.add_column(name, justify="left" if name in {"date", "split"} else "right")
    for day in found["dates"]:
        n_left_out = sum(day["left_out"].values())
        for i, (split, counts) in enumerate(sorted(day["counts"].items()) or [("", dict.fromkeys(names, 0))]):
            cells = [f"{counts[name]:,}" for name in names]
            table.add_row(day["date"] if i == 0 else "", split, *cells, f"{n_left_out:,}" if i == 0 else "")
    return table
