"""Test what a survey says of censored labels and of harvest tables, on sources whose listing is given."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from storage.errors import InputError
from tasks.ingest.survey import BEGUN, IngestParams, begin_survey, preview, survey, take_survey
from tasks.sources.contract import FileLook, Harvest, ReadImage, SourceImage, SourceListing
from tasks.sources.folder.source import FolderSource
from tasks.sources.matching import Matching

DAY, LATER = date(2022, 8, 25), date(2022, 9, 3)
PARAMS = IngestParams(image_size=32)


@dataclasses.dataclass(frozen=True)
class ListedSource:
    """A source whose listing is given, and whose images differ by plant and date."""

    listing: SourceListing

    def available_dates(self) -> tuple[date, ...]:
        return tuple(sorted({one.acquired for one in self.listing.images}))

    def list_images(self, dates: Sequence[date]) -> SourceListing:
        images = tuple(one for one in self.listing.images if one.acquired in dates)
        return dataclasses.replace(self.listing, images=images)

    def fingerprint(self, image: SourceImage) -> str:
        return hashlib.sha256(f"{image.plant_id} {image.acquired}".encode()).hexdigest()

    def look_at(self, image: SourceImage) -> FileLook | None:
        return None

    def read_image(self, image: SourceImage) -> NDArray[np.uint8]:
        raise AssertionError("a survey opens no image")

    def read_images(self, images: Sequence[SourceImage]) -> Iterator[ReadImage]:
        raise AssertionError("a survey opens no image")


def listed(harvests: dict[str, Harvest], matching: Matching | None = None, **fields: Any) -> ListedSource:
    """Return a source of plants with these harvests, on both dates."""
    images = [
        SourceImage(plant, day, "train", "utm", f"{day}/{plant}.png", harvest=harvest)
        for day in (DAY, LATER)
        for plant, harvest in harvests.items()
    ]
    return ListedSource(SourceListing(("not ready", "ready"), tuple(images), matching=matching, **fields))


CENSORED = {
    "cut": Harvest.on(date(2022, 9, 4), date(2022, 9, 5)),
    "open": Harvest.not_by(date(2022, 9, 5)),
    "stated": Harvest.never(),
}
MATCHED = {f"p{i}": Harvest.never() for i in range(4)}


class TestCensoredDates:
    def test_the_last_date_loses_its_labels_and_says_so(self) -> None:
        source = listed(CENSORED, notes=("a note of the source",), assumed_until=date(2022, 9, 5))
        found = survey(source, (DAY, LATER), PARAMS)
        labels = {day: {e["plant_id"]: e["label"] for e in found.listings[day]["images"]} for day in (DAY, LATER)}
        assert labels == {DAY: {"cut": 0, "open": 0, "stated": 0}, LATER: {"stated": 0}}
        gone = [(e["plant_id"], e["reason"]) for e in found.listings[LATER]["left_out"]]
        assert gone == [("cut", "ambiguous"), ("open", "ambiguous")]
        assert found.notes[:2] == (
            "a note of the source",
            "2022-09-03: 2 of 3 images are ambiguous: the plants were not watched after 2022-09-05, and a label needs "
            "to know harvests until 2022-09-06",
        )
        assert "the last date, 2022-09-05, is taken. This makes 2 images of 2 plants ambiguous" in found.notes[2]

    def test_a_date_that_is_only_scored_keeps_its_images(self) -> None:
        found = survey(listed(CENSORED), [LATER], PARAMS, is_scored=True).listings[LATER]
        assert {e["plant_id"]: e["label"] for e in found["images"]} == {"cut": None, "open": None, "stated": 0}
        assert [*found["left_out"]] == []


class TestMatching:
    def matching(self, *in_table: str) -> Matching:
        plants = frozenset(MATCHED)
        return Matching("harvest.csv", frozenset(in_table), plants, plants)

    def test_refused_before_an_image_is_opened_unless_it_is_only_scored(self) -> None:
        source = listed(MATCHED, self.matching("P-0", "P-1", "P-2", "p3"))
        for look in (survey, preview):
            with pytest.raises(InputError, match=r"3 of 4 plants in harvest\.csv have no image"):
                look(source, (DAY, LATER), PARAMS)
        found = survey(source, [DAY], PARAMS, is_scored=True)
        assert any("table `P-0` looks like plant `p0`" in note for note in found.notes)
        lax = PARAMS.model_copy(update={"max_unmatched": 0.75})
        assert survey(source, (DAY, LATER), lax).notes == found.notes

    def test_a_table_that_fits_is_not_mentioned(self) -> None:
        assert survey(listed(MATCHED, self.matching(*MATCHED)), (DAY, LATER), PARAMS).notes == ()


class TestBegun:
    """A survey that was begun before its task runs."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> FolderSource:
        """Return a folder of four images of two classes."""
        for k, name in enumerate(("ready/a", "ready/b", "not_ready/c", "not_ready/d")):
            path = tmp_path / f"field/train/{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(k).integers(0, 255, (32, 32, 3), np.uint8)).save(path)
        return FolderSource(root=str(tmp_path / "field"), classes=("not_ready", "ready"))

    def test_it_is_taken_once(self, source: FolderSource) -> None:
        expected = survey(source, [DAY], PARAMS)
        begin_survey(source, [DAY], PARAMS)
        BEGUN[-1][1].result()
        rmtree(source.root)
        assert take_survey(source, [DAY], PARAMS) == expected
        with pytest.raises(InputError):  # the source is looked at again
            take_survey(source, [DAY], PARAMS)

    def test_what_is_wrong_is_raised_where_it_is_taken(self, source: FolderSource) -> None:
        (files := Path(source.root)).rename(files.with_name("away"))
        begin_survey(source, [DAY], PARAMS)
        with pytest.raises(InputError):
            take_survey(source, [DAY], PARAMS)
        files.with_name("away").rename(files)
        assert take_survey(source, [DAY], PARAMS) == survey(source, [DAY], PARAMS)

    def test_another_survey_is_not_taken_for_it(self, source: FolderSource) -> None:
        begin_survey(source, [DAY], PARAMS, found={DAY: {"a": "not_ready"}})
        expected = survey(source, [DAY], PARAMS)
        assert take_survey(source, [DAY], PARAMS) == expected
        checked = take_survey(source, [DAY], PARAMS, found={DAY: {"a": "not_ready"}})
        assert checked != expected and not BEGUN
