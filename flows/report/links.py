"""Where the Prefect UI leads to for a campaign's report."""

import os

from storage.artifacts import Store
from storage.records.campaigns import CampaignRecord

REPORTS_URL = "HARVEST_REPORTS_URL"


def report_link(store: Store, record: CampaignRecord) -> str:
    """Address of a campaign's report.

    Where `HARVEST_REPORTS_URL` says under which address the store's folder `reports` is served, it is a page of that;
    otherwise the file, which a browser opens only from the same machine and not by a click.
    """
    served = os.environ.get(REPORTS_URL)
    page = record.report.removeprefix("reports/")
    return f"{served.rstrip('/')}/{page}" if served else (store.root / record.report).as_uri()
