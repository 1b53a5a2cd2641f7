"""Help with stores in a local folder, which most tests use."""

from pathlib import Path

from storage.places.files import Place


def local(place: Place) -> Path:
    """Return a place of a local store as a path."""
    assert isinstance(place, Path)
    return place
