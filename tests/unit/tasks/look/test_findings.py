"""Test every kind of finding on a few hand-made records."""

from dataclasses import replace
from datetime import date

import pytest

from tasks.look.findings import (
    Finding,
    find_bad_files,
    find_flags,
    find_formats,
    find_in_pixels,
    find_plants_of_one_date,
    find_shared_places,
    find_sizes,
    find_unmatched,
    merge,
)
from tasks.look.images import Measured
from tasks.sources.contract import LeftOut, SourceImage
from tasks.sources.matching import Matching

DAY, LATER = date(2021, 8, 23), date(2021, 8, 30)


def image(plant: str, day: date = DAY, path: str = "", **more: object) -> SourceImage:
    return replace(SourceImage(plant, day, "train", "own", path or f"{plant}.png"), **more)  # type: ignore[arg-type]


def measured(
    plant: str, sharp: float = 100, width: int = 64, height: int = 64, fault: str = "", blank: str = ""
) -> Measured:
    return Measured(image(plant), False, width, height, fault, blank, sharp)


def named(findings: list[Finding]) -> dict[str, list[str]]:
    """Return by kind the first word of everything that is named."""
    return {one.kind: [name.split(" ")[0] for name in one.named] for one in findings}


def test_pixels() -> None:
    usual = [measured(f"p{i}", 100 + i) for i in range(9)]  # with the two others, the median is 103
    odd = [measured("soft", 10.2), measured("dim", 10.5)]
    faults = [measured("grey", 0, blank="blank: all values within 0 grey levels"), measured("gone", 0, fault="cut off")]
    found = find_in_pixels([*usual, *odd, *faults])
    assert named(found) == {"unreadable": ["gone"], "blank": ["grey"], "blurred": ["soft"]}
    assert found[2].named == ("soft 2021-08-23 (soft.png): 9.9% of the median sharpness",)
    assert find_in_pixels(usual) == find_in_pixels([]) == []


def test_sizes() -> None:
    usual = [measured("a"), measured("b"), measured("gone", width=0, height=0, fault="cut off")]
    assert find_sizes(usual) == []
    (found,) = find_sizes([*usual, measured("c", width=64, height=65)])
    assert (found.said, named([found])) == ("images of another size than 64 x 64 pixels", {"size": ["c"]})


def test_where_no_size_is_usual_the_range_is_told() -> None:
    sizes = ((64, 20), (30, 50), (40, 60), (41, 44))
    (found,) = find_sizes([measured(str(w), width=w, height=h) for w, h in sizes])
    assert found == Finding("size", "sizes from 30 x 20 to 64 x 60 pixels", ())


def test_formats() -> None:
    images = [image("a", path="a.JPG"), image("b", path="b.jpeg"), image("c", path="c.png")]
    (found,) = find_formats(images)
    assert (found.said, named([found])) == ("images of another format than .jpg", {"format": ["c"]})
    assert find_formats(images[:2]) == find_formats([]) == []


def test_bad_files_are_named_by_reason_and_labels_are_not() -> None:
    reasons = ("duplicate", "harvested", "unreadable", "duplicate", "outside_raster", "ambiguous", "missing_file")
    gone = [LeftOut(f"p{i}", DAY, f"p{i}.png", reason, "why") for i, reason in enumerate(reasons)]
    found = named(find_bad_files(gone))
    assert found == {
        "duplicate": ["p0", "p3"],
        "unreadable": ["p2"],
        "missing_file": ["p6"],
        "outside_raster": ["p4"],
    }


def test_flags() -> None:
    flags = [image("a", flags=("turned",)), image("b", flags=("turned", "mostly_no_data"))]
    assert named(find_flags(flags)) == {"mostly_no_data": ["b"]}


@pytest.mark.parametrize(("reason", "is_once"), [("harvested", False), ("duplicate", False), ("missing_file", True)])
def test_plants_of_one_date(reason: str, is_once: bool) -> None:
    images = [image("a"), image("a", LATER), image("b"), LeftOut("b", LATER, "b.png", reason)]
    assert bool(find_plants_of_one_date(images, [DAY, LATER])) == is_once
    assert find_plants_of_one_date(images, [DAY]) == []


def test_plants_in_one_place() -> None:
    images = [
        image("a", easting=1.0, northing=2.0),
        image("a", LATER, easting=1.0, northing=2.0),
        image("b", easting=1.001, northing=2.0),
        image("c", easting=1.05, northing=2.0),
        image("d"),
        image("e"),
    ]
    (found,) = find_shared_places(images)
    assert found.named == ("a, b",)


def test_table_and_images_that_do_not_fit() -> None:
    matching = Matching("cut.csv", frozenset({"p1", "P-02", "p9"}), frozenset({"p1", "p2", "p5"}), frozenset())
    found = {one.kind: one.named for one in find_unmatched(matching)}
    assert found == {
        "row_without_plant": ("P-02", "p9"),
        "plant_without_row": ("p2", "p5"),
        "near_names": ("cut.csv P-02, images p2",),
    }
    assert find_unmatched(None) == []


def test_findings_of_one_kind_are_joined() -> None:
    found = [Finding("blank", "x", ("a",)), Finding("size", "y", ()), Finding("blank", "z", ("b",))]
    assert merge(found) == [Finding("blank", "x", ("a", "b")), Finding("size", "y", ())]
