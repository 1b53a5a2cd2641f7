"""Renew what follows from checks of plants: the table `found`, the campaign's report, and the mark of broken promises.

Nothing is trained, explained or decided again. The next fit of the campaign takes the checks as labels.
"""

from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_table_artifact

from flows.report.links import report_link
from flows.report.renewal import submit_renewal
from flows.running.stages import Stages
from storage.artifacts import Store
from storage.published.publish import published_rows
from storage.records.campaigns import read_record
from storage.tables import FOUND
from tasks.parameters import Runtime

DEFAULT_RUNTIME = Runtime()


@flow(name="renew-after-checks", flow_run_name="checks of {campaign}")
def renew_after_checks(campaign: str, store: str, runtime: Runtime = DEFAULT_RUNTIME) -> list[dict[str, Any]]:
    """Compare what was promised with what people found, and show it in the campaign's report.

    Returns
    -------
    Rows of the table `found`; none where nobody looked at a plant of a date that the report shows.

    Raises
    ------
    InputError : the campaign is unknown.
    """
    opened = Store(store)
    record = read_record(opened, campaign)
    with Stages(campaign, store, 2, runtime) as stages:
        stages.expect(-2)  # the renewal counts what it submits
        submit_renewal(stages, campaign)
    rows = published_rows(opened, FOUND, campaign)
    shown = [{name: str(value) if name == "acquired" else value for name, value in row.items()} for row in rows]
    create_table_artifact(shown, key="found", description="promised against found")
    create_link_artifact(report_link(opened, record), link_text=f"report of {campaign}", key="report")
    return rows
