"""Test that the copies of Leaflet and its clusters are those of the npm releases to the byte, with their licences."""

import hashlib
from importlib.resources import files

import pytest

from tasks import report

# SHA-256 of the files of `leaflet` 1.9.4 and `leaflet.markercluster` 1.5.3 (folder `dist`, and LICENSE or MIT-LICENCE).
RELEASED = {
    "leaflet.js": "db49d009c841f5ca34a888c96511ae936fd9f5533e90d8b2c4d57596f4e5641a",
    "leaflet.css": "a7837102824184820dfa198d1ebcd109ff6d0ff9a2672a074b9a1b4d147d04c6",
    "leaflet-LICENSE.txt": "53e8dc25862014e4324741ca18fbe3611e11d42ef69f59f86ea8c5389647d4cb",
    "leaflet.markercluster.js": "1e4e1d22972a3926f48598e0caf14e3fe7049835d428a344fed4f9e3665b3508",
    "MarkerCluster.css": "614dea0a98ff3f4ead74f04918f6b1d1b9ba435c25b5fc23b21a394d1e3e4d87",
    "leaflet.markercluster-LICENSE.txt": "3133dacd38250bd1f524d8166cc60a016a382522e062fce143691c65bf5e4b3d",
}
VENDOR = files(report) / "vendor"


def test_every_copied_file_is_one_of_a_release() -> None:
    assert {one.name for one in VENDOR.iterdir() if not one.name.startswith("__")} == set(RELEASED)


@pytest.mark.parametrize("name", RELEASED)
def test_a_copy_is_the_release(name: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == RELEASED[name]


def test_versions_and_licences() -> None:
    assert "Leaflet 1.9.4, " in (VENDOR / "leaflet.js").read_text(encoding="utf-8")[:100]
    for name, holder in (("leaflet", "Volodymyr Agafonkin"), ("leaflet.markercluster", "David Leaver")):
        licence = (VENDOR / f"{name}-LICENSE.txt").read_text(encoding="utf-8")
        assert holder in licence and "*/" not in licence  # it stands in a comment before the script
