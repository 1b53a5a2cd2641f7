"""Test where the map lies on the earth, against PROJ and its geodesics, and which orthophotos a page holds."""

import base64
from pathlib import Path

import numpy as np
import pyproj
import pytest
from numpy.typing import NDArray

from storage.artifacts import Artifact, Recipe, Store
from tasks.report.field.place import frame_of, photos_of

# Fields of 1 km at the edge and in the middle of a zone, in the south, and in another kind of projection.
FIELDS = {
    "EPSG:25832": (364_000.0, 5_610_000.0),
    "EPSG:25833": (500_000.0, 5_800_000.0),
    "EPSG:32756": (330_000.0, 6_250_000.0),
    "EPSG:2154": (650_000.0, 6_860_000.0),
}
KILOMETRE = np.array([(x, y) for x in np.linspace(0, 1000, 5) for y in np.linspace(0, 1000, 5)])


def to_local(frame: dict[str, list[list[float]]], degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply the affine map to longitudes and latitudes (n, 2)."""
    middle = np.array([frame["longitude"], frame["latitude"]])
    return np.array(frame["local"]) + (degrees - middle) @ np.array(frame["per_degree"]).T


@pytest.mark.parametrize("crs", FIELDS)
def test_the_affine_map_is_centimetres_off_within_a_kilometre(crs: str) -> None:
    places = KILOMETRE + FIELDS[crs]
    frame = frame_of(places, crs)
    assert frame is not None
    turned = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    degrees = np.column_stack(turned.transform(*places.T))
    errors = np.hypot(*(to_local(frame, degrees) - KILOMETRE).T)
    assert errors.max() < 0.12  # metres, at the corners; a phone is wrong by 3 m at best
    assert errors[12] < 0.001  # in the middle


@pytest.mark.parametrize("crs", FIELDS)
def test_distances_and_bearings_are_those_of_a_geodesic(crs: str) -> None:
    """Go from the middle to every other place: the map's north is up to 2 degrees from true north."""
    places = KILOMETRE + FIELDS[crs]
    frame = frame_of(places, crs)
    assert frame is not None
    turned = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = turned.transform(*places.T)
    others = np.arange(25) != 12
    start = np.full(24, lon[12]), np.full(24, lat[12])
    bearing, _, metres = pyproj.Geod(ellps="WGS84").inv(*start, lon[others], lat[others])
    east, north = np.array(frame["ground"]) @ (KILOMETRE[others] - KILOMETRE[12]).T
    np.testing.assert_allclose(np.hypot(east, north), metres, rtol=2e-4)
    off = (np.degrees(np.arctan2(east, north)) - bearing + 180) % 360 - 180
    assert np.abs(off).max() < 0.02


def test_a_place_that_proj_cannot_transform_has_no_frame() -> None:
    assert frame_of(np.array([[1e12, 1e12], [1e12, 1e12]]), "EPSG:25832") is None


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def background(store: Store, name: str, size: int, fault: str = "") -> Artifact:
    recipe = Recipe("background", 1, {"name": name})
    with store.create(recipe) as draft:
        draft.summary = {"fault": fault}
        if size:
            draft.write_bytes("background.webp", bytes(size))
            draft.summary |= {"picture": "background.webp", "bounds": [103.0, 207.0, 113.0, 227.0]}
    return store.open(recipe.ref)


def test_the_latest_orthophotos_that_have_room_are_in_the_page(store: Store) -> None:
    kept = {
        f"background 2024-05-0{day}": background(store, str(day), size, fault)
        for day, size, fault in ((1, 60, ""), (2, 50, ""), (3, 0, "it is damaged"), (4, 40, ""), (5, 0, ""))
    }
    days = [f"2024-05-0{day}" for day in range(1, 7)]
    found = photos_of(kept, days, np.array([100.0, 200.0]), most_bytes=100)
    assert found["2024-05-04"]["bounds"] == [3.0, 7.0, 13.0, 27.0]
    assert base64.b64decode(found["2024-05-04"]["picture"].removeprefix("data:image/webp;base64,")) == bytes(40)
    assert "picture" in found["2024-05-02"] and "picture" not in found["2024-05-01"]
    assert "no room" in found["2024-05-01"]["missing"] and "it is damaged" in found["2024-05-03"]["missing"]
    assert found.keys() == set(days[:4])  # patches have no orthophoto, and a run without the key has no artefact
