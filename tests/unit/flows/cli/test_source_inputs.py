"""Give `harvest plan` bad files of every source: exit code 2, one message that names the file, and no traceback."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.flows.cli.test_main import main

PLANT, OTHER = "2021_Ref_Plot1_A1", "2021_Ref_Plot1_A2"
FOLDER = "Field2/2021_08_23"
UTM = "2021_Ref_Plot1_UTM_Coordinates.txt"
PIXELS = f"{FOLDER}/Ref_Plot1_pix_Coordinates.txt"
SPLITS = f"{PLANT},1,2,3,train\n{OTHER},4,5,6,val\n"
Files = Mapping[str, str | bytes]

GROWLIFLOWER: dict[str, tuple[Files, str]] = {
    "empty harvest table": ({"harvest.csv": ""}, "begins with the cells none"),
    "column named twice": ({"harvest.csv": "plant_id,plant_id\n"}, "each once"),
    "other columns": ({"harvest.csv": "plant,day\n"}, "harvest.csv has no column plant_id, harvest_date"),
    "a cell too few": ({"harvest.csv": f"plant_id,harvest_date\n{PLANT}\n"}, "line 2, has 1 cells for 2 columns"),
    "a cell too many": ({"harvest.csv": f"plant_id,harvest_date\n{PLANT},2021-09-01,x\n"}, "has 3 cells"),
    "no plant": ({"harvest.csv": "plant_id,harvest_date\n,2021-09-01\n"}, "plant_id is empty in harvest.csv, lines 2"),
    "quotation mark left open": ({"harvest.csv": f'plant_id,harvest_date\n"{PLANT},2021-09-01\n'}, "quotation mark"),
    "day first": ({"harvest.csv": f"plant_id,harvest_date\n{PLANT},01.09.2021\n"}, "Malformed dates in harvest.csv: 1"),
    "day that is not": ({"harvest.csv": f"plant_id,harvest_date\n{PLANT},2021-09-31\n"}, "Malformed dates"),
    "number of Excel": ({"harvest.csv": f"plant_id,harvest_date\n{PLANT},44440\n"}, "Malformed dates"),
    "no date of a database": ({"harvest.csv": f"plant_id,harvest_date\n{PLANT},0001-01-01\n"}, "Malformed dates"),
    "year mistyped": ({"harvest.csv": f"plant_id,harvest_date\n{PLANT},2012-09-01\n"}, "outside the season: 1"),
    "year far ahead": ({"harvest.csv": f"plant_id,harvest_date\n{PLANT},2201-09-01\n"}, "outside the season: 1"),
    "Latin-1": ({"harvest.csv": "plant_id,harvest_date\nGr\xf6\xdfe,\n".encode("latin-1")}, "save the file as UTF-8"),
    "UTF-16": ({"harvest.csv": "plant_id,harvest_date\n".encode("utf-16")}, "save the file as UTF-8"),
    "UTF-16 without mark": ({"harvest.csv": "plant_id,x\n".encode("utf-16-le")}, "as a CSV file in UTF-8"),
    "workbook of Excel": ({"harvest.csv": b"PK\x03\x04\x14\0\x06\0"}, "as a CSV file in UTF-8"),
    "plants of another field": ({"harvest.csv": "plant_id,harvest_date\nx1,\nx2,\n"}, "ingest.max_unmatched"),
    "split of a plant twice": ({UTM: SPLITS + f"{PLANT},1,2,3,test\n"}, "in several splits"),
    "place of a plant twice": ({UTM: SPLITS + f"{PLANT},9,2,3,train\n"}, "several places"),
    "unknown split": ({UTM: f"{PLANT},1,2,3,holdout\n"}, f"{UTM}, line 1"),
    "easting in words": ({UTM: f"{PLANT},east,2,3,train\n"}, f"{UTM}, line 1"),
    "header of other names": ({UTM: "id,E,N,h,set\n" + SPLITS}, "name the columns plant, easting"),
    "UTM file in UTF-16": ({UTM: SPLITS.encode("utf-16")}, "save the file as UTF-8"),
    "pixel without y": ({PIXELS: "Ref_Plot1_A1 20\n"}, "line 1, holds"),
    "pixel in words": ({PIXELS: "Ref_Plot1_A1 20 12\nRef_Plot1_A2 x 12\n"}, "line 2, holds"),
    "pixel that is no number": ({PIXELS: "Ref_Plot1_A1 20 nan\nRef_Plot1_A2 2 12\n"}, "line 1, holds"),
    "pixels of another plot": ({PIXELS: "Ref_Plot7_A1 20 12\n"}, "plant of plot 1"),
    "prepared name without label": ({f"{FOLDER}/2021_08_23_Ref_Plot1_A3_7.tif": "x"}, "label 0 or 1"),
    "prepared name with another date": ({f"{FOLDER}/2021_08_24_Ref_Plot1_A3_1.tif": "x"}, "folder of its own date"),
    "image of a plant twice": ({f"{FOLDER}/{PLANT}.webp": "x"}, "Several images of one plant"),
}
MANIFESTS: dict[str, tuple[Files, str]] = {
    "no columns": ({"manifest.csv": "a,b\nc,d\n"}, "manifest.csv has no column file, split, label"),
    "no file": ({"manifest.csv": "file,split,label\n,train,x\n"}, "line 2, names no file"),
    "outside the root": ({"manifest.csv": "file,split,label\n../a.png,train,x\n"}, "outside the root"),
    "absolute path": ({"manifest.csv": "file,split,label\n/etc/hosts,train,x\n"}, "outside the root"),
    "unknown split": ({"manifest.csv": "file,split,label\na.png,holdout,x\n"}, "train, val, test or new"),
    "file twice": ({"manifest.csv": "file,split,label\na.png,train,x\na.png,train,x\n"}, "repeats files: 1"),
    "malformed date": ({"manifest.csv": "file,split,label,date\na.png,train,x,soon\n"}, "has the date 'soon'"),
    "two splits": (
        {"manifest.csv": "file,split,label,plant_id\na.png,train,x,p\nb.png,val,x,p\n"},
        "Plants in several splits: 1",
    ),
    "one class": ({"manifest.csv": "file,split,label\na.png,train,x\nb.png,val,x\n"}, "at least two classes"),
    "no images": ({"manifest.csv": "file,split,label\n"}, "has no images in split folders"),
    "semicolons in a comma's place": ({"manifest.csv": "file,split,label\na.png;train;x\n"}, "has 1 cells"),
}
SAMPLE: dict[str, Any] = {
    "task": "reference",
    "plant_id": PLANT,
    "field": "Field2",
    "acquisition_date": "2021-08-23",
    "filepath": "data/a.png",
    "in_situ_harvested": None,
}
SAMPLES: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "must be JSON"),
    "no samples": ("[]", '"samples"'),
    "no object": ([1], "must be a JSON object"),
    "key missing": ([{"task": "reference"}], "has no plant_id"),
    "number as id": ([{**SAMPLE, "plant_id": 7}], "text as plant_id"),
    "word as date": ([{**SAMPLE, "acquisition_date": "Monday"}], "ISO acquisition_date"),
    "wrapper without a date": ([{**SAMPLE, "acquisition_date": {"$date": "soon"}}], "ISO acquisition_date"),
    "number as flag": ([{**SAMPLE, "in_situ_harvested": 1}], "true or false"),
    "list as flag": ([{**SAMPLE, "in_situ_harvested": ["yes"]}], "true or false"),
    "unknown word": ([{**SAMPLE, "in_situ_harvested": "maybe"}], "Unknown harvest flags"),
    "year mistyped": ([{**SAMPLE, "in_situ_harvested": {"$date": "2012-09-01"}}], "outside the season: 1"),
    "outside the root": ([{**SAMPLE, "filepath": "../a.png"}], "outside the root"),
    "plant twice": ([SAMPLE, {**SAMPLE, "filepath": "data/b.png"}], "Several images of one plant"),
    "two splits": (
        [{**SAMPLE, "split": "train"}, {**SAMPLE, "acquisition_date": "2021-08-30", "split": "test"}],
        "Plants in several splits: 1",
    ),
    "unknown split": ([{**SAMPLE, "split": "pool"}], "unknown splits"),
    "other field": ([{**SAMPLE, "field": "Field1"}], "no reference sample of Field2"),
    "Latin-1": ('{"samples": ["\xe4"]}'.encode("latin-1"), "save the file as UTF-8"),
}


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)


def write(root: Path, files: Files) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


class Plan:
    """`harvest plan` of a source in a folder of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.monkeypatch, self.capsys = folder / "source", monkeypatch, capsys
        self.root.mkdir()

    def refusal(self, kind: str) -> str:
        """The one message that the command ends with."""
        file = self.root.parent / "field.toml"
        file.write_text(f'dates = ["2021-08-23"]\n[source]\nkind = "{kind}"\nroot = "source"\n')
        assert main(self.monkeypatch, "plan", file) == 2
        said = self.capsys.readouterr().err
        assert said.startswith("error: ")
        assert "\n  rule: " in said and "\n  remedy: " in said and "Traceback" not in said
        return said


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plan:
    return Plan(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("case", GROWLIFLOWER)
def test_growliflower(plan: Plan, case: str) -> None:
    files, message = GROWLIFLOWER[case]
    if PIXELS in files:
        save(plan.root / FOLDER / "Ref_Plot1_ortho.tif", 0)
    else:
        for seed, plant in enumerate((PLANT, OTHER)):
            save(plan.root / FOLDER / f"{plant}.png", seed)
    write(plan.root, {UTM: SPLITS, **files})
    assert message in plan.refusal("growliflower")


@pytest.mark.parametrize("case", MANIFESTS)
def test_manifests(plan: Plan, case: str) -> None:
    files, message = MANIFESTS[case]
    for seed, name in enumerate(("a.png", "b.png")):
        save(plan.root / name, seed)
    write(plan.root, files)
    assert message in plan.refusal("folder")


@pytest.mark.parametrize("case", SAMPLES)
def test_samples(plan: Plan, case: str) -> None:
    samples, message = SAMPLES[case]
    for seed, name in enumerate(("data/a.png", "data/b.png")):
        save(plan.root / name, seed)
    write(plan.root, {"samples.json": json.dumps({"samples": samples}) if isinstance(samples, list) else samples})
    assert message in plan.refusal("fiftyone")


@pytest.mark.parametrize("kind", ["growliflower", "folder", "fiftyone"])
def test_a_folder_without_images(plan: Plan, kind: str) -> None:
    write(plan.root, {"readme.txt": "nothing"})
    message = {"growliflower": "dates available: none", "folder": "has no images"}.get(kind, "samples.json")
    assert message in plan.refusal(kind)


@pytest.mark.parametrize("kind", ["growliflower", "folder", "fiftyone"])
def test_a_root_that_is_not_there(plan: Plan, kind: str) -> None:
    plan.root.rmdir()
    assert "There is no folder" in plan.refusal(kind)
