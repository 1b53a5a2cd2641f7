"""Give `harvest plan` and `harvest run` wrong fields: exit code 2, one message, and no traceback."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.orthophotos import small_transform, write_vrt
from tests.support.small_field import CRS, LINES, save, write_field
from tests.unit.flows.cli.test_main import main

CAMPAIGN = """
dates = ["2024-05-01"]
[source]
kind = "field"
root = "field7"
rasters = "ortho_{date}.tif"
crop_metres = 1.0
crs = "EPSG:32632"
[source.plants]
path = "plants.csv"
crs = "EPSG:32632"
id_column = "id"
[export]
crs = "EPSG:32632"
"""


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command on the campaign with some text replaced, and returns its message."""
    write_field(tmp_path / "field7")

    def run(command: str, old: str = "", new: str = "") -> str:
        assert old in CAMPAIGN
        (tmp_path / "field.toml").write_text(CAMPAIGN.replace(old, new, 1))
        arguments = ["--store", tmp_path / "store"] if command == "run" else []
        assert main(monkeypatch, command, tmp_path / "field.toml", *arguments) == 2
        said = capsys.readouterr()
        assert "\n  rule: " in said.err and "\n  remedy: " in said.err and "Traceback" not in said.err
        assert not (tmp_path / "store").exists()
        return said.err

    return run


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("crop_metres", "crop_meters", "did you mean crop_metres?"),
        ("{date}", "date", "the pattern must hold {date} once"),
        ('path = "plants.csv"\n', "", "source.plants.path: missing"),
        (
            "[export]",
            "[source.shift]\n2024-05-02 = [0.1, 0]\n[export]",
            "names 2024-05-02, and there are orthophotos of",
        ),
        ("[export]", "[source.shift]\n2024-05-01 = [90, 0]\n[export]", "would lie more than 50 m from the plants"),
        ("[export]", "[source.shift]\n2024-05-01 = [nan, 0]\n[export]", "source.shift"),
        ('"plants.csv"', '"plants.gpkg"', "correct source.plants.path"),
        ("2024-05-01", "2024-05-02", "dates available: 2024-05-01, 2024-05-08"),
        ('crs = "EPSG:32632"\n[source.plants]', "[source.plants]", "EPSG:32632 and source.crs is EPSG:25832"),
        ('"ortho_{date}.tif"', '{"2024-05-01" = "http://127.0.0.1:9/ortho.tif"}', "cannot be reached"),
        ('"ortho_{date}.tif"', '{"2024-05-01" = "s3://key:secret@flights/ortho.tif"}', "has a user, a key"),
        ('id_column = "id"', 'row_column = "row"', "add number_column or id_column"),
    ],
)
def test_what_the_file_shows_is_told_before_a_run(say: Any, old: str, new: str, message: str) -> None:
    assert message in say("run", old, new)


def test_a_vrt_of_missing_files_is_one_message(say: Any, tmp_path: Path) -> None:
    vrt = tmp_path / "field7/2024-05-01.vrt"
    write_vrt(vrt, (3, 80, 80), small_transform(), CRS, {"gone.tif": (0, 0, 80, 80)})
    assert "2024-05-01.vrt names 1 of 1 files that are not there" in say("plan", "ortho_{date}.tif", "{date}.vrt")


def test_what_the_files_show_is_told_before_a_plan(say: Any, tmp_path: Path) -> None:
    assert "set source.crs to EPSG:32614" in say("plan", f'crs = "{CRS}"\nid', 'crs = "EPSG:32614"\nid')
    save(tmp_path / "field7", *LINES, LINES[0])
    assert "Plants of plants.csv with the same id: 1" in say("plan")
    assert "set source.crop_metres" in say("plan", "crop_metres = 1.0\n")
