"""Test `harvest init` through the command line: file, terminal, JSON, and what is refused."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.cli.preparing.init import write_init
from flows.cli.run_file import load_run_file
from storage.errors import InputError
from tasks.sources.synthetic.layout_files import Layout
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import grow_season
from tests.support.first_field import (
    CRS,
    DAYS,
    PLANTS,
    TRANSFORM,
    draw,
    write_first_field,
    write_lines,
    write_orthos,
    write_plants,
)
from tests.support.orthophotos import write_raster
from tests.support.repository import ROOT
from tests.unit.flows.cli.test_main import is_one_message, main


@pytest.fixture
def field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_first_field(tmp_path / "Feld 7")


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_file_terminal_and_json_agree(
    field: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(monkeypatch, "init", field, "--out", "a.toml", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (
        found["file"] == "a.toml"
        and found["source"] == "field"
        and found["unused"] == ["cut.xlsx, sheet notes: not needed"]
    )
    assert found["dates"] == [day.isoformat() for day in DAYS] == read(Path("a.toml"))["dates"]
    assert found["listed"]["n_images"] == len(PLANTS) * 2 and found["listed"]["n_labelled"] == len(PLANTS) * 2
    assert {*found["listed"]["splits"]} == {"train", "val", "test"}
    lines = Path("a.toml").read_text().splitlines()
    (asked,) = found["questions"]
    assert f"# ? {asked['text']}".startswith(lines[asked["line"] - 1]) and asked["text"].endswith("get no label.")
    assert main(monkeypatch, "init", field) == 0
    said = capsys.readouterr().out
    path = field / "campaign.toml"
    assert said.endswith(f"next:\n  harvest look '{path}'\n  harvest run '{path}'\n")
    assert all(line in said for line in found["recognised"]) and "72 of 36 plants" in said
    own = read(path)
    assert own["source"].pop("root") == "." and own["campaign"] == "feld-7"
    other = read(Path("a.toml"))
    assert other["source"].pop("root") == "Feld 7" and other == own
    params, _ = load_run_file(path)
    assert params.source.available_dates() == DAYS


@pytest.mark.parametrize("layout", ["growliflower", "fiftyone", "folder"])
def test_files_of_other_sources_are_loaded_and_listed(
    layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    season = grow_season(SeasonParams(n_plots=1, rows=2, plants_per_row=3, image_size=32))
    write_season(season, tmp_path / "season", layout)
    assert main(monkeypatch, "init", tmp_path / "season", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    params, _ = load_run_file(Path(found["file"]))
    listing = params.source.list_images(params.dates)
    assert found["source"] == layout and found["listed"]["n_images"] == len(listing.images) > 0


def test_a_note_of_the_listing_is_a_question_at_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """White plants in an orthophoto with the no-data value 255 are told where they are to be decided."""
    bands = draw(DAYS[0])
    bands[bands == 240] = 255
    write_raster(tmp_path / "2024-06-03.tif", bands, TRANSFORM, CRS, nodata=255)
    write_plants(tmp_path / "plants.gpkg", plant=PLANTS)
    found = write_init(tmp_path, tmp_path / "campaign.toml", None, None)
    text = (tmp_path / "campaign.toml").read_text()
    assert (
        'nodata = "mask"\n# nodata = "ignore"' in text
        and read(tmp_path / "campaign.toml")["source"]["nodata"] == "mask"
    )
    assert any("12 of 36 plants have no-data pixels" in one["text"] for one in found["questions"])


def test_images_that_cannot_be_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is written with what is wrong at its top, and the command ends with exit code 2."""
    write_orthos(tmp_path)
    write_plants(tmp_path / "plants.gpkg", plant=PLANTS)
    write_lines(tmp_path / "harvest.csv", "plant_id,harvest_date", "A1-01,1999-06-04")
    assert main(monkeypatch, "init", tmp_path) == 2
    error = capsys.readouterr().err
    assert "campaign.toml is written, and its images cannot be listed: Dates in harvest.csv outside" in error
    assert "Traceback" not in error and "Dates in harvest.csv outside" in (tmp_path / "campaign.toml").read_text()


def test_values_that_no_campaign_may_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plants 2 km apart are told by the loader, with the line of the file."""
    write_orthos(tmp_path)
    rows = [f"{365000 + 2000 * (i % 5)},{5614000 - 2000 * (i // 5)}" for i in range(25)]
    write_lines(tmp_path / "plants.csv", "easting,northing", *rows)
    assert main(monkeypatch, "init", tmp_path) == 2
    error = capsys.readouterr().err
    assert is_one_message(error) and "source.crop_metres: must be at most 1000, got 2000" in error
    assert (tmp_path / "campaign.toml").exists()


def test_without_labels_a_run_is_not_what_comes_next(
    field: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (field / "cut.xlsx").unlink()
    assert main(monkeypatch, "init", field) == 0
    said = capsys.readouterr().out
    assert said.endswith("labels, without which harvest run cannot train\n") and said.count("  line ") == 1
    assert "Which plants were cut when?" in said


def test_many_crops_are_left_to_the_look(
    field: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.cli.preparing.init.MOST_CROPS", 71)
    assert main(monkeypatch, "init", field) == 0
    assert "images: 72 crops, too many to list here; harvest look lists them" in capsys.readouterr().out


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["gone"], "gone does not exist"),
            (["Feld 7/cut.xlsx"], "cut.xlsx is a file"),
            (["empty"], "/empty is empty"),
            (["Feld 7", "--out", "there.toml"], "there.toml exists"),
            (["Feld 7", "--out", "link.toml"], "link.toml exists"),
            (["Feld 7", "--out", "gone/a.toml"], "There is no folder gone"),
            (["Feld 7", "--source", "fiftyone"], "holds no source of the kind fiftyone"),
            (
                ["Feld 7", "--date", "2024-06-03"],
                "--date is 2024-06-03, and the images have the dates 2024-06-03, 2024-",
            ),
            (["undated"], "1 orthophotos without a date in their paths"),
        ],
    )
    def test_one_message_and_no_file(
        self,
        field: Path,
        arguments: list[str],
        said: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        Path("empty").mkdir()
        Path("there.toml").write_text("own")
        Path("link.toml").symlink_to("nowhere.toml")
        write_raster(Path("undated/ortho.tif"), draw(DAYS[0]), TRANSFORM, CRS)
        assert main(monkeypatch, "init", *arguments) == 2
        error = capsys.readouterr()
        assert error.out == "" and is_one_message(error.err) and said in error.err
        assert Path("there.toml").read_text() == "own" and not (field / "campaign.toml").exists()
        assert not Path("nowhere.toml").exists()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
    def test_a_folder_that_may_not_be_read(self, field: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        field.chmod(0)
        try:
            assert main(monkeypatch, "init", field) == 2
        finally:
            field.chmod(0o700)

    def test_early_errors_import_nothing_heavy(self, tmp_path: Path) -> None:
        program = (
            "import sys; from flows.cli.main import main; sys.argv[0] = 'harvest'\n"
            "try:\n    main()\nexcept SystemExit as ended:\n    code = ended.code\n"
            "heavy = {'torch', 'prefect', 'numpy', 'rasterio', 'pyogrio', 'geopandas', 'openpyxl'}\n"
            "print(code, *sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, "init", str(tmp_path / "gone")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == "2"


# Names that a file system takes: no slash and no zero byte, and short enough with the date.
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES | st.sampled_from(['a"b', "a\\b", "a'b", "Möhren Süd", " # ", "a\nb", "a*b?", "{date}", "~", "|"]))
def test_odd_names_come_back(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Orthophotos in a folder of any name are loaded as they were recognised; a bar is refused in one message."""
    root = tmp_path_factory.mktemp("odd")
    small = np.ascontiguousarray(draw(DAYS[0])[:, :60, :60])
    path = write_raster(root / f"2024-06-03 {name}.x" / "ortho.tif", small, TRANSFORM, CRS)
    write_lines(root / "plants.csv", "easting,northing", "365000.5,5614999.5", "365001,5614999.0")
    if "|" in name:
        with pytest.raises(InputError, match="rename the file"):
            write_init(root, root / "campaign.toml", None, None)
        return
    write_init(root, root / "campaign.toml", None, None)
    params, _ = load_run_file(root / "campaign.toml")
    source: Any = params.source
    listed = source.list_images(params.dates)
    assert {image.path for image in listed.images} == {path.relative_to(root).as_posix()}
