"""Releases and folders of photographs are recognised, and folders that hold no source are refused."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import TypeAdapter

from storage.errors import InputError
from tasks.recognise.keys import Kind, content_of
from tasks.recognise.recognise import Found, recognise
from tasks.sources import AnySource
from tasks.sources.synthetic.layout_files import Layout
from tasks.sources.synthetic.layouts import write_season
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.season import Season, grow_season
from tests.support.first_field import write_first_field, write_lines

DAYS = (date(2022, 8, 25), date(2022, 9, 3))
SOURCE: Any = TypeAdapter(AnySource)


def look(root: Path, kind: Kind | None = None, day: date | None = None) -> Found:
    return recognise(root, kind, day, root / "campaign.toml")


def values(found: Found) -> dict[str, Any]:
    return {key.place: key.value for key in found.taken.keys if not key.is_open}


def listing(root: Path, found: Found) -> Any:
    """List the images by the recognised keys."""
    content = content_of(found.taken.keys)
    source = SOURCE.validate_python({**content["source"], "root": str(root)})
    return source.list_images([date.fromisoformat(day) for day in content["dates"]])


def refusal(root: Path, kind: Kind | None = None) -> InputError:
    with pytest.raises(InputError) as refused:
        look(root, kind)
    return refused.value


@pytest.fixture(scope="module")
def season() -> Season:
    return grow_season(SeasonParams(dates=DAYS, n_plots=1, rows=2, plants_per_row=4, image_size=32))


class TestReleases:
    @pytest.mark.parametrize("layout", ["growliflower", "growliflower-prepared", "growliflower-orthophoto", "fiftyone"])
    def test_every_layout(self, season: Season, tmp_path: Path, layout: Layout) -> None:
        write_season(season, tmp_path / "season", layout)
        found = look(tmp_path / "season")
        kind = layout.partition("-")[0]
        assert values(found) | {"source.kind": kind, "source.field": "Field2"} == values(found)
        standing = {one.acquired for one in season.observations if one.state != "harvested"}
        days = sorted(standing) if layout == "growliflower-prepared" else DAYS
        assert values(found)["dates"] == [day.isoformat() for day in days]
        assert found.unused == ("1 other file (.json)",)  # season.json of the generator
        images = listing(tmp_path / "season", found).images
        assert images and {image.split for image in images} <= {"train", "val", "test"}
        assert all(image.label is not None or image.harvest for image in images)

    def test_a_table_of_harvests_of_another_name(self, season: Season, tmp_path: Path) -> None:
        write_season(season, tmp_path / "season", "growliflower")
        (tmp_path / "season/harvest.csv").rename(tmp_path / "season/Ernte 22.csv")
        found = look(tmp_path / "season")
        assert values(found)["source.harvest_table.path"] == "Ernte 22.csv"
        assert listing(tmp_path / "season", found).matching.unlabelled == []

    def test_of_two_fields_the_one_with_more_dates_is_taken(self, season: Season, tmp_path: Path) -> None:
        write_season(season, tmp_path / "season", "growliflower")
        late = tmp_path / "season/GrowliFlowerR/Field1/2022_09_03"
        late.mkdir(parents=True)
        for path in (tmp_path / "season/GrowliFlowerR/Field2/2022_09_03").iterdir():
            (late / path.name).write_bytes(path.read_bytes())
        (key,) = [key for key in look(tmp_path / "season").taken.keys if key.name == "field"]
        assert key.value == "Field2" and key.others == (("Field1", "1 dates"),)

    def test_samples_in_a_folder_below(self, tmp_path: Path) -> None:
        write_lines(tmp_path / "release/samples.json", "{}")
        error = refusal(tmp_path)
        assert "release/samples.json in a folder below" in error.found and "name the folder" in error.remedy

    def test_damaged_samples(self, tmp_path: Path) -> None:
        (tmp_path / "samples.json").write_text("{")
        assert "fiftyone: samples.json, which cannot be used" in refusal(tmp_path).found


class TestPhotographs:
    @pytest.fixture
    def photographs(self, tmp_path: Path) -> Path:
        for i in range(6):
            path = tmp_path / "pictures" / f"bild {i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (32, 32), (40 * i, 9, 9)).save(path)
        return tmp_path

    def test_folders_of_splits_need_a_date(self, photographs: Path) -> None:
        names = ["train/a", "train/b", "val/a", "val/b", "test/a", "test/b"]
        for i, name in enumerate(names):
            (photographs / name).mkdir(parents=True)
            (photographs / f"pictures/bild {i}.png").rename(photographs / name / "1.png")
        error = refusal(photographs)
        assert "6 photographs without a date" in error.found and "--date" in error.remedy
        found = look(photographs, day=DAYS[0])
        assert values(found) == {"dates": ["2022-08-25"], "source.kind": "folder"}
        assert len(listing(photographs, found).images) == 6

    def test_a_manifest_with_other_names_of_columns(self, photographs: Path) -> None:
        splits = ["train", "train", "val", "val", "test", "test"]
        rows = [
            f"pictures/bild {i}.png;{splits[i]};{'ab'[i % 2]};{7 + i % 2}.9.2022;{7 + i / 1e4};50,6" for i in range(6)
        ]
        write_lines(photographs / "list.csv", "Image;subset;class;date;lon;lat", *rows)
        found = look(photographs)
        assert values(found) == {
            "dates": ["2022-09-07", "2022-09-08"],
            "source.kind": "folder",
            "source.manifest": "list.csv",
            "source.file_column": "Image",
            "source.split_column": "subset",
            "source.label_column": "class",
            "source.date_format": "%d.%m.%Y",
            "source.longitude_column": "lon",
            "source.latitude_column": "lat",
            "source.crs": "EPSG:32632",
        }
        images = listing(photographs, found).images
        assert len(images) == 6 and all(image.easting for image in images)

    def test_a_manifest_with_a_table_of_harvests(self, photographs: Path) -> None:
        splits = ["train", "train", "val", "val", "test", "test"]
        rows = [f"pictures/bild {i}.png,{splits[i]},2,E,{i},2022-08-25" for i in range(6)]
        write_lines(photographs / "manifest.csv", "file,split,plot,row,number,date", *rows)
        missing = look(photographs)
        assert next(key.place for key in missing.taken.keys if key.is_open) == "source.harvest_table.path"
        write_lines(photographs / "cut.csv", "plant,harvest", *(f"Plot2_E{i},2022-08-2{6 + i % 3}" for i in range(6)))
        found = look(photographs)
        assert values(found)["source.harvest_table.path"] == "cut.csv" and found.unused == ()
        assert all(image.harvest for image in listing(photographs, found).images)

    def test_photographs_without_splits(self, photographs: Path) -> None:
        error = refusal(photographs)
        assert "6 photographs in pictures, and neither folders of splits nor a manifest" in error.found
        assert "manifest.csv" in error.remedy


class TestFolders:
    def test_of_several_kinds_the_first_is_taken_and_the_other_is_named(self, season: Season, tmp_path: Path) -> None:
        write_season(season, tmp_path / "season", "folder")
        write_first_field(tmp_path / "season/drone")
        found = look(tmp_path / "season")
        assert found.taken.kind == "field" and list(found.others) == ["folder"]
        found = look(tmp_path / "season", "folder")
        assert found.taken.kind == "folder" and list(found.others) == ["field"]

    def test_what_nearly_is_a_source_of_a_kind_before_is_told(self, season: Season, tmp_path: Path) -> None:
        write_season(season, tmp_path / "season", "folder")
        write_first_field(tmp_path / "season/drone")
        (tmp_path / "season/drone/plants.gpkg").unlink()
        found = look(tmp_path / "season")
        assert found.taken.kind == "folder" and "2 orthophotos, and no file of plant" in found.nearly["field"]

    def test_a_kind_that_is_not_there(self, tmp_path: Path) -> None:
        error = refusal(write_first_field(tmp_path), "fiftyone")
        assert "holds no source of the kind fiftyone" in error.found

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ((), "is empty"),
            ((".hidden/a.txt",), "holds no file that can be read, but 1 hidden files and folders"),
            (("campaign.toml",), "holds no file that can be read"),
            (("notes.docx", "b.pdf"), "not used: 1 other file (.docx)"),
            (("old.xls",), "old.xls is a .xls spreadsheet; save the table as .xlsx"),
        ],
    )
    def test_folders_without_a_source(self, tmp_path: Path, files: tuple[str, ...], said: str) -> None:
        for name in files:
            write_lines(tmp_path / name, "a")
        assert said in refusal(tmp_path).found
