"""Measure a season of 60 dates with refits: the CPU time of each date, and what store and server grow by.

A small synthetic field is fitted on its first two dates. Every further date is scored, and after every 15 dates the
campaign is fitted again on all dates so far, as it is when labels come. All runs in one process with a Prefect server
of its own, whose database is SQLite. The table has means over 15 dates. The size with `harvest gc` is that of a copy of
the store of which everything is removed that nothing rests on.

Run it by `python -m tests.benchmarks.season`; 60 dates take some twenty minutes on two quiet cores.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

FOLDER, RESULT = Path("build/season"), Path("build/bench-season.json")
FIRST = date(2022, 8, 20)
N_DATES, REFIT_AFTER, N_OWN = 60, 15, 2
CAMPAIGN = "season"
MB = 1e6


@dataclass(frozen=True)
class Measured:
    """What one date cost.

    Attributes
    ----------
    number : how many dates there are with it.
    n_own : dates that the present fit was made from.
    score_s, report_s, server_s : CPU seconds of scoring without the report, of the report, and of the server.
    store, kept, report, database : bytes of the store, of the store after `harvest gc` (measured at the last date of a
        fit), of the published report, and of the server's database, after the date.
    """

    number: int
    n_own: int
    score_s: float
    report_s: float
    server_s: float
    store: int
    kept: int | None
    report: int
    database: int


def disk_bytes(folder: Path) -> int:
    """Return the bytes of the files below a folder; a file with several links counts once."""
    found = {one.st_ino: one.st_size for path in folder.rglob("*") if path.is_file() for one in [path.stat()]}
    return sum(found.values())


def kept_bytes(store: Path, copy: Path) -> int:
    """Return the bytes of a store after `harvest gc`, found on a copy that consists of links."""
    from storage.artifacts import Store
    from storage.garbage import find_garbage, remove_garbage

    shutil.copytree(store, copy, copy_function=os.link)
    opened = Store(copy)
    remove_garbage(opened, find_garbage(opened, datetime.now(UTC) + timedelta(days=1), days=0, n_fits=1))
    size = disk_bytes(copy)
    shutil.rmtree(copy)
    return size


def server_seconds() -> float:
    """Return the CPU seconds of the processes that this one has started, so far."""
    return sum(sum(one.cpu_times()[:2]) for one in psutil.Process().children(recursive=True))


@contextmanager
def timed_reports(seconds: list[float]) -> Generator[None]:
    """Note the CPU seconds of every renewal of a report by a scored date."""
    from flows import acquisition

    renew: Callable[..., None] = acquisition.submit_renewal

    def renew_timed(*given: Any) -> None:
        start = time.process_time()
        renew(*given)
        seconds.append(time.process_time() - start)

    acquisition.submit_renewal = renew_timed
    try:
        yield
    finally:
        acquisition.submit_renewal = renew


def campaign_of(dates: Sequence[date], season: Sequence[date]) -> Any:
    """Return the campaign that is fitted on some dates of a season: 30 plants, images of 64 pixels, one epoch."""
    from tasks.ingest.params import IngestParams
    from tasks.sources.synthetic.params import SeasonParams
    from tasks.sources.synthetic.source import SyntheticSource
    from tests.support.campaigns import RESNET18, small_campaign

    late: dict[str, Any] = {"days_to_harvest": 150, "harvest_spread": 30}  # most plants stand until the season's end
    size: dict[str, Any] = {"n_plots": 2, "rows": 3, "plants_per_row": 5, "image_size": 64}
    source = SyntheticSource(season=SeasonParams(dates=tuple(season), **size, **late))
    return small_campaign(
        CAMPAIGN, source=source, dates=tuple(dates), ingest=IngestParams(image_size=64, window_days=60), train=RESNET18
    )


def run_season(folder: Path, n_dates: int, refit_after: int, console: Console) -> list[Measured]:
    """Fit, score every date and fit again; return what every date cost."""
    from flows.acquisition import score_acquisition
    from flows.campaign import analyse_campaign

    season = [FIRST + timedelta(days=i) for i in range(n_dates)]
    store, database = folder / "store", folder / "prefect" / "database"
    analyse_campaign(campaign_of(season[:N_OWN], season), str(store))
    own, found, reports = N_OWN, list[Measured](), list[float]()
    with timed_reports(reports):
        for number in range(N_OWN + 1, n_dates + 1):
            ours, theirs = time.process_time(), server_seconds()
            score_acquisition(CAMPAIGN, season[number - 1], str(store))
            ours, theirs = time.process_time() - ours - reports[-1], server_seconds() - theirs
            is_last = number in (own + refit_after, n_dates)
            kept = kept_bytes(store, folder / "copy") if is_last else None
            sizes = disk_bytes(store), kept, disk_bytes(store / "reports"), disk_bytes(database)
            found.append(Measured(number, own, ours, reports[-1], theirs, *sizes))
            console.print(json.dumps(asdict(found[-1])), highlight=False, soft_wrap=True)
            if number == own + refit_after:
                own = number
                analyse_campaign(campaign_of(season[:own], season), str(store))
    return found


def season_table(found: Sequence[Measured]) -> Table:
    """Return means of the dates of every fit, and the sizes at its last."""
    table = Table()
    for head in ("dates", "of the fit", "score, s", "report, s", "server, s"):
        table.add_column(head, justify="right")
    for head in ("report", "store", "after gc", "database"):
        table.add_column(f"{head}, MB", justify="right")
    for own in sorted({one.n_own for one in found}):
        of_fit = [one for one in found if one.n_own == own]
        last = of_fit[-1]
        times = (mean(getattr(one, name) for one in of_fit) for name in ("score_s", "report_s", "server_s"))
        sizes = ((size or 0) / MB for size in (last.report, last.store, last.kept, last.database))
        table.add_row(
            f"{of_fit[0].number}-{last.number}", f"{own}", *(f"{s:.2f}" for s in times), *(f"{s:.1f}" for s in sizes)
        )
    return table


def main() -> None:
    """Run the season, print its table and write `build/bench-season.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dates", type=int, default=N_DATES)
    parser.add_argument("--refit-after", type=int, default=REFIT_AFTER, help="dates between two fits")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    asked = parser.parse_args()
    shutil.rmtree(asked.folder, ignore_errors=True)
    database = (asked.folder / "prefect" / "database").absolute()
    database.mkdir(parents=True)
    os.environ["PREFECT_HOME"] = str(database.parent)
    os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{database}/prefect.db"
    os.environ["OMP_NUM_THREADS"] = "1"
    from flows.cli.options import configure_prefect

    configure_prefect(logs=False)
    console = Console(width=150)
    found = run_season(asked.folder.absolute(), asked.dates, asked.refit_after, console)
    console.print(season_table(found))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps([asdict(one) for one in found], indent=1))


if __name__ == "__main__":
    main()
