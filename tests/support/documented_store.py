"""Write a small store with everything that the documentation's Python and SQL blocks read."""

from datetime import UTC, date, datetime
from pathlib import Path

from flows.checks import import_files, publish_checks
from flows.report.answers import answers_of
from storage.artifacts import Draft
from tasks.export.checking import Whose, open_audit, start_of
from tasks.export.export import export_decisions
from tasks.export.params import ExportParams, FieldParams
from tasks.publish.publish import publish_results
from tests.support.report_campaign import DAYS, FakeCampaign

CAMPAIGN, DAY, PLANT = "field2-2021", DAYS[0], "2021_Ref_Plot2_E18"


def write_documented_store(folder: Path) -> FakeCampaign:
    """Write an invented campaign, and publish its tables, exports and record as a run does."""
    campaign = FakeCampaign(folder, campaign=CAMPAIGN, first_plant=PLANT, has_places=True)
    for day in DAYS:
        campaign.roles[f"decisions gradcam {day}"] = export_decisions.fn(
            str(folder),
            campaign=CAMPAIGN,
            date=date.fromisoformat(day),
            method="gradcam",
            params=ExportParams(),
            field=FieldParams(),
            images=campaign.roles[f"images {day}"],
            decided=campaign.roles[f"decided gradcam {day}"],
            promises=campaign.roles["promises gradcam"],
        )
    campaign.make("report", "report", write_page, {})
    publish_results.fn(str(folder), CAMPAIGN, campaign.params, campaign.roles)
    write_checks(campaign, folder / "found.csv")
    return campaign


def write_checks(campaign: FakeCampaign, file: Path) -> None:
    """Take back what people found at every plant of the first date that was drawn at random, and publish the table."""
    day = date.fromisoformat(DAY)
    answers = answers_of(campaign.store, CAMPAIGN, day)
    drawn = "\n".join(f"{plant},yes,Ada,{DAY} 14:30" for plant in open_audit(answers, []))
    file.write_text(f"plant_id,checked_ready,checked_by,checked_at\n{drawn}\n")
    import_files(campaign.store, answers, [file], Whose("", start_of(day)), datetime.now(UTC))
    publish_checks(campaign.store, CAMPAIGN, day)


def write_page(draft: Draft) -> None:
    """Write a minimal page, because rendering a report takes seconds and is tested elsewhere."""
    draft.write_bytes("index.html", b"<!doctype html>")
