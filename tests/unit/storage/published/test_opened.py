"""Open every exported file with a program that others wrote: GDAL, geopandas, LibreOffice and a model of RFC 7946."""

import csv
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import geopandas
import openpyxl
import pytest
from geojson_pydantic import Feature, FeatureCollection, Point

from storage.published.walks import WALK
from tasks.decide.audit_plants import audit_plants, audit_seed
from tasks.export.params import FieldParams
from tests.support.exported import CRS, HOSTILE_ID, LICENCE, Exported, exported

pytestmark = pytest.mark.slow  # starts programs

LAST = 300  # seconds after which a program hangs
EXTENT = re.compile(r"^Extent: \(([-\d.]+), ([-\d.]+)\) - \(([-\d.]+), ([-\d.]+)\)$", re.MULTILINE)
# LibreOffice's options of CSV: comma, quotation mark, UTF-8, from the first line; every sheet in a file of its own.
EVERY_SHEET = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"
AS_TEXT_FILE = "Text - txt - csv (StarCalc):44,34,76,1"
A4_ACROSS = (842, 595)  # points


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(tmp_path_factory.mktemp("store"))


def program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: apt-get install {package}")
    return found


def said(*command: str | Path) -> str:
    """Return what a program says. It must succeed without a word on standard error, where warnings go."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=LAST)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def summary(file: Path, layer: str) -> tuple[int, tuple[float, ...], str]:
    """Return the number of features of a layer, its extent, and all that GDAL's `ogrinfo` says of it."""
    text = said(program("ogrinfo", "gdal-bin"), "-ro", "-so", file, layer)
    assert "warning" not in text.lower()
    (count,) = re.findall(r"^Feature Count: (\d+)$", text, re.MULTILINE)
    (corners,) = EXTENT.findall(text)
    return int(count), tuple(map(float, corners)), text


class TestGdal:
    """GDAL's own command line, in the version of the distribution."""

    def test_a_geopackage_has_points_and_plots(self, files: Exported) -> None:
        n, extent, text = summary(files.file("decisions.gpkg"), "decisions")
        assert n == len(files.decided) and extent == pytest.approx(files.metres(), abs=1e-6)
        assert 'ID["EPSG",25832]' in text and "Geometry: Point" in text and "licence=" + LICENCE in text
        assert "decision: String (0.0), domain name=decision" in text
        n, extent, text = summary(files.file("decisions.gpkg"), "plots")
        assert n == 1 and "Geometry: Polygon" in text
        inside = [files.places[plant] for plant in files.ids() - {HOSTILE_ID}]
        (west, east), (south, north) = ((min(one), max(one)) for one in zip(*inside, strict=True))
        margin = extent[2] - east
        assert 0.2 < margin < 1
        assert extent == pytest.approx((west - margin, south - margin, east + margin, north + margin))

    def test_a_geojson_has_every_plant(self, files: Exported) -> None:
        n, extent, text = summary(files.file("decisions.geojson"), "decisions")
        assert n == len(files.decided) and extent == pytest.approx(files.degrees(), abs=2e-6)
        assert 'ID["EPSG",4326]' in text

    @pytest.mark.parametrize("tour", ["harvest", "check"])
    @pytest.mark.parametrize(("kind", "layer"), [("gpx", "waypoints"), ("kml", "")])
    def test_a_tour_has_its_plants(self, files: Exported, tour: str, kind: str, layer: str) -> None:
        n, extent, _ = summary(files.file(f"{tour}.{kind}"), layer or tour)
        assert n == len(files.ids(tour)) and extent == pytest.approx(files.degrees(tour), abs=2e-6)


class TestGeopandas:
    @pytest.mark.parametrize("name", ["decisions.parquet", "decisions.gpkg", "decisions.geojson"])
    def test_plants_stand_where_they_are(self, files: Exported, name: str) -> None:
        path = files.file(name)
        read = (
            geopandas.read_parquet(path) if path.suffix == ".parquet" else geopandas.read_file(path, layer="decisions")
        )
        found: Any = read.to_crs(CRS).set_index("plant_id")
        assert found["decision"].to_dict() == {row["plant_id"]: row["decision"] for row in files.decided}
        for plant, point in found.geometry.items():
            place = None if point is None else (point.x, point.y)
            assert place == (None if plant not in files.places else pytest.approx(files.places[plant], abs=0.02))

    def test_the_plot_counts_its_plants(self, files: Exported) -> None:
        (plot,) = geopandas.read_file(files.file("decisions.gpkg"), layer="plots").to_dict("records")
        inside = [row for row in files.decided if row["plant_id"] != HOSTILE_ID]
        assert (plot["plot"], plot["n_plants"]) == ("1", len(inside))
        for word in ("harvest", "leave", "check"):
            assert plot[f"n_{word}"] == sum(row["decision"] == word for row in inside)
        assert plot["n_ready_lower"] < plot["n_ready"] < plot["n_ready_upper"]
        assert plot["n_ready"] == pytest.approx(sum(row["ready_probability"] for row in inside))


def test_a_model_of_rfc_7946_accepts_the_geojson(files: Exported) -> None:
    """Positions are in degrees, longitude first; nothing names another system (RFC 7946, section 4)."""
    text = files.file("decisions.geojson").read_text("utf-8")
    found = FeatureCollection[Feature[Point, dict[str, Any]]].model_validate_json(text)
    points = [one.geometry.coordinates for one in found.features if one.geometry is not None]
    assert len(points) == len(files.ids()) < len(found.features)
    west, south, east, north = files.degrees()
    for x, y, *_ in points:
        assert west - 1e-7 <= x <= east + 1e-7 and south - 1e-7 <= y <= north + 1e-7
    assert '"crs": {' not in text


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the settings of LibreOffice, so that nobody else's are used."""
    return tmp_path_factory.mktemp("profile")


class TestLibreOffice:
    """LibreOffice opens the spreadsheets without a window, and writes what it sees."""

    def converted(self, profile: Path, folder: Path, file: Path, to: str, *options: str) -> list[Path]:
        user = f"-env:UserInstallation={profile.as_uri()}"
        command = [program("soffice", "libreoffice-calc-nogui"), user, "--headless", *options]
        subprocess.run(
            [*command, "--convert-to", to, "--outdir", folder, file], check=True, capture_output=True, timeout=LAST
        )
        return sorted(folder.iterdir())

    def test_its_cells_are_those_of_the_tables(self, files: Exported, profile: Path, tmp_path: Path) -> None:
        made = self.converted(profile, tmp_path, files.file("decisions.xlsx"), EVERY_SHEET)
        assert [path.name for path in made] == [f"decisions-{name}.csv" for name in ("About", "Details", "Walk")]
        about, details, walk = (table(path) for path in made)
        assert [row["plant"] for row in walk] == listed(files)
        decided = {row["plant_id"]: row for row in files.decided}
        drawn = audit_plants(files.decided, FieldParams().audit_share, audit_seed("field2-2021", date(2021, 8, 23)))
        for row in walk:
            plant = decided[row["plant"]]
            shown = (row["decision"], float(row["probability"]))
            assert shown == (plant["decision"], round(plant["ready_probability"], 2))
            assert row["why"].removesuffix("random") == ", ".join(plant["check_reason"].split())
            assert row["why"].endswith("random") == (row["plant"] in drawn)
            assert bool(row["position"]) == (row["plant"] in files.places)
        for row in details:
            plant = decided[row["plant id"]]
            assert row["date"] == "2021-08-23"
            assert float(row["answer reliability (0..1)"]) == pytest.approx(plant["answer_reliability"])
            east = files.places.get(plant["plant_id"], (None,))[0]
            assert (float(row["easting (m)"]) if row["easting (m)"] else None) == east
        assert {row["meaning"] for row in about} >= {
            LICENCE,
            "EPSG:25832",
            *(column.meaning for column in WALK.columns),
        }

    def test_it_prints_across_on_a4(self, files: Exported, profile: Path, tmp_path: Path) -> None:
        (made,) = self.converted(profile, tmp_path, files.file("decisions.xlsx"), "pdf")
        pages = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", made.read_bytes())
        assert len(pages) >= 3
        assert {(round(float(width)), round(float(height))) for width, height in pages} == {A4_ACROSS}

    @pytest.mark.parametrize("name", ["walk.csv", "decisions.csv"])
    def test_no_cell_of_a_csv_is_a_formula(self, files: Exported, profile: Path, tmp_path: Path, name: str) -> None:
        (made,) = self.converted(profile, tmp_path, files.file(name), "xlsx", f"--infilter={AS_TEXT_FILE}")
        page: Any = openpyxl.load_workbook(made).active
        heading, *rows = page.iter_rows()
        assert {cell.data_type for row in rows for cell in row}.isdisjoint({"f", "e"})
        plants = [str(cell.value) for cell in column(rows, [cell.value for cell in heading].index(heading_of(name)))]
        assert sorted(plants) == sorted([f"'{HOSTILE_ID}", *(set(listed(files)) - {HOSTILE_ID})])


def heading_of(name: str) -> str:
    return "plant" if name == "walk.csv" else "plant_id"


def column(rows: Sequence[Any], i: int) -> list[Any]:
    return [row[i] for row in rows]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def listed(files: Exported) -> list[str]:
    """Return the plants of the short list in its order, without the apostrophe that shields a formula."""
    rows = csv.DictReader(files.file("walk.csv").read_text("utf-8-sig").splitlines())
    return [row["plant"].removeprefix("'") for row in rows]
