"""Test acquire: which images of a scored date are listed, and which dates are refused."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from storage.artifacts import ArtifactRef, Recipe, Store
from storage.errors import InputError
from storage.tables import PLANTS as PLANTS_TABLE
from tasks.ingest.completeness import Completeness
from tasks.ingest.ingest import images_recipe, write_images
from tasks.ingest.listing import listing_recipe
from tasks.ingest.new_date import check_acquisition, survey_acquisition
from tasks.ingest.survey import IngestParams, survey
from tasks.sources import AnySource
from tasks.sources.folder.source import FolderSource
from tasks.sources.growliflower.source import GrowliFlowerSource
from tasks.sources.synthetic.season import SeasonParams
from tasks.sources.synthetic.source import SyntheticSource
from tests.support import small_field
from tests.support.orthophotos import NORTH, WEST
from tests.support.planted_campaign import artifact_of

EARLY, NEW = date(2021, 8, 25), date(2021, 8, 30)
CLASSES = ("not ready", "ready")
PARAMS = IngestParams(image_size=32)
PLANTS = {"A1": "train", "A2": "train", "B1": "val", "B2": "test"}
PLANT_ROW = {"split": "val", "split_source": "utm", "n_observations": 1}


def noise(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def image_path(root: Path, day: date, place: str) -> Path:
    return root / f"Field2/{day:%Y_%m_%d}/2021_Ref_Plot1_{place}.png"


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write a release of four plants with splits and one without, on an early date and a new one."""
    folder = tmp_path / "season"
    for i, day in enumerate((EARLY, NEW)):
        for j, place in enumerate([*PLANTS, "C1"]):
            save(image_path(folder, day, place), noise(10 * i + j))
    rows = [f"2021_Ref_Plot1_{place},1.0,2.0,3.0,{split}" for place, split in PLANTS.items()]
    (folder / "2021_Ref_Plot1_UTM_Coordinates.txt").write_text("\n".join(rows))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def images_of(store: Store, source: AnySource, day: date, listing: dict[str, Any] | None = None) -> ArtifactRef:
    """Write the artefact `images` of a date as ingest does, and return its reference."""
    content = listing or survey(source, [day], PARAMS).listings[day]
    recipe = images_recipe(PARAMS, listing_recipe(content).ref)
    with store.create(recipe) as draft:
        write_images(draft, source, content, PARAMS.image_size, list[int]().append)
    return recipe.ref


def acquire(store: Store, source: AnySource, day: date = NEW, *known: ArtifactRef, **options: Any) -> dict[str, Any]:
    fixed: dict[str, Any] = {"store": str(store.root), "params": PARAMS, "classes": CLASSES}
    ref = survey_acquisition.fn(date=day, source=source, known=list(known), **{**fixed, **options}).listing
    assert ref.kind == "listing"
    return store.open(ref).read_json("listing.json")


def check(store: Store, images: ArtifactRef, **changes: Any) -> None:
    check_acquisition.fn(str(store.root), NEW, PARAMS.model_copy(update=changes), images)


class TestListing:
    def test_it_is_the_campaigns_listing_but_for_the_split(self, root: Path, store: Store) -> None:
        source = GrowliFlowerSource(root=str(root))
        found, plain = acquire(store, source), survey(source, [NEW], PARAMS).listings[NEW]
        assert {e["plant_id"][-2:]: e["split"] for e in plain["images"]} == {**PLANTS, "C1": "new"}
        assert {e["plant_id"][-2:]: e["split"] for e in found["images"]} == {
            "A1": "new",
            "A2": "new",
            "B1": "val",
            "B2": "test",
            "C1": "new",
        }
        for entry, other in zip(found["images"], plain["images"], strict=True):
            assert {**entry, "split": ""} == {**other, "split": ""}
        assert {**found, "images": []} == {**plain, "images": [], "left_out": [*plain["left_out"]]}

    def test_equal_content_has_one_name(self, root: Path, store: Store) -> None:
        source = GrowliFlowerSource(root=str(root))
        fixed: dict[str, Any] = {"date": NEW, "store": str(store.root), "params": PARAMS}
        refs = [survey_acquisition.fn(source=source, classes=CLASSES, known=[], **fixed).listing for _ in range(2)]
        save(image_path(root, EARLY, "A1"), noise(99))
        refs.append(survey_acquisition.fn(source=source, classes=CLASSES, known=[], **fixed).listing)
        assert refs[0] == refs[1] == refs[2]
        save(image_path(root, NEW, "A1"), noise(99))
        assert survey_acquisition.fn(source=source, classes=CLASSES, known=[], **fixed).listing != refs[0]

    def test_a_date_without_training_plants_or_labels_is_no_problem(self, store: Store) -> None:
        season = SeasonParams(n_plots=1, rows=1, plants_per_row=3, image_size=32, dates=(NEW,), seed=3)
        found = acquire(store, SyntheticSource(season=season))
        assert found["images"] and {e["split"] for e in found["images"]} <= {"new", "val", "test"}

    def test_a_date_that_the_source_lacks(self, root: Path, store: Store) -> None:
        with pytest.raises(InputError, match="no image for 2021-09-03"):
            acquire(store, GrowliFlowerSource(root=str(root)), date(2021, 9, 3))


class TestCompleteness:
    def test_plants_of_the_campaign_that_stand(self, root: Path, store: Store) -> None:
        """One of the campaign's plants has no file, one was harvested before, one is not the campaign's."""
        ids = [f"2021_Ref_Plot1_{place}" for place in (*PLANTS, "Z9")]
        rows = [dict.fromkeys(c.name for c in PLANTS_TABLE.columns) | PLANT_ROW | {"plant_id": one} for one in ids]
        plants = artifact_of(store, PLANTS_TABLE, rows)
        (root / "harvest.csv").write_text("plant_id,harvest_date\n2021_Ref_Plot1_B1,2021-08-26\n")
        image_path(root, NEW, "B1").unlink()
        fixed: dict[str, Any] = {"date": NEW, "store": str(store.root), "params": PARAMS, "known": []}
        source = GrowliFlowerSource(root=str(root))
        found = survey_acquisition.fn(source=source, classes=CLASSES, plants=plants, **fixed)
        assert found.completeness == Completeness(3, 4)  # A1, A2, B2; and Z9, which has no file
        assert found.files is not None and found.files.n_files == 4
        other = survey_acquisition.fn(source=source, classes=CLASSES, **fixed)
        assert other.completeness == Completeness(4, None) and other.listing == found.listing

    def test_a_list_of_plants_tells_what_another_field_should_have(self, tmp_path: Path, store: Store) -> None:
        """One of four plants lies beside the orthophoto, one was harvested before."""
        field = small_field.write_field(tmp_path)
        beside = f"d,{WEST + 100},{NORTH - 100}"
        small_field.save(field, *small_field.LINES, beside)
        (field / "harvest.csv").write_text("plant_id,harvest_date\na,2024-04-30\n")
        fixed: dict[str, Any] = {"store": str(store.root), "params": PARAMS, "known": [], "classes": CLASSES}
        found = survey_acquisition.fn(date=small_field.DAY, source=small_field.make(field), **fixed)
        assert found.completeness == Completeness(2, 3)


class TestKnown:
    def test_images_of_the_campaigns_own_dates_are_left_out(self, root: Path, store: Store) -> None:
        source = GrowliFlowerSource(root=str(root))
        known = images_of(store, source, EARLY)
        for place, original in (("A1", "A1"), ("B2", "C1")):
            image_path(root, NEW, place).write_bytes(image_path(root, EARLY, original).read_bytes())
        found = acquire(store, source, NEW, known)
        assert [e["plant_id"][-2:] for e in found["images"]] == ["A2", "B1", "C1"]
        assert [(e["path"], e["reason"], e["detail"]) for e in found["left_out"]] == [
            (
                f"Field2/2021_08_30/2021_Ref_Plot1_{place}.png",
                "duplicate",
                f"byte-identical to the image of 2021_Ref_Plot1_{original} on 2021-08-25",
            )
            for place, original in (("A1", "A1"), ("B2", "C1"))
        ]
        assert {e["acquired"] for e in found["left_out"]} == {"2021-08-30"}
        images = images_of(store, source, NEW, found)
        with pytest.raises(InputError) as refused:
            check(store, images)
        assert refused.value.found.startswith("2 of 5 image files are bad: 2 duplicate")
        assert "Field2/2021_08_30/2021_Ref_Plot1_A1.png" in refused.value.found
        check(store, images, max_bad_share=0.5)

    def test_the_whole_folder_of_another_date(self, root: Path, store: Store) -> None:
        source = GrowliFlowerSource(root=str(root))
        known = images_of(store, source, EARLY)
        for place in (*PLANTS, "C1"):
            image_path(root, NEW, place).write_bytes(image_path(root, EARLY, place).read_bytes())
        with pytest.raises(InputError) as refused:
            acquire(store, source, NEW, known)
        assert refused.value.found.startswith("No image to score on 2021-08-30; left out: 5 duplicate\n")
        assert "on 2021-08-25" in refused.value.found

    def test_dates_are_only_compared_with_what_is_known(self, root: Path, store: Store) -> None:
        source = GrowliFlowerSource(root=str(root))
        assert len(acquire(store, source, NEW, images_of(store, source, EARLY))["images"]) == 5


class TestUnwatched:
    """A harvest table of a growing season ends before the date that is scored."""

    def test_plants_that_are_not_harvested_so_far_are_scored_without_a_label(self, root: Path, store: Store) -> None:
        rows = ["2021_Ref_Plot1_A1,2021-08-26", *(f"2021_Ref_Plot1_{place}," for place in ("A2", "B1", "B2", "C1"))]
        (root / "harvest.csv").write_text("\n".join(["plant_id,harvest_date", *rows]))
        found = acquire(store, GrowliFlowerSource(root=str(root)))
        assert {e["plant_id"][-2:]: e["label"] for e in found["images"]} == dict.fromkeys(("A2", "B1", "B2", "C1"))
        assert [(e["plant_id"][-2:], e["reason"]) for e in found["left_out"]] == [("A1", "harvested")]

    def test_a_table_of_other_names_is_told_and_not_refused(
        self, root: Path, store: Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows = [f"2021_ref_plot1_{place.lower()},2021-09-09" for place in (*PLANTS, "C1")]
        (root / "harvest.csv").write_text("\n".join(["plant_id,harvest_date", *rows]))
        assert len(acquire(store, GrowliFlowerSource(root=str(root)))["images"]) == 5
        assert "2021-08-30: 5 of 5 plants in harvest.csv have no image" in caplog.text
        assert "table `2021_ref_plot1_a1` looks like plant `2021_Ref_Plot1_A1`" in caplog.text


class TestClasses:
    @pytest.mark.parametrize("classes", [("ready", "not ready"), ("not ready",), ("not ready", "ready", "rotten"), ()])
    def test_other_classes_than_the_classifiers(self, root: Path, store: Store, classes: tuple[str, ...]) -> None:
        with pytest.raises(InputError) as refused:
            acquire(store, GrowliFlowerSource(root=str(root)), classes=classes)
        has = f"has the classes not ready, ready, the classifier {', '.join(classes)}"
        assert refused.value.found == f"The source of 2021-08-30 {has}"

    def test_a_folder_without_labels_takes_the_classifiers(self, tmp_path: Path, store: Store) -> None:
        for i in range(3):
            save(tmp_path / f"images/new/{i}.png", noise(i))
        found = acquire(store, FolderSource(root=str(tmp_path / "images")))
        assert found["classes"] == list(CLASSES) and [e["label"] for e in found["images"]] == [None] * 3

    def test_a_folder_with_some_labels_must_name_all_classes(self, tmp_path: Path, store: Store) -> None:
        save(tmp_path / "images/new/ready/a.png", noise(0))
        folder = FolderSource(root=str(tmp_path / "images"))
        with pytest.raises(InputError, match="has the classes ready, the classifier not ready, ready"):
            acquire(store, folder)
        found = acquire(store, folder.model_copy(update={"classes": CLASSES}))
        assert [e["label"] for e in found["images"]] == [1]


class TestNoImages:
    def test_every_plant_harvested(self, root: Path, store: Store) -> None:
        rows = [f"2021_Ref_Plot1_{place},2021-08-26" for place in (*PLANTS, "C1")]
        (root / "harvest.csv").write_text("\n".join(["plant_id,harvest_date", *rows]))
        with pytest.raises(InputError) as refused:
            acquire(store, GrowliFlowerSource(root=str(root)))
        assert refused.value.found.startswith("No image to score on 2021-08-30; left out: 5 harvested\n")

    def test_every_file_bad(self, root: Path, store: Store) -> None:
        for i, place in enumerate((*PLANTS, "C1")):
            save(image_path(root, NEW, place), np.full((32, 32, 3), i, np.uint8))
        source = GrowliFlowerSource(root=str(root))
        images = images_of(store, source, NEW, acquire(store, source))
        with pytest.raises(InputError, match="5 of 5 image files are bad: 5 blank"):
            check(store, images)
        with pytest.raises(InputError, match="must have readable images"):
            check(store, images, max_bad_share=1.0)


class TestBadShare:
    def test_one_bad_file(self, root: Path, store: Store) -> None:
        image_path(root, NEW, "A1").write_bytes(b"half")
        source = GrowliFlowerSource(root=str(root))
        images = images_of(store, source, NEW, acquire(store, source))
        check(store, images, max_bad_share=0.2)
        with pytest.raises(InputError, match="1 of 5 image files are bad: 1 unreadable"):
            check(store, images, max_bad_share=0.19)

    def test_a_damaged_artefact_is_no_empty_date(self, store: Store) -> None:
        with pytest.raises(RuntimeError, match="never finished"):
            check(store, Recipe("images", 1).ref)
