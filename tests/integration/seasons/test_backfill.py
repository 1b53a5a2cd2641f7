"""Many seasons scored with the fit of one."""

import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun

from flows.backfill import BackfillError, backfill_seasons
from flows.parameters import BackfillParams
from storage.artifacts import Store
from storage.errors import InputError
from storage.records.acquisitions import fit_digest
from storage.records.campaigns import CampaignRecord
from storage.tables import TABLES
from storage.tables.parquet import load_table
from storage.verify import verify_store
from tasks.sources.synthetic.params import SeasonParams
from tests.support.campaigns import most_at_once, task_runs
from tests.support.season_fields import TINY, YEAR_LATER, arrive, day_folder, spoil, write_field
from tests.support.season_runs import artifacts_of, flow_runs, table_bytes

SEASON = YEAR_LATER[:2]
BROKEN = SEASON[1]


@dataclass
class Seasons:
    """Three seasons of two dates in one store; one date of the third cannot be read."""

    store: Path
    root: Path
    whole: Path

    @property
    def params(self) -> BackfillParams:
        """North and south are drawn in memory, east lies in a folder."""
        drawn = {
            name: {"kind": "synthetic", "season": SeasonParams(dates=SEASON, seed=seed, **TINY)}
            for name, seed in (("north", 3), ("south", 4))
        }
        sources = {**drawn, "east": {"kind": "growliflower", "root": str(self.root)}}
        seasons = [{"campaign": name, "fitted_by": "small", "source": one} for name, one in sources.items()]
        return BackfillParams.model_validate({"name": "all-seasons", "at_most": 2, "seasons": seasons})

    def run(self) -> list[dict[str, Any]]:
        """Rows of a backfill; where dates fail, of its error."""
        try:
            return backfill_seasons(self.params, str(self.store))
        except BackfillError as error:
            return error.rows

    def scoring(self) -> list[FlowRun]:
        """Flow runs that scored a date, or tried to, the oldest first."""
        names = tuple(f"score {season.campaign} " for season in self.params.seasons)
        return [run for run in flow_runs("score ") if run.name.startswith(names)]

    def table(self) -> list[dict[str, Any]]:
        file = self.store / "tables/backfill/backfill=all-seasons/part-0.parquet"
        return load_table(file, TABLES["backfill"]).to_pylist()


@pytest.fixture(scope="module")
def seasons(fitted: CampaignRecord, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Seasons:
    folder = tmp_path_factory.mktemp("seasons")
    whole = write_field(folder / "whole", dates=SEASON, seed=5, **TINY)
    root = folder / "east"
    shutil.copytree(whole, root)
    spoil(root, BROKEN)
    return Seasons(store, root, whole)


class TestBackfill:
    def test_many_seasons_and_a_broken_date(self, seasons: Seasons, fitted: CampaignRecord) -> None:
        fit = fit_digest(fitted.artifacts)
        first = seasons.run()
        days = [(season, str(day)) for season in ("north", "south", "east") for day in SEASON]
        assert [(row["season"], row["acquired"]) for row in first] == days
        assert Counter(row["state"] for row in first) == {"scored": 5, "failed": 1}
        (failed,) = (row for row in first if row["state"] == "failed")
        assert (failed["season"], failed["acquired"]) == ("east", str(BROKEN)) and "may be bad" in failed["detail"]
        assert failed["n_images"] is None and {row["fit"] for row in first} == {fit}
        by_id = {str(run.id): run.name for run in seasons.scoring()}
        assert [by_id[row["flow_run"]] for row in first] == [
            f"score {row['season']} {row['acquired']}" for row in first
        ]
        written = seasons.table()
        assert [{**row, "acquired": str(row["acquired"])} for row in written] == first and len(written) == 6
        runs = seasons.scoring()
        assert len(runs) == 6 and most_at_once(runs) <= 2
        # What runs two at a time are the tasks; a flow run in them may have to wait for a server that keeps SQLite.
        tasks = task_runs(flow_runs("backfill all-seasons")[-1].id, 6 + len(runs) + 1)
        assert most_at_once([task for task in tasks if task.name.startswith("backfill ")]) == 2
        shown = artifacts_of(flow_runs("backfill all-seasons")[-1].id)["all-seasons--backfill-summary"].splitlines()
        assert shown[0] == "1 failed, 5 scored" and f"- east {BROKEN}: {failed['detail']}".startswith(shown[2])

        # Again: nothing is computed but what failed, which fails again.
        before = table_bytes(seasons.store)
        again = seasons.run()
        assert Counter(row["state"] for row in again) == {"present": 5, "failed": 1}
        counts = ("n_images", "n_check", "n_swapped", "is_outside")
        assert [[row[name] for name in counts] for row in again] == [[row[name] for name in counts] for row in first]
        after = table_bytes(seasons.store)
        assert {name for name in before if before[name] != after[name]} == {
            "tables/backfill/backfill=all-seasons/part-0.parquet"
        }
        assert [run.name for run in seasons.scoring()[6:]] == [f"score east {BROKEN}"]

        # Mended: that date alone.
        arrive(seasons.whole, seasons.root, BROKEN)
        mended = seasons.run()
        assert Counter(row["state"] for row in mended) == {"present": 5, "scored": 1}
        assert [(row["season"], row["acquired"]) for row in mended if row["state"] == "scored"] == [
            ("east", str(BROKEN))
        ]
        assert [run.name for run in seasons.scoring()[7:]] == [f"score east {BROKEN}"]
        assert [row["detail"] for row in seasons.table()] == [""] * 6

        # A file that was copied once more: its date is scored again, and gives the same.
        before = table_bytes(seasons.store)
        os.utime(next(day_folder(seasons.root, SEASON[0]).iterdir()))
        assert [(row["season"], row["acquired"]) for row in seasons.run() if row["state"] == "scored"] == [
            ("east", str(SEASON[0]))
        ]
        after = table_bytes(seasons.store)
        assert {name for name in before if before[name] != after[name]} == {
            "tables/backfill/backfill=all-seasons/part-0.parquet"
        }
        assert Counter(row["state"] for row in seasons.run()) == {"present": 6}
        assert verify_store(Store(seasons.store)).problems == []

    def test_an_unknown_campaign_stops_everything_before_it_begins(self, seasons: Seasons) -> None:
        listed = [*seasons.params.model_dump()["seasons"], {"campaign": "absent"}]
        params = BackfillParams.model_validate({"name": "wrong", "seasons": listed})
        n_before = len(flow_runs("score "))
        with pytest.raises(InputError, match="no record of 'absent'"):
            backfill_seasons(params, str(seasons.store))
        assert len(flow_runs("score ")) == n_before
        assert not (seasons.store / "tables/backfill/backfill=wrong").exists()
