"""Make the addresses under which the Prefect UI links to reports."""

import os

from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord
from tasks.report.explorer.addresses import cluster_address

REPORTS_URL = "HARVEST_REPORTS_URL"  # environment variable with the address that serves the store's folder `reports`


def report_link(store: Store, record: CampaignRecord) -> str:
    """Return the address of a campaign's report.

    It is a page below `HARVEST_REPORTS_URL` if that is set. Otherwise it is the file's address, which works on the same
    machine only, and which browsers do not open by a click.
    """
    served = os.environ.get(REPORTS_URL)
    page = record.report.removeprefix("reports/")
    return f"{served.rstrip('/')}/{page}" if served else (store.root / record.report).as_uri()


def explorer_link(store: Store, record: CampaignRecord, method: str, cluster: int) -> str:
    """Return the address of a cluster's images in the plant explorer of a campaign's report."""
    return f"{report_link(store, record).rpartition('/')[0]}/{cluster_address(cluster, method)}"
