"""Measure the CPU time of a report when one more date has been scored, by how many dates there were before.

The dates are made up, without a classifier (see `tests.support.report_campaign`). Before each measured report another
one is written that lacks the newest date, as in a season.

Run it by `python -m tests.benchmarks.reports`; 48 plants take two minutes, 1,000 plants five.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from storage.artifacts import Artifact
from tests.support.report_campaign import FakeCampaign

FIRST = date(2022, 4, 1)
DATES = 2, 10, 30, 60
MB = 1e6


def report_of(campaign: FakeCampaign, days: Sequence[str]) -> tuple[Artifact, float]:
    """Write the report of some scored dates; return it and its CPU seconds."""
    every = campaign.scored
    campaign.scored = {role: ref for role, ref in every.items() if role.split()[-1] in days}
    start = time.process_time()
    made = campaign.report()
    passed = time.process_time() - start
    campaign.scored = every
    return campaign.store.open(made), passed


def main() -> None:
    """Write the reports, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plants", type=int, default=48, help="plants of each date")
    parser.add_argument("--dates", type=int, nargs="+", default=DATES, help="numbers of scored dates")
    asked = parser.parse_args()
    days = tuple((FIRST + timedelta(days=i)).isoformat() for i in range(max(asked.dates)))
    table = Table("scored dates", "report, CPU s", "index.html, MB", "analysis.html, MB", "all files, MB")
    with tempfile.TemporaryDirectory() as folder:
        fixed: dict[str, Any] = {
            "n_plants": asked.plants,
            "n_plots": 4,
            "has_places": True,
            "has_scored_clusters": True,
        }
        campaign = FakeCampaign(Path(folder), scored_days=days, **fixed)
        for n in sorted(asked.dates):
            report_of(campaign, days[: n - 1])
            made, passed = report_of(campaign, days[:n])
            files = {name: record.size / MB for name, record in made.manifest.files.items()}
            sizes = (files["index.html"], files["analysis.html"], sum(files.values()))
            table.add_row(str(n), f"{passed:.2f}", *(f"{size:.2f}" for size in sizes))
    Console().print(table)


if __name__ == "__main__":
    main()
