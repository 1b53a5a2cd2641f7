"""Stores in a folder of this machine, as most tests have them."""

from pathlib import Path

from storage.places.files import Place


def local(place: Place) -> Path:
    """A place of such a store."""
    assert isinstance(place, Path)
    return place
