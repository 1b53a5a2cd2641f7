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


def checked(campaign: FakeCampaign, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return harvest(
        "checked", CAMPAIGN, "--date", LATER, *arguments, "--store", campaign.root, environment={"TZ": "UTC"}
    )


def rows(campaign: FakeCampaign, table: str) -> list[dict[str, Any]]:
    path = local(campaign.store.root) / f"tables/{table}/campaign={CAMPAIGN}/date={LATER}/part-0.parquet"
    return duckdb.read_parquet(str(path)).to_arrow_table().to_pylist()


def test_what_qfield_wrote_is_in_the_table_and_the_report_is_renewed(campaign: FakeCampaign, tmp_path: Path) -> None:
    harvested = UPDATE.format(word="yes", at=AT, decision="harvest")
    left = UPDATE.format(word="yes", at=AT, decision="leave")
    done = checked(campaign, edited(campaign, tmp_path / "field.gpkg", harvested, left), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said, decided = json.loads(done.stdout), {row["plant_id"]: row for row in rows(campaign, "decided")}
    looked_at = {plant for plant, row in decided.items() if row["decision"] in ("harvest", "leave")}
    found = rows(campaign, "checks")
    assert {row["plant_id"] for row in found} == looked_at and len(found) == len(looked_at) > 2
    for row in found:
        assert (row["found"], row["checked_by"], row["remark"]) == ("ready", "Ada", "Blüte")
        assert row["checked_at"] == f"{AT}+00:00" and row["stands"]
        plant = decided[row["plant_id"]]
        assert (row["decision"], row["answer_reliability"]) == (plant["decision"], plant["answer_reliability"])
    # All plants were found ready: answers to harvest are right, and those to leave are wrong.
    counts = {row["decision"]: row for row in said["decisions"]}
    assert counts["harvest"]["n_right"] == counts["harvest"]["n"] > 0 == counts["harvest"]["n_wrong"]
    assert counts["leave"]["n_wrong"] == counts["leave"]["n"] > 0
    assert sum(row["n_audit"] for row in counts.values()) == sum(row["is_audit"] for row in found) > 0
    assert said["open_audit"] == [] and Path(said["report"]).stat().st_size > 10_000
    assert verify_store(campaign.store).problems == []


def test_a_second_look_replaces_the_first_and_both_stay(campaign: FakeCampaign, tmp_path: Path) -> None:
    first = edited(campaign, tmp_path / "first.gpkg", UPDATE.format(word="no", at=AT, decision="check"))
    second = UPDATE.format(word="yes", at="2021-09-11T09:00:00", decision="check").replace("Ada", "Bo")
    done = checked(campaign, first, edited(campaign, tmp_path / "second.gpkg", second))
    assert done.returncode == 0, done.stderr
    of_check = [row for row in rows(campaign, "checks") if row["decision"] == "check"]
    assert {(row["checked_by"], row["stands"]) for row in of_check} == {("Ada", False), ("Bo", True)}
    assert done.stdout.count("contradiction at ") == len(of_check) / 2
    assert "Bo found ready at 2021-09-11T09:00+00:00, which counts; Ada found not_ready at" in done.stdout
