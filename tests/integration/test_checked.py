"""Edit an exported GeoPackage with GDAL's own program as QField does, and take it back by the installed command."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from storage.verify import verify_store
from tests.support.documented_store import CAMPAIGN, write_documented_store
from tests.support.local_stores import local
from tests.support.report_campaign import DAYS, FakeCampaign
from tests.unit.flows.cli.test_main import harvest

LATER = DAYS[1]  # date on which nobody has looked at a plant
AT = "2021-09-10T16:30:00"  # time as QGIS 3.22 writes it: that of the place, without a zone
NEXT_DAY = "2021-09-11T09:00:00"
UPDATE = (
    "UPDATE decisions SET checked_ready = '{word}', checked_by = 'Ada', checked_at = '{at}', remark = 'Blüte' "
    "WHERE decision = '{decision}'"
)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> FakeCampaign:
    return write_documented_store(tmp_path_factory.mktemp("store"))


def edited(campaign: FakeCampaign, to: Path, *statements: str) -> Path:
    """Copy the GeoPackage of a date and change it by SQL, with GDAL's `ogrinfo`."""
    program = shutil.which("ogrinfo")
    if program is None:
        pytest.skip("needs ogrinfo: apt-get install gdal-bin")
    shutil.copy(local(campaign.store.root / f"exports/{CAMPAIGN}/{LATER}/{CAMPAIGN}_{LATER}_gradcam.gpkg"), to)
    for statement in statements:
        done = subprocess.run([program, to, "-sql", statement], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return to


def rows(campaign: FakeCampaign, table: str) -> list[dict[str, Any]]:
    path = local(campaign.store.root) / f"tables/{table}/campaign={CAMPAIGN}/date={LATER}/part-0.parquet"
    return duckdb.read_parquet(str(path)).to_arrow_table().to_pylist()


def test_what_people_wrote_in_qfield_is_in_the_table_and_the_report_is_renewed(
    campaign: FakeCampaign, tmp_path: Path
) -> None:
    """Ada finds every plant ready that is acted on, and none to check. Bo comes a day later, and finds these ready."""
    harvested, left = (UPDATE.format(word="yes", at=AT, decision=word) for word in ("harvest", "leave"))
    doubted = UPDATE.format(word="no", at=AT, decision="check")
    again = UPDATE.format(word="yes", at=NEXT_DAY, decision="check").replace("Ada", "Bo")
    ada = edited(campaign, tmp_path / "ada.gpkg", harvested, left, doubted)
    bo = edited(campaign, tmp_path / "bo.gpkg", again)
    where = ("--date", LATER, "--store", campaign.root, "--json")
    done = harvest("checked", CAMPAIGN, ada, bo, *where, environment={"TZ": "UTC"})
    assert done.returncode == 0, done.stderr
    said, decided = json.loads(done.stdout), {row["plant_id"]: row for row in rows(campaign, "decided")}
    found = rows(campaign, "checks")
    standing = {row["plant_id"]: row for row in found if row["stands"]}
    assert standing.keys() == decided.keys() and {row["found"] for row in standing.values()} == {"ready"}
    for plant, row in standing.items():
        assert (row["decision"], row["answer_reliability"]) == (
            decided[plant]["decision"],
            decided[plant]["answer_reliability"],
        )
        is_doubted = row["decision"] == "check"
        assert (row["checked_by"], row["remark"]) == ("Bo" if is_doubted else "Ada", "Blüte")
        assert row["checked_at"] == f"{NEXT_DAY if is_doubted else AT}+00:00"
    replaced = [row for row in found if not row["stands"]]
    assert {(row["checked_by"], row["found"], row["decision"]) for row in replaced} == {("Ada", "not_ready", "check")}
    assert {one["plant_id"] for one in said["contradictions"]} == {row["plant_id"] for row in replaced}
    counts = {row["decision"]: row for row in said["decisions"]}
    assert counts["harvest"]["n_right"] == counts["harvest"]["n"] > 0 == counts["harvest"]["n_wrong"]
    assert counts["leave"]["n_wrong"] == counts["leave"]["n"] > 0
    assert sum(row["n_audit"] for row in counts.values()) == sum(row["is_audit"] for row in standing.values()) > 0
    assert said["open_audit"] == [] and Path(said["report"]).stat().st_size > 10_000
    assert verify_store(campaign.store).problems == []
