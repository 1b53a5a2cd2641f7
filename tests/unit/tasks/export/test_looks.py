"""Test which colours decisions have, and which have one in spreadsheets."""

import pytest

from tasks.export.looks import CHECK_MARKER, MARKERS, colours_of, looks_of, markers_of


@pytest.mark.parametrize("classes", [("not ready", "ready"), ("Not_Ready", "READY")])
def test_decisions_about_the_harvest_have_the_colours_of_the_map(classes: tuple[str, str]) -> None:
    assert colours_of(classes) == {
        "harvest": MARKERS[0].light,
        "leave": MARKERS[1].light,
        "check": CHECK_MARKER.light,
    }


@pytest.mark.parametrize("classes", [("healthy", "scab", "rot"), ("harvest", "leave"), ("ready", "not ready")])
def test_names_of_other_classes_have_none(classes: tuple[str, ...]) -> None:
    assert colours_of(classes) == {"check": CHECK_MARKER.light}


@pytest.mark.parametrize("classes", [("healthy", "scab"), ("diseased", "healthy"), ("ready", "not ready")])
def test_no_other_class_is_green(classes: tuple[str, ...]) -> None:
    """Green says that all is well, and nobody knows which class that would be."""
    assert MARKERS[0].light not in {marker.light for marker in markers_of(classes).values()}
    assert MARKERS[0].dark not in {marker.dark for marker in markers_of(classes).values()}
    assert MARKERS[0].light not in {look.colour for look in looks_of(classes).values()}
    for colour in (markers_of(classes)[classes[0]].light, markers_of(classes)[classes[0]].dark):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        assert green < max(red, blue)
