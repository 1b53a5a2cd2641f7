"""Test which decisions have a colour in spreadsheets."""

import pytest

from tasks.export.looks import CHECK_MARKER, MARKERS, colours_of


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
