"""Test metres per unit of projections by known figures, and the codes of UTM zones."""

import math

import numpy as np
import pytest

from storage.errors import InputError
from tasks.sources.crs import utm_zone
from tasks.sources.projections import local_steps, metres_on_ground, read_crs, transform


@pytest.mark.parametrize(
    ("crs", "x", "y", "metres"),
    [
        ("EPSG:32632", 500000.0, 5615000.0, (1 / 0.9996, 1 / 0.9996)),  # scale of UTM at its middle meridian
        ("EPSG:2264", 1500000.0, 600000.0, (1200 / 3937, 1200 / 3937)),  # US survey feet
        ("EPSG:3857", 0.0, 8399737.89, (0.50126, 0.50042)),  # cos 60 and the ellipsoid
        ("EPSG:4326", 10.0, 0.0, (111319.49, 110574.28)),  # a degree at the equator, on WGS 84
        ("EPSG:4326", 10.0, 60.0, (55800.0, 111412.0)),
    ],
)
def test_metres_on_the_ground(crs: str, x: float, y: float, metres: tuple[float, float]) -> None:
    assert metres_on_ground(read_crs(crs), x, y) == pytest.approx(metres, rel=2e-3)


def test_metres_are_unknown_where_a_projection_ends() -> None:
    assert np.isnan(metres_on_ground(read_crs("EPSG:32632"), 1e12, 1e12)).all()


def test_steps_turn_with_the_meridians() -> None:
    # Near 50 degrees north, three degrees beside its meridian, a zone is turned by about 3 sin(50) degrees.
    lon, lat = np.array([12.0]), np.array([50.0])
    (x,), (y,) = transform(lon, lat, "EPSG:4326", "EPSG:32632")
    steps = local_steps("EPSG:32632", "EPSG:32633", float(x), float(y), 100.0)
    turn = -2 * 3 * math.sin(math.radians(50))
    assert math.degrees(math.atan2(steps[1, 0], steps[0, 0])) == pytest.approx(turn, abs=0.02)
    assert np.hypot(*steps) == pytest.approx([1.0, 1.0], abs=1e-6)  # both zones are equally far from their meridian


def test_x_is_east_whatever_the_order_of_axes() -> None:
    east, north = transform(np.array([9.0]), np.array([0.0]), "EPSG:4326", "EPSG:32632")
    assert (east[0], north[0]) == pytest.approx((500000.0, 0.0), abs=1e-6)


def test_unknown_systems_are_refused() -> None:
    with pytest.raises(InputError, match="no such coordinate reference system as EPSG:1"):
        read_crs("EPSG:1")


@pytest.mark.parametrize(
    ("place", "code"),
    [((7.1, 50.7), "EPSG:32632"), ((-99.0, 40.0), "EPSG:32614"), ((178.0, -18.0), "EPSG:32760"), ((0.0, 89.0), None)],
)
def test_utm_zones(place: tuple[float, float], code: str | None) -> None:
    assert utm_zone(*place) == code
