"""Look at a folder with planted faults: each is found and named, and the counts are those of a run's survey."""

import re
import shutil
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from storage.artifacts import Store
from storage.errors import InputError
from tasks.ingest.checks import Counts
from tasks.ingest.ingest import survey_source
from tasks.ingest.listing import BAD_FILE_REASONS
from tasks.ingest.params import IngestParams
from tasks.look.findings import SUSPICIOUS_FLAGS
from tasks.look.look import CampaignLook, look_at_campaign
from tasks.look.page import count_rows, render_look
from tasks.look.words import MEANINGS
from tasks.report.words import REASONS
from tasks.sources.folder.source import FolderSource
from tasks.sources.synthetic.params import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource

DATES = (date(2021, 8, 23), date(2021, 8, 30))
SEASON = SeasonParams(n_plots=1, rows=4, plants_per_row=6, image_size=64, dates=DATES)
PARAMS = IngestParams(max_bad_share=0.5)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a season as a folder with a manifest and a harvest table, and spoil single images and rows."""
    root, season = tmp_path_factory.mktemp("planted"), SyntheticSource(season=SEASON)
    lines = ["file,split,plant_id,date,easting,northing"]
    for one in season.list_images(DATES).images:
        name = f"{one.plant_id.removeprefix('2021_Ref_')}_{one.acquired.day}.png"
        Image.fromarray(season.read_image(one)).save(root / name)
        lines.append(f"{name},{one.split},{one.plant_id},{one.acquired},{one.easting},{one.northing}")
    spoil(root)
    lines.remove(next(line for line in lines if line.startswith("Plot1_D6_30.png")))
    (root / "Plot1_D6_30.png").unlink()
    (root / "manifest.csv").write_text("\n".join(lines).replace("Plot1_C3_23.png", "Plot1_C3_23.jpg") + "\n")
    plants = sorted({line.split(",")[2] for line in lines[1:]} - {"2021_Ref_Plot1_D1"})
    days = ("2021-08-24", "2021-09-20", "2021-09-01", "2021-09-10")
    rows = [f"{plant},{days[i % 4]}" for i, plant in enumerate(plants)]
    (root / "harvest.csv").write_text("\n".join(["plant_id,harvest_date", *rows, "P99,2021-09-20"]) + "\n")
    return root


def spoil(root: Path) -> None:
    """Plant one fault of each kind in the files."""
    Image.new("RGB", (64, 64), (120, 120, 120)).save(root / "Plot1_A1_23.png")
    with Image.open(root / "Plot1_A2_23.png") as image:
        image.filter(ImageFilter.GaussianBlur(3)).save(root / "Plot1_A2_23.png")
    shutil.copy(root / "Plot1_A3_23.png", root / "Plot1_A4_23.png")
    (root / "Plot1_B1_23.png").write_bytes(b"\x89PNG\r\n\x1a\nno image")
    with Image.open(root / "Plot1_B2_23.png") as image:
        image.resize((96, 96)).save(root / "Plot1_B2_23.png")
    with Image.open(root / "Plot1_C3_23.png") as image:
        image.save(root / "Plot1_C3_23.jpg", quality=95)
    (root / "Plot1_C3_23.png").unlink()


def source(root: Path) -> FolderSource:
    table = {"observed_until": date(2021, 9, 30)}
    return FolderSource.model_validate({"root": str(root), "crs": "EPSG:25832", "harvest_table": table})


@pytest.fixture(scope="module")
def look(planted: Path) -> CampaignLook:
    return look_at_campaign(source(planted), DATES, PARAMS, n_needed=2, is_trained=True)


def plots_places(names: tuple[str, ...]) -> list[str]:
    """Return the places that names begin with, such as `A1`, or the whole first words."""
    return [re.sub("^2021_Ref_Plot1_", "", name.split(" ")[0]) for name in names]


@pytest.mark.parametrize(
    ("kind", "places"),
    [
        ("blank", ["A1"]),
        ("blurred", ["A2"]),
        ("duplicate", ["A3", "A4"]),
        ("unreadable", ["B1"]),
        ("size", ["B2"]),
        ("format", ["C3"]),
        ("one_date", ["D6"]),
        ("row_without_plant", ["P99"]),
        ("plant_without_row", ["D1"]),
    ],
)
def test_each_planted_fault_is_named(look: CampaignLook, kind: str, places: list[str]) -> None:
    found = {one.kind: one.named for one in look.findings}
    assert plots_places(found[kind]) == places


def test_nothing_else_is_found(look: CampaignLook) -> None:
    assert len(look.findings) == 9


def test_every_kind_has_a_meaning() -> None:
    assert not {*BAD_FILE_REASONS, *SUSPICIOUS_FLAGS} - {*MEANINGS, *REASONS}


def test_a_sound_season_has_no_findings() -> None:
    found = look_at_campaign(SyntheticSource(season=SEASON), DATES, PARAMS, n_needed=2, is_trained=True)
    assert found.findings == [] and found.n_read == found.counts.n_images


def test_counts_are_those_of_a_run(look: CampaignLook, planted: Path, tmp_path: Path) -> None:
    """Read the counts from the page, and compare them with the listings that a run writes to its store."""
    refs = survey_source.fn(str(tmp_path / "store"), source(planted), PARAMS, DATES, n_needed=2, is_trained=True)
    listings = [Store(tmp_path / "store").open(refs[f"listing {day}"]).read_json("listing.json") for day in DATES]
    page = render_look("field", look)
    for name, counts in [
        ("counts", Counts.of(listings)),
        *((f"counts-{listing['date']}", Counts.of([listing])) for listing in listings),
    ]:
        rows = {row[0]: [int(cell) for cell in row[1:]] for row in table(page, name)}
        assert rows == {
            {"train": "training", "val": "validation"}.get(split, split): [sum(found.values()), *found.values()]
            for split, found in counts.by_split.items()
        }
    for listing, day in zip(listings, look.days, strict=True):
        assert sum(map(len, day.reasons().values())) == len(listing["left_out"]) > 0
        assert f"Left out: {len(listing['left_out'])}<" in page


def table(page: str, name: str) -> list[list[str]]:
    """Return the cells of a table's body."""
    (body,) = re.findall(rf'<table id="{name}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    rows = re.findall("<tr>.*?</tr>", body, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_why_a_run_would_stop(planted: Path) -> None:
    found = look_at_campaign(source(planted), DATES, IngestParams(), n_needed=99, is_trained=True)
    (refused,) = [one for one in found.findings if one.kind == "refused"]
    assert "At least 99 validation images must have a label" in refused.named[0]
    assert "image files are bad: 2 duplicate, 2 unreadable" in refused.named[1]


def test_a_harvest_table_of_another_field_is_refused(planted: Path, tmp_path: Path) -> None:
    shutil.copytree(planted, tmp_path / "other")
    (tmp_path / "other/harvest.csv").write_text("plant_id,harvest_date\nx1,2021-09-20\n")
    with pytest.raises(InputError, match=r"ingest\.max_unmatched"):
        look_at_campaign(source(tmp_path / "other"), DATES, PARAMS, n_needed=2, is_trained=True)


class Page(HTMLParser):
    """Count elements, list pictures and addresses, and find elements that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "link", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_page_is_one_file(look: CampaignLook) -> None:
    page = Page(render_look("field", look))
    assert not page.wrong and not page.open
    assert all(one.startswith("data:") for one in page.addresses)
    kinds = [one.split(";")[0] for one in page.addresses]
    n_shown = sum(bool(one.thumbnail) for day in look.days for one in day.shown)
    assert (kinds.count("data:image/png"), kinds.count("data:image/jpeg")) == (2, n_shown) and n_shown > 20


def test_sheets_name_plant_split_and_label(look: CampaignLook) -> None:
    page = render_look("field", look)
    (first, *_) = [one for one in look.days[0].shown if one.thumbnail]
    label = look.counts.classes[first.image.label or 0]
    split = {"train": "training", "val": "validation", "test": "test", "new": "new"}[first.image.split]
    assert f"<b>{first.image.plant_id}</b>{split}, {label}</figcaption>" in page
    assert "drawn at random with seed 0" in page


def test_without_positions_there_is_no_map(planted: Path) -> None:
    text = (planted / "manifest.csv").read_text().replace("easting", "e").replace("northing", "n")
    (planted / "plain.csv").write_text(text)
    plain = FolderSource(root=str(planted), manifest="plain.csv", harvest_table=source(planted).harvest_table)
    found = look_at_campaign(plain, DATES, PARAMS, n_needed=2, is_trained=True)
    assert [(day.map, day.n_placed) for day in found.days] == [(b"", 0), (b"", 0)]
    assert "Map of the plants" not in render_look("field", found)


def test_hostile_names_are_escaped(look: CampaignLook) -> None:
    hostile = "<script>alert('x')</script>"
    assert hostile not in render_look(hostile, look)


def test_splits_stand_in_reading_order() -> None:
    none = {"not ready": 0, "ready": 0, "unlabelled": 0}
    counts = Counts(("2021-08-23",), ("not ready", "ready"), {"val": {**none, "ready": 2}, "train": none}, 2)
    assert [(row["split"], row["n"]) for row in count_rows(counts)] == [("train", 0), ("val", 2)]
